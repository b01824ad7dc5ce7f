"""RTCP packets that an SFU reads and writes: reports, loss, key frames, the rate that a receiver can take.

RFC 3550 (SR, RR, SDES), RFC 4585 (NACK, PLI), RFC 5104 (FIR), draft-alvestrand-rmcat-remb (REMB).
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

SR = 200
RR = 201
SDES = 202
RTPFB = 205
PSFB = 206

NACK = 1
PLI = 1
FIR = 4
REMB = 15

_HEADER = struct.Struct("!BBH")
_TWO = struct.Struct("!HH")
_BLOCK = struct.Struct("!IIIIII")
_SENDER_INFO = struct.Struct("!QIII")
_FEEDBACK = struct.Struct("!BBHII")
_FOLLOWING = 16
"""Packets behind the first that one entry of a NACK can name."""
_MAX_NAMED = 512
"""Lost packets that one NACK names at most: more cannot be sent again in time."""


class RtcpPacket(NamedTuple):
    """One packet of a compound: `subtype` is the field beside the version, `data` the whole packet."""

    kind: int
    subtype: int
    data: bytes


class Block(NamedTuple):
    """What a receiver reports of one source (RFC 3550 section 6.4.1)."""

    ssrc: int
    lost_part: int
    """Of the packets since the last report, in 1/256."""
    lost: int
    """In all, at most 0x7fffff."""
    highest: int
    """The highest sequence number with its cycles."""
    jitter: int
    last_sr: int
    since_sr: int
    """In 1/65536 s."""


class SenderInfo(NamedTuple):
    ssrc: int
    ntp: int
    """64 bits: seconds since 1900, and their fraction."""
    rtp: int
    packets: int
    octets: int


def split(data: bytes) -> Iterator[RtcpPacket]:
    """Yield the packets of a compound, up to what is broken."""
    at, size = 0, len(data)
    while at + 8 <= size:
        first, kind, words = _HEADER.unpack_from(data, at)
        end = at + 4 * (words + 1)
        if first >> 6 != 2 or end > size or end - at < 8:
            return
        yield RtcpPacket(kind, first & 31, data[at:end])
        at = end


def sender_info(packet: RtcpPacket) -> SenderInfo | None:
    """Return the first part of an SR, or None where it is cut off."""
    if len(packet.data) < 28:
        return None
    return SenderInfo(*struct.unpack_from("!IQIII", packet.data, 4))


def sender_report(info: SenderInfo, cname: str) -> bytes:
    """Return an SR without blocks, and the SDES that names the source."""
    ssrc, ntp, rtp, packets, octets = info
    report = (
        _HEADER.pack(0x80, SR, 6) + struct.pack("!I", ssrc) + _SENDER_INFO.pack(ntp, rtp, packets, octets)
    )
    name = cname.encode()[:255]
    chunk = struct.pack("!IBB", ssrc, 1, len(name)) + name
    chunk += bytes(4 - len(chunk) % 4)  # ends with at least one zero
    return report + _HEADER.pack(0x81, SDES, len(chunk) // 4) + chunk


def receiver_report(sender: int, blocks: Sequence[Block]) -> bytes:
    """Return an RR with at most 31 blocks."""
    packed = b"".join(
        _BLOCK.pack(
            block.ssrc,
            (block.lost_part & 0xFF) << 24 | (min(block.lost, 0x7FFFFF) & 0xFFFFFF),
            block.highest & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_sr,
            block.since_sr & 0xFFFFFFFF,
        )
        for block in blocks[:31]
    )
    return (
        _HEADER.pack(0x80 | min(len(blocks), 31), RR, 1 + len(packed) // 4)
        + struct.pack("!I", sender)
        + packed
    )


def media_ssrc(packet: RtcpPacket) -> int:
    """Return the source that feedback (RTPFB, PSFB) is about; 0 where it is cut off.

    A FIR names it in its entry, not in the header (RFC 5104 section 4.3.1.2); of several the first counts.
    """
    at = 12 if packet.kind == PSFB and packet.subtype == FIR else 8
    if len(packet.data) < at + 4:
        return 0
    ssrc: int = struct.unpack_from("!I", packet.data, at)[0]
    return ssrc


def nack(sender: int, media: int, lost: Iterable[int]) -> bytes:
    """Return a NACK of these sequence numbers, which need not be in order."""
    entries = bytearray()
    rest = sorted(set(lost))
    while rest:
        first = rest.pop(0)
        mask = 0
        while rest and rest[0] - first <= _FOLLOWING:
            mask |= 1 << (rest.pop(0) - first - 1)
        entries += _TWO.pack(first, mask)
    return _FEEDBACK.pack(0x80 | NACK, RTPFB, 2 + len(entries) // 4, sender, media) + bytes(entries)


def lost_packets(packet: RtcpPacket) -> list[int]:
    """Return the sequence numbers that a NACK names, the first 512."""
    named: list[int] = []
    for at in range(12, len(packet.data) - 3, 4):
        first, mask = _TWO.unpack_from(packet.data, at)
        named.append(first)
        named.extend((first + bit + 1) & 0xFFFF for bit in range(_FOLLOWING) if mask >> bit & 1)
        if len(named) >= _MAX_NAMED:
            return named[:_MAX_NAMED]
    return named


def pli(sender: int, media: int) -> bytes:
    return _FEEDBACK.pack(0x80 | PLI, PSFB, 2, sender, media)


def remb(sender: int, bits: int, sources: Sequence[int]) -> bytes:
    """Say that all of `sources` together may have so many bits a second. The number is rounded down to 18 digits."""
    exponent = max(bits.bit_length() - 18, 0)
    packed = len(sources) << 24 | exponent << 18 | bits >> exponent
    names = struct.pack(f"!{len(sources)}I", *sources)
    head = _FEEDBACK.pack(0x80 | REMB, PSFB, 4 + len(sources), sender, 0)
    return head + b"REMB" + struct.pack("!I", packed) + names


def read_remb(packet: RtcpPacket) -> int | None:
    """Return the bits a second that a REMB names, or None where it is none."""
    if len(packet.data) < 20 or packet.data[12:16] != b"REMB":
        return None
    packed: int = struct.unpack_from("!I", packet.data, 16)[0]
    return (packed & 0x3FFFF) << (packed >> 18 & 0x3F)
