"""A connection of a device. The type is the same for TCP and WebSocket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from time import monotonic
from typing import NamedTuple, Protocol

import orjson
import structlog
from google.protobuf.message import DecodeError

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import SENT_BYTES, check_whole, sent_seq
from fsharechat.protocol.frames import OVERLONG, Frame
from fsharechat.protocol.ids import LeaseError
from fsharechat.protocol.signals import REQUESTS, Code, ReportType, Signal, SubSignal
from fsharechat.rpc import Call, Method, Reply, make_call
from fsharechat.rpc.payloads import Welcome
from fsharechat.store.cursors import Log
from fsharechat.tracing import TRACING, trace_of
from roles.connector.identity import NodeIdentity
from roles.connector.limits import PING, Buckets, RequestFlow, Verdict
from roles.connector.logs import DeviceLogs
from roles.connector.transport import DeviceTransport

log = structlog.get_logger(__name__)

# On the path of every message, so read once (protocol/numbers.py).
_PUBLISH, _MS = Signal.PUBLISH, SubSignal.MS
_ALLOWED = Verdict.ALLOWED

_REFUSALS = frozenset(s for s in SubSignal if s.name.startswith("CONNECTION_REFUSED_"))
_NUMBERED = frozenset(number for number, row in REQUESTS.items() if row.numbered)

FRAMES_A_TURN = 200
"""How many frames of one connection are carried out in one turn. Then other connections have theirs."""

MAX_PING_BYTES = 1024
"""The largest PING that is parsed, bytes: it holds one number, and larger JSON could become many objects."""

MAX_ID_LENGTH = 255
MAX_INTERVAL_MS = 86_400_000


class SessionState(Enum):
    NEW = 0
    AUTHENTICATING = 1
    OPEN = 2
    CLOSED = 3


_OPEN = SessionState.OPEN  # read once, like those above


class Connect(NamedTuple):
    """The content of a CONNECT (contract.md section 4)."""

    uid: str
    password: str
    client_id: str

    @classmethod
    def read(cls, body: bytes) -> Connect | None:
        """Return the CONNECT in a body, None if it is none."""
        try:
            request = orjson.loads(body)
            said = cls(request["userName"], request["password"], request["clientIdentifier"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
        texts = all(isinstance(text, str) for text in said)
        return said if texts and max(len(said.uid), len(said.client_id)) <= MAX_ID_LENGTH else None


def ping_interval(body: bytes) -> int | None:
    """Return the interval of a PING in ms, if it has a sensible one (up to MAX_INTERVAL_MS)."""
    if len(body) > MAX_PING_BYTES:
        return None
    try:
        interval = orjson.loads(body)["interval"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return interval if type(interval) is int and 0 < interval <= MAX_INTERVAL_MS else None


class SessionHost(Protocol):
    """The part of the connector that a session needs."""

    flow: RequestFlow
    identity: NodeIdentity

    def opened(self, session: Session, welcome: Welcome) -> None:
        """A device has logged in."""

    def closed(self, session: Session, was: SessionState, buckets: Buckets | None) -> None:
        """A session has ended."""

    def forget(self, session: Session) -> None:
        """A device logs out."""

    def pinged(self, session: Session, interval_ms: int) -> None:
        """A device says how often it sends a PING."""


class Session:
    """Takes the frames of a device and asks the group role. Questions about the device's logs go to its logs."""

    __slots__ = (
        "_backlog",
        "_buckets",
        "_flow",
        "_host",
        "_identity",
        "_most",
        "_resting",
        "client_id",
        "epoch",
        "heard_at",
        "inflight",
        "issued_ms",
        "logs",
        "opened_at",
        "ping_interval",
        "state",
        "transport",
        "uid",
    )

    def __init__(self, host: SessionHost, transport: DeviceTransport) -> None:
        self._host = host
        self._flow = flow = host.flow
        self._identity = host.identity
        self.transport = transport
        self.state = SessionState.NEW
        self.opened_at = self.heard_at = flow.time()
        self.uid = ""
        self.client_id = ""
        self.epoch = 0
        self.issued_ms = 0
        self.logs: DeviceLogs | None = None
        """Set while the session is open."""
        # Room for requests under way; none while the client does not take the answers.
        self._most = flow.max_inflight
        self.inflight = 0
        self._backlog: deque[Frame] | None = None
        self._buckets: Buckets | None = None
        self._resting = False

    # From the client

    def on_frames(self, frames: Sequence[Frame]) -> None:
        """Carry out frames that came at one time, as far as there is room for requests under way.

        Frames beyond FRAMES_A_TURN wait until others have had their turn.
        """
        if self._flow.draining:
            return  # not acknowledged, so the client sends it again elsewhere
        for number, frame in enumerate(frames):
            if self.inflight >= self._most or self._backlog or number == FRAMES_A_TURN:
                self._keep(frames[number:])
                return
            if frame.signal == _PUBLISH and self.state is _OPEN:
                self._publish(frame)
            else:
                self._carry_out(frame)

    def _keep(self, frames: Sequence[Frame]) -> None:
        """Carry out frames later, and read no more until then. So never more frames wait than came at one time."""
        if self.state is SessionState.CLOSED:
            return  # nothing would ever resume reading
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.extend(frames)
        if self.inflight < self._most:
            self.rest()
        else:
            self.transport.pause()

    def _carry_out(self, frame: Frame) -> None:
        signal = frame.signal
        if self.state is SessionState.CLOSED:
            return
        if signal == _PUBLISH and self.state is _OPEN:
            self._publish(frame)
        elif signal == Signal.PING:
            self._ping(frame)
        elif signal == Signal.CONNECT and self.state is SessionState.NEW:
            self._connect(frame)
        elif signal == Signal.DISCONNECT and self.state is _OPEN:
            self._disconnect(frame)
        elif signal == OVERLONG and self.state is _OPEN:
            if self._allowed(frame):
                self._refuse(frame, Code.INVALID_MESSAGE)
        else:
            self.refuse(f"signal {signal} while {self.state.name.lower()}")

    def refuse(self, reason: str) -> None:
        """Close the connection because of something the client did, with one log line."""
        if self.state is not SessionState.CLOSED:
            log.info("connection closed", reason=reason, peer=self.transport.peer, uid=self.uid or None)
            self.close()

    def close(self) -> None:
        """End the session and its connection."""
        if self.state is not SessionState.CLOSED:
            self._end()
            self.transport.close()

    def _end(self) -> None:
        was = self.state
        self.state = SessionState.CLOSED
        self._backlog = None
        self._host.closed(self, was, self._buckets)

    # Logging in and out (contract.md section 4)

    def _connect(self, frame: Frame) -> None:
        said = Connect.read(frame.body)
        if said is None:
            self._refuse_connect(SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD)
            return
        if not said.client_id:
            self._refuse_connect(SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED)
            return
        self.state = SessionState.AUTHENTICATING
        self.transport.authenticating()
        self.uid, self.client_id = said.uid, said.client_id
        self._flow.connects.take(self, partial(self._authenticate, said.password.encode()))

    def _authenticate(self, password: bytes) -> asyncio.Future[Reply] | None:
        if self.state is not SessionState.AUTHENTICATING:
            return None  # gone meanwhile
        future = self._flow.rpc.call(Call(Method.AUTHENTICATE, self.uid, self.client_id, password))
        future.add_done_callback(self._on_authenticated)
        return future

    def _on_authenticated(self, future: asyncio.Future[Reply]) -> None:
        if self.state is not SessionState.AUTHENTICATING:
            return  # gone meanwhile
        reply = future.result()
        if reply.code != SubSignal.CONNECTION_ACCEPTED:
            refused = reply.code in _REFUSALS  # else there was no answer, or none that we understand
            self._refuse_connect(reply.code if refused else SubSignal.CONNECTION_REFUSED_SERVER_UNAVAILABLE)
            return
        welcome = Welcome.decode(reply.payload)
        self.issued_ms = welcome.issued_ms
        self.state = _OPEN
        self._buckets = None  # the marks of the device take their place
        self.transport.authenticated(self.uid)
        self.transport.send_connect_ack(SubSignal.CONNECTION_ACCEPTED, welcome.ack)
        self._host.opened(self, welcome)

    def _refuse_connect(self, sub_signal: int) -> None:
        self.transport.send_connect_ack(sub_signal, b"")
        self.refuse(f"CONNECT: {SubSignal(sub_signal).name}")

    def _disconnect(self, frame: Frame) -> None:
        if frame.body[:1] != b"\x01":
            self.close()
            return
        # The device hears of the end only after its logout is done. So its next request finds it logged out.
        self._end()
        self.transport.pause()
        self._host.forget(self)

    def heartbeat(self) -> bool:
        """Count a sign of life. Return whether it may have an answer."""
        verdict = self._flow.limit.count(self._buckets or self._take_buckets(), PING, self._flow.time())
        if verdict is Verdict.FLOOD:
            self.refuse("a flood of PING")
        return verdict is _ALLOWED

    def _ping(self, frame: Frame) -> None:
        if not self.heartbeat():
            return
        interval_ms = ping_interval(frame.body)
        if interval_ms is not None:
            self._host.pinged(self, interval_ms)
        self.transport.send_ping(frame.message_id, interval_ms or 0)

    # Requests

    def _publish(self, frame: Frame) -> None:
        sub_signal = frame.sub_signal
        message_id = 0
        if not self._allowed(frame):
            return
        if sub_signal in BY_CONNECTOR:
            BY_CONNECTOR[sub_signal](self, frame)
            return
        if sub_signal in _NUMBERED:
            try:
                message_id = self._identity.next_id()
            except LeaseError as error:
                log.error("no message id", trace=f"{self.client_id}#{frame.message_id}", error=str(error))
                self._refuse(frame, Code.SERVER_ERROR)
                return
        elif sub_signal not in REQUESTS:
            self._refuse(frame, Code.NOT_IMPLEMENTED)
            return
        call = make_call(
            (
                sub_signal,
                self.uid,
                self.client_id,
                frame.body,
                message_id,
                False,
                frame.message_id,
                self.issued_ms,
            )
        )
        if TRACING.on:
            log.debug("request taken", **self._about(call), bytes=len(frame.body))
        self.inflight += 1
        self._flow.inflight += 1
        self._flow.rpc.call(call).add_done_callback(partial(self._on_reply, call, monotonic()))

    def ask(self, call: Call, done: Callable[[Reply], None]) -> None:
        """Ask for entries of a log, in turn with other devices. `done` gets the reply if this one is connected."""
        self.inflight += 1
        self._flow.inflight += 1
        self._flow.reads.take(self, partial(self._ask, call, done))

    def _ask(self, call: Call, done: Callable[[Reply], None]) -> asyncio.Future[Reply] | None:
        if self.state is not _OPEN:
            self.inflight -= 1
            self._went_out()
            return None
        future = self._flow.rpc.call(call)
        future.add_done_callback(partial(self._finished, done))
        return future

    def _finished(self, done: Callable[[Reply], None], future: asyncio.Future[Reply]) -> None:
        self.inflight -= 1
        try:
            if self.state is _OPEN:
                done(future.result())
        finally:
            self._went_out()

    def _on_reply(self, call: Call, begun: float, future: asyncio.Future[Reply]) -> None:
        self.inflight -= 1
        try:
            if self.state is _OPEN:
                reply = future.result()
                code, payload = reply
                answers, kind = self._flow.answers, call.method
                (answers.acks if kind == _MS else answers.times).observe(monotonic() - begun)
                if TRACING.on:
                    took = round((monotonic() - begun) * 1000, 1)
                    log.debug("request answered", **self._about(call), code=code, ms=took)
                if code:
                    answers.refused[kind, code] += 1
                    self._log_refused(kind, code, trace=trace_of(call))
                else:
                    answers.done[kind] += 1
                if kind == _MS and not code:
                    if (seq := sent_seq(payload)) and self.logs is not None:
                        self.logs.sent(seq)
                    payload = payload[:SENT_BYTES]
                self.transport.send_reply(kind, call.frame_id, code, payload, call.body)
        finally:
            self._went_out()

    def _went_out(self) -> None:
        """Go on with the frames that waited for an answer."""
        flow = self._flow
        flow.inflight -= 1
        if flow.draining:
            flow.look_if_idle()
        if not self.inflight and self.logs is not None:
            self.logs.answers_are_out()
        if self._backlog:
            self._work_off()

    def hold(self) -> None:
        """Carry out nothing for now: the client does not take its answers."""
        self._most = 0

    def go_on(self) -> None:
        """Carry out the waiting frames: the client has taken everything."""
        self._most = self._flow.max_inflight
        if self._backlog:
            self._work_off()

    def _work_off(self) -> None:
        if self._flow.draining or self._resting:
            return
        left = FRAMES_A_TURN
        while self._backlog and self.inflight < self._most:
            if not left:
                self.rest()
                return
            left -= 1
            self._carry_out(self._backlog.popleft())
        if not self._backlog and self.state is not SessionState.CLOSED:
            self.transport.resume()

    def rest(self) -> None:
        """Read no more until others have had their turn."""
        self.transport.pause()
        if not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        self._work_off()

    def _about(self, call: Call) -> dict[str, object]:
        """Return what the log says of each step of a request (fsharechat/tracing.py)."""
        return {
            "trace": trace_of(call),
            "request": call.method,
            "uid": self.uid,
            "client_id": self.client_id,
        }

    def _refuse(self, frame: Frame, code: Code, **why: str) -> None:
        self._tell_refused(frame, code, **why)
        self.transport.send_reply(frame.sub_signal, frame.message_id, code, b"", frame.body)

    def _tell_refused(self, frame: Frame, code: int, **why: str) -> None:
        self._flow.answers.refused[frame.sub_signal, code] += 1
        self._log_refused(frame.sub_signal, code, trace=f"{self.client_id}#{frame.message_id}", **why)

    def _log_refused(self, kind: int, code: int, **why: str) -> None:
        log.debug(
            "request refused",
            request=kind,
            code=code,
            uid=self.uid,
            client_id=self.client_id,
            **why,
        )

    def invalid(self, sub_signal: int, message_id: int, reason: str) -> None:
        """Answer a request that could not be read."""
        frame = Frame(_PUBLISH, sub_signal, message_id, b"")
        if self._allowed(frame):
            self._refuse(frame, Code.INVALID_DATA, reason=reason)

    def _allowed(self, frame: Frame) -> bool:
        """Count a request. A request over the limit is answered here."""
        kind = frame.sub_signal
        verdict = self._flow.limit.count(self._buckets or self._take_buckets(), kind, self._flow.time())
        if verdict is _ALLOWED:
            return True
        if verdict is Verdict.TOO_OFTEN:
            self._refuse(frame, Code.TOO_OFTEN)
        else:
            self.refuse(f"a flood of sub-signal {kind}")
        return False

    def _take_buckets(self) -> Buckets:
        """Begin to count the client's requests (limits.py). A flood ends the connection."""
        # Before the login, requests count for this connection alone: the client may name somebody else's device.
        stranger = self.state is not _OPEN
        self._buckets = Buckets() if stranger else self._flow.buckets.take(self.uid, self.client_id)
        return self._buckets

    def forget_leaked(self, now: float) -> None:
        """Forget the buckets when they have leaked out: most devices ask for nothing most of the time."""
        if self._buckets is not None and self._buckets.leaked(now):
            self._buckets = None

    # The logs (logs.py)

    def _pull(self, frame: Frame) -> None:
        logs = self.logs
        assert logs is not None
        try:
            request = pb.PullMessageRequest.FromString(frame.body)
        except DecodeError:
            request = None
        if request is None or not request.IsInitialized():
            self._refuse(frame, Code.INVALID_DATA)
            return
        logs.pull(frame.message_id, request.id)

    def _pull_reports(self, frame: Frame) -> None:
        logs = self.logs
        assert logs is not None
        try:
            request = pb.PullMessageReportRequest.FromString(frame.body)
            check_whole(request)
            kind = ReportType(request.type)
        except DecodeError:
            self._refuse(frame, Code.INVALID_DATA)
            return
        except ValueError:
            self._refuse(frame, Code.INVALID_PARAMETER)
            return
        logs.pull_reports(frame.message_id, Log(kind), request.id, frame.body)


BY_CONNECTOR: Mapping[int, Callable[[Session, Frame], None]] = {
    SubSignal.MP: Session._pull,
    SubSignal.MRP: Session._pull_reports,
}
"""The requests that are answered here, according to the table of requests."""
