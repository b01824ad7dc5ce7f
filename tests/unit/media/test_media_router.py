"""Packets on their way from a sender to its receivers."""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.media import rtcp
from roles.media.router import KEY_SECONDS, Demux, Sink, StreamSource
from roles.media.rtp import AUDIO_LEVEL, HEADER
from roles.media.sdp import OPUS, VP8, MediaCodec
from roles.media.sfu import Limits, receiver_feedback
from tests.unit.media.media_kit import extensions, fir

H264 = MediaCodec("H264", 90_000, ("1", "42e0"))
CAP = 2_000_000
VP8_IN = 96


@dataclass(eq=False)
class Line:
    """A connection that is always up, and what was sent over it."""

    packets: list[bytes] = field(default_factory=list)
    feedback: list[rtcp.RtcpPacket] = field(default_factory=list)

    def send_rtp(self, packet: bytes | bytearray) -> None:
        self.packets.append(bytes(packet))

    def send_rtcp(self, packet: bytes) -> None:
        self.feedback += rtcp.split(packet)

    @property
    def numbers(self) -> list[int]:
        return [HEADER.unpack_from(packet)[2] for packet in self.packets]

    @property
    def stamps(self) -> list[int]:
        return [HEADER.unpack_from(packet)[3] for packet in self.packets]

    def kinds(self) -> list[tuple[int, int]]:
        return [(packet.kind, packet.subtype) for packet in self.feedback]


PLI = (rtcp.PSFB, rtcp.PLI)
NACK = (rtcp.RTPFB, rtcp.NACK)


def packet(
    number: int, stamp: int = 0, ssrc: int = 7, payload: int = VP8_IN, body: bytes = b"media"
) -> bytes:
    return HEADER.pack(0x80, payload, number & 0xFFFF, stamp & 0xFFFFFFFF, ssrc) + body


def playing(
    kind: str = "video", codec: MediaCodec = VP8, payload: int = VP8_IN
) -> tuple[StreamSource, Line, Sink, Line]:
    """Return a source with its connection, and a receiver with its own."""
    source, up, down = StreamSource(kind, "anna", CAP), Line(), Line()
    source.attach(up, payload, codec, {})
    sink = Sink(source, down, payload, codec, {})
    sink.start(0.0)
    return source, up, sink, down


def consecutive(numbers: list[int]) -> bool:
    return all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers))


@given(
    st.integers(0, 0xFFFF),
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, (1 << 32) - 1)), max_size=5),
)
def test_numbers_go_on_whatever_connection_they_come_from(
    first: int, connections: list[tuple[int, int]]
) -> None:
    source, _, _, down = playing()
    now = 1.0
    for index, (number, stamp) in enumerate([(first, 0), *connections]):
        if index:
            source.attach(Line(), VP8_IN, VP8, {})
        for step in range(3):
            now += 0.02
            source.on_rtp(packet(number + step, stamp + 1800 * step, ssrc=index), now)
    assert len(down.packets) == 3 * (1 + len(connections))
    assert consecutive(down.numbers)
    assert {HEADER.unpack_from(one)[4] for one in down.packets} == {source.ssrc}
    assert all(0 < (b - a) & 0xFFFFFFFF < 90_000 for a, b in zip(down.stamps, down.stamps[1:], strict=False))


def test_the_clock_goes_on_by_the_time_that_has_passed() -> None:
    source, _, _, down = playing()
    source.on_rtp(packet(1, 5000), 10.0)
    source.attach(Line(), VP8_IN, VP8, {})
    source.on_rtp(packet(900, 77, ssrc=8), 12.0)
    assert (down.stamps[1] - down.stamps[0]) & 0xFFFFFFFF == 2 * 90_000


def test_packets_that_overtake_each_other_keep_their_numbers() -> None:
    source, _, _, down = playing()
    for number in (10, 12, 11, 13):
        source.on_rtp(packet(number), 1.0)
    first = down.numbers[0]
    assert [(number - first) & 0xFFFF for number in down.numbers] == [0, 2, 1, 3]


def test_the_same_stream_that_numbers_anew_goes_on() -> None:
    source, _, _, down = playing()
    source.on_rtp(packet(10, 1000), 1.0)
    source.on_rtp(packet(30_000, 2000), 1.1)
    assert consecutive(down.numbers)
    assert (down.stamps[1] - down.stamps[0]) & 0xFFFFFFFF == 1000


def test_who_comes_before_the_sender_receives_when_it_sends() -> None:
    source, down = StreamSource("video", "anna", CAP), Line()
    sink = Sink(source, down, VP8_IN, VP8, {})
    sink.start(0.0)
    up = Line()
    source.attach(up, VP8_IN, VP8, {})
    source.on_rtp(packet(1), 1.0)
    assert len(down.packets) == 1
    assert PLI in up.kinds()


