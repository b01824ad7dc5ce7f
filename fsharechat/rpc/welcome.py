"""What the group role answers a CONNECT that it accepts."""

from struct import Struct
from typing import NamedTuple

from fsharechat.store.heads import Heads

_NUMBERS = Struct(">11q")


class Welcome(NamedTuple):
    """The payload of Method.AUTHENTICATE: what the device gets, and where the connector's cursors begin."""

    heads: Heads
    delivered: int
    """The last delivery report that the device has fetched."""
    read: int
    """The last read report that the device has fetched."""
    recalled: int
    """The last recall that the device knows."""
    issued_ms: int
    """When the device logged in: what a log-out is of."""
    ack: bytes
    """The ConnectAckPayload."""

    def encode(self) -> bytes:
        numbers = (*self.heads, self.delivered, self.read, self.recalled, self.issued_ms)
        return _NUMBERS.pack(*numbers) + self.ack

    @classmethod
    def decode(cls, payload: bytes) -> "Welcome":
        *heads, delivered, read, recalled, issued_ms = _NUMBERS.unpack_from(payload)
        return cls(Heads(*heads), delivered, read, recalled, issued_ms, payload[_NUMBERS.size :])
