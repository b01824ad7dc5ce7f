"""STUN by the test vectors of RFC 5769, and what is not answered."""

import hmac
import struct
from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.media import stun

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
REQUEST = bytes.fromhex(
    "00010058 2112a442 b7e7a701bc34d686fa87dfae"
    "80220010 5354554e207465737420636c69656e74"
    "00240004 6e0001ff"
    "80290008 932ff9b151263b36"
    "00060009 6576746a3a68367659202020"
    "00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004 e57a3bcf"
)
"""Section 2.1."""


def test_a_request_of_the_rfc_is_read_and_is_valid() -> None:
    request = stun.parse(REQUEST)
    assert request is not None
    assert request.transaction == TRANSACTION
    assert (request.local_user, request.remote_user) == ("evtj", "h6vY")
    assert not request.use_candidate
    assert request.valid(PASSWORD)
    assert not request.valid(PASSWORD[:-1])


@pytest.mark.parametrize(
    ("host", "attribute"),
    [
        ("192.0.2.1", "00200008 0001a147 e112a643"),
        ("2001:db8:1234:5678:11:2233:4455:6677", "00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9"),
    ],
)
def test_a_response_names_the_address_as_the_rfc_does_and_is_signed(host: str, attribute: str) -> None:
    response = stun.success(TRANSACTION, host, 32853, PASSWORD)
    mapped = bytes.fromhex(attribute)
    assert response[:2] == b"\x01\x01"
    assert response[8:20] == TRANSACTION
    assert response[20:].startswith(mapped)
    # MESSAGE-INTEGRITY: over all before it, with the length of a message that ends there (RFC 8489 section 14.5).
    at = 20 + len(mapped)
    signed = response[:2] + struct.pack("!H", at - 20 + 24) + response[4:at]
    assert response[at : at + 4] == b"\x00\x08\x00\x14"
    assert response[at + 4 : at + 24] == hmac.digest(PASSWORD, signed, "sha1")
    assert response[-8:-4] == b"\x80\x28\x00\x04"
    assert struct.unpack("!I", response[-4:])[0] == crc32(response[:-8]) ^ 0x5354554E
    assert struct.unpack_from("!H", response, 2)[0] == len(response) - 20


def test_what_is_written_as_a_request_is_read_as_one() -> None:
    request = stun.parse(stun.request(TRANSACTION, "ours:theirs", PASSWORD, use_candidate=True))
    assert request is not None
    assert (request.local_user, request.remote_user, request.use_candidate) == ("ours", "theirs", True)
    assert request.valid(PASSWORD)


def test_what_is_not_signed_or_broken_is_no_request() -> None:
    unsigned = REQUEST[:2] + struct.pack("!H", 0x58 - 24 - 8) + REQUEST[4:-32]
    assert stun.parse(unsigned) is None
    assert stun.parse(REQUEST[:-1]) is None
    assert stun.parse(REQUEST[:-4] + b"\0\0\0\0") is None  # the fingerprint
    assert stun.parse(b"\x01\x01" + REQUEST[2:]) is None  # a response
    assert stun.parse(b"") is None


@given(st.integers(20, len(REQUEST) - 33), st.integers(1, 255))
def test_no_byte_can_be_changed_unseen(at: int, change: int) -> None:
    """The fingerprint is taken off, which would see it first."""
    forged = bytearray(REQUEST[:-8])
    forged[3] -= 8
    forged[at] ^= change
    request = stun.parse(bytes(forged))
    assert request is None or not request.valid(PASSWORD)


@given(st.binary(max_size=200))
def test_nothing_that_comes_raises(data: bytes) -> None:
    stun.parse(data)
    stun.parse(REQUEST[:20] + data)
    stun.parse(b"\x00\x01" + struct.pack("!HI", len(data), stun.MAGIC) + TRANSACTION + data)
