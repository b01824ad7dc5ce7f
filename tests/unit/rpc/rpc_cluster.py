"""Processes of a cluster, all in one loop, and wires between them that a test can cut and stop."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from rpc_kit import Desk

from fsharechat.registry import Lease
from fsharechat.registry.memory import MemoryRegistry
from fsharechat.rpc.link import Limits
from fsharechat.rpc.tcp import TcpRpc
from fsharechat.settings_schema import Rpc as RpcSettings
from fsharechat.settings_tls import RpcTls
from tests.authority import Authority

SECRET = "a cluster secret"
PATIENT = Limits(tick_seconds=0.02, silent_ticks=250, idle_ticks=500, reconnect_seconds=0.01)
"""A busy machine does not look like a dead process."""
IMPATIENT = replace(PATIENT, silent_ticks=15, idle_ticks=30)
"""A process that is silent for 0.3 s is dead."""


def process_tls(authority: Authority, name: str = "process", days: float = 1) -> RpcTls:
    """Return the settings of one more process. Its certificate names no address."""
    pair = authority.issue(name, hosts=["process.invalid"], days=days)
    return RpcTls(certificate=str(pair.certificate), key=str(pair.key), ca=str(authority.certificate))


class Cluster:
    def __init__(self) -> None:
        self.registry = MemoryRegistry()
        self.timeout = 10.0
        self.secret = SECRET
        self.tls = RpcTls()
        self.limits = PATIENT
        self.local_limit = 1000
        self._rpcs: list[TcpRpc] = []
        self._wires: list[Wire] = []
        self._desks: list[Desk] = []
        self.leases: dict[str, Lease] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for desk in self._desks:
            desk.close()
        for rpc in reversed(self._rpcs):
            async with asyncio.timeout(20):
                await rpc.close()
        for wire in self._wires:
            await wire.close()

    def make(self, *, listen: bool, host: str = "127.0.0.1", port: int = 0, advertise: str = "") -> TcpRpc:
        """Return a process that is not open; `open` it, and it is closed in the end."""
        settings = RpcSettings(
            host=host, port=port, advertise=advertise, timeout_seconds=self.timeout, tls=self.tls
        )
        rpc = TcpRpc(
            settings,
            self.secret,
            self.registry,
            listen=listen,
            max_body=4 << 20,
            limits=replace(self.limits, under_way_here=self.local_limit),
        )
        self._rpcs.append(rpc)
        return rpc

    async def group(self, port: int = 0) -> TcpRpc:
        """Return a group process that callers find, open; it does not serve yet."""
        rpc = self.make(listen=True, port=port)
        await rpc.open()
        await self.announce(rpc.address)
        return rpc

    async def wired_group(self) -> "tuple[TcpRpc, Wire]":
        """Return a group process like `group`, and the wire through which alone it is reached."""
        rpc = self.make(listen=True)
        await rpc.open()
        wire = Wire(rpc.address)
        self._wires.append(wire)
        await self.announce(await wire.open())
        return rpc, wire

    def desk(self) -> Desk:
        """Return a handler that keeps nobody waiting in the end."""
        desk = Desk()
        self._desks.append(desk)
        return desk

    async def announce(self, address: str) -> None:
        if address not in self.leases:
            self.leases[address] = await self.registry.lease("group", "auto", address)

    async def caller(self) -> TcpRpc:
        rpc = self.make(listen=False)
        await rpc.open()
        return rpc


class Wire:
    """Forwards connections to `target` (host:port) until it is told otherwise."""

    def __init__(self, target: str) -> None:
        self._target = target.rpartition(":")
        self._moving = asyncio.Event()
        self._moving.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.refusing = False
        self.connections = 0
        self.seen = b""
        """What has gone over it."""

    async def open(self) -> str:
        """Return the address to connect to."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def cut(self, refuse: bool = True) -> None:
        """Break all connections, as when the process is killed; `refuse`: new ones too."""
        self.refusing = refuse
        for writer in list(self._writers):
            writer.transport.abort()

    def stop(self) -> None:
        """Move nothing on, as when the process is stopped: connections open, and nothing is read."""
        self._moving.clear()

    def go(self) -> None:
        self.refusing = False
        self._moving.set()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._target[0], int(self._target[2]))
        for source, sink in ((reader, back), (there, writer)):
            self._writers.add(sink)
            task = asyncio.create_task(self._move(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _move(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._moving.wait()
                self.seen += data
                writer.write(data)
                await writer.drain()
            await self._moving.wait()  # the end of a connection does not get through either
        except ConnectionError:
            writer.transport.abort()
        finally:
            writer.close()
            self._writers.discard(writer)


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
