"""Extensions of RTP packets get the numbers that a receiver knows."""

from hypothesis import given
from hypothesis import strategies as st

from roles.media.rtp import (
    AUDIO_LEVEL,
    HEADER,
    ORIENTATION,
    SEND_TIME,
    rename_extensions,
    renaming,
)
from tests.unit.media.media_kit import extensions

ones = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=6)


def with_extensions(values: dict[int, bytes], payload: bytes = b"media", csrcs: int = 0) -> bytes:
    body = b"".join(bytes([number << 4 | len(value) - 1]) + value for number, value in values.items())
    body += bytes(-len(body) % 4)
    head = HEADER.pack(0x90 | csrcs, 96, 1, 2, 3) + bytes(4 * csrcs)
    return head + b"\xbe\xde" + (len(body) // 4).to_bytes(2) + body + payload


@given(ones, st.lists(st.integers(0, 14), min_size=16, max_size=16), st.integers(0, 15))
def test_each_extension_has_its_new_number_and_others_are_gone(
    values: dict[int, bytes], table: list[int], csrcs: int
) -> None:
    packet = bytearray(with_extensions(values, csrcs=csrcs))
    size = len(packet)
    rename_extensions(packet, bytes(table))
    assert len(packet) == size
    assert packet.endswith(b"media")
    left = {table[number]: value for number, value in values.items() if table[number]}
    assert extensions(bytes(packet)) == left


def test_numbers_are_matched_by_their_uri() -> None:
    table = renaming({AUDIO_LEVEL: 1, SEND_TIME: 2, ORIENTATION: 13}, {AUDIO_LEVEL: 5, ORIENTATION: 13})
    assert (table[1], table[2], table[13]) == (5, 0, 13)


@given(st.binary(max_size=80))
def test_nothing_that_comes_raises_or_changes_the_length(rest: bytes) -> None:
    for start in (b"", b"\xbe\xde\x00\x02", b"\xbe\xde\xff\xff"):
        packet = bytearray(HEADER.pack(0x90, 96, 1, 2, 3) + start + rest)
        size = len(packet)
        extensions(bytes(packet))
        rename_extensions(packet, bytes(range(16)))
        rename_extensions(packet, bytes(16))
        assert len(packet) == size
