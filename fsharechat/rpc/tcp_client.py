"""The calling end: the connections to group processes, which process gets a call, and the calls of one user."""

import asyncio
import hmac
import random
import secrets
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any

import structlog

from fsharechat.metrics import Histogram
from fsharechat.protocol.frames import Frame
from fsharechat.protocol.signals import Code, Signal
from fsharechat.rpc import Call, Reply, codec
from fsharechat.rpc.codec import AuthStep, CodecError, Probe, ServiceNotice, Spoken, range_of
from fsharechat.rpc.deadlines import Deadlines
from fsharechat.rpc.link import RpcLimits, RpcLink, fault
from fsharechat.tasks import spawn
from fsharechat.tracing import trace_of
from fsharechat.versions import Range

log = structlog.get_logger(__name__)

_REPLY = int(Signal.PUB_ACK)
_NUMBERS = 0xFFFF


FORGOTTEN = Call(0, "", "", b"")


class HandshakeError(Exception):
    """The two processes cannot connect. The text says why."""


class UserLane:
    """The calls of one user. All calls under way are with one process, so they keep their order.

    If that process takes no more calls, later calls wait until it has answered the earlier ones.
    """

    __slots__ = ("sent", "target", "uid", "waiting")

    def __init__(self, uid: str, target: "ClientConnection | None") -> None:
        self.uid = uid
        self.target = target
        self.sent = 0
        """How many of the calls `target` has."""
        self.waiting: list[Asked] = []


class Asked(asyncio.Future[Reply]):
    """A call under way, and the future of its caller."""

    __slots__ = ("begun", "call", "deadline", "lane", "sent", "tries")

    begun: float
    """When it was made, s of a clock that never steps. That of the loop is too coarse to measure by."""
    call: Call
    deadline: float
    """The deadline, a time of the loop."""
    lane: UserLane | None
    """None if the caller has been answered."""
    sent: bool
    """Whether a process has the call. Else it waits in its lane."""
    tries: int


