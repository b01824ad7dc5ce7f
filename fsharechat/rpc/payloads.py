"""The payloads of answers that connectors get from the group role: to a CONNECT, and to a pull."""

from struct import Struct
from typing import NamedTuple

from fsharechat.store.heads import Heads
from fsharechat.store.inboxes import PulledEntry, PulledInbox

_NUMBERS = Struct(">13q")


class Marks(NamedTuple):
    """The last seq of each log that a device demonstrably has, in the order of Log (store/cursors.py).

    The device was given the inbox up to `handed`, and may have that.
    """

    inbox: int = 0
    delivered: int = 0
    read: int = 0
    recalled: int = 0
    handed: int = 0


class Welcome(NamedTuple):
    """The payload of Method.AUTHENTICATE: the answer for the device, and the start of the connector's cursors."""

    heads: Heads
    marks: Marks
    issued_ms: int
    """The time of the device's login. A logout names it."""
    ack: bytes
    """The ConnectAckPayload."""

    def encode(self) -> bytes:
        return _NUMBERS.pack(*self.heads, *self.marks, self.issued_ms) + self.ack

    @classmethod
    def decode(cls, payload: bytes) -> "Welcome":
        *numbers, issued_ms = _NUMBERS.unpack_from(payload)
        split = len(Heads._fields)
        heads, marks = Heads(*numbers[:split]), Marks(*numbers[split:])
        return cls(heads, marks, issued_ms, payload[_NUMBERS.size :])


_HEAD = Struct(">qq")
_ENTRY = Struct(">qHHI")


def encode_pulled(pulled: PulledInbox) -> bytes:
    parts = [_HEAD.pack(pulled.head, pulled.begin)]
    for seq, sender, sender_client, body in pulled.entries:
        first, second = sender.encode(), sender_client.encode()
        parts += (_ENTRY.pack(seq, len(first), len(second), len(body)), first, second, body)
    return b"".join(parts)


def decode_pulled(payload: bytes) -> PulledInbox:
    head, begin = _HEAD.unpack_from(payload)
    entries: list[PulledEntry] = []
    at = _HEAD.size
    while at < len(payload):
        seq, first, second, size = _ENTRY.unpack_from(payload, at)
        at += _ENTRY.size
        body = at + first + second
        sender, sender_client = payload[at : at + first], payload[at + first : body]
        at = body + size
        entries.append(PulledEntry(seq, sender.decode(), sender_client.decode(), payload[body:at]))
    return PulledInbox(entries, head, begin)
