"""What one user who does the worst that is allowed costs a pair of others on the same server."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import aiohttp

from fsharechat.client import Client, ClientError, Credentials, Options
from fsharechat.protocol import frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Signal, SubSignal

from .link import Account, BenchError
from .login import log_in
from .server import Server
from .stats import percentile

PACE_SECONDS = 0.05
"""The pair sends a message each so many seconds, whatever becomes of the one before."""

ALLOWED = 20.0
"""Requests of a kind that the default limits allow a device in a second, for long."""

MEMBERS = 5000
POISON = "e" + "\u0301" * 200_000
PINGS = 150
"""PINGs of one chunk; ten times the limit would end the connection."""

LIMITS = {"FSHARECHAT_LIMITS__REQUESTS": "100", "FSHARECHAT_API__KEY": "benchmark-of-neighbours"}
"""Beside what every server under test is started with: the default limits, and a key for the back office."""


class Result(NamedTuple):
    """Times from when a message was due until it was there, in ms."""

    what: str
    messages: int
    p50: float
    p99: float


@dataclass(slots=True)
class Attack:
    what: str
    go_on: Callable[[], Awaitable[None]]
    """Does it until it is cancelled."""


async def run_neighbours(server: Server, numbers: Sequence[int], seconds: float) -> list[Result]:
    """Measure a pair alone, beside each attack, and beside all at once. `numbers` are MEMBERS + 3 new users."""
    print(f"logging in {len(numbers)} users ...", flush=True)
    accounts = await log_in(server.http, numbers)
    sender, receiver, bad, *crowd = accounts
    async with (
        _online(server, sender) as one,
        _online(server, receiver) as other,
        _online(server, bad) as worst,
    ):
        pair = _Pair(one, other)
        attacks = await _attacks(server, worst, bad, [account.uid for account in crowd])
        results = [await pair.measure("nothing", seconds)]
        for attack in attacks:
            results.append(await _beside(pair, attack.what, [attack], seconds))
        results.append(await _beside(pair, "all of it at once", attacks, seconds))
        results.append(await pair.measure("nothing, afterwards", seconds))
    return results


def table(results: Sequence[Result]) -> str:
    alone = results[0]
    lines = ["beside                       messages  p50 ms  p99 ms  p99 to nothing"]
    lines += [
        f"{one.what:<28} {one.messages:>8} {one.p50:>7.1f} {one.p99:>7.1f} {one.p99 / alone.p99:>14.1f}x"
        for one in results
    ]
    return "\n".join(lines)


class _Pair:
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

    async def measure(self, what: str, seconds: float) -> Result:
        """Send at a fixed pace, and wait until all has come. Raises BenchError when something does not."""
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
        return Result(what, len(ordered), percentile(ordered, 50), percentile(ordered, 99))


async def _beside(pair: _Pair, what: str, attacks: Sequence[Attack], seconds: float) -> Result:
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(attack.go_on()) for attack in attacks]
    await asyncio.sleep(1.0)
    try:
        return await pair.measure(what, seconds)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for attack, error in zip(attacks, ended, strict=True):
            if isinstance(error, Exception):
                print(f"{attack.what} ended: {error!r}", flush=True)


async def _attacks(server: Server, worst: Client, account: Account, crowd: Sequence[str]) -> list[Attack]:
    await _teach(server, "gold")
    group_id = await worst.groups.create("everybody", crowd[: MEMBERS - 1])
    search = pb.SearchUserRequest(keyword="1", fuzzy=1, page=0)

    async def send(text: str, conversation: pb.Conversation) -> None:
        content = pb.MessageContent(type=1, searchable_content=text, persist_flag=3)
        message = pb.Message(conversation=conversation, from_user=worst.user_id, content=content)
        message.local_message_id = secrets.randbits(62)
        await worst.request(SubSignal.MS, message)

    async def flood_group() -> None:
        await send("hello", pb.Conversation(type=1, target=group_id, line=0))

    async def poison() -> None:
        await send(POISON, pb.Conversation(type=0, target=crowd[0], line=0))

    async def find() -> None:
        await worst.request(SubSignal.US, search)

    async def new_group() -> None:
        await worst.groups.create(secrets.token_hex(4), crowd[:8])

    return [
        Attack("a group of 5,000 flooded", lambda: _at_the_limit(flood_group)),
        Attack("fuzzy searches", lambda: _at_the_limit(find)),
        Attack("PINGs in chunks", lambda: _ping(server, account)),
        Attack("texts of 200,000 marks", lambda: _at_the_limit(poison)),
        Attack("new groups with portraits", lambda: _at_the_limit(new_group)),
    ]


async def _at_the_limit(request: Callable[[], Awaitable[None]]) -> None:
    """Ask as often as the limits allow, whatever the answers are."""

    async def one() -> None:
        with suppress(ClientError):
            await request()

    async with asyncio.TaskGroup() as tasks:
        while True:
            tasks.create_task(one())
            await asyncio.sleep(1 / ALLOWED)


async def _ping(server: Server, account: Account) -> None:
    host, port = server.address("tcp", 0)
    chunk = b"".join(frames.encode(Signal.PING, 0, n, b'{"interval": 30000}') for n in range(PINGS))
    while True:
        reader, writer = await asyncio.open_connection(host, port)
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(1.0)
                await reader.read(1 << 20)
        writer.close()


async def _teach(server: Server, word: str) -> None:
    headers = {"Authorization": f"Bearer {LIMITS['FSHARECHAT_API__KEY']}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{server.http.rstrip('/')}/admin/words", json={"words": [word]}) as response,
    ):
        if response.status != 200:
            raise BenchError(f"no sensitive word set: {response.status} {await response.text()}")


@asynccontextmanager
async def _online(server: Server, account: Account) -> AsyncIterator[Client]:
    host, port = server.address("tcp", 0)
    credentials = Credentials(account.uid, account.user_token, account.secret, "", account.client_id)
    options = Options(send_limit=0, request_timeout=30.0)
    async with Client(credentials, tcp=[f"{host}:{port}"], options=options) as client:
        yield client