def test_a_receiver_gets_its_own_payload_type_and_extension_numbers() -> None:
    source, down = StreamSource("audio", "anna", CAP), Line()
    source.attach(Line(), 111, OPUS, {AUDIO_LEVEL: 1})
    sink = Sink(source, down, 109, OPUS, {AUDIO_LEVEL: 6})
    sink.start(0.0)
    source.on_rtp(
        HEADER.pack(0x90, 0x80 | 111, 1, 2, 3) + b"\xbe\xde\x00\x01\x10\x55\x00\x00" + b"sound", 1.0
    )
    (sent,) = down.packets
    assert sent[1] == 0x80 | 109
    assert extensions(sent) == {6: b"\x55"}
    assert sent.endswith(b"sound")


def test_a_sender_that_begins_anew_with_other_numbers_is_received_by_the_old_ones() -> None:
    source, down = StreamSource("audio", "anna", CAP), Line()
    source.attach(Line(), 111, OPUS, {AUDIO_LEVEL: 1})
    Sink(source, down, 111, OPUS, {AUDIO_LEVEL: 1}).start(0.0)
    source.attach(Line(), 109, OPUS, {AUDIO_LEVEL: 3})
    source.on_rtp(HEADER.pack(0x90, 109, 1, 2, 3) + b"\xbe\xde\x00\x01\x30\x55\x00\x00", 1.0)
    (sent,) = down.packets
    assert sent[1] == 111
    assert extensions(sent) == {1: b"\x55"}


def test_a_receiver_bound_to_another_codec_gets_nothing_until_it_is_sent_again() -> None:
    source, _, _, down = playing()
    source.on_rtp(packet(1), 1.0)
    source.attach(Line(), 102, H264, {})
    for number in range(40_000):
        source.on_rtp(packet(number, payload=102, ssrc=8), 2.0 + number / 1000)
        source.tick(2.0 + number / 1000)
    assert len(down.packets) == 1
    source.attach(Line(), VP8_IN, VP8, {})
    source.on_rtp(packet(5, ssrc=9), 90.0)
    source.on_rtp(packet(6, ssrc=9), 90.0)
    assert consecutive(down.numbers)
    assert len(down.packets) == 3


def test_who_leaves_gets_nothing_more() -> None:
    source, _, sink, down = playing()
    sink.close()
    source.on_rtp(packet(1), 1.0)
    assert down.packets == []


# Loss


def test_what_is_missing_is_asked_of_the_sender_and_passed_on_when_it_comes() -> None:
    source, up, _, down = playing()
    for number in (1, 2, 5):
        source.on_rtp(packet(number), 1.0)
    source.tick(1.0)
    (asked,) = [one for one in up.feedback if (one.kind, one.subtype) == NACK]
    assert rtcp.lost_packets(asked) == [3, 4]
    assert rtcp.media_ssrc(asked) == 7
    source.on_rtp(packet(3), 1.05)
    source.on_rtp(packet(4), 1.05)
    first = down.numbers[0]
    assert sorted((number - first) & 0xFFFF for number in down.numbers) == [0, 1, 2, 3, 4]
    source.tick(1.2)
    assert up.kinds().count(NACK) == 1


def test_sound_is_not_asked_for_again() -> None:
    source, up, _, _ = playing("audio", OPUS, 111)
    for number in (1, 5):
        source.on_rtp(packet(number, payload=111), 1.0)
    source.tick(1.0)
    assert up.feedback == []


def test_a_receiver_is_sent_again_what_it_lacks_if_that_is_kept() -> None:
    source, _, sink, down = playing()
    demux = Demux()
    demux.add_sink(sink)
    for number in range(10):
        source.on_rtp(packet(number, body=bytes([number])), 1.0)
    lost = down.numbers[4:6]
    del down.packets[:]
    demux.on_rtcp(rtcp.nack(1, source.ssrc, [*lost, (lost[0] - 20) & 0xFFFF]), 1.0)
    assert sorted(down.numbers) == sorted(lost)
    assert {one[-1] for one in down.packets} == {4, 5}


def test_what_is_sent_again_is_bounded() -> None:
    source, _, sink, down = playing()
    for number in range(1000):
        source.on_rtp(packet(number), 1.0)
    numbers = down.numbers
    del down.packets[:]
    for _ in range(10):
        sink.resend(numbers[-500:])
    sent = len(down.packets)
    assert 100 < sent < 300
    source.tick(1.0)
    source.tick(1.1)
    sink.resend(numbers[-500:])
    assert sent < len(down.packets) < sent + 50


def test_the_history_is_bounded() -> None:
    source, _, _, down = playing()
    source.on_rtp(packet(0), 1.0)
    first = down.numbers[0]
    assert source.kept(first) is not None
    for number in range(1, 1025):
        source.on_rtp(packet(number), 1.0)
    assert source.kept(first) is None
    assert source.kept(down.numbers[-1]) is not None


# Key frames


def test_requests_for_key_frames_are_put_together() -> None:
    source, up, sink, _ = playing()
    source.on_rtp(packet(1), 100.0)
    del up.feedback[:]
    demux = Demux()
    demux.add_sink(sink)
    begin = 101.0
    for _ in range(50):
        demux.on_rtcp(rtcp.pli(1, source.ssrc), begin)
        demux.on_rtcp(fir(1, source.ssrc, 1), begin)
    assert up.kinds() == [PLI]
    source.tick(begin + KEY_SECONDS / 2)
    assert up.kinds() == [PLI]
    source.tick(begin + KEY_SECONDS)
    assert up.kinds() == [PLI, PLI]
    source.tick(begin + 3 * KEY_SECONDS)
    assert up.kinds() == [PLI, PLI]


