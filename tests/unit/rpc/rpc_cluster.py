"""Processes of a cluster, all in one loop, and wires between them that a test can cut and stop."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Self

from fsharechat.registry import Lease
from fsharechat.registry.memory import MemoryRegistry
from fsharechat.rpc.codec import SPOKEN, Probe, Spoken, encode_probe
from fsharechat.rpc.link import RpcLimits
from fsharechat.rpc.tcp import TcpRpc
from fsharechat.settings_schema import RpcSettings
from fsharechat.settings_types import RpcTls
from tests.unit.rpc.rpc_kit import Desk
from tools.services.certificates import Authority
from tools.testing.server import BOUND
from tools.wire.proxy import Proxy

SECRET = "a cluster secret"
PATIENT = RpcLimits(tick_seconds=0.02, silent_ticks=250, idle_ticks=500, reconnect_seconds=0.01)
"""A busy machine does not look like a dead process."""
BY_HAND = replace(PATIENT, tick_seconds=3600.0, silent_ticks=15, idle_ticks=30)
"""The test makes the ticks. So it makes no difference how long a busy machine stands still meanwhile."""


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
        self.spoken: Spoken = SPOKEN
        """The versions of processes that are made from now on."""
        self.local_limit = 1000
        self._rpcs: list[TcpRpc] = []
        self._wires: list[Proxy] = []
        self._desks: list[Desk] = []
        self.leases: dict[str, Lease] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for desk in self._desks:
            desk.close()
        for rpc in reversed(self._rpcs):
            async with asyncio.timeout(BOUND):
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
            partial(self.registry.watch, "group"),
            listen=listen,
            max_body=4 << 20,
            limits=replace(self.limits, under_way_here=self.local_limit),
            spoken=self.spoken,
        )
        self._rpcs.append(rpc)
        return rpc

    async def group(self, port: int = 0) -> TcpRpc:
        """Return a group process that callers find, open; it does not serve yet."""
        rpc = self.make(listen=True, port=port)
        await rpc.open()
        await self.announce(rpc.address)
        return rpc

    async def wired_group(self) -> "tuple[TcpRpc, Proxy]":
        """Return a group process like `group`, and the wire through which alone it is reached."""
        rpc = self.make(listen=True)
        await rpc.open()
        wire = Proxy(rpc.address)
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


async def asked_and_answered(rpc: TcpRpc, wires: Sequence[Proxy]) -> None:
    """Make one tick of a caller. Return when its ping and the answer have gone through each of these wires."""
    heard = [len(wire.seen) for wire in wires]
    rpc.tick()
    both = sum(len(encode_probe(probe)) for probe in (Probe.PING, Probe.PONG))
    await until(
        lambda: all(len(wire.seen) >= before + both for wire, before in zip(wires, heard, strict=True))
    )


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(BOUND):
        while not condition():
            await asyncio.sleep(0.001)
