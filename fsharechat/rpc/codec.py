"""The protocol between two processes: the frames of clients, with other bodies. No I/O.

A connection starts with the handshake (AUTH). Then the caller sends calls (PUBLISH) and pings. The callee replies
(PUB_ACK) in any order, and says whether it serves (PUSH). The 16-bit id of a frame names the call. In the handshake
it has the version of this protocol, or 0 from a process that speaks only one version.

The two ends of a connection choose the highest common version. The handshake itself has no version: it stays as it
is. The roles know only the newest version. Older ones are translated where calls and replies become frames. So a
payload (Call, a body or answer of Method, Welcome, PulledInbox) is changed in these steps:

1. NEWEST goes up by one, and the roles write and read the new payload.
2. A Codec of the version before, which overrides what has changed, comes into SPOKEN. It writes calls for a callee of
   that version, and reads its replies; and the other way round for a caller of that version.
3. A release later the version before goes again.

A callee of the version before answers a new Method with NOT_IMPLEMENTED. The caller must do without until then.
"""

import hmac
from collections.abc import Mapping
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

from fsharechat.protocol import frames
from fsharechat.protocol.frames import HEADER_SIZE
from fsharechat.protocol.signals import Signal
from fsharechat.rpc import Call, Reply
from fsharechat.versions import Range

NONCE_SIZE = 32
MAC_SIZE = 32
HANDSHAKE_BODY = 128
"""The largest body (bytes) before the handshake is over."""

BODY_OVERHEAD = 64 * 1024
"""How much larger a body may be than a client's largest, bytes: fields of a call, or the wrapping of an answer."""

_RETRIED = 1
# method, flags, lengths of uid and client id, message id, remaining time (ms), frame id, time of login (ms);
# then uid, client id, body
_CALL = Struct(">BBHHqIqq")
_CALL_SIZE = _CALL.size
_CHALLENGE = Struct(f">B{NONCE_SIZE}s")
_PROOF = Struct(f">{NONCE_SIZE}s{MAC_SIZE}sI")
_ACCEPTED = Struct(f">{MAC_SIZE}sI")
_SIGNAL_CALL = int(Signal.PUBLISH)
_SIGNAL_REPLY = int(Signal.PUB_ACK)


class CodecError(ValueError):
    """A body does not match its signal, or is too large. The text shows no contents."""


class AuthStep(IntEnum):
    """The sub-signals of AUTH, in their order: callee, caller, callee."""

    CHALLENGE = 0
    PROOF = 1
    ACCEPTED = 2


class ServiceNotice(IntEnum):
    """The sub-signals of PUSH. A caller answers DRAINING with DRAIN_HEARD, after its last call."""

    SERVING = 0
    DRAINING = 1
    DRAIN_HEARD = 2


class Probe(IntEnum):
    """The sub-signals of PING."""

    PING = 0
    PONG = 1


class DisconnectReason(IntEnum):
    """The sub-signals of DISCONNECT: the reasons of a callee to end the handshake."""

    WRONG_SECRET = 1
    NEEDS_TLS = 2
    """Sent in clear text, to a caller that does not begin with TLS."""


class Challenge(NamedTuple):
    """`oldest` is the oldest version that the sender speaks."""

    oldest: int
    nonce: bytes


class Proof(NamedTuple):
    """`max_body` is the largest body that the sender accepts, bytes."""

    nonce: bytes
    mac: bytes
    max_body: int


class Accepted(NamedTuple):
    mac: bytes
    max_body: int


def encode_call(number: int, call: Call, milliseconds: int) -> bytes:
    """Return the frame of a call that must be answered within the time. Raises CodecError."""
    uid = call.uid.encode("utf-8", "surrogatepass")
    client_id = call.client_id.encode("utf-8", "surrogatepass")
    try:
        head = _CALL.pack(
            call.method,
            call.retried,
            len(uid),
            len(client_id),
            call.message_id,
            milliseconds,
            call.frame_id,
            call.issued_ms,
        )
    except StructError as error:
        raise CodecError(f"a call that cannot be sent: {error}") from None
    return frames.encode(_SIGNAL_CALL, 0, number, b"".join((head, uid, client_id, call.body)))


def decode_call(body: bytes) -> tuple[Call, int]:
    """Return a call, and the ms left for it. Raises CodecError."""
    if len(body) < _CALL_SIZE:
        raise CodecError(f"a call of {len(body)} bytes")
    method, flags, uid_size, client_size, message_id, milliseconds, frame_id, issued_ms = _CALL.unpack_from(
        body
    )
    uid_end = _CALL_SIZE + uid_size
    client_end = uid_end + client_size
    if client_end > len(body):
        raise CodecError("a call whose ids are longer than it")
    try:
        uid = body[_CALL_SIZE:uid_end].decode("utf-8", "surrogatepass")
        client_id = body[uid_end:client_end].decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise CodecError("a call whose ids are not UTF-8") from None
    retried = flags & _RETRIED == _RETRIED
    call = Call(method, uid, client_id, body[client_end:], message_id, retried, frame_id, issued_ms)
    return call, milliseconds


