"""Calls between the processes of a cluster. A connection stays open, and carries many calls at a time."""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import structlog

from fsharechat import tls, urls
from fsharechat.metrics import Metrics
from fsharechat.registry import Members
from fsharechat.rpc import Call, Handler, Reply, Rpc, RpcError, codec
from fsharechat.rpc.codec import SPOKEN, Spoken
from fsharechat.rpc.link import RpcLimits
from fsharechat.rpc.local import LocalRpc
from fsharechat.rpc.tcp_client import ClientConnection, Peer, Router
from fsharechat.rpc.tcp_server import RpcServer
from fsharechat.settings_schema import WILDCARDS, RpcSettings

log = structlog.get_logger(__name__)

MAX_PAYLOAD = 1 << 20
"""The largest answer, bytes, however small the bodies of clients are (contract.md section 6)."""

_LIMITS = RpcLimits()

Watch = Callable[[Callable[[Members], None]], Awaitable[None]]
"""Has a function called with the processes that are there, now and after each change. Raises RegistryError."""


class TcpRpc(Rpc):
    """Calls the group role of this process, if it has one with room, else the group role of another process."""

    def __init__(
        self,
        settings: RpcSettings,
        cluster_secret: str,
        watch: Watch,
        *,
        listen: bool = True,
        max_body: int = 1 << 20,
        limits: RpcLimits = _LIMITS,
        spoken: Spoken = SPOKEN,
    ) -> None:
        """`listen`: whether this process will serve; if not, no port is opened. `max_body`: the largest body of a
        client, bytes. `spoken`: the versions that it speaks with other processes.
        """
        self.address = f"process {os.getpid()} on {socket.gethostname()}"
        self._settings = settings
        self._secret = cluster_secret.encode()
        self._watch = watch
        self._listen = listen
        self._spoken = spoken
        self._limits = replace(limits, max_body=max(max_body, MAX_PAYLOAD) + codec.BODY_OVERHEAD)
        self._local = LocalRpc(settings.timeout_seconds, limits.under_way_here)
        self._serving = False
        self._at_home = False
        self._closing = False
        self._ready, self._change = asyncio.Event(), asyncio.Event()
        self._peers: dict[str, Peer] = {}
        self._retiring: dict[asyncio.Task[None], Peer] = {}
        self._ticker: asyncio.TimerHandle | None = None

    # Life

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    async def open(self) -> None:
        if not self._secret:
            raise RpcError(
                "[node] cluster_secret is empty: the processes of a cluster recognise each other by it; "
                "set the same long random text in all of them"
            )
        self._caller_context, self._callee_context, secret = self._encryption()
        self._loop = asyncio.get_running_loop()
        self.router = Router(self._settings.timeout_seconds, self._limits, self._look)
        self.server = RpcServer(secret, self._local.call, self._limits, self._callee_context, self._spoken)
        await self._local.open()
        self._ticker = self._loop.call_later(self._limits.tick_seconds, self._tick)
        self._closing = False
        try:
            if self._listen:
                await self._open_port()
            await self._watch(self._on_members)
        except BaseException:
            await self.close()  # so that it can be tried again
            raise

    def _encryption(self) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None, bytes]:
        """Return the TLS contexts for callers and callees, and the secret of this process as a callee."""
        if not self._settings.tls.on:
            return None, None, self._secret
        try:
            tls.prove(self._settings.tls, listens=self._listen)
            caller, callee = tls.rpc_contexts(self._settings.tls)
            certificate = tls.own_certificate(self._settings.tls)
        except tls.TlsError as error:
            raise RpcError(f"[rpc.tls] {error}") from error
        return caller, callee, codec.bound(self._secret, certificate)

    def renew(self) -> float | None:
        """Show others the present certificate, unless they would refuse it. Raises TlsError."""
        files = self._settings.tls
        if self._caller_context is None or self._callee_context is None:
            return None
        tls.prove(files, listens=self._listen)
        expires = tls.renew((self._caller_context, self._callee_context), files)
        self.server.secret = codec.bound(self._secret, tls.own_certificate(files))
        return expires

    async def _open_port(self) -> None:
        host, port, advertise = self._settings.host, self._settings.port, self._settings.advertise
        if host in WILDCARDS and not advertise:
            raise RpcError(
                f"[rpc] host = {host!r}: give the address at which the other processes reach this one, "
                "here or as [rpc] advertise"
            )
        try:
            port = await self.server.listen(host, port)
        except OSError as error:
            raise RpcError(f"[rpc] port {port} on {host}: {error.strerror or error}") from error
        if advertise:
            host, port = urls.host_and_port(advertise, port)
        self.address = urls.joined(host, port)

    async def close(self) -> None:
        if self._ticker is None:
            return
        self._closing = True
        if self._serving:
            await self.unserve()
        await self.router.close()
        peers = [*self._peers.values(), *self._retiring.values()]
        for peer in peers:
            peer.close()
        await asyncio.gather(*(peer.gone() for peer in peers), *self._retiring)
        await self.server.close()
        await self._local.close()
        self._ticker.cancel()
        self._ticker = None

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(self._limits.tick_seconds, self._tick)
        self.tick()

    def tick(self) -> None:
        """Look at the connections, as happens every `tick_seconds`: which are silent, and which are to be asked."""
        self.server.tick()
        for peer in (*self._peers.values(), *self._retiring.values()):
            peer.tick()

    def publish(self, metrics: Metrics) -> None:
        router = self.router
        self._local.publish(metrics)
        metrics.histogram("rpc_seconds", "Calls to other processes, until their answer.", router.times)
        metrics.gauge("rpc_under_way", "Calls to other processes without answer.", lambda: router.under_way)
        metrics.gauge("rpc_processes", "Other processes that take calls.", lambda: router.processes)
        metrics.gauge("rpc_callers", "Connections from other processes.", lambda: self.server.connections)
        metrics.counter("rpc_retried", "Calls made again because a connection broke.", lambda: router.retried)
        metrics.counter("rpc_given_up", "Calls over which two connections broke.", lambda: router.given_up)
        metrics.counter("rpc_refused", "Calls that got code 4 without an answer.", lambda: router.refused)
        metrics.counter("rpc_timed_out", "Calls that nobody answered in time.", lambda: router.timed_out)

    # The group role of this process

    async def serve(self, handler: Handler) -> None:
        await self._local.serve(handler)
        self._serving = True
        self.server.serve()
        self._look()

    async def unserve(self) -> None:
        self._serving = False
        self._look()
        await self.server.drain()
        await self._local.unserve()

    # Calls

    async def wait_ready(self) -> None:
        await self._ready.wait()

    def next_change(self) -> asyncio.Event:
        return self._change

    def call(self, call: Call) -> asyncio.Future[Reply]:
        if self._serving and self._local.taking:
            if call.uid not in self.router.lanes:
                self._at_home = True
                return self._local.call(call)
        elif self._at_home:
            # The group role here takes no more calls. A user with a call there waits for its answer before the next
            # call.
            self._at_home = False
            for uid, future in self._local.under_way():
                self.router.hold(uid, future)
        return self.router.call(call)

    def call_all(self, call: Call) -> list[asyncio.Future[Reply]]:
        here = [self._local.call(call)] if self._serving and self._local.taking else []
        return [*here, *self.router.call_all(call)]

    def _look(self) -> None:
        if self._serving or self.router.processes:
            self._ready.set()
        else:
            self._ready.clear()
        self._change.set()
        self._change = asyncio.Event()

    # The other processes

    def _on_members(self, members: Members) -> None:
        if self._closing:
            return
        wanted = set(members.values()) - {self.address}
        for address in wanted - self._peers.keys():
            self._peers[address] = Peer(
                address, partial(self._connection, address), self._limits, self._caller_context
            )
        for address in self._peers.keys() - wanted:
            peer = self._peers.pop(address)
            peer.retire()
            task = self._loop.create_task(peer.gone())
            self._retiring[task] = peer
            task.add_done_callback(self._retired)

    def _connection(self, address: str) -> ClientConnection:
        return ClientConnection(address, self._secret, self.router, self._limits, self._spoken)

    def _retired(self, task: asyncio.Task[None]) -> None:
        del self._retiring[task]
        if not task.cancelled() and (error := task.exception()):
            log.error("the end of a connection to another process failed", exc_info=error)