class ClientConnection(RpcLink):
    """The calling end of a connection, with up to `limits.under_way_peer` calls at a time."""

    def __init__(
        self, address: str, secret: bytes, router: "Router", limits: RpcLimits, spoken: Spoken
    ) -> None:
        super().__init__(limits)
        self.address = address
        self._spoken = spoken
        self._version = max(spoken)
        """The chosen version, known after the challenge."""
        self._codec = spoken[self._version]
        self.taking = False
        """Whether the process takes calls: it serves, and does not drain."""
        self.used = 0
        """When it was last chosen, a count of the router."""
        self.accepted: asyncio.Future[None] = self._loop.create_future()
        """Done when the handshake is done. Fails with HandshakeError."""
        self.gone = asyncio.Event()
        self.pending: dict[int, Asked] = {}
        """Calls under way, by the number of their reply. Calls that were given up stay until the reply: their numbers
        are taken, and a process that does not answer must look busy.
        """
        self._number = 0
        self._router = router
        self._secret = secret
        self._callee_nonce = b""
        self._nonce = secrets.token_bytes(codec.NONCE_SIZE)
        self._peer_max_body = 0
        self._trusted = False
        self._encrypted = False
        self._retired = False

    @property
    def full(self) -> bool:
        """Whether it can take no more calls for now."""
        return (
            self.paused
            or len(self.pending) >= self.limits.under_way_peer
            or self._out_bytes > self.limits.write_buffer
        )

    def ask(self, asked: Asked, milliseconds: int) -> None:
        """Send a call. Raises CodecError if it cannot be sent to this process."""
        number = self._number
        while number in self.pending:
            number = (number + 1) & _NUMBERS
        frame = self._codec.encode_call(number, asked.call, milliseconds)
        if codec.body_size(frame) > self._peer_max_body:
            raise CodecError(f"a call of {len(frame)} bytes, {self.address} takes {self._peer_max_body}")
        self._number = (number + 1) & _NUMBERS
        self.pending[number] = asked
        self.send(frame)

    def retire(self) -> None:
        """Make no more calls. End when those under way are answered."""
        self._retired = True
        self._take_no_more()
        if not self.pending:
            self.finish()

    def close(self) -> None:
        """End now, even with calls under way."""
        self._take_no_more()
        self.finish()

    def abandon(self) -> None:
        """End the connection: nobody waits for its handshake any more."""
        self.accepted.cancel()
        if self.connected:
            self.drop("abandoned")
        else:
            self.gone.set()

    def tick(self) -> None:
        super().tick()
        if self.ended or not self._trusted:
            return
        if self.silence > self.limits.silent_ticks:
            self.drop(f"silent for {self.limits.silent_seconds:g} s")
        else:
            self.send(codec.encode_probe(Probe.PING))
        oldest = next(iter(self.pending.values()), None)
        if oldest is not None and oldest.deadline + self.limits.late_seconds < self._loop.time():
            self.drop("a call was not answered, not even after its deadline")

    # RpcLink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        encryption: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if encryption is not None:
            self._encrypted = True
            self._secret = codec.bound(self._secret, encryption.getpeercert(binary_form=True) or b"")

    def on_frame(self, frame: Frame) -> None:
        if frame.signal == _REPLY:
            asked = self.pending.get(frame.message_id)
            if asked is None:
                raise CodecError("a reply to no call")
            if asked.lane is None:  # the caller was answered by the deadline
                del self.pending[frame.message_id]
            else:
                reply = self._codec.decode_reply(asked.call.method, frame.body)
                del self.pending[frame.message_id]
                self._router.answered(asked, reply)
            if self._retired and not self.pending:
                self.finish()
        elif frame.signal == Signal.AUTH and not self._trusted:
            self._shake_hands(frame)
        elif frame.signal == Signal.PUSH and self._trusted:
            self._on_notice(frame.sub_signal)
        elif frame.signal == Signal.DISCONNECT and frame.sub_signal == codec.DisconnectReason.WRONG_SECRET:
            self.drop("its cluster secret differs from ours ([node] cluster_secret)")
        elif frame.signal == Signal.DISCONNECT and frame.sub_signal == codec.DisconnectReason.NEEDS_TLS:
            self.drop("it speaks TLS only, and we have no certificate ([rpc.tls])")
        elif frame.signal != Signal.PING or frame.sub_signal != Probe.PONG:
            raise CodecError(f"an unexpected frame: signal {frame.signal}, {frame.sub_signal}")

    def lost(self, reason: str) -> None:
        self.gone.set()
        if not self._trusted:
            if self._encrypted and not self._callee_nonce and not self.reason:
                # By now it has checked our certificate. The event loops do not send the alert that would say more.
                reason = "it hung up after the TLS handshake: it may not trust our certificate ([rpc.tls])"
            if not self.accepted.done():
                self.accepted.set_exception(HandshakeError(reason))
            return
        was_taking = self._take_no_more()
        calls = [asked for asked in self.pending.values() if asked.lane is not None]
        self.pending.clear()
        if was_taking or calls or self.reason:
            log.warning("group process lost", address=self.address, reason=reason, calls=len(calls))
        self._router.broken(calls)

    def _shake_hands(self, frame: Frame) -> None:
        if frame.sub_signal == AuthStep.CHALLENGE and not self._callee_nonce:
            ours, theirs = range_of(self._spoken), Range(*codec.decode_versions(frame.message_id, frame.body))
            version = ours.settle(theirs)
            if version is None:
                self.drop(
                    f"it speaks version {theirs} of the rpc, we speak {ours}: one of us is of another release"
                )
                return
            self._version, self._codec = version, self._spoken[version]
            self._callee_nonce = codec.decode_challenge(frame.body).nonce
            mac = codec.caller_mac(self._secret, self._callee_nonce, self._nonce)
            self.send(codec.encode_proof(codec.Proof(self._nonce, mac, self.limits.max_body), version))
        elif frame.sub_signal == AuthStep.ACCEPTED and self._callee_nonce:
            accepted = codec.decode_accepted(frame.body)
            expected = codec.callee_mac(self._secret, self._callee_nonce, self._nonce)
            if not hmac.compare_digest(accepted.mac, expected):
                self.drop("it does not know the cluster secret, so it does not belong to this cluster")
                return
            self._peer_max_body = accepted.max_body
            self._trusted = True
            self.opened()
            if not self.accepted.done():
                self.accepted.set_result(None)
        else:
            raise CodecError(f"an unexpected step of the handshake: {frame.sub_signal}")

    def _on_notice(self, notice: int) -> None:
        if notice == ServiceNotice.SERVING:
            if not self.taking and not self._retired:
                self.taking = True
                log.info("group process reached", address=self.address, version=self._version)
                self._router.serving(self)
        elif notice == ServiceNotice.DRAINING:
            if self._take_no_more():
                log.info("group process drains", address=self.address, calls=len(self.pending))
            self.send(codec.encode_notice(ServiceNotice.DRAIN_HEARD))

    def _take_no_more(self) -> bool:
        """Stop being a choice for calls. Return whether it was one."""
        if not self.taking:
            return False
        self.taking = False
        self._router.leaving(self)
        return True


