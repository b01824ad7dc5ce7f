"""The HTTP port, with limits for the number of connections and for idle or stalled ones."""

import asyncio
import socket
import struct
from typing import NamedTuple, cast

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler

from fsharechat.http import HttpLog, make_runner
from fsharechat.rooms import AddressRoom, Crowd
from fsharechat.settings_schema import ApiSettings

log = structlog.get_logger(__name__)

BACKLOG = 1024
SWEEPS = 4
"""How many checks for stalled connections there are within `stalled_seconds`."""

_COUNTS = struct.Struct("=QQ")
_COUNTS_AT = 120
"""The offset of the acknowledged and the received bytes in Linux's struct tcp_info."""


class Moved(NamedTuple):
    """The moved bytes of a connection, out and in, and when these numbers were first seen."""

    volume: tuple[int, int]
    since: float


class Listener:
    """Serves an application.

    A connection beyond `connections_per_address` is closed at once. Beyond `max_connections` an idle one is closed
    for the new one, see Crowd; if all have a request under way, the new one is closed. aiohttp closes a connection
    without a whole request head `idle_seconds` after its opening or its last answer. A connection on which no byte
    moves for `stalled_seconds`, while a body comes in or goes out, is cut. The kernel counts these bytes, so a slow
    client is not cut, however much is buffered for it.
    """

    def __init__(self, app: web.Application, settings: ApiSettings, max_connections: int) -> None:
        self._settings = settings
        self._max_connections = max_connections
        app.middlewares.insert(0, _while_under_way)
        self._runner = make_runner(app, keepalive_timeout=settings.idle_seconds, logger=HttpLog())
        self._server: asyncio.Server | None = None
        self._moved: dict[RequestHandler, Moved] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._room = AddressRoom(settings.connections_per_address, settings.trusted_proxies)
        self._idle: Crowd[Entrance] = Crowd()
        self.connections = 0
        self.refused = 0
        """How many connections were refused, and how many idle ones were closed for others."""

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
        """Take no more connections, and close the others when their requests are answered."""
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

    def enter(self, entrance: "Entrance", remote: str) -> asyncio.Protocol | None:
        """Return the protocol for a new connection, None if there are too many."""
        name = self._room.enter(remote)
        if name is None:
            self.refused += 1
            return None
        if self.connections >= self._max_connections:
            self.refused += 1
            idle = self._idle.next_out()
            if idle is None:
                self._room.leave(name)
                return None
            idle.close()
        entrance.name = name
        self.connections += 1
        self._idle.add(entrance, name)
        return self._http()

    def leave(self, entrance: "Entrance") -> None:
        """Free the place of a connection."""
        self.connections -= 1
        self._idle.discard(entrance)
        self._room.leave(entrance.name)

    def busy(self, entrance: "Entrance") -> None:
        """Note that a connection has a request under way."""
        self._idle.discard(entrance)

    def idle(self, entrance: "Entrance") -> None:
        """Note that a connection has its answer."""
        self._idle.add(entrance, entrance.name)

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(self._settings.stalled_seconds / SWEEPS, self._sweep)

    def _sweep(self) -> None:
        self._room.tell_crowded()
        self.sweep(asyncio.get_running_loop().time())
        self._sweep_later()

    def sweep(self, now: float) -> None:
        """Cut connections on which no byte has moved in the `stalled_seconds` before `now`."""
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


class Entrance(asyncio.Protocol):
    """Stands between a socket and the protocol that serves it: only an open connection has an address."""

    __slots__ = ("_handler", "_listener", "_transport", "name")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._handler: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self.name = ""
        """The name under which its address is counted."""

    def began(self) -> None:
        """Note the beginning of a request."""
        self._listener.busy(self)

    def ended(self, _: object) -> None:
        """Note that its answer has been given to the socket."""
        if self._handler is not None:
            self._listener.idle(self)

    def close(self) -> None:
        """End the connection at once. It no longer counts."""
        if self._transport is not None:
            self._transport.abort()
            self._left(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._handler = self._listener.enter(self, _remote(transport))
        if self._handler is None:
            self._transport.abort()
        else:
            self._handler.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._left(error)

    def _left(self, error: Exception | None) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            self._listener.leave(self)
            handler.connection_lost(error)

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


@web.middleware
async def _while_under_way(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection's Entrance of a request, from its head to the last byte of its answer."""
    transport, task = request.transport, asyncio.current_task()
    entrance = transport.get_protocol() if transport is not None else None
    if isinstance(entrance, Entrance) and task is not None:
        entrance.began()
        task.add_done_callback(
            entrance.ended
        )  # aiohttp has a task for each request, and the task sends the answer too
    return await handler(request)


def _remote(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def moved_bytes(transport: asyncio.BaseTransport) -> tuple[int, int] | None:
    """Return the acknowledged and the received bytes of a connection, None if unknown."""
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
