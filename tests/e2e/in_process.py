"""A server booted inside the test."""

import asyncio
import gc
import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fsharechat.node import Node
from fsharechat.protocol.signals import UserStatus
from fsharechat.settings import Settings
from roles.connector.gate import Gate
from roles.connector.session import Session
from roles.connector.tcp import TcpConnection
from roles.connector.websocket import WebSocketConnection
from tests.e2e.deployment import Deployment, Faults, Memory
from tools.testing.server import SUPER_CODE, ServerAddresses, until

_PORTS: dict[str, dict[str, Any]] = {
    "connector": {"tcp_port": 0, "ws_port": 0},
    "api": {"port": 0},
    "media": {"listen": "127.0.0.1:0"},
}
_KINDS = (Session, TcpConnection, WebSocketConnection, Gate)


@dataclass(kw_only=True)
class Booted(Deployment):
    """A server with all roles in this process."""

    node: Node

    @classmethod
    @asynccontextmanager
    async def run(
        cls, data: Path, faults: Faults, sections: dict[str, dict[str, Any]]
    ) -> AsyncIterator[Self]:
        given: dict[str, dict[str, Any]] = {
            "node": {"data": data},
            "codes": {"super_code": SUPER_CODE},
            **_PORTS,
        }
        for name, keys in sections.items():
            given[name] = {**given.get(name, {}), **keys}
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.unhandled.append(context))
        async with Node(Settings.model_validate(given)) as node, AsyncExitStack() as wires:
            yield cls(node=node, faults=faults, wires=wires)

    @property
    def at(self) -> ServerAddresses:
        return ServerAddresses(**{name: self.node.addresses[name] for name in ServerAddresses._fields})

    async def metric(self, name: str) -> float:
        families = {family.name: family for family in self.node.metrics.collect()}
        return families[f"fsharechat_{name}"].samples[0].value

    @asynccontextmanager
    async def watch_memory(self) -> AsyncIterator[Memory]:
        def left() -> list[object]:
            gc.collect()
            return [thing for thing in gc.get_objects() if isinstance(thing, _KINDS)]

        async def used() -> int:
            await until(
                lambda: not left(),
                lambda: f"connections that stay: {Counter(type(one).__name__ for one in left())}",
            )
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            yield Memory(used, noise=0, warm_up=2, rounds=8)
        finally:
            tracemalloc.stop()

    async def block(self, user_id: str) -> None:
        with sqlite3.connect(self.node.settings.store_path()) as db:
            db.execute("UPDATE users SET status = ? WHERE uid = ?", (UserStatus.BLOCKED, user_id))
        db.close()

    def new_number(self) -> str:
        return f"139{len(self.numbers):08}"


Boot = Callable[..., Awaitable[Booted]]
"""Boots a server with some settings, by section."""
