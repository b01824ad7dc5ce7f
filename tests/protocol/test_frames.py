"""TCP framing (contract.md section 1): any chunking gives the same frames, and what is no frame is refused."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol.frames import HEADER_SIZE, OVERLONG, Frame, FrameDecoder, FrameError, encode

LIMIT = 4096

any_frame = st.builds(
    Frame,
    signal=st.integers(0, 127),
    sub_signal=st.integers(0, 127),
    message_id=st.integers(0, 0xFFFF),
    body=st.binary(max_size=60),
)


def header(magic: int = 0xF8, version: int = 2, length: int = 0) -> bytes:
    return struct.pack(">BBBiBH", magic, version, 9, length, 18, 1)


def feed_all(*chunks: bytes) -> list[Frame]:
    decoder = FrameDecoder(LIMIT)
    return [frame for chunk in chunks for frame in decoder.feed(chunk)]


def test_the_header_is_ten_bytes_big_endian() -> None:
    assert encode(9, 18, 0x0102, b"ab") == bytes.fromhex("f80209000000021201026162")
    assert encode(3, 0, 0) == bytes.fromhex("f8020300000000000000")


@given(st.lists(any_frame, max_size=6), st.data())
def test_any_chunking_gives_the_same_frames(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(encode(*frame) for frame in sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    chunks = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert feed_all(*chunks) == sent


@given(st.lists(any_frame, min_size=1, max_size=4), st.integers(1, 11))
def test_chunks_of_a_few_bytes(sent: list[Frame], size: int) -> None:
    stream = b"".join(encode(*frame) for frame in sent)
    assert feed_all(*(stream[i : i + size] for i in range(0, len(stream), size))) == sent


def test_a_frame_is_given_out_with_its_last_byte() -> None:
    first, second = encode(9, 18, 1, b"body"), encode(3, 0, 2)
    for cut in range(len(first) + 1):
        decoder = FrameDecoder(LIMIT)
        assert len(decoder.feed(first[:cut])) == (cut == len(first))
        assert len(decoder.feed(first[cut:] + second)) == 2 - (cut == len(first))


def test_bodies_are_bytes_of_their_own() -> None:
    chunk = encode(9, 18, 1, b"one") + encode(9, 18, 2, b"two")
    frames = FrameDecoder(LIMIT).feed(chunk)
    assert [type(frame.body) for frame in frames] == [bytes, bytes]


def test_the_high_bits_of_signals_are_masked() -> None:
    data = bytearray(encode(9, 18, 1))
    data[2] |= 0x80
    data[7] |= 0x80
    assert FrameDecoder(LIMIT).feed(bytes(data)) == [Frame(9, 18, 1, b"")]


def test_a_body_of_the_limit_is_the_longest() -> None:
    assert len(FrameDecoder(LIMIT).feed(encode(9, 18, 1, bytes(LIMIT)))[0].body) == LIMIT
    with pytest.raises(FrameError, match=f"{LIMIT + 1} bytes"):
        FrameDecoder(LIMIT).feed(encode(9, 18, 1, bytes(LIMIT + 1)))


@given(st.lists(st.integers(0, 40), max_size=5), st.data())
def test_an_overlong_publish_is_read_past_however_it_was_chunked(
    sizes: list[int], data: st.DataObject
) -> None:
    decoder = FrameDecoder(10, max_skipped=40)
    stream = b"".join(encode(9, 18, n, b"\xf8" * min(size, 39)) for n, size in enumerate(sizes))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    read = [
        frame
        for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for frame in decoder.feed(stream[start:stop])
    ]
    assert read == [
        Frame(9, 18, n, b"\xf8" * size) if size <= 10 else Frame(OVERLONG, 18, n, b"")
        for n, size in enumerate(sizes)
    ]
    assert not decoder._buffer


def test_what_is_read_past_is_bounded_and_a_publish() -> None:
    for frame in (encode(9, 18, 1, bytes(40)), encode(6, 0, 1, bytes(11))):
        with pytest.raises(FrameError, match="bytes"):
            FrameDecoder(10, max_skipped=40).feed(frame)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (header(magic=0x47), "0x47"),
        (header(version=1), "version 1"),
        (header(version=3), "version 3"),
        (header(length=-1), "-1 bytes"),
        (header(length=-(1 << 31)), "-2147483648 bytes"),
        (header(length=(1 << 31) - 1), "2147483647 bytes"),
        (header(length=LIMIT + 1), "4097 bytes"),
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 9])
def test_what_is_no_frame_is_refused_with_its_header(start: bytes, reason: str, cut: int) -> None:
    with pytest.raises(FrameError, match=reason):
        feed_all(start[:cut], start[cut:])


def test_a_stranger_is_refused_at_the_first_byte() -> None:
    with pytest.raises(FrameError, match="0x47"):
        FrameDecoder(LIMIT).feed(b"G")
    with pytest.raises(FrameError, match="0x00"):
        FrameDecoder(LIMIT).feed(encode(3, 0, 1) + b"\0")


@given(st.binary(max_size=200), st.integers(1, 50))
def test_garbage_gives_frames_or_frame_errors_only(garbage: bytes, size: int) -> None:
    decoder = FrameDecoder(LIMIT)
    try:
        for i in range(0, len(garbage), size):
            decoder.feed(garbage[i : i + size])
    except FrameError:
        pass


def test_memory_is_bounded_by_one_unfinished_frame() -> None:
    """Whatever the chunks, less than one frame of the largest size is held between two of them."""
    chance = random.Random(7)
    stream = b"".join(encode(9, 18, n, bytes(chance.randrange(LIMIT + 1))) for n in range(100))
    decoder = FrameDecoder(LIMIT)
    position = held = 0
    while position < len(stream):
        chunk = stream[position : position + chance.randrange(1, 3 * LIMIT)]
        position += len(chunk)
        decoder.feed(chunk)
        held = max(held, len(decoder._buffer or b""))
    assert LIMIT // 2 < held < LIMIT + HEADER_SIZE
    assert not decoder._buffer
