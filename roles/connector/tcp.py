"""TCP clients: frames over an asyncio.Protocol (protocol.md section 1)."""

import asyncio
from typing import cast

from fsharechat.protocol import frames
from fsharechat.protocol.bodies import pull_result
from fsharechat.protocol.frames import FrameDecoder, FrameError
from fsharechat.protocol.signals import Code, Signal, SubSignal
from fsharechat.rpc import Reply
from roles.connector.gate import peer_name
from roles.connector.hub import Hub
from roles.connector.session import Session
from roles.connector.tail import TailMessage
from roles.connector.writes import has_unsent

UNAUTHENTICATED_BODY = 16 * 1024
"""The largest body (bytes) before a CONNECT was accepted."""

CLOSE_SECONDS = 5.0
"""A client that does not read gets so long to take what was sent before the end."""

SILENCE_SECONDS = 90.0
"""A client is dead after so long without a byte, until its first PING says otherwise."""

_SUCCESS = bytes([Code.SUCCESS])


class TcpConnection(asyncio.Protocol):
    """The transport of a session."""

    answer_bytes = 64 * 1024

    __slots__ = (
        "_closing",
        "_decoder",
        "_full",
        "_held",
        "_hub",
        "_session",
        "_transport",
        "peer",
        "silence_seconds",
    )

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._decoder = FrameDecoder(min(UNAUTHENTICATED_BODY, hub.settings.max_body_bytes))
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._full = False  # the client does not take what is sent to it
        self._held = False  # the session wants no more for now
        self.peer = ""
        self.silence_seconds = SILENCE_SECONDS

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.peer = peer_name(transport)
        self._session = self._hub.accept(self)
        if self._session is None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        session = self._session
        if session is None or self._closing:
            return
        session.heard_at = self._hub.time()
        try:
            arrived = self._decoder.feed(data)
        except FrameError as error:
            session.refuse(str(error))
            return
        for frame in arrived:
            session.on_frame(frame)

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._transport = None
        if self._session is not None:
            self._session.close()
            self._session = None

    def pause_writing(self) -> None:
        self._full = True
        self._read_or_not()

    def resume_writing(self) -> None:
        self._full = False
        self._read_or_not()

    # Transport

    def send_connect_ack(self, sub_signal: int, payload: bytes) -> None:
        self._write(frames.encode(Signal.CONNECT_ACK, sub_signal, 0, payload))

    def send_reply(self, sub_signal: int, message_id: int, reply: Reply, request: bytes) -> None:
        body = bytes((reply.code,)) + reply.payload
        self._write(frames.encode(Signal.PUB_ACK, sub_signal, message_id, body))

    def piece(self, message: TailMessage) -> bytes:
        return message.entry()

    def send_pulled(self, message_id: int, pieces: list[bytes], current: int, head: int) -> None:
        body = _SUCCESS + pull_result(pieces, current, head)
        self._write(frames.encode(Signal.PUB_ACK, SubSignal.MP, message_id, body))

    def send_notification(self, sub_signal: int, body: bytes) -> None:
        self._write(frames.encode(Signal.PUBLISH, sub_signal, 0, body))

    def send_ping(self, message_id: int, interval_ms: int) -> None:
        self._write(frames.encode(Signal.PING, SubSignal.NONE, message_id, b"interval %d" % interval_ms))

    def unsent(self) -> bool:
        return self._transport is not None and has_unsent(self._transport)

    def authenticated(self, uid: str) -> None:
        self._decoder.max_body = self._hub.settings.max_body_bytes

    def pause(self) -> None:
        self._held = True
        self._read_or_not()

    def resume(self) -> None:
        self._held = False
        self._read_or_not()

    def close(self) -> None:
        self._hub.writes.flush(self)
        self._closing = True
        if self._transport is not None:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)

    def _read_or_not(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._full or self._held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _write(self, data: bytes) -> None:
        if not self._closing:
            self._hub.writes.add(self, data)

    def write_now(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._hub.settings.send_buffer_bytes:
            self._transport = None
            transport.abort()
            if self._session is not None:
                self._session.refuse("reads too slowly")
