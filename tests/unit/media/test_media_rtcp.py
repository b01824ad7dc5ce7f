"""RTCP packets come back as they were written, and nothing that comes raises."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from roles.media import rtcp
from tests.unit.media.media_kit import fir

ssrcs = st.integers(0, (1 << 32) - 1)
numbers = st.integers(0, 0xFFFF)


def one(data: bytes) -> rtcp.RtcpPacket:
    (packet,) = rtcp.split(data)
    return packet


@given(ssrcs, ssrcs, st.sets(numbers, min_size=1, max_size=200))
def test_a_nack_names_what_was_lost(sender: int, media: int, lost: set[int]) -> None:
    packet = one(rtcp.nack(sender, media, lost))
    assert (packet.kind, packet.subtype, rtcp.media_ssrc(packet)) == (rtcp.RTPFB, rtcp.NACK, media)
    assert set(rtcp.lost_packets(packet)) == lost


def test_a_nack_of_neighbours_is_one_entry() -> None:
    assert len(rtcp.nack(1, 2, range(100, 117))) == 16
    assert len(rtcp.nack(1, 2, range(100, 118))) == 20


def test_a_nack_that_goes_on_beyond_the_last_number_names_the_first() -> None:
    packet = one(rtcp.nack(1, 2, [0])[:12] + b"\xff\xff\x00\x03")
    assert rtcp.lost_packets(packet) == [0xFFFF, 0, 1]


@given(ssrcs, st.integers(0, 1 << 40), st.lists(ssrcs, min_size=1, max_size=3))
def test_a_rate_comes_back_rounded_down_to_18_digits(sender: int, bits: int, sources: list[int]) -> None:
    packet = one(rtcp.remb(sender, bits, sources))
    read = rtcp.read_remb(packet)
    assert read is not None
    assert read <= bits < read + (1 << max(0, bits.bit_length() - 18)) or read == bits
    assert (packet.kind, packet.subtype) == (rtcp.PSFB, rtcp.REMB)


@given(ssrcs, ssrcs, st.integers(0, 999))
def test_requests_for_key_frames_name_their_source(sender: int, media: int, number: int) -> None:
    for data, subtype in ((rtcp.pli(sender, media), rtcp.PLI), (fir(sender, media, number), rtcp.FIR)):
        packet = one(data)
        assert (packet.kind, packet.subtype, rtcp.media_ssrc(packet)) == (rtcp.PSFB, subtype, media)


blocks = st.builds(
    rtcp.Block,
    ssrcs,
    st.integers(0, 255),
    st.integers(0, 0x7FFFFF),
    ssrcs,
    ssrcs,
    ssrcs,
    ssrcs,
)


def blocks_of(report: rtcp.RtcpPacket) -> list[rtcp.Block]:
    found = []
    for ssrc, lost, *rest in struct.iter_unpack("!IIIIII", report.data[8:]):
        found.append(rtcp.Block(ssrc, lost >> 24, lost & 0xFFFFFF, *rest))
    return found


@given(ssrcs, st.lists(blocks, max_size=31))
def test_a_report_comes_back(sender: int, told: list[rtcp.Block]) -> None:
    packet = one(rtcp.receiver_report(sender, told))
    assert packet.kind == rtcp.RR
    assert blocks_of(packet) == told


infos = st.builds(rtcp.SenderInfo, ssrcs, st.integers(0, (1 << 64) - 1), ssrcs, ssrcs, ssrcs)


@given(infos, st.text(max_size=60))
def test_a_sender_report_is_followed_by_the_name_of_the_source(info: rtcp.SenderInfo, name: str) -> None:
    report, names = rtcp.split(rtcp.sender_report(info, name))
    assert rtcp.sender_info(report) == info
    assert (report.kind, names.kind) == (rtcp.SR, rtcp.SDES)
    text = name.encode()[:255]
    assert names.data[8:10] == bytes([1, len(text)])
    assert names.data[10 : 10 + len(text)] == text
    assert names.data[10 + len(text)] == 0
    assert len(names.data) % 4 == 0


@given(st.binary(max_size=400), st.sampled_from([200, 201, 205, 206]), st.integers(0, 31))
def test_nothing_that_comes_raises(data: bytes, kind: int, subtype: int) -> None:
    words = (len(data) // 4).to_bytes(2)
    for packet in rtcp.split(bytes([0x80 | subtype, kind]) + words + data):
        rtcp.sender_info(packet)
        rtcp.media_ssrc(packet)
        rtcp.lost_packets(packet)
        rtcp.read_remb(packet)
