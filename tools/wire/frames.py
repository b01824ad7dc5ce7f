"""Frames over TCP (contract.md section 1), and the envelope that is a frame over WebSocket (section 2)."""

import json
from struct import Struct
from typing import Any, NamedTuple

MAGIC, VERSION = 0xF8, 2
_HEADER = Struct(">BBBiBH")
_pack_header, _unpack_header = _HEADER.pack, _HEADER.unpack_from
HEADER = _HEADER.size
MOST = 16 << 20
"""The longest body that a server has a reason to send, bytes."""


class WireFrameError(ValueError):
    """The bytes are no frame."""


class WireFrame(NamedTuple):
    """A frame from the wire."""

    signal: int
    sub_signal: int
    message_id: int
    body: bytes


def encode(signal: int, sub_signal: int = 0, message_id: int = 0, body: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return _pack_header(MAGIC, VERSION, signal, len(body), sub_signal, message_id) + body


def decode(data: bytes, position: int) -> tuple[int, int, int, int, int] | None:
    """Return (signal, sub-signal, message id, start, end) of the frame at `position`, None while it is incomplete.

    The body is data[start:end]. Raises FrameError.
    """
    start = position + HEADER
    size = len(data)
    if start > size:
        return None
    magic, version, signal, length, sub_signal, message_id = _unpack_header(data, position)
    if magic != MAGIC or version != VERSION or not 0 <= length <= MOST:
        raise WireFrameError(f"no header of a frame: {data[position:start].hex()}")
    end = start + length
    return (signal, sub_signal, message_id, start, end) if end <= size else None


class Decoder:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self.rest = b""
        """The beginning of an incomplete frame."""

    def feed(self, data: bytes) -> list[WireFrame]:
        """Return the frames that are now complete. Raises FrameError."""
        data = self.rest + data
        found, position = [], 0
        while (frame := decode(data, position)) is not None:
            signal, sub_signal, message_id, start, position = frame
            found.append(WireFrame(signal, sub_signal, message_id, data[start:position]))
        self.rest = data[position:]
        return found


def envelope(signal: str, sub_signal: str, message_id: int, content: object) -> dict[str, Any]:
    """Return the object that web clients send as JSON."""
    return {"signal": signal, "subSignal": sub_signal, "messageId": message_id, "content": content}


def web_text_frame(signal: str, sub_signal: str, message_id: int, content: object) -> str:
    """Return the text of that object. Any numbers are allowed, unlike with a strict JSON writer."""
    return json.dumps(
        envelope(signal, sub_signal, message_id, content), ensure_ascii=False, separators=(",", ":")
    )
