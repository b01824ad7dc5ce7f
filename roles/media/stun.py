"""STUN as an ICE-lite agent needs it: binding requests are read and checked, responses are written.

RFC 8489 (STUN), RFC 8445 (ICE). Only the short-term credential is known, which is what ICE uses.
"""

import hmac
import struct
from binascii import crc32
from ipaddress import ip_address
from typing import NamedTuple

MAGIC = 0x2112A442
BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101

USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
XOR_MAPPED_ADDRESS = 0x0020
USE_CANDIDATE = 0x0025
FINGERPRINT = 0x8028

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_FINGERPRINT_XOR = 0x5354554E
_HEADER_BYTES = 20
_INTEGRITY_BYTES = 4 + 20
_FINGERPRINT_BYTES = 4 + 4
_MAX_BYTES = 1280
"""Requests of browsers have some 100 to 150 bytes."""


class BindingRequest(NamedTuple):
    """A binding request whose MESSAGE-INTEGRITY has not been checked yet."""

    transaction: bytes
    """12 bytes."""
    local_user: str
    """The part of USERNAME before the colon: our user name."""
    remote_user: str
    """The part behind it: the user name of who asks."""
    use_candidate: bool
    integrity: bytes
    """The 20 bytes that MESSAGE-INTEGRITY has."""
    signed: bytes
    """What they are computed over."""

    def valid(self, password: bytes) -> bool:
        """Return whether who sent it knows the password."""
        return hmac.compare_digest(hmac.digest(password, self.signed, "sha1"), self.integrity)


def parse(data: bytes) -> BindingRequest | None:
    """Return the binding request that a datagram is; None where it is another thing, broken, or not signed.

    Attributes behind MESSAGE-INTEGRITY count for nothing, but for FINGERPRINT, which must be right if it is there.
    """
    size = len(data)
    if not _HEADER_BYTES <= size <= _MAX_BYTES:
        return None
    kind, length, magic, transaction = _HEADER.unpack_from(data)
    if kind != BINDING_REQUEST or magic != MAGIC or length != size - _HEADER_BYTES or length % 4:
        return None
    user = integrity = None
    use_candidate = False
    signed = b""
    at = _HEADER_BYTES
    while at + 4 <= size:
        name, value_bytes = _ATTRIBUTE.unpack_from(data, at)
        value = data[at + 4 : at + 4 + value_bytes]
        if len(value) != value_bytes:
            return None
        if name == FINGERPRINT:
            if value != _fingerprint(data[:at]):
                return None
        elif integrity is not None:
            pass
        elif name == USERNAME:
            user = value
        elif name == USE_CANDIDATE:
            use_candidate = True
        elif name == MESSAGE_INTEGRITY:
            integrity = value
            # The length in the header is that of a message which ends with this attribute.
            signed = (
                _header(kind, at - _HEADER_BYTES + _INTEGRITY_BYTES, transaction) + data[_HEADER_BYTES:at]
            )
        at += 4 + value_bytes + -value_bytes % 4
    if user is None or integrity is None or len(integrity) != 20:
        return None
    try:
        local_user, colon, remote_user = user.decode().partition(":")
    except UnicodeDecodeError:
        return None
    if not colon:
        return None
    return BindingRequest(transaction, local_user, remote_user, use_candidate, integrity, signed)


def success(transaction: bytes, host: str, port: int, password: bytes) -> bytes:
    """Return the response to a request that came from this address, signed with the password."""
    body = _xor_mapped(transaction, host, port)
    message = _header(BINDING_SUCCESS, len(body) + _INTEGRITY_BYTES, transaction) + body
    body += _ATTRIBUTE.pack(MESSAGE_INTEGRITY, 20) + hmac.digest(password, message, "sha1")
    return _with_fingerprint(BINDING_SUCCESS, transaction, body)


def request(transaction: bytes, user: str, password: bytes, *, use_candidate: bool = False) -> bytes:
    """Return a binding request, as the side of a browser sends it. `user` is `theirs:ours`."""
    name = user.encode()
    body = _ATTRIBUTE.pack(USERNAME, len(name)) + name + bytes(-len(name) % 4)
    if use_candidate:
        body += _ATTRIBUTE.pack(USE_CANDIDATE, 0)
    message = _header(BINDING_REQUEST, len(body) + _INTEGRITY_BYTES, transaction) + body
    body += _ATTRIBUTE.pack(MESSAGE_INTEGRITY, 20) + hmac.digest(password, message, "sha1")
    return _with_fingerprint(BINDING_REQUEST, transaction, body)


def _header(kind: int, length: int, transaction: bytes) -> bytes:
    return _HEADER.pack(kind, length, MAGIC, transaction)


def _with_fingerprint(kind: int, transaction: bytes, body: bytes) -> bytes:
    message = _header(kind, len(body) + _FINGERPRINT_BYTES, transaction) + body
    return message + _ATTRIBUTE.pack(FINGERPRINT, 4) + _fingerprint(message)


def _fingerprint(message: bytes) -> bytes:
    return struct.pack("!I", crc32(message) ^ _FINGERPRINT_XOR)


def _xor_mapped(transaction: bytes, host: str, port: int) -> bytes:
    address = ip_address(host.partition("%")[0])
    mask = struct.pack("!I", MAGIC) + transaction
    masked = bytes(a ^ b for a, b in zip(address.packed, mask, strict=False))
    family = 1 if address.version == 4 else 2
    value = struct.pack("!BBH", 0, family, port ^ (MAGIC >> 16)) + masked
    return _ATTRIBUTE.pack(XOR_MAPPED_ADDRESS, len(value)) + value