class Router:
    """Calls over the connections to the group processes.

    A call goes to the process with the fewest calls of ours. But calls of one user that are under way at the same
    time stay with one process (see UserLane). When a connection breaks, its calls go to another one, as `retried`. If
    no process is left, they wait for one until their deadline. A call may be the cause when a process breaks, so a
    call that has broken `limits.tries` processes is given up. Counts: `retried`, `given_up` and `refused`,
    `timed_out`.
    """

    def __init__(self, timeout: float, limits: RpcLimits, changed: Callable[[], None]) -> None:
        """`timeout` is the deadline of each call, s. `changed` is called when `processes` has changed."""
        self.retried = 0
        self.given_up = 0
        self.refused = 0
        self.timed_out = 0
        self.times = Histogram()
        """How long calls took until their answer, s."""
        self.under_way = 0
        """Calls that have not been answered."""
        self.lanes: dict[str, UserLane] = {}
        """The lanes of users with calls under way."""
        self._changed = changed
        self._timeout = timeout
        self._limits = limits
        self._bytes = 0
        self._uses = 0
        self._targets: list[ClientConnection] = []
        self._stranded: dict[UserLane, None] = {}  # in order, waiting for a process
        self._loop = asyncio.get_running_loop()
        self._deadlines: Deadlines[Asked] = Deadlines(self._give_up, limits.tick_seconds, limits.under_way)
        self._deadlines.start()

    @property
    def processes(self) -> int:
        """Return how many processes take calls."""
        return len(self._targets)

    async def close(self) -> None:
        """Return when the calls under way are answered, or their deadlines have passed."""
        if futures := [future for _, future in self._deadlines.under_way()]:
            await asyncio.wait(futures, timeout=self._timeout + self._limits.tick_seconds)
        self._deadlines.stop()

    def call_all(self, call: Call) -> list[asyncio.Future[Reply]]:
        """Ask each other process (see Rpc.call_all)."""
        return [self.call(call, target) for target in self._targets]

    def call(self, call: Call, chosen: ClientConnection | None = None) -> asyncio.Future[Reply]:
        """Ask another process (see Rpc.call): the `chosen` one, with a call of no user, else one that is free."""
        asked = Asked(loop=self._loop)
        size = len(call.body)
        limits = self._limits
        if (
            not self._targets
            or self.under_way >= limits.under_way
            or self._bytes + size > limits.under_way_bytes
        ):
            self.refused += 1
            asked.set_result(Reply(Code.SERVER_ERROR))
            return asked
        uid = call.uid
        lane = self.lanes.get(uid)
        if lane is None:
            lane = UserLane(uid, chosen or self._least_loaded())
            if uid:
                self.lanes[uid] = lane
        asked.call = call
        asked.lane = lane
        asked.sent = False
        asked.tries = 0
        asked.begun = monotonic()
        asked.deadline = deadline = self._loop.time() + self._timeout
        self.under_way += 1
        self._bytes += size
        self._deadlines.watch(deadline, uid, asked)
        target = lane.target
        if target is not None and target.taking and not lane.waiting:
            self._send(asked, lane, target, self._timeout)
        elif lane.sent or lane.waiting:
            lane.waiting.append(asked)
        else:
            self._refuse(asked)
        if not lane.sent:
            self._clear_away(lane)
        return asked

    def hold(self, uid: str, future: "asyncio.Future[Reply]") -> None:
        """Let the user's calls wait for a call that is under way in this process."""
        if not uid:
            return
        lane = self.lanes.get(uid)
        if lane is None:
            lane = self.lanes[uid] = UserLane(uid, None)
        held = lane
        held.sent += 1
        future.add_done_callback(lambda _: self._come_back(held))

    # Reports of connections

    def serving(self, connection: ClientConnection) -> None:
        self._targets.append(connection)
        self._changed()
        stranded, self._stranded = self._stranded, {}
        for lane in stranded:
            self._move_on(lane)

    def leaving(self, connection: ClientConnection) -> None:
        self._targets.remove(connection)
        self._changed()

    def answered(self, asked: Asked, reply: Reply) -> None:
        lane = asked.lane
        if lane is not None:
            self.times.observe(monotonic() - asked.begun)
            self._finish(asked, reply)
            self._come_back(lane)

    def broken(self, calls: list[Asked]) -> None:
        """Take the calls of a lost connection, oldest first."""
        again: dict[UserLane, list[Asked]] = {}
        for asked in calls:
            lane = asked.lane
            if lane is None:
                continue
            again.setdefault(lane, [])
            lane.sent -= 1
            asked.sent = False
            asked.tries += 1
            if asked.done():
                self._time_out(asked)
            elif asked.tries >= self._limits.tries:
                log.warning(
                    "call given up: each process it went to broke",
                    method=asked.call.method,
                    trace=trace_of(asked.call),
                )
                self.given_up += 1
                self._refuse(asked)
            else:
                self.retried += 1
                asked.call = asked.call._replace(retried=True)
                log.debug("call made again", method=asked.call.method, trace=trace_of(asked.call))
                again[lane].append(asked)
        for lane, retries in again.items():
            lane.waiting[:0] = retries
            self._move_on(lane)

    # The way of a call

    def _least_loaded(self) -> ClientConnection | None:
        """Return the process with the fewest calls of ours. Of several, the one that was not chosen for longest.

        None if there is no process, or all are full.
        """
        best = None
        least = 0
        for target in self._targets:
            load = len(target.pending)
            better = best is None or load < least or (load == least and target.used < best.used)
            if better and not target.full:
                best, least = target, load
        if best is not None:
            self._uses += 1
            best.used = self._uses
        return best

    def _send(self, asked: Asked, lane: UserLane, target: ClientConnection, seconds: float) -> None:
        if target.full:
            self._refuse(asked)
            return
        try:
            target.ask(asked, int(seconds * 1000))
        except CodecError as error:
            about = {"method": asked.call.method, "uid": asked.call.uid, "trace": trace_of(asked.call)}
            log.error("call refused", **about, error=str(error))
            self._finish(asked, Reply(Code.INVALID_DATA))
            return
        asked.sent = True
        lane.sent += 1

    def _come_back(self, lane: UserLane) -> None:
        """Count a finished call of the lane."""
        lane.sent -= 1
        if not lane.sent:
            if lane.waiting:
                self._move_on(lane)
            else:
                self._clear_away(lane)

    def _move_on(self, lane: UserLane) -> None:
        """Choose a new process for a lane without calls at any process."""
        target = lane.target = self._least_loaded()
        if target is None and not self._targets:
            # Calls that no process has had are refused, like new calls. Calls of a broken process wait for another
            # one.
            untried = [asked for asked in lane.waiting if not asked.tries]
            lane.waiting = [asked for asked in lane.waiting if asked.tries]
            for asked in untried:
                self._refuse(asked)
            if lane.waiting:
                self._stranded[lane] = None
            else:
                self._clear_away(lane)
            return
        waiting, lane.waiting = lane.waiting, []
        now = self._loop.time()
        for asked in waiting:
            if asked.deadline <= now or asked.done():
                self._time_out(asked)
            elif target is None:
                self._refuse(asked)
            else:
                self._send(asked, lane, target, asked.deadline - now)
        self._clear_away(lane)

    def _clear_away(self, lane: UserLane) -> None:
        if not lane.sent and not lane.waiting:
            self._stranded.pop(lane, None)
            if self.lanes.get(lane.uid) is lane:
                del self.lanes[lane.uid]

    def _refuse(self, asked: Asked) -> None:
        self.refused += 1
        self._finish(asked, Reply(Code.SERVER_ERROR))

    def _finish(self, asked: Asked, reply: Reply) -> None:
        self.under_way -= 1
        self._bytes -= len(asked.call.body)
        asked.lane = None
        asked.call = FORGOTTEN
        if not asked.done():
            asked.set_result(reply)

    def _time_out(self, asked: Asked) -> None:
        """End a call whose deadline has passed, or whose caller has cancelled it."""
        log.debug("call not answered in time", method=asked.call.method, trace=trace_of(asked.call))
        self.timed_out += 1
        self._finish(asked, Reply(Code.TIMEOUT))

    def _give_up(self, asked: Asked) -> None:
        lane = asked.lane
        if lane is None or asked.done():
            return  # the end of another call has just decided this one
        self._time_out(asked)
        if asked.sent:
            self._come_back(lane)
        else:
            lane.waiting.remove(asked)
            self._clear_away(lane)