def test_a_new_receiver_begins_with_a_key_frame() -> None:
    source, up, _, _ = playing()
    source.on_rtp(packet(1), 100.0)
    del up.feedback[:]
    Sink(source, Line(), VP8_IN, VP8, {}).start(102.0)
    assert up.kinds() == [PLI]


def test_a_gap_too_long_to_mend_is_ended_by_a_key_frame() -> None:
    source, up, _, _ = playing()
    source.on_rtp(packet(1), 100.0)
    del up.feedback[:]
    source.on_rtp(packet(400), 102.0)
    assert up.kinds() == [PLI]


# Rates


def test_the_sender_follows_the_slowest_receiver_down_to_the_floor() -> None:
    limits = Limits(max_kbps=2000, min_kbps=200)
    source, _, sink, _ = playing()
    other = Sink(source, Line(), VP8_IN, VP8, {})
    other.start(0.0)
    source.on_rtp(packet(1), 1.0)

    def told(now: float) -> int:
        rates = [one for one in rtcp.split(receiver_feedback([source], now, limits)) if one.kind == rtcp.PSFB]
        bits = rtcp.read_remb(rates[0])
        assert bits is not None
        return bits

    assert told(1.0) == 2_000_000
    for one, bits in ((sink, 900_000), (other, 400_000)):
        demux = Demux()
        demux.add_sink(one)
        demux.on_rtcp(rtcp.remb(1, bits, [source.ssrc]), 1.0)
    assert told(1.0) == 400_000
    source.takes(other, 50_000, 1.0)
    assert told(1.0) == 200_000
    source.takes(sink, 5_000_000, 1.0)
    other.close()
    assert told(1.0) == 2_000_000
    source.takes(sink, 300_000, 1.0)
    assert told(2.0) == 300_000
    assert told(30.0) == 2_000_000


def test_before_the_first_packet_there_is_nothing_to_report() -> None:
    source, _, _, _ = playing()
    assert receiver_feedback([source], 1.0, Limits()) == b""
    source.tick(1.0)


def test_a_source_far_above_its_cap_loses_what_is_above() -> None:
    source, up, _, down = playing()
    body = bytes(1200)
    now = 1.0
    for number in range(10_000):  # 48 Mbit/s
        if number % 50 == 0:
            now += 0.01
            if number % 500 == 0:
                source.tick(now)
        source.on_rtp(packet(number, body=body), now)
    bits = len(down.packets) * 1212 * 8
    assert bits < 1.5 * CAP * (now - 1.0) + 1.5 * CAP
    assert source.policed > 5000
    assert NACK not in up.kinds()


@pytest.mark.parametrize("each", [1, 10, 100], ids=["ticks on time", "late", "very late"])
def test_a_source_at_its_cap_loses_nothing(each: int) -> None:
    source, _, _, down = playing()
    now = 1.0
    for number in range(2000):
        now += 1212 * 8 / CAP
        if number % each == 0:
            source.tick(now)
        source.on_rtp(packet(number, body=bytes(1200)), now)
    assert len(down.packets) == 2000
    assert source.policed == 0


# Reports


def test_the_senders_clock_reaches_receivers_in_their_numbering() -> None:
    source, _, _, down = playing()
    demux = Demux()
    demux.add_source(source, VP8_IN)
    demux.on_rtp(packet(1, 5000), 1.0)
    info = rtcp.SenderInfo(7, 0xAAAA_BBBB_CCCC_DDDD, 5000, 10, 1000)
    demux.on_rtcp(rtcp.sender_report(info, "whoever"), 1.0)
    report = rtcp.sender_info(down.feedback[0])
    assert report == info._replace(ssrc=source.ssrc, rtp=down.stamps[0])
    assert b"anna" in down.feedback[1].data


def test_reports_of_other_sources_are_nobodys() -> None:
    source, _, _, down = playing()
    demux = Demux()
    demux.add_source(source, VP8_IN)
    demux.on_rtcp(rtcp.sender_report(rtcp.SenderInfo(7, 1, 2, 3, 4), "x"), 1.0)
    demux.on_rtp(packet(1), 1.0)
    demux.on_rtcp(rtcp.sender_report(rtcp.SenderInfo(8, 1, 2, 3, 4), "x"), 1.0)
    assert down.feedback == []


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_nothing_that_comes_raises(media: bytes, control: bytes) -> None:
    source, _, sink, _ = playing()
    demux = Demux()
    demux.add_source(source, VP8_IN)
    demux.add_sink(sink)
    demux.on_rtp(media, 1.0)
    demux.on_rtp(bytes([0x90, VP8_IN]) + media, 1.0)
    for kind in (200, 201, 205, 206):
        words = (len(control) // 4).to_bytes(2)
        for subtype in (1, 4, 15):
            demux.on_rtcp(bytes([0x80 | subtype, kind]) + words + control, 1.0)
