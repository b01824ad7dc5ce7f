"""The HTTP port: how many may connect, and for how long they may keep a connection that is of no use."""

import asyncio
import logging
import socket
import struct
from typing import Any, NamedTuple, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from fsharechat.http import make_runner
from fsharechat.settings import Api
from roles.api.addresses import AddressRoom

log = structlog.get_logger(__name__)

BACKLOG = 1024
SWEEPS = 4
"""Looks for stalled connections within `stalled_seconds`."""

_COUNTS = struct.Struct("=QQ")
_COUNTS_AT = 120
"""Where Linux's struct tcp_info has the bytes acknowledged and the bytes received."""


class Moved(NamedTuple):
    """What a connection has moved, bytes out and in, and when it was first seen to."""

    volume: tuple[int, int]
    since: float


class Crowded(NamedTuple):
    """The address of which a connection was refused last, and how many were since the last look."""

    address: str = ""
    refused: int = 0


class Listener:
    """Serves an application.

    A connection beyond `max_connections`, or beyond `connections_per_address` of one address, is closed at once. One
    without a whole request head is closed `idle_seconds` after it was opened or last answered, which aiohttp does.
    One on which the network moves not a byte for `stalled_seconds`, while a body comes in or goes out, is cut off: as
    it is the kernel that counts, slow clients are not, however much is buffered for them.
    """

    def __init__(self, app: web.Application, settings: Api, max_connections: int) -> None:
        self._settings = settings
        self._max_connections = max_connections
        self._runner = make_runner(app, keepalive_timeout=settings.idle_seconds, logger=HttpLog())
        self._server: asyncio.Server | None = None
        self._moved: dict[RequestHandler, Moved] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._room = AddressRoom(settings.connections_per_address, settings.trusted_proxies)
        self._crowded = Crowded()
        self.refused = 0
        """Connections that were one too many."""

    @property
    def connections(self) -> int:
        return len(self._http.connections)

    async def listen(self) -> tuple[str, int]:
        """Listen, and return the host and port. Raises OSError."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Entrance(self), self._settings.host, self._settings.port, backlog=BACKLOG
        )
        self._sweep_later()
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def close(self) -> None:
        """Take no more connections, and let go of those there are once their requests are answered."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    @property
    def _http(self) -> web.Server:
        http = self._runner.server
        assert http is not None
        return http

    def enter(self, remote: str) -> tuple[str, asyncio.Protocol] | None:
        """Return what serves a new connection, and the name to `leave` by; None where it is one too many."""
        if self.connections < self._max_connections:
            name = self._room.enter(remote)
            if name is not None:
                return name, self._http()
            self._crowded = Crowded(remote, self._crowded.refused + 1)
        self.refused += 1
        return None

    def leave(self, name: str) -> None:
        """Let another connection of an address in."""
        if name:
            self._room.leave(name)

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(self._settings.stalled_seconds / SWEEPS, self._sweep)

    def tell_crowded(self) -> None:
        """Say of which address connections were refused since the last time, if any were."""
        if self._crowded.refused:
            log.warning("connections refused: too many of one address", **self._crowded._asdict())
            self._crowded = Crowded()

    def _sweep(self) -> None:
        self.tell_crowded()
        self.sweep(asyncio.get_running_loop().time())
        self._sweep_later()

    def sweep(self, now: float) -> None:
        """Cut off the connections that have moved nothing for `stalled_seconds` before `now`."""
        before, self._moved = self._moved, {}
        for connection in self._http.connections:
            transport = connection.transport
            volume = moved_bytes(transport) if transport is not None else None
            if transport is None or volume is None:
                continue
            last = before.get(connection)
            if last is None or last.volume != volume:
                last = Moved(volume, now)
            elif now - last.since >= self._settings.stalled_seconds:
                host, port = transport.get_extra_info("peername")[:2]
                log.info("connection closed", reason="stalled", peer=f"{host}:{port}")
                transport.abort()
            self._moved[connection] = last


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp logs, without what clients did wrong or did not wait for, which is no error of ours."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))

    def exception(self, msg: object, *args: Any, exc_info: Any = True, **kwargs: Any) -> None:
        if not isinstance(exc_info, (HttpProcessingError, ConnectionError)):
            super().exception(msg, *args, exc_info=exc_info, **kwargs)


class Entrance(asyncio.Protocol):
    """Stands between a socket and what serves it: only a connection that is there has an address."""

    __slots__ = ("_handler", "_listener", "_name")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._handler: asyncio.Protocol | None = None
        self._name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        entered = self._listener.enter(_remote(transport))
        if entered is None:
            cast(asyncio.Transport, transport).abort()  # uvloop's are no subclass of it
        else:
            self._name, self._handler = entered
            self._handler.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._handler is not None:
            self._listener.leave(self._name)
            self._handler.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._handler is not None:
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received() if self._handler is not None else None

    def pause_writing(self) -> None:
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        if self._handler is not None:
            self._handler.resume_writing()


def _remote(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def moved_bytes(transport: asyncio.BaseTransport) -> tuple[int, int] | None:
    """Return the bytes of a connection that its peer has acknowledged and that were received; None if unknown."""
    connected = transport.get_extra_info("socket")
    if connected is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _COUNTS_AT + _COUNTS.size)
    except OSError:
        return None
    if len(info) < _COUNTS_AT + _COUNTS.size:
        return None
    acknowledged, received = _COUNTS.unpack_from(info, _COUNTS_AT)
    return acknowledged, received
