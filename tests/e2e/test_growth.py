"""What costs more where there is more, and what does not: ratios of CPU times, never seconds.

The factors are generous: they are for costs that grow with the number of connections, users or messages and must not.
Such a cost is soon ten times as high.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from tools.bench.device import BenchDevice, Post, close_devices, connect_devices
from tools.bench.folders import raise_file_limit
from tools.bench.gate import cpu_of, send_round, until_answered
from tools.bench.group import awake
from tools.bench.history import HistoryReader, length_of, pairs_of
from tools.bench.load import SETTLE_SECONDS
from tools.bench.made import MadeStore, group_of
from tools.bench.server import BenchServer
from tools.bench.single import all_in_one

pytestmark = pytest.mark.slow

MESSAGES = 200_000
FEW_MESSAGES = 2000
USERS = 100_000
CONNECTIONS = 1500
PAIRS = 10
SMALL, LARGE = 2 * PAIRS, 1000
"""Members of a small and a large group. Those of the small one are always online."""
TURNS = 9
WINDOW = 10
PAGES = 30
FLAT = 2.0
"""How many times as much may be spent where nothing should grow."""
LINEAR = 2.0
"""How many times as much a copy may cost where there are more of them."""


class Grown(NamedTuple):
    """A server on a made store, and the first users of it, connected."""

    server: BenchServer
    made: MadeStore
    devices: Sequence[BenchDevice]
    post: Post
    readers: Sequence[HistoryReader]
    started: float
    """CPU time until it was ready, s."""

    @property
    def pid(self) -> int:
        return self.server.groups[0].processes[0].pid

    async def pairs(self) -> None:
        await send_round(self.devices, self.post, self.server, WINDOW)

    async def pages(self) -> None:
        for number in range(PAGES):
            await self.readers[number % len(self.readers)].page(number / PAGES)

    async def group(self, id: str, online: Sequence[BenchDevice]) -> None:
        writer, *others = online
        for _ in range(WINDOW):
            writer.send_to_group(id, others, 0.0)
        await until_answered(online, self.post, self.server)

    async def cost(self, act: Callable[[], Awaitable[None]]) -> float:
        """Return the CPU time of an act, s."""
        before = cpu_of(self.pid)
        await act()
        return cpu_of(self.pid) - before


async def grown(folder: Path, users: int, messages: int, stack: AsyncExitStack) -> Grown:
    made = MadeStore(folder)
    await made.create()
    pairs = pairs_of(messages)
    made.put_users(range(users), devices=1)
    made.put_conversations(pairs, messages)
    made.put_group(0, range(SMALL))
    made.put_group(1, range(min(users, LARGE)))
    server = await stack.enter_async_context(all_in_one(folder))
    started = cpu_of(server.groups[0].processes[0].pid)
    post = Post()
    accounts = made.accounts(range(2 * PAIRS))
    devices = [BenchDevice(number, account, post) for number, account in enumerate(accounts)]
    await connect_devices(server, devices)
    stack.callback(close_devices, devices)
    await asyncio.sleep(SETTLE_SECONDS)
    readers = [HistoryReader(one, length_of(messages, number // 2)) for number, one in enumerate(devices)]
    for reader in readers:
        await reader.begin()
    return Grown(server, made, devices, post, readers, started)


async def in_turns(
    one: Callable[[], Awaitable[float]], other: Callable[[], Awaitable[float]], turns: int = TURNS
) -> float:
    """Return the middle one of the ratios of a cost to another. The first turn is not counted."""
    ratios = [await one() / await other() for _ in range(turns + 1)]
    return median(ratios[1:])


async def test_costs_grow_with_what_is_online_alone(tmp_path: Path) -> None:
    raise_file_limit()
    for name in ("small", "large"):
        (tmp_path / name).mkdir(mode=0o700)
    async with AsyncExitStack() as stack:
        small = await grown(tmp_path / "small", 100, FEW_MESSAGES, stack)
        large = await grown(tmp_path / "large", USERS, MESSAGES, stack)
        found = {
            "a start": large.started / small.started,
            "a message": await in_turns(lambda: large.cost(large.pairs), lambda: small.cost(small.pairs)),
            "a page of history": await in_turns(
                lambda: large.cost(large.pages), lambda: small.cost(small.pages)
            ),
        }

        more = [
            BenchDevice(number, account, large.post)
            for number, account in enumerate(large.made.accounts(range(CONNECTIONS)))
        ][2 * PAIRS :]
        stack.callback(close_devices, more)
        devices = [*large.devices, *more]
        some, many = group_of(0), group_of(1)

        def to_small_group() -> Awaitable[float]:
            return large.cost(lambda: large.group(some, large.devices))

        def to_large_group(online: Sequence[BenchDevice]) -> Awaitable[float]:
            return large.cost(lambda: large.group(many, online))

        while awake(large.made.path, many) > SMALL:
            await large.group(many, large.devices)
        found["a message to a large group with as many online"] = await in_turns(
            lambda: to_large_group(large.devices), to_small_group
        )

        await connect_devices(large.server, more)
        await asyncio.sleep(SETTLE_SECONDS)
        found["a message beside many connections"] = await in_turns(
            lambda: large.cost(large.pairs), lambda: small.cost(small.pairs)
        )
        members = devices[:LARGE]
        found["a copy where many are online"] = (
            await in_turns(lambda: to_large_group(members), to_small_group, 3)
            * (SMALL - 1)
            / (len(members) - 1)
        )
    bounds = {name: LINEAR if name.startswith("a copy") else FLAT for name in found}
    assert {name: ratio for name, ratio in found.items() if ratio > bounds[name]} == {}
