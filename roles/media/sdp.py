"""Session descriptions: an offer of a browser is read, and answered. It is never we who offer.

RFC 8866 (SDP), RFC 8829 (how browsers use it), RFC 9143 (several media on one connection).
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from fsharechat.mediaserver import BadOffer
from roles.media.dtls import Fingerprint
from roles.media.rtp import FORWARDED

MAX_BYTES = 65_536
_MAX_SECTIONS = 32
_MAX_FORMATS = 128
_MAX_USER = 256
"""Letters of an ICE user name (RFC 8839 section 5.4)."""
_SENDS = ("sendonly", "sendrecv")
_RECEIVES = ("recvonly", "sendrecv")
_VIDEO_FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb")
_PRIORITY = 2130706431
"""Of a host candidate, the only one of its component (RFC 8445 section 5.1.2.1)."""


class MediaCodec(NamedTuple):
    """What a stream is coded with. Two streams of equal codecs can be put one for the other."""

    name: str
    clock: int
    """Ticks of the time stamp in a second."""
    variant: tuple[str, str] = ("", "")
    """Of H264: the packetization mode, and the profile without its level (RFC 6184 section 8.1)."""


OPUS = MediaCodec("opus", 48_000)
VP8 = MediaCodec("VP8", 90_000)
_CODECS = {
    "audio": {"opus/48000/2": OPUS},
    "video": {"vp8/90000": VP8, "h264/90000": MediaCodec("H264", 90_000)},
}
_PREFERRED_H264 = ("1", "42e0")
"""Constrained baseline with packets that may be parts: what everybody has."""


@dataclass
class OfferedSection:
    """One `m=` of an offer."""

    kind: str
    port: str
    protocol: str
    formats: list[str]
    mid: str | None = None
    direction: str = "sendrecv"
    user: str = ""
    setup: str = ""
    fingerprints: list[Fingerprint] = field(default_factory=list)
    maps: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    feedback: dict[str, list[str]] = field(default_factory=dict)
    extensions: dict[str, int] = field(default_factory=dict)
    sources: list[int] = field(default_factory=list)
    has_password: bool = False
    rtcp_mux: bool = False
    bundled: bool = False

    @property
    def usable(self) -> bool:
        """Whether it is audio or video over a connection of the one kind that we have."""
        return (
            self.kind in _CODECS
            and (self.port != "0" or self.bundled)
            and self.protocol.endswith("RTP/SAVPF")
            and self.rtcp_mux
            and 0 < len(self.user) <= _MAX_USER
            and self.has_password
            and self.setup != "passive"
            and any(one.known for one in self.fingerprints)
        )

    def choose(self, wanted: MediaCodec | None) -> tuple[int, MediaCodec] | None:
        """Return the payload type and the codec to use: `wanted` and no other, or without it the best."""
        best: tuple[int, MediaCodec] | None = None
        best_rank = 0
        for number in self.formats:
            codec = _CODECS.get(self.kind, {}).get(self.maps.get(number, "").lower())
            if codec is None or not number.isdecimal() or not 0 <= int(number) < 128:
                continue
            if codec.name == "H264":
                codec = codec._replace(variant=_h264_variant(self.parameters.get(number, "")))
            if wanted is not None:
                if codec == wanted:
                    return int(number), codec
                continue
            rank = 1 if codec.name == "H264" else 3
            rank += codec.variant == _PREFERRED_H264
            if rank > best_rank:
                best, best_rank = (int(number), codec), rank
        return best

    def used_extensions(self) -> dict[str, int]:
        """Return the extensions that are agreed on, by URI."""
        return {
            uri: number for uri, number in self.extensions.items() if uri in FORWARDED and 0 < number < 15
        }


@dataclass
class Offer:
    sections: list[OfferedSection]


@dataclass(frozen=True)
class ServerPlace:
    """Where and how this side is reached: the same in all sections of one connection."""

    host: str
    port: int
    user: str
    password: str
    fingerprint: Fingerprint


@dataclass(frozen=True)
class SentStream:
    """What a receiver is sent in a section: the source, and the name of the stream that it belongs to."""

    ssrc: int
    name: str
    """As `token` returns it."""


@dataclass(frozen=True)
class AcceptedSection:
    """The answer to one section. Without `stream` it is we who receive, up to `max_kbps` of video."""

    place: ServerPlace
    payload: int
    codec: MediaCodec
    stream: SentStream | None
    max_kbps: int = 0


def parse(text: str) -> Offer:
    """Read an offer. Raises BadOffer where it is none; what nobody knows in it is passed over."""
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise BadOffer(f"the offer is longer than {MAX_BYTES} bytes")
    if not text.startswith("v=0"):
        raise BadOffer("the offer is not a session description")
    common = OfferedSection("", "", "", [])
    sections: list[OfferedSection] = []
    bundle: list[str] = []
    current = common
    for line in text.splitlines():
        if line.startswith("m="):
            if len(sections) == _MAX_SECTIONS:
                raise BadOffer(f"the offer has more than {_MAX_SECTIONS} sections")
            current = _media(line)
            current.direction = common.direction
            sections.append(current)
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            if current is common and name == "group" and value.startswith("BUNDLE"):
                bundle = value.split()[1:]
            else:
                _attribute(current, name, value.strip())
    if not sections:
        raise BadOffer("the offer has no media")
    for section in sections:
        section.user = section.user or common.user
        section.has_password = section.has_password or common.has_password
        section.setup = section.setup or common.setup
        section.fingerprints = section.fingerprints or common.fingerprints
        section.bundled = section.mid is not None and section.mid in bundle
    return Offer(sections)


def sends(section: OfferedSection) -> bool:
    """Whether who offers will send in this section."""
    return section.direction in _SENDS


def receives(section: OfferedSection) -> bool:
    """Whether who offers will receive in this section."""
    return section.direction in _RECEIVES


def answer(offer: Offer, accepted: Mapping[int, AcceptedSection]) -> str:
    """Return the answer: a section for each of the offer, in its order. Those without an entry are refused."""
    place = next(iter(accepted.values())).place
    bundled = [
        str(section.mid)
        for index, section in enumerate(offer.sections)
        if section.bundled and index in accepted
    ]
    lines = ["v=0", f"o=- {secrets.randbits(62)} 1 IN {_host(place.host)}", "s=-", "t=0 0", "a=ice-lite"]
    if bundled:
        lines.append(f"a=group:BUNDLE {' '.join(bundled)}")
    lines.append("a=msid-semantic: WMS *")
    for index, section in enumerate(offer.sections):
        one = accepted.get(index)
        lines += _refusal(section) if one is None else _agreement(section, one)
    return "\r\n".join((*lines, ""))


def _refusal(section: OfferedSection) -> Iterator[str]:
    yield f"m={section.kind} 0 {section.protocol} {section.formats[0]}"
    yield "c=IN IP4 0.0.0.0"
    if section.mid is not None:
        yield f"a=mid:{section.mid}"
    yield "a=inactive"


def _agreement(section: OfferedSection, one: AcceptedSection) -> Iterator[str]:
    place, number, codec = one.place, one.payload, one.codec
    yield f"m={section.kind} {place.port} {section.protocol} {number}"
    yield f"c=IN {_host(place.host)}"
    if one.stream is None and section.kind == "video" and one.max_kbps:
        yield f"b=AS:{one.max_kbps}"
    yield "a=rtcp-mux"
    yield f"a=ice-ufrag:{place.user}"
    yield f"a=ice-pwd:{place.password}"
    yield f"a=fingerprint:{' '.join(place.fingerprint)}"
    yield "a=setup:passive"
    if section.mid is not None:
        yield f"a=mid:{section.mid}"
    for uri, identifier in section.used_extensions().items():
        yield f"a=extmap:{identifier} {uri}"
    channels = "/2" if codec == OPUS else ""
    yield f"a=rtpmap:{number} {codec.name}/{codec.clock}{channels}"
    if str(number) in section.parameters:
        yield f"a=fmtp:{number} {section.parameters[str(number)]}"
    if section.kind == "video":
        offered = section.feedback.get(str(number), []) + section.feedback.get("*", [])
        yield from (f"a=rtcp-fb:{number} {name}" for name in _VIDEO_FEEDBACK if name in offered)
    if one.stream is None:
        yield "a=recvonly"
    else:
        ssrc, name = one.stream.ssrc, one.stream.name
        yield "a=sendonly"
        yield f"a=msid:{name} {name}-{section.kind}"
        yield f"a=ssrc:{ssrc} cname:{name}"
        yield f"a=ssrc:{ssrc} msid:{name} {name}-{section.kind}"
    yield f"a=candidate:1 1 udp {_PRIORITY} {place.host} {place.port} typ host"
    yield "a=end-of-candidates"


def _media(line: str) -> OfferedSection:
    words = line[2:].split()
    if len(words) < 4 or len(words) > _MAX_FORMATS + 3:
        raise BadOffer("a section of the offer is broken")
    return OfferedSection(words[0], words[1], words[2], words[3:])


def _attribute(section: OfferedSection, name: str, value: str) -> None:
    head, _, rest = value.partition(" ")
    match name:
        case "mid":
            section.mid = value
        case "sendrecv" | "sendonly" | "recvonly" | "inactive":
            section.direction = name
        case "ice-ufrag":
            section.user = value
        case "ice-pwd":
            section.has_password = bool(value)
        case "setup":
            section.setup = value
        case "fingerprint":
            section.fingerprints.append(Fingerprint((head.lower(), rest.strip())))
        case "rtpmap":
            section.maps[head] = rest
        case "fmtp":
            section.parameters[head] = rest
        case "rtcp-fb":
            section.feedback.setdefault(head, []).append(rest)
        case "extmap":
            number = head.partition("/")[0]
            if number.isdecimal() and len(number) < 6:
                section.extensions[rest.split(" ")[0]] = int(number)
        case "ssrc":
            if head.isdecimal() and int(head) < 1 << 32 and int(head) not in section.sources:
                section.sources.append(int(head))
        case "rtcp-mux":
            section.rtcp_mux = True


def _h264_variant(parameters: str) -> tuple[str, str]:
    pairs = dict(_pairs(parameters.split(";")))
    return pairs.get("packetization-mode", "0"), pairs.get("profile-level-id", "42e01f")[:4].lower()


def _pairs(parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    for part in parts:
        name, _, value = part.strip().partition("=")
        yield name, value


def _host(host: str) -> str:
    return f"IP{ip_address(host).version} {host}"


def token(name: str) -> str:
    """Return a name that may stand in an answer for a user's."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[:64] or "_"
