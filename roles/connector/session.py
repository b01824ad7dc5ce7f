"""A connection of a device, whatever carries it: one type for TCP and WebSocket."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

import structlog
from google.protobuf.message import DecodeError

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import check_whole, notify_message
from fsharechat.protocol.frames import Frame
from fsharechat.protocol.ids import IdError
from fsharechat.protocol.signals import Code, ReportType, Signal, SubSignal
from fsharechat.rpc import Call, Method, Reply
from fsharechat.rpc.welcome import Welcome
from roles.connector.bodies import Connect, ping_interval, pull_bounds
from roles.connector.limits import Buckets
from roles.connector.reports import ReportCursor
from roles.connector.transport import Transport
from roles.connector.user import OnlineUser

if TYPE_CHECKING:
    from roles.connector.hub import Hub

log = structlog.get_logger(__name__)

_REFUSALS = frozenset(s for s in SubSignal if s.name.startswith("CONNECTION_REFUSED_"))
_NUMBERED = frozenset(
    {
        SubSignal.MS,
        SubSignal.GC,
        SubSignal.GAM,
        SubSignal.GKM,
        SubSignal.GQ,
        SubSignal.GD,
        SubSignal.GMI,
    }
)
"""The requests that store a message: it gets its id here, so that a call made again is known by it."""

_REQUESTS = frozenset(SubSignal) - _REFUSALS - {SubSignal.NONE, SubSignal.CONNECTION_ACCEPTED}


class State(Enum):
    NEW = 0
    AUTHENTICATING = 1
    OPEN = 2
    CLOSED = 3


class Session:
    """Takes the frames of a device, asks the group role, and keeps the device's cursor.

    The cursor (design: life of a message): `fetched` is the last seq the device has pulled or need not pull,
    `asked_at` the time of an MN that it has not answered. While the user's head is above `fetched` and no MN or MP
    is under way, an MN goes out.
    """

    __slots__ = (
        "_backlog",
        "_buckets",
        "_hub",
        "_pulling",
        "_reports",
        "asked_at",
        "asking_recalls",
        "client_id",
        "epoch",
        "fetched",
        "heard_at",
        "inflight",
        "issued_ms",
        "opened_at",
        "ping_interval",
        "recalled",
        "recalls",
        "state",
        "transport",
        "uid",
        "user",
    )

    def __init__(self, hub: Hub, transport: Transport) -> None:
        self._hub = hub
        self.transport = transport
        self.state = State.NEW
        self.opened_at = self.heard_at = hub.time()
        self.uid = ""
        self.client_id = ""
        self.epoch = 0
        self.issued_ms = 0
        self.user: OnlineUser | None = None
        self.fetched = 0
        self.asked_at: float | None = None
        self._pulling = 0
        self.inflight = 0
        self._backlog: deque[Frame] | None = None
        self._buckets: Buckets | None = None
        # Made when there is anything to keep: most devices are idle most of the time.
        self._reports: tuple[ReportCursor, ReportCursor] | None = None
        # Of the recalls (recalls.py): the last one that the device knows, and the RMNs to repeat behind an answer.
        self.recalls = 0
        self.recalled: deque[bytes] | None = None
        self.asking_recalls = False

    # From the client

    def on_frame(self, frame: Frame) -> None:
        """Carry out a frame, or keep it until there is room among the requests under way."""
        if self._hub.draining:
            return  # not acknowledged, so the client sends it again elsewhere
        if self.inflight >= self._hub.max_inflight or self._backlog:
            if self.state is State.CLOSED:
                return  # nothing would ever resume reading
            if self._backlog is None:
                self._backlog = deque()
            self._backlog.append(frame)  # bounded by the chunk it came with: nothing more is read
            self.transport.pause()
            return
        self._carry_out(frame)

    def _carry_out(self, frame: Frame) -> None:
        signal = frame.signal
        if self.state is State.CLOSED:
            return
        if signal == Signal.PUBLISH and self.state is State.OPEN:
            self._publish(frame)
        elif signal == Signal.PING:
            self._ping(frame)
        elif signal == Signal.CONNECT and self.state is State.NEW:
            self._connect(frame)
        elif signal == Signal.DISCONNECT and self.state is State.OPEN:
            self._disconnect(frame)
        else:
            self.refuse(f"signal {signal} while {self.state.name.lower()}")

    def refuse(self, reason: str) -> None:
        """Close the connection for what the client did, with one log line."""
        if self.state is not State.CLOSED:
            log.info("connection closed", reason=reason, peer=self.transport.peer, uid=self.uid or None)
            self.close()

    def close(self) -> None:
        """End the session and its connection."""
        if self.state is not State.CLOSED:
            self._end()
            self.transport.close()

    def _end(self) -> None:
        was = self.state
        self.state = State.CLOSED
        self._backlog = None
        self._hub.closed(self, was, self._buckets)

    # Logging in and out (protocol.md section 4)

    def _connect(self, frame: Frame) -> None:
        said = Connect.read(frame.body)
        if said is None:
            self._refuse_connect(SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD)
            return
        if not said.client_id:
            self._refuse_connect(SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED)
            return
        self.state = State.AUTHENTICATING
        self.uid, self.client_id = said.uid, said.client_id
        call = Call(Method.AUTHENTICATE, said.uid, said.client_id, said.password.encode())
        self._hub.rpc.call(call).add_done_callback(self._on_authenticated)

    def _on_authenticated(self, future: asyncio.Future[Reply]) -> None:
        if self.state is not State.AUTHENTICATING:
            return  # gone meanwhile
        reply = future.result()
        if reply.code != SubSignal.CONNECTION_ACCEPTED:
            refused = reply.code in _REFUSALS  # else nobody answered, or nobody who understood
            self._refuse_connect(reply.code if refused else SubSignal.CONNECTION_REFUSED_SERVER_UNAVAILABLE)
            return
        welcome = Welcome.decode(reply.payload)
        self.fetched = welcome.heads.seq
        self.recalls = welcome.recalled
        self.issued_ms = welcome.issued_ms
        if welcome.delivered or welcome.read:
            self._reports = ReportCursor(welcome.delivered), ReportCursor(welcome.read)
        self.state = State.OPEN
        self.transport.authenticated(self.uid)
        self.transport.send_connect_ack(SubSignal.CONNECTION_ACCEPTED, welcome.ack)
        self._hub.opened(self, welcome.heads)

    def _refuse_connect(self, sub_signal: int) -> None:
        self.transport.send_connect_ack(sub_signal, b"")
        self.refuse(f"CONNECT: {SubSignal(sub_signal).name}")

    def _disconnect(self, frame: Frame) -> None:
        if frame.body[:1] != b"\x01":
            self.close()
            return
        # The device hears of the end when it is logged out: what it does next finds it so.
        self._end()
        self.transport.pause()
        self._hub.forget(self)

    def _ping(self, frame: Frame) -> None:
        interval_ms = ping_interval(frame.body)
        if interval_ms is not None:
            self._hub.pinged(self, interval_ms)
        self.transport.send_ping(frame.message_id, interval_ms or 0)

    # Requests

    def _publish(self, frame: Frame) -> None:
        sub_signal = frame.sub_signal
        message_id = 0
        if sub_signal == SubSignal.MP:
            self._pull(frame)
            return
        if sub_signal == SubSignal.MRP:
            self._pull_reports(frame)
            return
        if not self._allowed(sub_signal):
            self._answer(frame, Reply(Code.TOO_OFTEN))
            return
        if sub_signal in _NUMBERED:
            try:
                message_id = self._hub.ids.next()
            except IdError as error:
                log.error("no message id", error=str(error))
                self._answer(frame, Reply(Code.SERVER_ERROR))
                return
        elif sub_signal not in _REQUESTS:
            self._answer(frame, Reply(Code.NOT_IMPLEMENTED))
            return
        self._ask(frame, message_id)

    def _ask(self, frame: Frame, message_id: int = 0) -> None:
        self.inflight += 1
        self._hub.inflight += 1
        call = Call(
            frame.sub_signal,
            self.uid,
            self.client_id,
            frame.body,
            message_id,
            False,
            frame.message_id,
            self.issued_ms,
        )
        self._hub.rpc.call(call).add_done_callback(partial(self._on_reply, frame))

    def _on_reply(self, frame: Frame, future: asyncio.Future[Reply]) -> None:
        self.inflight -= 1
        self._hub.finished()
        reply = future.result()
        if self.state is State.OPEN:
            self.transport.send_reply(frame.sub_signal, frame.message_id, reply, frame.body)
            if frame.sub_signal == SubSignal.MP:
                self._on_pulled(reply)
            elif frame.sub_signal == SubSignal.MRP:
                self._on_reports_pulled(frame, reply)
            if self.recalled and not self.inflight:
                recalled, self.recalled = self.recalled, None
                for notice in recalled:
                    self.transport.send_notification(SubSignal.RMN, notice)
        if self._backlog:
            self._work_off()

    def _work_off(self) -> None:
        if self._hub.draining:
            return
        while self._backlog and self.inflight < self._hub.max_inflight:
            self._carry_out(self._backlog.popleft())
        if not self._backlog and self.state is not State.CLOSED:
            self.transport.resume()

    def _answer(self, frame: Frame, reply: Reply) -> None:
        self.transport.send_reply(frame.sub_signal, frame.message_id, reply, frame.body)

    def invalid(self, sub_signal: int, message_id: int) -> None:
        """Answer a request that could not be read."""
        self._answer(Frame(Signal.PUBLISH, sub_signal, message_id, b""), Reply(Code.INVALID_DATA))

    def _allowed(self, sub_signal: int) -> bool:
        if self._buckets is None:
            self._buckets = self._hub.buckets.take(self.uid, self.client_id)
        return self._hub.limit.allows(self._buckets, sub_signal, self._hub.time())

    # The cursor

    def _pull(self, frame: Frame) -> None:
        # One that answers an MN is not counted: the server must not provoke a refusal.
        if self.asked_at is None and not self._allowed(SubSignal.MP):
            self._answer(frame, Reply(Code.TOO_OFTEN))
            return
        try:
            after = pb.PullMessageRequest.FromString(frame.body).id
        except DecodeError:
            self._answer(frame, Reply(Code.INVALID_DATA))
            return
        self.asked_at = None
        user = self.user
        # A first login is for the store, which leaves out the groups that the user has left.
        first = after <= 0 < self.fetched
        if user is not None and not first and (messages := user.tail_after(after)) is not None:
            self.transport.send_pulled(frame.message_id, messages, user.head, user.head)
            self._fetched_upto(user.head)
        else:
            self._pulling += 1
            self._ask(frame)

    def _on_pulled(self, reply: Reply) -> None:
        self._pulling -= 1
        if reply.code == Code.SUCCESS:
            current, head = pull_bounds(reply.payload)
            if self.user is not None:
                # What the device has sent itself while the store was read is nothing to tell it of.
                current = self.user.past_own(current, self.client_id)
                self._fetched_upto(current)
                self.user.learn(head)
            self.notify()
        elif self.user is not None and self.user.head > self.fetched:
            self.asked_at = self._hub.time()  # ask again in a while, not at once: the store may be away

    def _fetched_upto(self, seq: int) -> None:
        if seq > self.fetched:
            self.fetched = seq
            if self.user is not None:
                self.user.trim()

    def sent(self, seq: int, sender_client: str) -> bool:
        """Move the cursor over an entry that this device sent, if it is the next one; return whether it was."""
        if sender_client != self.client_id or seq != self.fetched + 1:
            return False
        self.fetched = seq
        return True

    def notify(self) -> None:
        """Send an MN if there is something to fetch and the device has not been told."""
        user = self.user
        if user is not None and user.head > self.fetched and self.asked_at is None and not self._pulling:
            self.asked_at = self._hub.time()
            self._hub.notified += 1
            self.transport.send_notification(SubSignal.MN, notify_message(self.fetched + 1))

    def repeat_notifications(self, before: float) -> None:
        """Tell again what the device was told before that time: the MN, the MRN or the answer may be lost."""
        if self.asked_at is not None and self.asked_at < before:
            self.asked_at = None
            self.notify()
        for kind, cursor in zip(ReportType, self._reports or (), strict=False):
            if cursor.told_at is not None and cursor.told_at < before:
                cursor.told_at = None
                self.notify_reports(kind)

    # The reports (protocol.md section 8)

    def _pull_reports(self, frame: Frame) -> None:
        try:
            request = pb.PullMessageReportRequest.FromString(frame.body)
            check_whole(request)
            cursor = self._cursor(request.type)
        except DecodeError:
            self._answer(frame, Reply(Code.INVALID_DATA))
            return
        except ValueError:
            self._answer(frame, Reply(Code.INVALID_PARAMETER))
            return
        # One that answers an MRN is not counted, as with MP.
        if cursor.told_at is None and not self._allowed(SubSignal.MRP):
            self._answer(frame, Reply(Code.TOO_OFTEN))
            return
        cursor.asked()
        self._ask(frame)

    def _on_reports_pulled(self, frame: Frame, reply: Reply) -> None:
        kind = ReportType(pb.PullMessageReportRequest.FromString(frame.body).type)
        current = None
        if reply.code == Code.SUCCESS:
            current = pb.PullMessageReportResult.FromString(reply.payload).current
        self._cursor(kind).answered(current)
        if current is not None:
            self.notify_reports(kind)

    def notify_all_reports(self) -> None:
        for kind in ReportType:
            self.notify_reports(kind)

    def notify_reports(self, kind: ReportType) -> None:
        """Send an MRN if there are reports that the device neither has nor has been told of."""
        if self.user is None:
            return
        head = self.user.reports[kind - ReportType.DELIVERED]
        body = self._cursor(kind).tell(kind, head, self._hub.time()) if head else None
        if body is not None:
            self.transport.send_notification(SubSignal.MRN, body)

    def _cursor(self, kind: int) -> ReportCursor:
        """Raises ValueError for an unknown kind."""
        if self._reports is None:
            self._reports = ReportCursor(0), ReportCursor(0)
        return self._reports[ReportType(kind) - ReportType.DELIVERED]