def encode_reply(number: int, reply: Reply) -> bytes:
    """Return the frame of a reply."""
    return frames.encode(_SIGNAL_REPLY, 0, number, bytes((reply.code,)) + reply.payload)


def decode_reply(body: bytes) -> Reply:
    """Return a reply. Raises CodecError."""
    if not body:
        raise CodecError("a reply without a code")
    return Reply(body[0], body[1:])


def encode_notice(notice: ServiceNotice) -> bytes:
    return frames.encode(Signal.PUSH, notice, 0)


def encode_probe(probe: Probe) -> bytes:
    return frames.encode(Signal.PING, probe, 0)


def encode_refused(refused: DisconnectReason) -> bytes:
    return frames.encode(Signal.DISCONNECT, refused, 0)


def encode_challenge(challenge: Challenge, newest: int) -> bytes:
    """Return the frame of a challenge, for a process that speaks the versions up to `newest`."""
    return frames.encode(Signal.AUTH, AuthStep.CHALLENGE, newest, _CHALLENGE.pack(*challenge))


def decode_versions(number: int, body: bytes) -> tuple[int, int]:
    """Return the oldest and the newest version of the sender of a challenge. Ignore the rest. Raises CodecError."""
    if not body:
        raise CodecError("a challenge without a version")
    return body[0], number or body[0]


def decode_challenge(body: bytes) -> Challenge:
    """Return a challenge. Raises CodecError."""
    return Challenge(*_unpack(_CHALLENGE, body))


def encode_proof(proof: Proof, version: int) -> bytes:
    """Return the frame of a proof, for a caller that has chosen a version."""
    return frames.encode(Signal.AUTH, AuthStep.PROOF, version, _PROOF.pack(*proof))


def decode_proof(body: bytes) -> Proof:
    """Return the caller's proof. Raises CodecError."""
    return Proof(*_unpack(_PROOF, body))


def encode_accepted(accepted: Accepted) -> bytes:
    return frames.encode(Signal.AUTH, AuthStep.ACCEPTED, 0, _ACCEPTED.pack(*accepted))


def decode_accepted(body: bytes) -> Accepted:
    """Return the callee's proof. Raises CodecError."""
    return Accepted(*_unpack(_ACCEPTED, body))


def bound(secret: bytes, certificate: bytes) -> bytes:
    """Return the secret for a TLS connection to the process with this certificate (DER).

    So a proof that a process with another certificate passes on is not valid, even if the authority is the same.
    """
    return hmac.digest(secret, b"fsharechat rpc certificate" + certificate, "sha256")


def caller_mac(secret: bytes, callee_nonce: bytes, caller_nonce: bytes) -> bytes:
    """Return the proof for the callee that the caller knows the secret."""
    return hmac.digest(secret, b"fsharechat rpc caller" + callee_nonce + caller_nonce, "sha256")


def callee_mac(secret: bytes, callee_nonce: bytes, caller_nonce: bytes) -> bytes:
    """Return the proof for the caller that the callee knows the secret."""
    return hmac.digest(secret, b"fsharechat rpc callee" + callee_nonce + caller_nonce, "sha256")


def body_size(frame: bytes) -> int:
    """Return the size of the body of an encoded frame."""
    return len(frame) - HEADER_SIZE


def _unpack(struct: Struct, body: bytes) -> tuple[Any, ...]:
    if len(body) != struct.size:
        raise CodecError(f"a handshake of {len(body)} bytes, not {struct.size}")
    return struct.unpack(body)


NEWEST = 3
"""The version of calls and replies, with all their contents. It changes whenever one of them changes."""


class Codec:
    """Calls and replies in the newest version. The codec of an older version overrides what differs."""

    def encode_call(self, number: int, call: Call, milliseconds: int) -> bytes:
        """Return the frame of a call that is to be answered within the time. Raises CodecError."""
        return encode_call(number, call, milliseconds)

    def decode_call(self, body: bytes) -> tuple[Call, int]:
        """Return a call, and the ms that are left for it. Raises CodecError."""
        return decode_call(body)

    def encode_reply(self, number: int, method: int, reply: Reply) -> bytes:
        """Return the frame of the reply to a call of `method`."""
        return encode_reply(number, reply)

    def decode_reply(self, method: int, body: bytes) -> Reply:
        """Return the reply to a call of `method`. Raises CodecError."""
        return decode_reply(body)


Spoken = Mapping[int, Codec]
"""The codec of each version, without a gap between them."""

SPOKEN: Spoken = {2: Codec(), NEWEST: Codec()}
"""Version 2 lacks some methods, such as GONE, SEEN and ALTERED. Nothing else differs."""


def range_of(spoken: Spoken) -> Range:
    return Range(min(spoken), max(spoken))
