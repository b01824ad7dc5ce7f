"""SRTP: packets are encrypted and decrypted by libsrtp, in one buffer that is used again and again.

pylibsrtp's own methods copy each packet three times. So its binding is called here, which is not documented.
"""

from dataclasses import dataclass

from pylibsrtp import Error, Policy, Session
from pylibsrtp._binding import ffi, lib

MAX_PACKET = 2048
"""No datagram of a browser is longer; bytes."""
_TRAILER = 160
"""What encryption adds at most."""
_WINDOW = 1024
"""Packets that may overtake each other."""
MAX_SOURCES = 8
"""SSRCs of one connection. A browser has one for each of audio and video, and new ones when it changes its camera."""

_buffer = ffi.new("char[]", MAX_PACKET + _TRAILER)
_length = ffi.new("int *")
_view = ffi.buffer(_buffer)
_memmove = ffi.memmove
_protect = lib.srtp_protect
_unprotect = lib.srtp_unprotect


@dataclass(frozen=True)
class Profile:
    """How packets are encrypted (RFC 5764, RFC 7714). Lengths in bytes."""

    name: bytes
    number: int
    key_bytes: int
    salt_bytes: int

    @property
    def material_bytes(self) -> int:
        """Return how much keying material both sides need together."""
        return 2 * (self.key_bytes + self.salt_bytes)


PROFILES = (
    Profile(b"SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    Profile(b"SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
)
"""In the order of our choice."""


class Srtp:
    """The keys of one connection. Packets that are not right are None; a call never raises for what was received."""

    def __init__(self, profile: Profile, material: bytes, *, as_server: bool = True) -> None:
        """`material` is what both sides of the DTLS connection export (RFC 5764 section 4.2)."""
        key, salt = profile.key_bytes, profile.salt_bytes
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt : 2 * key + 2 * salt]
        ours, theirs = (server, client) if as_server else (client, server)
        self._out = _session(profile, ours, Policy.SSRC_ANY_OUTBOUND)
        self._in = _session(profile, theirs, Policy.SSRC_ANY_INBOUND)
        self._out_handle = self._out._srtp[0]
        self._in_handle = self._in._srtp[0]
        self._sources: set[bytes] = set()

    def seal(self, packet: bytes | bytearray) -> bytes | None:
        """Return the RTP packet encrypted, or None: it is older than what was sent, or too long."""
        size = len(packet)
        if size > MAX_PACKET:
            return None
        _memmove(_buffer, packet, size)
        _length[0] = size
        if _protect(self._out_handle, _buffer, _length):
            return None
        sealed: bytes = _view[: _length[0]]
        return sealed

    def open(self, datagram: bytes) -> bytes | None:
        """Return the RTP packet in a datagram, or None: not from the other side, broken, or seen before."""
        size = len(datagram)
        if size < 12 or size > MAX_PACKET:
            return None
        source = datagram[8:12]
        known = source in self._sources
        if not known and len(self._sources) >= MAX_SOURCES:
            return None
        _memmove(_buffer, datagram, size)
        _length[0] = size
        if _unprotect(self._in_handle, _buffer, _length):
            return None
        if not known:
            self._sources.add(source)
        packet: bytes = _view[: _length[0]]
        return packet

    def seal_rtcp(self, packet: bytes) -> bytes | None:
        try:
            sealed: bytes = self._out.protect_rtcp(packet)
        except (Error, ValueError):
            return None
        return sealed

    def open_rtcp(self, datagram: bytes) -> bytes | None:
        if len(datagram) < 8:
            return None
        source = datagram[4:8]
        if source not in self._sources and len(self._sources) >= MAX_SOURCES:
            return None
        try:
            packet: bytes = self._in.unprotect_rtcp(datagram)
        except (Error, ValueError):
            return None
        self._sources.add(source)
        return packet


def _session(profile: Profile, key: bytes, kind: int) -> Session:
    policy = Policy(key=key, ssrc_type=kind, srtp_profile=profile.number)
    policy.allow_repeat_tx = True  # a lost packet is sent again
    policy.window_size = _WINDOW
    return Session(policy)
