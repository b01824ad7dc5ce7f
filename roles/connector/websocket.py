"""Web clients: JSON texts over WebSocket (contract.md section 2). aiohttp makes the handshake."""

import asyncio
import base64
import hashlib
import ssl
from functools import partial
from typing import Any, cast

from aiohttp import hdrs, web

from fsharechat.http import HttpLog, make_runner, refuse_encoded
from fsharechat.protocol import json, websocket
from fsharechat.protocol.json import HEARTBEAT
from fsharechat.protocol.shapes.reading import JsonError
from fsharechat.protocol.signals import Signal
from fsharechat.protocol.websocket import Message, WebSocketDecoder, WebSocketError
from roles.connector.acceptor import Acceptor, Admit
from roles.connector.connection import SKIPPED_BYTES, ConnectionServices, DeviceConnection
from roles.connector.gate import Gate
from roles.connector.session import FRAMES_A_TURN, Session, SessionState
from roles.connector.slow import NOTHING, Left, left_of
from roles.connector.tail import TailMessage

CLOSE_TIMEOUT_SECONDS = 2.0
"""How long the server waits for the client's part of the closing handshake, s."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""


class WebSocketServer:
    """Serves the paths `/` and `/ws`."""

    def __init__(self, services: ConnectionServices, admit: Admit, shared: bool = False) -> None:
        """`shared`: other processes may listen on the port too."""
        self._shared = shared
        self._services = services
        self._admit = admit
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
            self._admit,
            lambda visit: Gate(visit, http()),
            context,
            self._services.settings.authenticate_seconds,
            self._shared,
        )
        return await self._acceptor.listen(host, port)

    def stop_listening(self) -> None:
        if self._acceptor is not None:
            self._acceptor.stop_listening()

    async def close(self) -> None:
        """Close all connections that are no sessions. The hub has ended the sessions; their clients may still close.

        Return when all connections are gone.
        """
        if self._acceptor is not None:
            await self._acceptor.close()
        await self._runner.cleanup()
        await self._services.leaving.finished(CLOSE_TIMEOUT_SECONDS)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        gate = transport.get_protocol() if transport is not None else None
        if not isinstance(gate, Gate):
            return plain(503, "The connection is gone.\n")
        response = upgrade(request)
        if response is None:
            return plain(426, "This is a WebSocket endpoint.\n", {"Upgrade": "websocket"})
        connection = WebSocketConnection(self._services, gate)
        session = self._services.table.accept(connection)
        if session is None:
            return plain(503, "Too many connections, try again later.\n")
        begun = False
        try:
            await response.prepare(request)
            begun = connection.begin(session, request)
        except ConnectionError:  # gone meanwhile: no fault
            return plain(503, "The connection is gone.\n")
        finally:
            if not begun:
                session.close()
        return response


def upgrade(request: web.Request) -> web.StreamResponse | None:
    """Return the answer to the handshake (RFC 6455 section 4.2), None if the request is no handshake."""
    if not web.WebSocketResponse(compress=False).can_prepare(request):
        return None
    key = request.headers[hdrs.SEC_WEBSOCKET_KEY].encode()
    headers = {
        hdrs.UPGRADE: "websocket",
        hdrs.CONNECTION: "upgrade",
        hdrs.SEC_WEBSOCKET_ACCEPT: base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode(),
    }
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()
    return response


def plain(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return an answer for clients that want no WebSocket, or get none. It is the last one on its connection."""
    response = web.Response(status=status, text=text, headers=headers)
    response.force_close()
    return response


