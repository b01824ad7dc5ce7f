"""A server booted inside the test, what it logs, and two users who chat on it."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from fsharechat.client import Credentials, login
from fsharechat.node import Node
from fsharechat.protocol.signals import SubSignal
from fsharechat.settings import Settings
from tests.server import SUPER_CODE, until
from tests.wire import BOUND, TcpWire, WebWire, Wire

W = TypeVar("W", TcpWire, WebWire)

ACCEPTED = SubSignal.CONNECTION_ACCEPTED
CLOSED = "connection closed"
TOO_MANY = "connections refused: too many"
PACE_SECONDS = 0.06
"""Between two texts of a chat: well within the limit of the contract."""

_PORTS = {"connector": {"tcp_port": 0, "ws_port": 0}, "api": {"port": 0}}
_FINE = frozenset({TOO_MANY, "a super code is set: who knows it can log in as anybody"})


class Faults:
    """What the server logs, and what it failed to handle."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self._opened: dict[str, list[int]] = {}
        self.unhandled: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def watch(cls) -> Iterator[Self]:
        with structlog.testing.capture_logs() as events:
            yield cls(events)

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
class Booted:
    """A server with all roles in this process. `wires` are closed with it."""

    node: Node
    faults: Faults
    wires: AsyncExitStack
    numbers: dict[str, str] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def run(
        cls, data: Path, faults: Faults, sections: dict[str, dict[str, Any]]
    ) -> AsyncIterator[Self]:
        given = {"node": {"data": data}, "codes": {"super_code": SUPER_CODE}, **_PORTS}
        for name, keys in sections.items():
            given[name] = {**given.get(name, {}), **keys}
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.unhandled.append(context))
        async with Node(Settings.model_validate(given)) as node, AsyncExitStack() as wires:
            yield cls(node, faults, wires)

    async def login(self, user: str, device: str = "phone") -> Credentials:
        """Log a device of a user in; the users are made as they come."""
        number = self.numbers.setdefault(user, f"139{len(self.numbers):08}")
        return await login(self.node.addresses["http"], number, SUPER_CODE, device)

    async def tcp(self, tls: ssl.SSLContext | None = None) -> TcpWire:
        return self._keep(await TcpWire.open(self.node.addresses["tcp"], tls))

    async def web(self, tls: ssl.SSLContext | None = None) -> WebWire:
        return self._keep(await WebWire.open(self.node.addresses["ws"], tls))

    async def raw_web(self) -> TcpWire:
        """Return a TCP connection to the WebSocket port."""
        address = self.node.addresses["ws"].partition("://")[2].strip("/")
        return self._keep(await TcpWire.open(address))

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

    def metric(self, name: str) -> float:
        """Return what the server counts under a name."""
        families = {family.name: family for family in self.node.metrics.collect()}
        return families[f"fsharechat_{name}"].samples[0].value

    async def until_sessions(self, count: int) -> None:
        """Wait until so many connections are left."""
        await until(
            lambda: self.metric("sessions") == count,
            lambda: f"{self.metric('sessions')} sessions, not {count}",
        )

    async def until_logged(self, wire: TcpWire | WebWire, reason: str) -> None:
        """Wait for the line of a connection, and check what it says."""
        await until(lambda: bool(self.faults.reasons(wire.name)), f"no line for {wire.name}: {reason}")
        assert reason in self.faults.reasons(wire.name)[0]


Boot = Callable[..., Awaitable[Booted]]
"""Boots a server with some settings, by section."""


class Chat:
    """Two users, over TCP and WebSocket, who answer each other until told to stop."""

    def __init__(self, wires: tuple[Wire, Wire], users: tuple[str, str]) -> None:
        self._wires, self._users = wires, users
        self._sent: tuple[list[str], list[str]] = [], []
        self._received: tuple[list[str], list[str]] = [], []
        self._fetched = [0, 0]
        self.rounds = 0

    @classmethod
    @asynccontextmanager
    async def between(cls, server: Booted) -> AsyncIterator[Self]:
        wires = await server.online_tcp("anna", "chat"), await server.online_web("ben", "chat")
        users = (await server.login("anna", "idle")).user_id, (await server.login("ben", "idle")).user_id
        chat = cls(wires, users)
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
