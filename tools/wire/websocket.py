"""A hand-made WebSocket client (RFC 6455): the upgrade, and frames, even ones that no library sends."""

import base64
import hashlib
from struct import Struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
SAMPLE_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_FIN = 0x80
_MASKED = 0x80
_MASK = bytes(4)
"""The server accepts zero like any mask, and removes it all the same. Here it costs nothing."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_length16 = Struct(">H")
_length64 = Struct(">Q")


def encode(payload: bytes, opcode: int = TEXT, *, fin: bool = True, length: int | None = None) -> bytes:
    """Return a masked frame of a client. `length` is the length that it claims, true or not."""
    size = len(payload) if length is None else length
    first = _FIN | opcode if fin else opcode
    if size < 126:
        return bytes((first, _MASKED | size)) + _MASK + payload
    if size < 1 << 16:
        return bytes((first, _MASKED | 126)) + _length16.pack(size) + _MASK + payload
    return bytes((first, _MASKED | 127)) + _length64.pack(size) + _MASK + payload


def decode(data: bytes, position: int) -> tuple[int, int, int] | None:
    """Return (opcode, start, end) of the payload of the server frame at `position`, None while it is incomplete.

    Raises ValueError for frames that this server has no reason to send: fragments, extensions, masked frames.
    """
    end = len(data)
    if end - position < 2:
        return None
    first, size = data[position], data[position + 1]
    if first & 0xF0 != _FIN or size & _MASKED:
        raise ValueError(f"a WebSocket frame that starts with 0x{first:02X}{size:02X}")
    start = position + 2
    if size == 126:
        start += 2
        if start > end:
            return None
        (size,) = _length16.unpack_from(data, position + 2)
    elif size == 127:
        start += 8
        if start > end:
            return None
        (size,) = _length64.unpack_from(data, position + 2)
    stop = start + size
    return (first & 0x0F, start, stop) if stop <= end else None


def upgrade_request(key: bytes = SAMPLE_KEY, *headers: str) -> bytes:
    """Return the request that turns a connection into a WebSocket, with extra headers."""
    more = "".join(f"{header}\r\n" for header in headers).encode()
    return (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n" + more + b"\r\n"
    )


def is_upgraded(head: bytes, key: bytes = SAMPLE_KEY) -> bool:
    """Return whether `head`, an HTTP answer without its empty line, accepts the upgrade sent with `key`."""
    status, *headers = head.split(b"\r\n")
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    return status.startswith(b"HTTP/1.1 101 ") and any(
        name.lower() == b"sec-websocket-accept" and value.strip() == accept
        for name, _, value in (line.partition(b":") for line in headers)
    )
