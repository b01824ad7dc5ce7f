"""The cost of a user who does the worst that is allowed, for a pair of others on the same server."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import aiohttp

from fsharechat.client import Client

from .attacker import ATTACKS, Task, attacking, online
from .link import BenchError
from .login import log_in
from .media import media_beside
from .server import BenchServer
from .stats import percentile

PACE_SECONDS = 0.02
"""The pair sends a message each so many seconds, even if the one before has not arrived."""

MEMBERS = 5000
SETTLE_SECONDS = 1.0
"""The time between the begin of an attack and the measurement, s."""

LIMITS = {"FSHARECHAT_LIMITS__REQUESTS": "0", "FSHARECHAT_API__KEY": "benchmark-of-neighbours"}
"""Further settings for the server under test: a key for the back office, and no limits. The attacker keeps to the
default limits by itself; the pair is faster than they allow.
"""


class NeighbourResult(NamedTuple):
    """Times from the moment when a message was due to its arrival, in ms."""

    what: str
    messages: int
    p50: float
    p99: float


async def run_neighbours(
    server: BenchServer, numbers: Sequence[int], seconds: float
) -> list[NeighbourResult]:
    """Measure a pair beside each attack and beside all at once, and also alone, before and after each.

    `numbers` are MEMBERS + 2 new users.
    """
    print(f"logging in {len(numbers)} users ...", flush=True)
    sender, receiver, bad, *crowd = await log_in(server.http, numbers)
    address = server.address("tcp", 0)
    others = [account.user_id for account in crowd]
    await _teach(server, "gold")
    async with online(address, bad) as client:
        group_id = await client.groups.create("everybody", others[: MEMBERS - 1])
    async with online(address, sender) as one, online(address, receiver) as other:
        pair = _NeighbourPair(one, other)
        results = [await pair.measure("nothing", seconds)]
        for what, attacks in [
            *((what, [attack]) for attack, what in ATTACKS.items()),
            ("all of it at once", list(ATTACKS)),
        ]:
            async with attacking(Task(attacks, address, bad, group_id, others[:MEMBERS])):
                await asyncio.sleep(SETTLE_SECONDS)
                results.append(await pair.measure(what, seconds))
            results.append(await pair.measure("nothing", seconds))
    return results


async def run_beside_media(
    server: BenchServer, numbers: Sequence[int], receivers: int, seconds: float, rounds: int
) -> list[NeighbourResult]:
    """Measure a pair beside a media process that forwards to so many receivers, and alone before and after each.

    `numbers` are two new users.
    """
    sender, receiver = await log_in(server.http, numbers)
    address = server.address("tcp", 0)
    async with online(address, sender) as one, online(address, receiver) as other:
        pair = _NeighbourPair(one, other)
        results = [await pair.measure("nothing", seconds)]
        for _ in range(rounds):
            async with media_beside(receivers):
                results.append(await pair.measure(f"{receivers} streams of media", seconds))
            results.append(await pair.measure("nothing", seconds))
    return results


def table(results: Sequence[NeighbourResult]) -> str:
    """Return the results as a table: each row with the mean of the two measurements alone around it."""
    lines = ["beside                       messages  p50 ms  p99 ms  p99 alone  p99 to alone"]
    for before, beside, after in zip(results[::2], results[1::2], results[2::2], strict=False):
        alone = (before.p99 + after.p99) / 2
        lines.append(
            f"{beside.what:<28} {beside.messages:>8} {beside.p50:>7.1f} {beside.p99:>7.1f} {alone:>10.1f}"
            f" {beside.p99 / alone:>12.1f}x"
        )
    return "\n".join(lines)


class _NeighbourPair:
    def __init__(self, sender: Client, receiver: Client) -> None:
        self._sender = sender
        self._receiver = receiver
        self._numbers = count()
        self._due: dict[str, float] = {}
        self._times: list[float] = []
        self._all_came = asyncio.Event()
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        async for message in self._receiver.messages():
            due = self._due.pop(message.content.searchable_content, None)
            if due is not None:
                self._times.append((time.perf_counter() - due) * 1000)
                if not self._due:
                    self._all_came.set()

    async def measure(self, what: str, seconds: float) -> NeighbourResult:
        """Send at a fixed pace, and wait until all messages have come. Raises BenchError if one does not."""
        print(f"a pair beside {what} ...", flush=True)
        self._times.clear()
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for n in range(int(seconds / PACE_SECONDS)):
                due = begin + n * PACE_SECONDS
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                text = f"{next(self._numbers)} {secrets.token_hex(8)}"
                self._due[text] = due
                self._all_came.clear()
                tasks.create_task(self._sender.send(self._receiver.user_id, text))
        try:
            async with asyncio.timeout(30):
                await self._all_came.wait()
        except TimeoutError:
            raise BenchError(f"{len(self._due)} messages have not come, beside {what}") from None
        ordered = sorted(self._times)
        return NeighbourResult(what, len(ordered), percentile(ordered, 50), percentile(ordered, 99))


async def _teach(server: BenchServer, word: str) -> None:
    headers = {"Authorization": f"Bearer {LIMITS['FSHARECHAT_API__KEY']}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{server.http.rstrip('/')}/admin/words", json={"words": [word]}) as response,
    ):
        if response.status != 200:
            raise BenchError(f"no sensitive word set: {response.status} {await response.text()}")
