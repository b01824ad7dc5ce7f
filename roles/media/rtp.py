"""The header of RTP packets, and their extensions of one byte (RFC 3550 section 5.1, RFC 8285 section 4.2)."""

import struct
from collections.abc import Mapping

HEADER = struct.Struct("!BBHII")
"""Version and flags, marker and payload type, sequence number, time stamp, SSRC."""
HEADER_BYTES = 12

AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
ORIENTATION = "urn:3gpp:video-orientation"
FORWARDED = frozenset({AUDIO_LEVEL, SEND_TIME, ORIENTATION})
"""The extensions that receivers are given. Others are blanked out: they are about the sender's connection."""

_IDS = 16
_PROFILE = b"\xbe\xde"


def renaming(sent: Mapping[str, int], taken: Mapping[str, int]) -> bytes:
    """Return the number of a receiver's extension for each number of the sender's; 0 where there is none.

    `sent` and `taken` are the numbers that both sides have agreed on with us, by URI.
    """
    table = bytearray(_IDS)
    for uri, number in sent.items():
        if 0 < number < _IDS:
            table[number] = taken.get(uri, 0)
    return bytes(table)


def rename_extensions(packet: bytearray, table: bytes) -> None:
    """Give the extensions of a packet other numbers, in place; those that have none become padding."""
    if not packet[0] & 0x10:
        return
    at = HEADER_BYTES + 4 * (packet[0] & 15)
    if packet[at : at + 2] != _PROFILE or len(packet) < at + 4:
        return
    end = min(at + 4 + 4 * (packet[at + 2] << 8 | packet[at + 3]), len(packet))
    at += 4
    while at < end:
        head = packet[at]
        if not head:
            at += 1
            continue
        after = at + (head & 15) + 2
        number = table[head >> 4]
        if number:
            packet[at] = number << 4 | head & 15
        else:
            stop = min(after, end)
            packet[at:stop] = bytes(stop - at)
        at = after
