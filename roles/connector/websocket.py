"""Web clients: JSON text frames over WebSocket, served by aiohttp (protocol.md section 2)."""

import asyncio
import logging
from typing import Any

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError

from fsharechat.protocol import json
from fsharechat.protocol.json import HEARTBEAT, JsonError
from fsharechat.protocol.signals import Signal
from fsharechat.rpc import Reply
from roles.connector.gate import Gate
from roles.connector.hub import Hub
from roles.connector.session import Session, State
from roles.connector.tail import TailMessage
from roles.connector.tcp import CLOSE_SECONDS
from roles.connector.writes import has_unsent

CLOSE_TIMEOUT_SECONDS = 2.0
"""How long the server waits for the client's part of the closing handshake."""


class WebSocketServer:
    """Serves the paths `/` and `/ws`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        app = web.Application()
        app.router.add_get("/", self._serve)
        app.router.add_get("/ws", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, logger=HttpLog())
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, backlog: int, **tls: Any) -> tuple[Any, ...]:
        """Listen, and return the name of the socket. Raises OSError."""
        await self._runner.setup()
        http = self._runner.server
        assert http is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Gate(self._hub, http()), host, port, backlog=backlog, **tls
        )
        name: tuple[Any, ...] = self._server.sockets[0].getsockname()
        return name

    def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Let go of what is still connected, sessions excepted: the hub ends those."""
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        hub = self._hub
        transport = request.transport
        gate = transport.get_protocol() if transport is not None else None
        if not isinstance(gate, Gate):
            return plain(503, "The connection is gone.\n")
        hub.waiting.discard(gate)  # from here the session counts
        socket = web.WebSocketResponse(
            max_msg_size=hub.settings.max_body_bytes, compress=False, timeout=CLOSE_TIMEOUT_SECONDS
        )
        connection = WebSocketConnection(hub, socket, request, gate)
        session = hub.accept(connection)
        if session is None:
            hub.waiting.add(gate)
            return plain(503, "Too many connections, try again later.\n")
        try:
            await socket.prepare(request)
            await connection.serve(session)
        except web.HTTPBadRequest:
            hub.waiting.add(gate)
            return plain(426, "This is a WebSocket endpoint.\n", {"Upgrade": "websocket"})
        except ConnectionError:
            pass  # gone meanwhile, which is no fault
        finally:
            session.close()
            await connection.closed()
        return socket


def plain(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return an answer for those who want no WebSocket, or get none; it is the last on its connection."""
    response = web.Response(status=status, text=text, headers=headers)
    response.force_close()
    return response


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp logs, without what clients did wrong: that is a line of the gate, and no error of ours."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))

    def exception(self, msg: object, *args: Any, exc_info: Any = True, **kwargs: Any) -> None:
        if not isinstance(exc_info, HttpProcessingError):
            super().exception(msg, *args, exc_info=exc_info, **kwargs)


class WebSocketConnection:
    """The transport of a session."""

    answer_bytes = 256 * 1024

    __slots__ = (
        "_closer",
        "_gate",
        "_hub",
        "_may_read",
        "_request",
        "_session",
        "_socket",
        "_uid",
        "peer",
        "silence_seconds",
    )

    def __init__(self, hub: Hub, socket: web.WebSocketResponse, request: web.Request, gate: Gate) -> None:
        self._hub = hub
        self._socket = socket
        self._request = request
        self._gate: Gate | None = gate
        self._uid = ""
        self._session: Session | None = None
        self._may_read: asyncio.Event | None = None
        self._closer: asyncio.Task[bool] | None = None
        self.peer = gate.peer
        self.silence_seconds = hub.settings.web_silence_seconds

    async def serve(self, session: Session) -> None:
        """Read until either side closes."""
        if session.state is State.CLOSED:
            return
        self._session = session
        if self._gate is not None:
            self._gate.session = session
        async for message in self._socket:
            session.heard_at = self._hub.time()
            if message.type is not WSMsgType.TEXT:
                session.refuse(_fault(message))
                return
            text: str = message.data
            if text != HEARTBEAT:
                self._read(session, text)
            if self._may_read is not None:
                await self._may_read.wait()

    @staticmethod
    def _read(session: Session, text: str) -> None:
        try:
            frame = json.decode_request(text)
        except JsonError as error:
            if error.signal == Signal.PUBLISH and error.sub_signal and session.state is State.OPEN:
                session.invalid(error.sub_signal, error.message_id)
            else:
                session.refuse(str(error))
            return
        session.on_frame(frame)

    async def closed(self) -> None:
        """Return when the connection is gone."""
        if self._closer is not None:
            await self._closer

    # Transport

    def send_connect_ack(self, sub_signal: int, payload: bytes) -> None:
        self._write(json.encode_connect_ack(sub_signal, payload or None))

    def send_reply(self, sub_signal: int, message_id: int, reply: Reply, request: bytes) -> None:
        self._write(
            json.encode_reply(
                sub_signal, message_id, reply.code, reply.payload, viewer=self._uid, request=request
            )
        )

    def piece(self, message: TailMessage) -> bytes:
        return message.json(self._uid)

    def send_pulled(self, message_id: int, pieces: list[bytes], current: int, head: int) -> None:
        self._write(json.encode_pull(message_id, pieces, current, head))

    def send_notification(self, sub_signal: int, body: bytes) -> None:
        self._write(json.encode_notification(sub_signal, body))

    def send_ping(self, message_id: int, interval_ms: int) -> None:
        self._write(json.encode_ping(message_id, b"interval %d" % interval_ms))

    def unsent(self) -> bool:
        return self._request.transport is not None and has_unsent(self._request.transport)

    def authenticated(self, uid: str) -> None:
        self._uid = uid
        if self._gate is not None:
            self._gate.open()
            self._gate = None

    def pause(self) -> None:
        if self._may_read is None:
            self._may_read = asyncio.Event()

    def resume(self) -> None:
        if self._may_read is not None:
            self._may_read.set()
            self._may_read = None

    def close(self) -> None:
        self.resume()
        self._hub.writes.flush(self)
        if self._closer is None and self._socket.prepared:
            self._closer = asyncio.get_running_loop().create_task(self._socket.close())
            if (transport := self._request.transport) is not None and transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(CLOSE_SECONDS, transport.abort)

    def _write(self, text: str) -> None:
        if self._closer is None:
            # aiohttp's writer is a coroutine a frame; a frame of the server is its length and its bytes.
            self._hub.writes.add(self, text_frame(text.encode()))

    def write_now(self, data: bytes) -> None:
        transport = self._request.transport
        if transport is None or self._closer is not None:
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._hub.settings.send_buffer_bytes:
            transport.abort()
            if self._session is not None:
                self._session.refuse("reads too slowly")


def _fault(message: WSMessage) -> str:
    if message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
        return f"WebSocket: {WSCloseCode(message.data.code).name}"
    return "a WebSocket frame that is not text"


def text_frame(payload: bytes) -> bytes:
    """Return an unmasked WebSocket text frame (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
