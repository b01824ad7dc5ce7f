"""The group role's answer to an accepted CONNECT."""

from struct import Struct
from typing import NamedTuple

from fsharechat.store.heads import Heads

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
