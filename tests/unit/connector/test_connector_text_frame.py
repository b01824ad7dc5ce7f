import pytest

from roles.connector.websocket import text_frame


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
def test_the_length_of_a_frame_is_written_as_the_rfc_says(size: int, head: bytes):
    payload = b"x" * size
    assert text_frame(payload) == head + payload
