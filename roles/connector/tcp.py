"""TCP clients: frames over an asyncio.Protocol (contract.md section 1)."""

import asyncio
from typing import cast

from fsharechat.protocol import frames
from fsharechat.protocol.bodies import pull_result
from fsharechat.protocol.frames import Frame, FrameDecoder, FrameError
from fsharechat.protocol.signals import Code, Signal, SubSignal
from roles.connector.admission import Visit
from roles.connector.connection import SKIPPED_BYTES, ConnectionServices, DeviceConnection
from roles.connector.deaf import PAUSE_SECONDS, SMALL, Break
from roles.connector.slow import NOTHING, Left, left_of
from roles.connector.tail import TailMessage

UNAUTHENTICATED_BODY = 16 * 1024
"""The largest body before a CONNECT is accepted, bytes."""

SILENCE_SECONDS = 90.0
"""A client counts as dead after so many seconds without a byte. Its first PING may set another time."""

# On the path of every message, so read once (protocol/numbers.py).
_PUBLISH, _PUB_ACK = Signal.PUBLISH, Signal.PUB_ACK
_MP = SubSignal.MP

_OF_THE_DEAF = (Signal.CONNECT, Signal.PING)
_SUCCESS = bytes([Code.SUCCESS])
_REFUSED = b"\0"
"""The body of a refused CONNECT (section 4). Android takes an empty body for an accepted CONNECT with head 0."""


class TcpConnection(DeviceConnection, asyncio.Protocol):
    """The transport of a session."""

    answer_bytes = 64 * 1024

    __slots__ = (
        "_deaf",
        "_decoder",
        "_largest",
        "_pinged",
        "_visit",
        "peer",
        "silence_seconds",
    )

    def __init__(self, services: ConnectionServices, visit: Visit) -> None:
        super().__init__(services)
        self._visit = visit
        self._decoder = FrameDecoder(min(UNAUTHENTICATED_BODY, services.settings.max_body_bytes))
        # The size of the largest write that the client may not have taken yet, bytes, if it is not SMALL.
        self._largest = 0
        self._pinged = 0  # the message id of the last PING
        self._deaf: Break | None = None  # the device may be deaf since its last connection
        self.peer = visit.peer
        self.silence_seconds = SILENCE_SECONDS

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._session = self._services.table.accept(self)
        if self._session is None:
            self._transport.abort()
        else:
            self._visit.overdue = self._overdue

    def _lost(self) -> None:
        if not self._closing:
            self._note_break()
        self._closing = True
        self._transport = None
        self._visit.ended()
        self._services.slow.forget(self)
        if self._session is not None:
            self._session.close()
            self._session = None

    # Transport

    def send_connect_ack(self, sub_signal: int, payload: bytes) -> None:
        if sub_signal != SubSignal.CONNECTION_ACCEPTED:
            payload = _REFUSED
        else:
            self._free_if_deaf()
        self._send(frames.encode(Signal.CONNECT_ACK, sub_signal, 0, payload))

    def send_reply(self, sub_signal: int, message_id: int, code: int, payload: bytes, request: bytes) -> None:
        body = bytes((code,)) + payload
        self._send(frames.encode(_PUB_ACK, sub_signal, message_id, body))

    def piece(self, message: TailMessage) -> bytes:
        return message.entry()

    def send_pulled(self, message_id: int, pieces: list[bytes], current: int, head: int) -> None:
        body = _SUCCESS + pull_result(pieces, current, head)
        pushed = not message_id  # transparent messages (section 6)
        self._send(frames.encode(_PUB_ACK, _MP, message_id, body), pushed)

    def send_notification(self, sub_signal: int, body: bytes) -> None:
        self._send(frames.encode(_PUBLISH, sub_signal, 0, body), True)

    def send_ping(self, message_id: int, interval_ms: int) -> None:
        self._pinged = message_id
        self._send(_ping(message_id, interval_ms))

    def authenticating(self) -> None:
        self._visit.hold()

    def authenticated(self, uid: str) -> None:
        self._visit.logged_in()
        self._decoder.max_body = self._services.settings.max_body_bytes
        self._decoder.max_skipped = SKIPPED_BYTES

    def close(self) -> None:
        self._visit.release()
        self._services.writes.flush(self)
        if not self._closing:
            self._note_break()
        self._end()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if left_of(transport) == NOTHING:
            transport.close()
            return
        # Closing a socket with unread bytes resets it, and then bytes that were sent are lost. So read on.
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()

    def _overdue(self) -> None:
        if self._session is not None:
            self._session.refuse("not logged in within the time")
        self._visit.cut()

    # What it reads

    def _read(self, data: bytes) -> None:
        session = self._session
        assert session is not None
        try:
            arrived = self._decoder.feed(data)
        except FrameError as error:
            session.refuse(str(error))
            return
        if self._largest or self._deaf is not None:
            self._heard(arrived)
        session.on_frames(arrived)

    # Deaf devices (deaf.py)

    def _note_break(self) -> None:
        """Remember, at the end of the connection, how much of a frame may not arrive."""
        session, transport = self._session, self._transport
        if session is None or transport is None or not self._decoder.max_skipped:
            return
        unknown = transport.get_extra_info("socket") is None  # gone before we are told, as with TLS
        if self._largest if unknown else left_of(transport) != NOTHING:
            device = (session.uid, session.client_id)
            back = self._services.table.session_of(device) not in (None, session)
            self._services.breaks.broke(device, max(self._largest, SMALL), self._services.time(), back=back)

    def _heard(self, arrived: list[Frame]) -> None:
        if self._largest and self.left() == NOTHING:
            self._largest = 0
        if self._deaf is not None and any(frame.signal not in _OF_THE_DEAF for frame in arrived):
            self._services.breaks.hears(self._deaf)
            self._deaf = None

    def _free_if_deaf(self) -> None:
        session = self._session
        assert session is not None
        known = self._services.breaks.connected((session.uid, session.client_id), self._services.time())
        if known is None or known.connects < 2:
            self._deaf = known
            return
        self._services.breaks.hears(known)
        self._send(bytes(known.missing) + _ping(self._pinged, 0))
        self._services.writes.flush(self)
        self._rest(PAUSE_SECONDS)

    # What it sends

    def write_now(self, data: bytes) -> None:
        if self._transport is not None and not self._closing:
            self._transport.write(data)
            if len(data) > SMALL:
                self._largest = max(self._largest, len(data))

    def left(self) -> Left | None:
        return left_of(self._transport) if self._transport is not None else None

    def all_taken(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _ping(message_id: int, interval_ms: int) -> bytes:
    return frames.encode(Signal.PING, SubSignal.NONE, message_id, b"interval %d" % interval_ms)
