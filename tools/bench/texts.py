"""The texts of messages: 100 bytes each, with pair and sequence number, so that arrivals can be checked."""

import re
from struct import Struct

TEXT_SIZE = 100
LOCAL_BASE = 1 << 42
"""Local message ids are this plus the sequence number: always 7 bytes as a varint and 13 decimal digits."""

_DIGITS = 10
_TEXT = re.compile(rb"bench (\d{5}) (\d{10}) [a-z]+")
_LOW14 = [bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(1 << 14)]
_LOCAL_TAIL = b"\x80\x80\x01"

uint16 = Struct(">H").pack


class TextParts:
    """The text of one pair, split around its sequence number."""

    __slots__ = ("after", "before")

    def __init__(self, pair: int) -> None:
        self.before = b"bench %05d " % pair
        filler = (b"thequickbrownfoxjumpsoverthelazydog" * 3)[: TEXT_SIZE - len(self.before) - _DIGITS - 1]
        self.after = b" " + filler

    def text(self, seq: int) -> bytes:
        return b"%b%010d%b" % (self.before, seq, self.after)


def parse(text: bytes) -> tuple[int, int] | None:
    """Return (pair, seq) of a text, None if it is damaged."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    pair, seq = int(found[1]), int(found[2])
    return (pair, seq) if TextParts(pair).text(seq) == text else None


def message_id_of(seq: int) -> int:
    """Return the frame's message id for the `seq`-th message: five digits, distinct for 50,000 in a row."""
    return 10_000 + seq % 50_000


def local_varint(seq: int) -> bytes:
    """Return LOCAL_BASE + seq as a protobuf varint of 7 bytes; `seq` is below 2^28."""
    return _LOW14[seq & 0x3FFF] + _LOW14[seq >> 14] + _LOCAL_TAIL
