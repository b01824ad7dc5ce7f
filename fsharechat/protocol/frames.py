"""The frames of TCP clients: a 10-byte header and a body (contract.md section 1). No I/O."""

from struct import Struct
from typing import NamedTuple

from fsharechat.protocol.signals import Signal
from fsharechat.tuples import maker

MAGIC = 0xF8
VERSION = 2
HEADER_SIZE = 10

OVERLONG = 0x80
"""The signal of a PUBLISH whose body the decoder has skipped. On the wire a signal has only seven bits."""

_HEADER = Struct(">BBBiBH")
_pack = _HEADER.pack
_unpack_from = _HEADER.unpack_from


class Frame(NamedTuple):
    """One frame. `signal` and `sub_signal` are plain numbers: the reader refuses unknown ones.

    `message_id` is 16 bits over TCP; a web client may choose any integer (section 2).
    """

    signal: int
    sub_signal: int
    message_id: int
    body: bytes


_frame = maker(Frame)


class FrameError(ValueError):
    """The bytes are no frames, or a frame is over the size limit. The connection cannot go on."""


def encode(signal: int, sub_signal: int, message_id: int, body: bytes = b"") -> bytes:
    """Return the bytes of one frame. `message_id` is 0-65535."""
    return _pack(MAGIC, VERSION, signal, len(body), sub_signal, message_id) + body


class FrameDecoder:
    """Cuts a byte stream into frames. Chunks may begin and end anywhere.

    It holds at most one unfinished frame, so at most `max_body` + 10 bytes beside the chunk being fed. A PUBLISH over
    `max_body` and under `max_skipped` bytes is skipped: it comes without its body, with OVERLONG as its signal.
    """

    __slots__ = ("_buffer", "_need", "_skip", "_skipped", "max_body", "max_skipped")

    def __init__(self, max_body: int, max_skipped: int = 0) -> None:
        self.max_body = max_body
        self.max_skipped = max_skipped
        self._skip = 0  # how many bytes of a skipped body have still to come
        self._skipped: Frame | None = None
        self._buffer: bytearray | None = None  # an idle connection has none
        self._need = HEADER_SIZE

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes, oldest first.

        Raises FrameError at the first bad header. The frames before it in the same chunk are lost, and the caller
        closes the connection.
        """
        if self._buffer:
            self._buffer += data
            # Without this, a frame that comes byte by byte would be copied for each byte.
            if len(self._buffer) < self._need:
                return []
            data = bytes(self._buffer)
            self._buffer = None
        frames: list[Frame] = []
        if self._skip:
            if len(data) < self._skip:
                self._skip -= len(data)
                return []
            data = data[self._skip :]
            self._skip = 0
            if self._skipped is not None:
                frames, self._skipped = [self._skipped], None
        position, end = 0, len(data)
        while end - position >= HEADER_SIZE:
            magic, version, signal, length, sub_signal, message_id = _unpack_from(data, position)
            if magic != MAGIC or version != VERSION or not 0 <= length <= self.max_body:
                if magic != MAGIC or version != VERSION or not self._skips(signal, length):
                    raise _refusal(magic, version, length, self.max_body)
                overlong = Frame(OVERLONG, sub_signal & 0x7F, message_id, b"")
                position += HEADER_SIZE + length
                if position > end:
                    self._skip, self._skipped = position - end, overlong
                    self._need = HEADER_SIZE
                    return frames
                frames.append(overlong)
                continue
            stop = position + HEADER_SIZE + length
            if stop > end:
                self._need = stop - position
                break
            body = data[position + HEADER_SIZE : stop]
            frames.append(_frame((signal & 0x7F, sub_signal & 0x7F, message_id, body)))
            position = stop
        else:
            self._need = HEADER_SIZE
        if position < end:
            self._check_magic(data[position])
            self._buffer = bytearray(data[position:] if position else data)
        return frames

    def _skips(self, signal: int, length: int) -> bool:
        return signal & 0x7F == Signal.PUBLISH and self.max_body < length < self.max_skipped

    @staticmethod
    def _check_magic(first: int) -> None:
        if first != MAGIC:
            raise FrameError(f"a frame starts with 0x{MAGIC:02X}, not 0x{first:02X}")


def _refusal(magic: int, version: int, length: int, max_body: int) -> FrameError:
    if magic != MAGIC:
        return FrameError(f"a frame starts with 0x{MAGIC:02X}, not 0x{magic:02X}")
    if version != VERSION:
        return FrameError(f"frame version {version}, only {VERSION} is known")
    return FrameError(f"a body of {length} bytes, the limit is {max_body}")
