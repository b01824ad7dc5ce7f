"""The messages of web clients: frames of RFC 6455, and the messages that they form. No I/O."""

from typing import NamedTuple

# This function is compiled: ten times as fast as pure Python.
from aiohttp._websocket.helpers import websocket_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

OVERLONG = 0x10
"""The opcode of a text that the decoder has skipped. On the wire an opcode has only four bits."""

KEPT_BYTES = 1024
"""How much of the beginning of a skipped text is kept, bytes."""

PARTS = 64
PART_BYTES = 512
"""The most parts of a message, and one more for each PART_BYTES: no other limit stops endless empty parts."""

NORMAL, PROTOCOL_ERROR, INVALID_TEXT, MESSAGE_TOO_BIG = 1000, 1002, 1007, 1009
"""Why a connection ends (RFC 6455 section 7.4)."""

_NAMES = {
    PROTOCOL_ERROR: "PROTOCOL_ERROR",
    INVALID_TEXT: "INVALID_TEXT",
    MESSAGE_TOO_BIG: "MESSAGE_TOO_BIG",
}
_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_FIN = 0x80
_RESERVED = 0x70
_CONTROL = 0x08
_MASKED = 0x80
_WHOLE_TEXT = _FIN | TEXT
_CONTROL_BYTES = 125


class Message(NamedTuple):
    """A whole text or binary message, or a control frame."""

    opcode: int
    payload: bytes


class WebSocketError(ValueError):
    """The bytes are not WebSocket, or are over a limit. `code` is the code that closes the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"WebSocket: {_NAMES[code]}, {reason}")
        self.code = code


class WebSocketDecoder:
    """Cuts the bytes of a client into messages. It knows no extension, so it inflates nothing.

    Chunks may begin and end anywhere. It holds at most one unfinished message, so at most `max_message` bytes and a
    header beside the chunk being fed, whatever a header claims. A text over `max_message` and under `max_skipped`
    bytes is skipped: its first KEPT_BYTES come, with OVERLONG as its opcode. A frame without a mask is taken as it
    is.
    """

    __slots__ = (
        "_buffer",
        "_fin",
        "_kept",
        "_left",
        "_mask",
        "_opcode",
        "_parts",
        "_size",
        "max_message",
        "max_skipped",
    )

    def __init__(self, max_message: int, max_skipped: int = 0) -> None:
        self.max_message = max_message
        self.max_skipped = max_skipped
        self._buffer = b""  # an unfinished header or control frame
        self._opcode = CONTINUATION  # of the message that has begun; CONTINUATION if none has
        self._size = 0  # its length, as far as it is known
        self._parts = 0  # the number of its frames so far
        self._kept = bytearray()  # its bytes so far
        self._left = 0  # how many bytes of its frame have still to come
        self._mask = b""  # the mask of these bytes
        self._fin = False  # whether this frame is its last one

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages and control frames that `data` completes, oldest first.

        Raises WebSocketError at the first header that breaks a rule or a limit. The messages before it in the same
        chunk are lost, and the caller closes the connection.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        messages: list[Message] = []
        position = self._go_on(data, 0, messages) if self._left else 0
        while stop := self._frame(data, position, messages):
            position = stop
        if position < len(data):
            self._buffer = data[position:] if position else data
        return messages

    def _frame(self, data: bytes, position: int, messages: list[Message]) -> int:
        """Read a frame, or its part that has come. Return where it ends; 0 if more bytes must come first."""
        end = len(data)
        start = position + 2
        if start > end:
            return 0
        first, second = data[position], data[position + 1]
        length = second & 0x7F
        if length > _CONTROL_BYTES:
            if first & _CONTROL:
                raise WebSocketError(PROTOCOL_ERROR, "a control frame of more than 125 bytes")
            wide = 2 if length == 126 else 8
            start += wide
            if start > end:
                return 0
            length = int.from_bytes(data[start - wide : start], "big")
        mask = b""
        if second & _MASKED:
            mask = data[start : start + 4]
            start += 4
            if start > end:
                return 0
        stop = start + length
        if stop <= end and first == _WHOLE_TEXT and not self._opcode and length <= self.max_message:
            messages.append(Message(TEXT, _unmasked(data[start:stop], mask)))
            return stop
        self._check(first, length)
        if first & _CONTROL:
            if stop > end:
                return 0
            messages.append(Message(first & 0x0F, _unmasked(data[start:stop], mask)))
            return stop
        self._opcode = self._opcode or first & 0x0F
        self._fin = bool(first & _FIN)
        self._size += length
        self._parts += 1
        if self._parts > PARTS + self._size // PART_BYTES:
            raise WebSocketError(PROTOCOL_ERROR, f"a message in {self._parts} parts")
        self._left, self._mask = length, mask
        return self._go_on(data, start, messages)

    def _check(self, first: int, length: int) -> None:
        """Raise WebSocketError if a frame may not begin like this."""
        opcode = first & 0x0F
        if first & _RESERVED or opcode not in _OPCODES:
            raise WebSocketError(PROTOCOL_ERROR, "a frame of a kind or an extension that was not agreed on")
        if opcode & _CONTROL:
            if not first & _FIN:
                raise WebSocketError(PROTOCOL_ERROR, "a control frame in parts")
            return
        if (opcode == CONTINUATION) is not bool(self._opcode):
            raise WebSocketError(PROTOCOL_ERROR, "parts of a message that do not follow each other")
        size = self._size + length
        if size > self.max_message and (size >= self.max_skipped or (self._opcode or opcode) != TEXT):
            raise WebSocketError(
                MESSAGE_TOO_BIG, f"a message of {size} bytes, the limit is {self.max_message}"
            )

    def _go_on(self, data: bytes, start: int, messages: list[Message]) -> int:
        """Take the bytes that have come of the current frame, and return where they end."""
        stop = min(start + self._left, len(data))
        self._left -= stop - start
        part = stop
        if self._size > self.max_message:
            del self._kept[KEPT_BYTES:]
            part = min(stop, start + KEPT_BYTES - len(self._kept))
        self._kept += _unmasked(data[start:part], self._mask)
        turned = (stop - start) % 4
        self._mask = self._mask[turned:] + self._mask[:turned]
        if self._fin and not self._left:
            opcode = OVERLONG if self._size > self.max_message else self._opcode
            messages.append(Message(opcode, bytes(self._kept)))
            self._opcode, self._size, self._parts, self._kept = CONTINUATION, 0, 0, bytearray()
        return stop


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    """Remove the mask of a client (RFC 6455 section 5.3)."""
    if not mask:
        return payload
    unmasked = bytearray(payload)
    websocket_mask(mask, unmasked)
    return bytes(unmasked)


def encode(opcode: int, payload: bytes) -> bytes:
    """Return a frame of the server: a whole message, not masked."""
    size = len(payload)
    first = _FIN | opcode
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return b"%c\x7e" % first + size.to_bytes(2, "big") + payload
    return b"%c\x7f" % first + size.to_bytes(8, "big") + payload
