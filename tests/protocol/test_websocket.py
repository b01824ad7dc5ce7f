"""WebSocket framing (RFC 6455): any chunking gives the same messages, and what breaks the rules is refused."""

import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_TEXT,
    KEPT_BYTES,
    MESSAGE_TOO_BIG,
    OVERLONG,
    PART_BYTES,
    PARTS,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    Message,
    WebSocketDecoder,
    WebSocketError,
    encode,
)

LIMIT = 4096
MOST = 16 * LIMIT


def frame(opcode: int, payload: bytes, mask: bytes = b"\x11\x22\x33\x44", fin: bool = True) -> bytes:
    """Return a client's frame, its mask taken byte for byte."""
    server = bytearray(encode(opcode, payload))
    head = len(server) - len(payload)
    server[0] &= 0xFF if fin else 0x7F
    if not mask:
        return bytes(server)
    server[1] |= 0x80
    return bytes(server[:head]) + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


masks = st.one_of(st.just(b""), st.binary(min_size=4, max_size=4))
controls = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
parts = st.lists(
    st.tuples(st.one_of(st.binary(max_size=40), st.integers(0, 7000).map(bytes)), masks),
    min_size=1,
    max_size=4,
)
any_message = st.tuples(parts, st.lists(controls, max_size=3))


def sent_and_read(
    message: tuple[list[tuple[bytes, bytes]], list[tuple[int, bytes]]],
) -> tuple[bytes, list[Message]]:
    """Return the frames of a text in parts with control frames between them, and what must be read of it."""
    stream, read = b"", []
    fragments, between = message
    for index, (payload, mask) in enumerate(fragments):
        last = index == len(fragments) - 1
        stream += frame(TEXT if not index else CONTINUATION, payload, mask, fin=last)
        if index < len(between) and not last:
            opcode, control = between[index]
            stream += frame(opcode, control)
            read.append(Message(opcode, control))
    whole = b"".join(payload for payload, _ in fragments)
    read.append(Message(TEXT, whole) if len(whole) <= LIMIT else Message(OVERLONG, whole[:KEPT_BYTES]))
    return stream, read


@given(st.lists(any_message, max_size=4), st.data())
def test_any_chunking_gives_the_same_messages(
    messages: list[tuple[list[tuple[bytes, bytes]], list[tuple[int, bytes]]]], data: st.DataObject
) -> None:
    stream, read = b"", []
    for message in messages:
        more, expected = sent_and_read(message)
        stream += more
        read += expected
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    decoder = WebSocketDecoder(LIMIT, MOST)
    chunks = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [message for chunk in chunks for message in decoder.feed(chunk)] == read


@pytest.mark.parametrize("size", [0, 1, 125, 126, LIMIT, LIMIT + 1])
def test_a_byte_at_a_time(size: int) -> None:
    payload = random.Random(7).randbytes(size)
    decoder = WebSocketDecoder(LIMIT, MOST)
    read = [message for byte in frame(TEXT, payload) for message in decoder.feed(bytes([byte]))]
    assert read == [Message(TEXT, payload) if size <= LIMIT else Message(OVERLONG, payload[:KEPT_BYTES])]


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (frame(3, b""), PROTOCOL_ERROR, "kind"),
        (frame(0x40 | TEXT, b""), PROTOCOL_ERROR, "extension"),  # what permessage-deflate would send
        (frame(0x20 | PING, b""), PROTOCOL_ERROR, "extension"),
        (frame(PING, b"x" * 126), PROTOCOL_ERROR, "125"),
        (frame(CLOSE, b"x" * 70_000), PROTOCOL_ERROR, "125"),
        (frame(PING, b"", fin=False), PROTOCOL_ERROR, "in parts"),
        (frame(CONTINUATION, b""), PROTOCOL_ERROR, "do not follow"),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), PROTOCOL_ERROR, "do not follow"),
        (frame(TEXT, b"", fin=False) + frame(BINARY, b""), PROTOCOL_ERROR, "do not follow"),
        (frame(BINARY, bytes(LIMIT + 1)), MESSAGE_TOO_BIG, "4097 bytes"),
        (frame(TEXT, bytes(MOST)), MESSAGE_TOO_BIG, f"{MOST} bytes"),
        (
            frame(TEXT, bytes(MOST - 1), fin=False) + frame(CONTINUATION, b"x"),
            MESSAGE_TOO_BIG,
            f"{MOST} bytes",
        ),
        (b"\x81\xff" + b"\xff" * 12, MESSAGE_TOO_BIG, f"{2**64 - 1} bytes"),
    ],
)
def test_what_breaks_a_rule_or_a_limit_is_refused_at_its_header(sent: bytes, code: int, reason: str) -> None:
    with pytest.raises(WebSocketError, match=reason) as raised:
        WebSocketDecoder(LIMIT, MOST).feed(sent)
    assert raised.value.code == code
    assert code != INVALID_TEXT  # that is for the reader of texts


def test_a_message_comes_in_a_few_parts_or_in_large_ones() -> None:
    decoder = WebSocketDecoder(MOST)
    large = [
        frame(TEXT, bytes(PART_BYTES), fin=False),
        *[frame(CONTINUATION, bytes(PART_BYTES), fin=False)] * 100,
    ]
    assert decoder.feed(b"".join([*large, frame(CONTINUATION, b"")])) == [
        Message(TEXT, bytes(101 * PART_BYTES))
    ]
    few = (
        frame(TEXT, b"", fin=False)
        + frame(CONTINUATION, b"", fin=False) * (PARTS - 2)
        + frame(CONTINUATION, b"x")
    )
    assert decoder.feed(few * 3) == [Message(TEXT, b"x")] * 3
    with pytest.raises(WebSocketError, match=f"a message in {PARTS + 1} parts"):
        decoder.feed(frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * PARTS)


def test_a_stranger_has_nothing_read_past() -> None:
    with pytest.raises(WebSocketError, match="the limit is 4096"):
        WebSocketDecoder(LIMIT).feed(b"\x81\xfe\x10\x01" + bytes(4))


def test_memory_is_bounded_by_one_message_whatever_a_header_claims() -> None:
    decoder = WebSocketDecoder(LIMIT, 1 << 40)
    decoder.feed(b"\x81\xff" + (1 << 39).to_bytes(8, "big") + b"mask")
    for _ in range(100):
        assert decoder.feed(bytes(64 << 10)) == []
        assert len(decoder._kept) == KEPT_BYTES
    decoder = WebSocketDecoder(LIMIT, MOST)
    held = 0
    stream = frame(TEXT, b"", fin=False)
    stream += frame(CONTINUATION, bytes(PART_BYTES), fin=False) * (MOST // PART_BYTES - 1)
    for start in range(0, len(stream), 333):
        decoder.feed(stream[start : start + 333])
        held = max(held, len(decoder._kept) + len(decoder._buffer))
    assert LIMIT // 2 < held < LIMIT + PART_BYTES + 200


@given(st.binary(max_size=300), st.integers(1, 50))
def test_garbage_gives_messages_or_errors_only(garbage: bytes, size: int) -> None:
    decoder = WebSocketDecoder(LIMIT, MOST)
    with suppress(WebSocketError):
        for i in range(0, len(garbage), size):
            decoder.feed(garbage[i : i + size])


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_the_length_of_a_frame_is_written_as_the_rfc_says(size: int, head: bytes) -> None:
    payload = b"x" * size
    assert encode(TEXT, payload) == head + payload