class Peer:
    """A group process that the registry names. It keeps a connection to `address` (host:port) until it is closed."""

    def __init__(
        self,
        address: str,
        connection: Callable[[], ClientConnection],
        limits: RpcLimits,
        context: ssl.SSLContext | None,
    ) -> None:
        """`connection` makes a connection that is not open yet. With `context` it uses TLS."""
        self.address = address
        self.connection: ClientConnection | None = None
        self._make = connection
        self._limits = limits
        self._context = context
        self._told = ""
        self._task = spawn(f"connection to {address}", self._keep_connected())

    def tick(self) -> None:
        if self.connection is not None:
            self.connection.tick()

    def retire(self) -> None:
        """Make no more calls to the process. The connection ends when those under way are done."""
        self._task.cancel()
        if self.connection is not None:
            self.connection.retire()

    def close(self) -> None:
        """End the connection, even with calls under way."""
        self._task.cancel()
        if self.connection is not None:
            self.connection.close()

    async def gone(self) -> None:
        """Return when the connection has ended, after `retire` or `close`."""
        await asyncio.wait([self._task])
        if self.connection is not None:
            await self.connection.gone.wait()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        delay = first = self._limits.reconnect_seconds
        while True:
            start = loop.time()
            try:
                connection = await self._connect()
            except (OSError, TimeoutError, HandshakeError, ValueError, OverflowError) as error:
                self._tell(error)
            else:
                self._told = ""
                self.connection = connection
                await connection.gone.wait()
                self.connection = None
                if loop.time() - start > self._limits.reconnect_max_seconds:
                    delay = first
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(delay * 2, self._limits.reconnect_max_seconds)

    async def _connect(self) -> ClientConnection:
        """Connect and shake hands.

        Raises OSError, TimeoutError, HandshakeError; ValueError and OverflowError if the address is not valid.
        """
        host, _, port = self.address.rpartition(":")
        connection = self._make()
        encryption: dict[str, Any] = {}
        if self._context is not None:
            encryption = {"ssl": self._context, "ssl_shutdown_timeout": self._limits.silent_seconds}
        try:
            async with asyncio.timeout(self._limits.silent_seconds):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, host.strip("[]"), int(port), **encryption
                )
                if not connection.connected:  # so uvloop may end a failed handshake
                    raise ConnectionResetError
                await connection.accepted
        except BaseException:
            connection.abandon()
            await connection.gone.wait()
            raise
        return connection

    def _tell(self, error: Exception) -> None:
        """Log why there is no connection, once for each reason in a row."""
        reason = fault(error) or f"no answer within {self._limits.silent_seconds:g} s"
        if self._context is not None and isinstance(error, ConnectionError) and not str(error):
            reason = "it hung up in the TLS handshake: does it speak TLS? ([rpc.tls])"
        if reason != self._told:
            self._told = reason
            log.warning("group process not reached", address=self.address, reason=reason)
