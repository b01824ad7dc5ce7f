"""What tests see of a server, in one process or in a cluster, and two users who chat on it."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, TypeVar

import pytest
import structlog

from fsharechat.client import Credentials, login
from fsharechat.protocol.signals import SubSignal
from tools.testing.server import SUPER_CODE, ServerAddresses, until
from tools.wire.clients import BOUND, TcpWire, WebWire, Wire

BOTH = ("one process", pytest.param("cluster", marks=pytest.mark.slow))
"""What the fixture `deployment` may be."""

W = TypeVar("W", TcpWire, WebWire)

ACCEPTED = SubSignal.CONNECTION_ACCEPTED
CLOSED = "connection closed"
TOO_MANY = "connections refused: too many"
PACE_SECONDS = 0.06
"""Between two texts of a chat: well within the limit of the contract."""

_FINE = frozenset({TOO_MANY, "a super code is set: anybody who knows it can log in as any user"})


class Memory(NamedTuple):
    """`used` returns the bytes that a server takes once all connections are gone. `noise` of them may be chance, when
    the test has done `warm_up` rounds of what it does. `rounds` more tell whether something is left behind.
    """

    used: Callable[[], Awaitable[int]]
    noise: int
    warm_up: int
    rounds: int


class Faults:
    """What the server logs, and what it failed to handle."""

    def __init__(self, events: list[Any]) -> None:
        self._events = events
        self._opened: dict[str, list[int]] = {}
        self.unhandled: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def watch(cls) -> Iterator[Self]:
        with structlog.testing.capture_logs() as events:
            yield cls(events)

    @property
    def events(self) -> list[Any]:
        return self._events

    def opened(self, peer: str) -> None:
        """Take note of a new connection: ports come round again."""
        self._opened.setdefault(peer, []).append(len(self.events))

    def reasons(self, peer: str) -> list[str]:
        """Return why the last connection of that name was closed."""
        since = self._opened[peer][-1]
        return [e["reason"] for e in self.events[since:] if e["event"] == CLOSED and e["peer"] == peer]

    def forget(self) -> None:
        self.events.clear()
        self._opened.clear()

    def check(self) -> None:
        """Fail unless each connection has at most one line, and nothing went wrong in the server."""
        assert self.unhandled == []
        bad = [e for e in self.events if e["log_level"] not in ("info", "debug") and e["event"] not in _FINE]
        assert not bad, bad
        lines = Counter(event["peer"] for event in self.events if event["event"] == CLOSED)
        assert {peer for peer, count in lines.items() if count > len(self._opened[peer])} == set()


@dataclass
class Deployment(ABC):
    """A server. `wires` are closed with it. In a cluster it is the connectors that the test talks to."""

    faults: Faults
    wires: AsyncExitStack
    numbers: dict[str, str] = field(default_factory=dict)

    @property
    @abstractmethod
    def at(self) -> ServerAddresses:
        """Where its clients go."""

    @abstractmethod
    async def metric(self, name: str) -> float:
        """Return what the server counts under a name."""

    @abstractmethod
    def watch_memory(self) -> AbstractAsyncContextManager[Memory]:
        """Measure what it takes."""

    @abstractmethod
    async def block(self, user_id: str) -> None:
        """Block a user, as the back office does."""

    @abstractmethod
    def new_number(self) -> str:
        """Return a number that nobody has logged in with."""

    def replaced(self, first: str, second: str) -> str:
        """Return how the log says that a device has come back, by another transport or the same."""
        return "replaced"

    async def login(self, user: str, device: str = "phone") -> Credentials:
        """Log a device of a user in; the users are made as they come."""
        if user not in self.numbers:
            self.numbers[user] = self.new_number()
        return await login(self.at.http, self.numbers[user], SUPER_CODE, device)

    async def tcp(self, tls: ssl.SSLContext | None = None) -> TcpWire:
        return self._keep(await TcpWire.open(self.at.tcp, tls))

    async def web(self, tls: ssl.SSLContext | None = None) -> WebWire:
        return self._keep(await WebWire.open(self.at.ws, tls))

    async def raw_web(self) -> TcpWire:
        """Return a TCP connection to the WebSocket port."""
        address = self.at.ws.partition("://")[2].strip("/")
        return self._keep(await TcpWire.open(address))

    async def raw_online_web(self, user: str) -> TcpWire:
        """Return one that is a WebSocket on which a device is logged in."""
        wire = await self.raw_web()
        await wire.become_websocket()
        await wire.connect_websocket(await self.login(user))
        return wire

    def _keep(self, wire: W) -> W:
        self.faults.opened(wire.name)
        self.wires.push_async_callback(wire.close)
        return wire

    async def open(self, transport: str) -> TcpWire | WebWire:
        return await (self.tcp() if transport == "tcp" else self.web())

    async def online_tcp(self, user: str, device: str = "phone") -> TcpWire:
        wire = await self.tcp()
        assert await wire.connect(await self.login(user, device)) == ACCEPTED
        return wire

    async def online_web(self, user: str, device: str = "phone") -> WebWire:
        wire = await self.web()
        assert await wire.connect(await self.login(user, device)) == ACCEPTED
        return wire

    async def online(self, transport: str, user: str, device: str = "phone") -> TcpWire | WebWire:
        return await (self.online_tcp if transport == "tcp" else self.online_web)(user, device)

    async def until_metric(self, name: str, value: float) -> None:
        """Wait until the server counts so much."""
        found = [0.0]
        try:
            async with asyncio.timeout(BOUND):
                while (found := [await self.metric(name)]) != [value]:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{found[0]:g} {name}, not {value:g}") from None

    async def until_sessions(self, count: float) -> None:
        """Wait until so many connections are left."""
        await self.until_metric("sessions", count)

    async def until_logged(self, wire: TcpWire | WebWire, reason: str) -> None:
        """Wait for the line of a connection, and check what it says."""
        await until(lambda: bool(self.faults.reasons(wire.name)), f"no line for {wire.name}: {reason}")
        assert reason in self.faults.reasons(wire.name)[0]


Boot = Callable[..., Awaitable[Deployment]]
"""Boots a server with some settings, by section."""


class ChatOfTwo:
    """Two users, over TCP and WebSocket, who answer each other until told to stop."""

    def __init__(self, wires: tuple[Wire, Wire], users: tuple[str, str]) -> None:
        self._wires, self._users = wires, users
        self._sent: tuple[list[str], list[str]] = [], []
        self._received: tuple[list[str], list[str]] = [], []
        self._fetched = [0, 0]
        self.rounds = 0

    @classmethod
    @asynccontextmanager
    async def between(cls, server: Deployment) -> AsyncIterator[Self]:
        wires = await server.online_tcp("anna", "chat"), await server.online_web("ben", "chat")
        users = (await server.login("anna", "idle")).user_id, (await server.login("ben", "idle")).user_id
        chat = cls(wires, users)
        chat._fetched = [(await wire.pull(0))[1] for wire in wires]  # what was there before
        task = asyncio.create_task(chat._talk())
        try:
            yield chat
            await chat.goes_on(task)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def goes_on(self, task: asyncio.Task[None], rounds: int = 3) -> None:
        """Wait for some more rounds, in which every text must arrive."""
        wanted = self.rounds + rounds
        await until(lambda: self.rounds >= wanted or task.done(), "the chat stands still")
        if task.done():
            task.result()
        for sent, received in zip(self._sent, reversed(self._received), strict=True):
            assert received in (sent, sent[:-1])

    async def _talk(self) -> None:
        while True:
            for sender in (0, 1):
                text = f"{sender} 第 {self.rounds} 句"
                assert await self._wires[sender].send_text(self._users[1 - sender], text)
                self._sent[sender].append(text)
                await self._receive(1 - sender, text)
                await asyncio.sleep(PACE_SECONDS)
            self.rounds += 1

    async def _receive(self, user: int, text: str) -> None:
        async with asyncio.timeout(BOUND):
            while self._received[user][-1:] != [text]:
                head = await self._wires[user].next_mn()
                if head > self._fetched[user]:  # else it was repeated while the answer was on its way
                    texts, self._fetched[user] = await self._wires[user].pull(head - 1)
                    self._received[user].extend(texts)
