"""Answers to offers that real browsers made: Chromium 156 and Firefox 153, one that sends and one that receives."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.mediaserver import BadOffer
from roles.media import sdp
from roles.media.dtls import Fingerprint
from roles.media.sdp import OPUS, VP8, AcceptedSection, MediaCodec, SentStream, ServerPlace

OFFERS = Path(__file__).parent / "offers"
H264 = MediaCodec("H264", 90_000, ("1", "42e0"))
PLACE = ServerPlace("192.0.2.7", 20_000, "user", "password", Fingerprint(("sha-256", "AB:CD")))


def recorded(name: str) -> str:
    return (OFFERS / f"{name}.sdp").read_text()


def sections(text: str) -> list[list[str]]:
    """Return the lines of each section of a description, without what is common."""
    return [part.splitlines() for part in re.split(r"^(?=m=)", text, flags=re.MULTILINE)[1:]]


def answered(offer: str, *, stream: SentStream | None = None) -> list[list[str]]:
    """Answer audio and video of an offer with what is chosen first."""
    parsed = sdp.parse(offer)
    accepted = {}
    for index, section in enumerate(parsed.sections):
        if section.usable and (choice := section.choose(None)) is not None:
            accepted[index] = AcceptedSection(PLACE, *choice, stream, 2000)
    answer = sdp.answer(parsed, accepted)
    assert answer.endswith("\r\n")
    assert "a=ice-lite\r\n" in answer.partition("m=")[0]
    return sections(answer.replace("\r\n", "\n"))


@pytest.mark.parametrize(
    ("name", "audio", "video", "level", "sent"),
    [
        ("chromium-sends", 111, 96, 1, 2),
        ("firefox-sends", 109, 120, 1, None),
    ],
)
def test_who_sends_is_received(name: str, audio: int, video: int, level: int, sent: int | None) -> None:
    sound, picture = answered(recorded(name))
    assert sound[0] == f"m=audio 20000 UDP/TLS/RTP/SAVPF {audio}"
    assert picture[0] == f"m=video 20000 UDP/TLS/RTP/SAVPF {video}"
    for section in (sound, picture):
        assert "a=recvonly" in section
        assert "a=setup:passive" in section
        assert "a=rtcp-mux" in section
        assert "a=fingerprint:sha-256 AB:CD" in section
        assert "a=ice-ufrag:user" in section
        assert "a=ice-pwd:password" in section
        assert "a=candidate:1 1 udp 2130706431 192.0.2.7 20000 typ host" in section
        assert not any(line.startswith(("a=msid", "a=ssrc")) for line in section)
    assert f"a=rtpmap:{audio} opus/48000/2" in sound
    assert f"a=rtpmap:{video} VP8/90000" in picture
    assert "b=AS:2000" in picture
    assert [line for line in picture if line.startswith("a=rtcp-fb")] == [
        f"a=rtcp-fb:{video} {what}" for what in ("nack", "nack pli", "ccm fir", "goog-remb")
    ]
    assert not any(line.startswith("a=rtcp-fb") for line in sound)
    assert f"a=extmap:{level} urn:ietf:params:rtp-hdrext:ssrc-audio-level" in sound
    if sent is not None:
        assert f"a=extmap:{sent} http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time" in picture


@pytest.mark.parametrize("name", ["chromium-receives", "firefox-receives"])
def test_who_receives_is_sent_one_stream(name: str) -> None:
    sound, picture = answered(recorded(name), stream=SentStream(77, "anna"))
    assert "a=msid:anna anna-audio" in sound
    assert "a=msid:anna anna-video" in picture
    for section in (sound, picture):
        assert "a=sendonly" in section
        assert "a=ssrc:77 cname:anna" in section
        assert not any(line.startswith("b=") for line in section)


@pytest.mark.parametrize("name", ["chromium-sends", "chromium-receives", "firefox-sends", "firefox-receives"])
def test_both_media_are_on_one_connection_and_keep_their_names(name: str) -> None:
    parsed = sdp.parse(recorded(name))
    assert [(one.kind, one.mid, one.bundled) for one in parsed.sections] == [
        ("audio", "0", True),
        ("video", "1", True),
    ]
    accepted = {index: AcceptedSection(PLACE, 96, VP8, None) for index in (0, 1)}
    assert "a=group:BUNDLE 0 1\r\n" in sdp.answer(parsed, accepted)
    assert [one.choose(None) for one in parsed.sections] == [
        (111 if "chromium" in name else 109, OPUS),
        (96 if "chromium" in name else 120, VP8),
    ]


def test_without_vp8_it_is_the_h264_that_everybody_has() -> None:
    offer = recorded("chromium-receives").replace("VP8/90000", "VP7/90000")
    video = sdp.parse(offer).sections[1]
    assert video.choose(None) == (108, H264)


def test_a_receiver_gets_what_the_sender_sends_or_nothing() -> None:
    video = sdp.parse(recorded("chromium-receives")).sections[1]
    assert video.choose(H264) == (108, H264)
    assert video.choose(H264._replace(variant=("0", "42e0"))) == (114, H264._replace(variant=("0", "42e0")))
    assert video.choose(H264._replace(variant=("1", "6400"))) is None
    assert video.choose(MediaCodec("VP9", 90_000)) is None


def test_what_is_refused_keeps_its_place_and_its_name() -> None:
    offer = recorded("chromium-sends") + (
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\na=mid:2\na=sctp-port:5000\n"
    )
    _, _, data = answered(offer)
    assert data == [
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:2",
        "a=inactive",
    ]


def test_only_the_sections_that_are_accepted_are_in_the_bundle() -> None:
    parsed = sdp.parse(recorded("chromium-sends"))
    answer = sdp.answer(parsed, {1: AcceptedSection(PLACE, 96, VP8, None)})
    assert "a=group:BUNDLE 1\r\n" in answer
    assert "m=audio 0 " in answer


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("a=rtcp-mux", "a=x"),
        ("a=setup:actpass", "a=setup:passive"),
        ("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 "),
        ("a=ice-pwd:", "a=x:"),
        ("a=ice-ufrag:", "a=x:"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
    ],
)
def test_a_section_that_cannot_be_carried_is_not_usable(line: str, instead: str) -> None:
    offer = recorded("chromium-sends")
    assert line in offer
    assert not any(one.usable for one in sdp.parse(offer.replace(line, instead)).sections)


def test_directions() -> None:
    directions = {}
    for name in ("sendonly", "recvonly", "sendrecv", "inactive"):
        (section, _) = sdp.parse(recorded("chromium-sends").replace("a=sendonly", f"a={name}")).sections
        directions[name] = (sdp.sends(section), sdp.receives(section))
    assert directions == {
        "sendonly": (True, False),
        "recvonly": (False, True),
        "sendrecv": (True, True),
        "inactive": (False, False),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "v=0\r\n",
        "v=0\r\nm=audio\r\n",
        "v=0\r\n" + "m=audio 9 UDP/TLS/RTP/SAVPF 1\r\n" * 33,
        "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF " + " ".join(map(str, range(200))),
        "v=0\r\n" + "x" * sdp.MAX_BYTES,
        "v=0\r\n" + "界" * (sdp.MAX_BYTES // 3),
    ],
)
def test_what_is_no_offer_is_refused(text: str) -> None:
    with pytest.raises(BadOffer):
        sdp.parse(text)


@given(st.text(max_size=40), st.integers(0, 200))
def test_nothing_in_an_offer_raises_another_error(text: str, at: int) -> None:
    lines = recorded("chromium-sends").splitlines()
    at %= len(lines)
    for changed in (lines[at] + text, lines[at].partition(":")[0] + ":" + text, text):
        try:
            offer = sdp.parse("\n".join([*lines[:at], changed, *lines[at + 1 :]]))
        except BadOffer:
            continue
        accepted = {
            index: AcceptedSection(PLACE, *choice, None)
            for index, one in enumerate(offer.sections)
            if one.usable and (choice := one.choose(None)) is not None
        }
        if accepted:
            sdp.answer(offer, accepted)


@given(st.text(max_size=100))
def test_the_name_of_a_stream_is_a_token(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.+-]{1,64}", sdp.token(name))
