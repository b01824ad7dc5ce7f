"""The calling end of a connection to a group process, its calls, and the queues of their users."""

import asyncio
import hmac
import secrets
import ssl
from typing import Protocol

import structlog

from fsharechat.protocol.frames import Frame
from fsharechat.protocol.signals import Signal
from fsharechat.rpc import Call, Reply, codec
from fsharechat.rpc.codec import AuthStep, CodecError, Probe, ServiceNotice
from fsharechat.rpc.link import RpcLimits, RpcLink
from fsharechat.rpc.versions import Spoken, range_of
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

    __slots__ = ("call", "deadline", "lane", "sent", "tries")

    call: Call
    deadline: float
    """The deadline, a time of the loop."""
    lane: UserLane | None
    """None if the caller has been answered."""
    sent: bool
    """Whether a process has the call. Else it waits in its lane."""
    tries: int


class ConnectionEvents(Protocol):
    """The events that a connection reports."""

    def serving(self, connection: "ClientConnection") -> None: ...
    def leaving(self, connection: "ClientConnection") -> None: ...
    def answered(self, asked: Asked, reply: Reply) -> None: ...
    def broken(self, calls: list[Asked]) -> None: ...


class ClientConnection(RpcLink):
    """The calling end of a connection, with up to `limits.under_way_peer` calls at a time."""

    def __init__(
        self, address: str, secret: bytes, router: ConnectionEvents, limits: RpcLimits, spoken: Spoken
    ) -> None:
        super().__init__(limits)
        self.address = address
        self._spoken = spoken
        self._version = max(spoken)
        """The codec of the chosen version, known after the challenge."""
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
            self.drop("its cluster secret is another one than ours ([node] cluster_secret)")
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
                self.drop("it does not know the cluster secret, so it is none of ours")
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