class WebSocketConnection(DeviceConnection, asyncio.Protocol):
    """The transport of a session. aiohttp makes the handshake, and then forgets the connection.

    What aiohttp keeps of a request is more than all the rest of an idle connection.
    """

    answer_bytes = 256 * 1024

    __slots__ = (
        "_closer",
        "_code",
        "_decoder",
        "_gate",
        "_heard_close",
        "_messages",
        "_uid",
        "_visit",
        "peer",
        "silence_seconds",
    )

    def __init__(self, services: ConnectionServices, gate: Gate) -> None:
        super().__init__(services)
        self._decoder = WebSocketDecoder(services.settings.max_body_bytes)
        self._messages: list[Message] = []  # messages that the session has not taken yet
        self._gate: Gate | None = gate
        self._uid = ""
        self._code = websocket.NORMAL  # the code with which it is closed
        self._heard_close = False
        self._closer: asyncio.TimerHandle | None = None
        self._visit = gate.visit
        self.peer = gate.visit.peer
        self.silence_seconds = services.settings.web_silence_seconds

    def begin(self, session: Session, request: web.Request) -> bool:
        """Serve the connection of a handshake from now on. Return False if it is gone, or the session is closed."""
        gate, protocol, transport = self._gate, request.protocol, request.transport
        if session.state is SessionState.CLOSED or transport is None or gate is None:
            return False
        self._session, self._transport = session, transport
        gate.upgraded(session, self)
        protocol.set_parser(cast(Any, self))  # it hands on what has come behind the handshake
        protocol.transport = None  # so that it does not close the connection
        protocol.connection_lost(None)
        return True

    # The interface that aiohttp expects from the reader of a connection

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take what has come behind the handshake. No bytes are left over."""
        self.data_received(data)
        return False, b""

    def feed_eof(self) -> None:
        """Nothing more comes from aiohttp."""

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._wait_for_close(data)
        else:
            super().data_received(data)

    def _lost(self) -> None:
        session, self._session, self._gate, self._transport = self._session, None, None, None
        self._services.slow.forget(self)
        self._services.leaving.gone(self)
        if session is not None:
            session.close()
        self._leave()
        self._visit.ended()

    # What it reads

    def _read(self, data: bytes) -> None:
        try:
            messages = self._decoder.feed(data)
        except WebSocketError as error:
            self._fault(error)
            return
        self._take(self._messages + messages if self._messages else messages)

    def _take(self, messages: list[Message]) -> None:
        """Give the session the messages that came, as long as it wants more."""
        session = self._session
        assert session is not None
        self._messages = []
        for count, message in enumerate(messages):
            if self._closing:
                return
            if self._held:
                self._messages = messages[count:]
                return
            if message[0] == websocket.TEXT:
                self._text(session, message[1])
            else:
                self._hand_on(session, message)
            if count == FRAMES_A_TURN:
                session.rest()

    def _hand_on(self, session: Session, message: Message) -> None:
        """Handle a message that is no text."""
        opcode, payload = message
        if opcode == websocket.PING or opcode == websocket.PONG:
            if session.heartbeat() and opcode == websocket.PING:
                self._send(websocket.encode(websocket.PONG, payload), True)
        elif opcode == websocket.OVERLONG:
            self._overlong(session, payload)
        elif opcode == websocket.CLOSE:
            self._heard_close = True
            session.close()
        else:
            session.refuse("a WebSocket frame that is not text")

    def _text(self, session: Session, payload: bytes) -> None:
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self._fault(WebSocketError(websocket.INVALID_TEXT, "a text that is not UTF-8"))
            return
        if text == HEARTBEAT:
            session.heartbeat()
            return
        try:
            frame = json.decode_request(text)
        except JsonError as error:
            if error.signal == Signal.PUBLISH and error.sub_signal and session.state is SessionState.OPEN:
                session.invalid(error.sub_signal, error.message_id, str(error))
            else:
                session.refuse(str(error))
            return
        session.on_frames((frame,))

    def _overlong(self, session: Session, start: bytes) -> None:
        frame = json.decode_overlong(start.decode(errors="replace"))
        if frame is not None:
            session.on_frames((frame,))
        else:
            self._fault(WebSocketError(websocket.MESSAGE_TOO_BIG, "a text that does not begin as a request"))

    def _fault(self, error: WebSocketError) -> None:
        if self._session is not None:
            self._code = error.code
            self._session.refuse(str(error))

    def resume(self) -> None:
        self._held = False
        if self._messages:
            self._take(self._messages)
        if not self._held:
            super().resume()

    # Transport

    def send_connect_ack(self, sub_signal: int, payload: bytes) -> None:
        self._send(_frame(json.encode_connect_ack(sub_signal, payload or None)))

    def send_reply(self, sub_signal: int, message_id: int, code: int, payload: bytes, request: bytes) -> None:
        if self._straight:
            self._send(self._reply(sub_signal, message_id, code, payload, request))
        else:
            self._wait(partial(self._reply, sub_signal, message_id, code, payload, request))

    def _reply(self, sub_signal: int, message_id: int, code: int, payload: bytes, request: bytes) -> bytes:
        return _frame(
            json.encode_reply(sub_signal, message_id, code, payload, viewer=self._uid, request=request)
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
        self._decoder.max_skipped = SKIPPED_BYTES
        if self._gate is not None:
            self._gate.open()
            self._gate = None

    def close(self) -> None:
        self._visit.release()
        if self._closing:
            return
        self._end()
        self._messages = []
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._services.leaving.add(self)
        transport.write(websocket.encode(websocket.CLOSE, self._code.to_bytes(2, "big")))
        if self._heard_close:
            self._leave()
            return
        # A socket that is closed with something unread is reset, and what it has sent is lost: so read on.
        transport.resume_reading()
        self._closer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_SECONDS, self._waited)

    def _wait_for_close(self, data: bytes) -> None:
        try:
            messages = self._decoder.feed(data)
        except WebSocketError:
            return  # the rest would make no sense either
        if any(message.opcode == websocket.CLOSE for message in messages):
            self._leave()

    def _waited(self) -> None:
        self._closer = None
        if self.left() in (None, NOTHING):
            self._leave()

    def _leave(self) -> None:
        """Close the connection, when what it has is sent."""
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None
        if self._transport is not None:
            self._transport.close()

    # What it sends

    def write_now(self, data: bytes) -> None:
        if self._transport is not None and not self._closing:
            self._transport.write(data)

    def left(self) -> Left | None:
        return left_of(self._transport) if self._transport is not None else None

    def all_taken(self) -> None:
        if self._closer is None:  # else the client has a moment to close its side too
            self._leave()


def _frame(text: str) -> bytes:
    return websocket.encode(websocket.TEXT, text.encode())
