"""Web clients: JSON text frames over WebSocket, served by aiohttp (protocol.md section 2)."""

import asyncio
import logging
import ssl
from functools import partial
from typing import Any

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError

from fsharechat.http import make_runner, refuse_encoded
from fsharechat.protocol import json
from fsharechat.protocol.json import HEARTBEAT, JsonError
from fsharechat.protocol.signals import Signal
from fsharechat.rpc import Reply
from fsharechat.tasks import spawn
from roles.connector.acceptor import Acceptor
from roles.connector.gate import Gate
from roles.connector.hub import Hub
from roles.connector.sending import Sender
from roles.connector.session import FRAMES_A_TURN, Session, State
from roles.connector.slow import Left, left_of
from roles.connector.tail import TailMessage

FULL = 64 * 1024
"""A client for which so many bytes wait takes no more for now."""

CLOSE_TIMEOUT_SECONDS = 2.0
"""How long the server waits for the client's part of the closing handshake."""


class WebSocketServer:
    """Serves the paths `/` and `/ws`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        app = web.Application(middlewares=[refuse_encoded])
        app.router.add_get("/", self._serve)
        app.router.add_get("/ws", self._serve)
        self._runner = make_runner(app, logger=HttpLog())
        self._acceptor: Acceptor | None = None

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None) -> tuple[Any, ...]:
        """Listen, with TLS where there is a context, and return the name of the socket. Raises OSError."""
        await self._runner.setup()
        http = self._runner.server
        assert http is not None
        self._acceptor = Acceptor(
            self._hub.admit,
            lambda visit: Gate(visit, http()),
            context,
            self._hub.settings.authenticate_seconds,
        )
        return await self._acceptor.listen(host, port)

    def stop_listening(self) -> None:
        if self._acceptor is not None:
            self._acceptor.stop_listening()

    async def close(self) -> None:
        """Let go of what is still connected, sessions excepted: the hub ends those."""
        if self._acceptor is not None:
            await self._acceptor.close()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        hub = self._hub
        transport = request.transport
        gate = transport.get_protocol() if transport is not None else None
        if not isinstance(gate, Gate):
            return plain(503, "The connection is gone.\n")
        socket = web.WebSocketResponse(
            max_msg_size=hub.settings.max_body_bytes,
            compress=False,
            timeout=CLOSE_TIMEOUT_SECONDS,
            autoping=False,
        )
        connection = WebSocketConnection(hub, socket, request, gate)
        session = hub.accept(connection)
        if session is None:
            return plain(503, "Too many connections, try again later.\n")
        try:
            await socket.prepare(request)
            await connection.serve(session)
        except web.HTTPBadRequest:
            return plain(426, "This is a WebSocket endpoint.\n", {"Upgrade": "websocket"})
        except ConnectionError:
            pass  # gone meanwhile, which is no fault
        finally:
            session.close()
            await connection.closed()
            if not gate.visit.stranger:
                gate.visit.ended()  # else the gate is still there to see it
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


class WebSocketConnection(Sender):
    """The transport of a session."""

    answer_bytes = 256 * 1024

    __slots__ = (
        "_closer",
        "_drainer",
        "_gate",
        "_may_read",
        "_request",
        "_socket",
        "_uid",
        "_visit",
        "peer",
        "silence_seconds",
    )

    def __init__(self, hub: Hub, socket: web.WebSocketResponse, request: web.Request, gate: Gate) -> None:
        super().__init__(hub)
        self._socket = socket
        self._request = request
        self._gate: Gate | None = gate
        self._uid = ""
        self._may_read: asyncio.Event | None = None
        self._drainer: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[bool] | None = None
        self._visit = gate.visit
        self.peer = gate.visit.peer
        self.silence_seconds = hub.settings.web_silence_seconds

    async def serve(self, session: Session) -> None:
        """Read until either side closes."""
        if session.state is State.CLOSED:
            return
        self._session = session
        if self._gate is not None:
            self._gate.session = session
        count = 0
        async for message in self._socket:
            session.heard_at = self._hub.time()
            if message.type is WSMsgType.TEXT:
                self._read(session, message.data)
            elif message.type is WSMsgType.PING or message.type is WSMsgType.PONG:
                if session.heartbeat() and message.type is WSMsgType.PING:
                    await self._socket.pong(message.data)
            else:
                session.refuse(_fault(message))
                return
            count += 1
            if count % FRAMES_A_TURN == 0:
                await asyncio.sleep(0)  # what has arrived already is read without a turn of the loop
            if self._may_read is not None:
                await self._may_read.wait()

    @staticmethod
    def _read(session: Session, text: str) -> None:
        if text == HEARTBEAT:
            session.heartbeat()
            return
        try:
            frame = json.decode_request(text)
        except JsonError as error:
            if error.signal == Signal.PUBLISH and error.sub_signal and session.state is State.OPEN:
                session.invalid(error.sub_signal, error.message_id, str(error))
            else:
                session.refuse(str(error))
            return
        session.on_frames((frame,))

    async def closed(self) -> None:
        """Return when the connection is gone."""
        if self._closer is not None:
            await self._closer

    # Transport

    def send_connect_ack(self, sub_signal: int, payload: bytes) -> None:
        self._send(_frame(json.encode_connect_ack(sub_signal, payload or None)))

    def send_reply(self, sub_signal: int, message_id: int, reply: Reply, request: bytes) -> None:
        if self._straight:
            self._send(self._reply(sub_signal, message_id, reply, request))
        else:
            self._wait(partial(self._reply, sub_signal, message_id, reply, request))

    def _reply(self, sub_signal: int, message_id: int, reply: Reply, request: bytes) -> bytes:
        return _frame(
            json.encode_reply(
                sub_signal, message_id, reply.code, reply.payload, viewer=self._uid, request=request
            )
        )

    def piece(self, message: TailMessage) -> bytes:
        return message.json(self._uid)

    def send_pulled(self, message_id: int, pieces: list[bytes], current: int, head: int) -> None:
        pushed = not message_id  # what is transparent (section 6)
        self._send(_frame(json.encode_pull(message_id, pieces, current, head)), pushed)

    def send_notification(self, sub_signal: int, body: bytes) -> None:
        self._send(_frame(json.encode_notification(sub_signal, body)), True)

    def send_ping(self, message_id: int, interval_ms: int) -> None:
        self._send(_frame(json.encode_ping(message_id, b"interval %d" % interval_ms)))

    def authenticating(self) -> None:
        self._visit.hold()

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
        self._visit.release()
        self.resume()
        if self._closer is None and self._socket.prepared:
            self._end()
            self._closer = asyncio.get_running_loop().create_task(self._socket.close())

    # Sender

    def write_now(self, data: bytes) -> None:
        transport = self._request.transport
        if transport is None or self._closing:
            return
        # aiohttp's writer is a coroutine a frame; a frame of the server is its length and its bytes.
        transport.write(data)
        if transport.get_write_buffer_size() > FULL:
            self._filled()
            if self._drainer is None:
                self._drainer = spawn("a slow reader", self._drain())

    async def _drain(self) -> None:
        try:
            while self._full and not self._closing:
                await self._request.writer.drain()
                self._full = False
                self._release()
        except ConnectionError:
            pass  # gone, which is no fault
        finally:
            self._drainer = None

    def left(self) -> Left | None:
        transport = self._request.transport
        return left_of(transport) if transport is not None else None

    def _abort(self) -> None:
        if (transport := self._request.transport) is not None:
            transport.abort()


def _frame(text: str) -> bytes:
    return text_frame(text.encode())


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
