"""The embedded media server, over its real port: what goes where, who is refused, and what is bounded."""

import asyncio
import secrets
import socket
import time

import pytest
from structlog.testing import capture_logs

from fsharechat.mediaserver import BadOffer, Busy, MediaServerError
from roles.media import rtcp, stun
from roles.media import sfu as sfu_module
from roles.media.dtls import DtlsIdentity, Fingerprint
from roles.media.router import StreamSource
from roles.media.sfu import Limits, Sfu
from roles.media.srtp import MAX_SOURCES
from roles.media.transport import CONSENT_SECONDS, MAX_ADDRESSES, IceTransport
from tests.unit.media.media_kit import ROOM, Call, Told, flows, stays_silent
from tools.testing.media_peer import PAYLOADS, MediaPeer
from tools.testing.server import until

PLI = (rtcp.PSFB, rtcp.PLI)


async def test_what_is_there_is_counted(call: Call, sfu: Sfu) -> None:
    await call.join("anna", "ben")
    for _ in range(2):
        await call.publish("anna")
        await call.receive("ben", "anna")
    assert (sfu.rooms, sfu.participants, sfu.connections) == ([ROOM], 2, 2)
    await sfu.leave(ROOM, "anna")
    assert (sfu.rooms, sfu.participants, sfu.connections) == ([ROOM], 1, 0)


async def test_rooms_end_with_their_last_participant_or_when_they_are_closed(call: Call, sfu: Sfu) -> None:
    await call.join("anna", "ben")
    await call.publish("anna")
    await sfu.leave(ROOM, "anna")
    assert sfu.rooms == [ROOM]
    await sfu.leave(ROOM, "ben")
    assert sfu.rooms == []
    await call.join("anna")
    anna = await call.publish("anna")
    await sfu.close_room(ROOM)
    await until(lambda: anna.failed)
    assert (sfu.rooms, sfu.connections, len(sfu.port.by_user), len(sfu.port.by_address)) == ([], 0, 0, 0)
    await sfu.close_room(ROOM)
    await sfu.leave(ROOM, "anna")


async def test_a_receiver_of_another_codec_gets_sound_alone(call: Call) -> None:
    await call.join("anna", "ben", "carl")
    ben = await call.receive("ben", "anna", codec="VP8")
    anna = await call.publish("anna", codec="H264")
    carl = await call.receive("carl", "anna", codec="H264")
    await stays_silent(anna, ben, witness=carl)
    await flows(anna, ben, "audio", PAYLOADS["audio"])
    assert ben.received[PAYLOADS["video"]] == 0


# Feedback


async def test_loss_is_mended_on_both_ways(call: Call) -> None:
    await call.join("anna", "ben")
    anna, ben = await call.publish("anna"), await call.receive("ben", "anna")
    await flows(anna, ben)
    number = anna.send("video", b"late", skip=2)
    await until(lambda: len(set(anna.asked_again)) == 2)
    assert set(anna.asked_again) == {(number - 1) & 0xFFFF, (number - 2) & 0xFFFF}
    await until(lambda: b"late" in ben.bodies)
    ben.losing = 1
    anna.send("video", b"lost")
    await until(lambda: not ben.losing)
    (source,) = ben.sources
    ben.send_rtcp(rtcp.nack(1, source, [(ben.numbers[PAYLOADS["video"]][-1] + 1) & 0xFFFF]))
    await until(lambda: b"lost" in ben.bodies)


async def test_the_sender_is_told_its_rate_and_follows_the_slowest(call: Call) -> None:
    await call.join("anna", "ben")
    anna, ben = await call.publish("anna"), await call.receive("ben", "anna")
    await flows(anna, ben)
    await until(lambda: anna.rate)
    assert anna.rate is not None
    assert 1_990_000 < anna.rate <= 2_000_000
    (source,) = ben.sources
    ben.send_rtcp(rtcp.remb(1, 700_000, [source]))
    await until(lambda: anna.rate == 700_000)
    assert anna.feedback[(rtcp.RR, 2)] + anna.feedback[(rtcp.RR, 1)] >= 1


async def test_a_connection_whose_feedback_fails_ends_and_others_go_on(
    call: Call, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    await call.join("anna", "ben", "carl")
    anna, carl = await call.publish("anna"), await call.publish("carl")
    ben = await call.receive("ben", "carl")
    anna.send("audio", b"x")
    tick = StreamSource.tick

    def fail(source: StreamSource, now: float) -> None:
        if source.name == "anna":
            raise RuntimeError("made up")
        tick(source, now)

    with capture_logs() as logs:
        monkeypatch.setattr(StreamSource, "tick", fail)
        await until(lambda: told.gone)
    assert told.gone == [(ROOM, "anna", "anna")]
    assert any(
        "made up" in str(line.get("exc_info", "")) or line["event"] == "a connection failed" for line in logs
    )
    await flows(carl, ben)
    await until(lambda: carl.rate)


# Who is refused


async def test_a_wrong_fingerprint_gets_nothing(call: Call, sfu: Sfu, told: Told) -> None:
    await call.join("anna", "ben", "carl")
    anna, carl = await call.publish("anna"), await call.receive("carl", "anna")
    ben = call.offerer(sends=False)
    ben.accept(await sfu.receive(ROOM, "ben", "anna", ben.offer(DtlsIdentity().fingerprint)))
    await until(lambda: told.gone)
    assert told.gone == [(ROOM, "ben", "anna")]
    await stays_silent(anna, ben, witness=carl)
    assert sfu.connections == 2


@pytest.mark.parametrize("digest", ["sha-1", "md5"])
async def test_a_fingerprint_that_can_be_forged_is_no_offer(call: Call, sfu: Sfu, digest: str) -> None:
    await call.join("anna")
    peer = call.offerer(sends=True)
    with pytest.raises(BadOffer):
        await sfu.publish(ROOM, "anna", peer.offer(Fingerprint((digest, "00:11"))))


async def test_an_offer_of_the_wrong_direction_is_refused(call: Call, sfu: Sfu) -> None:
    await call.join("anna", "ben")
    with pytest.raises(BadOffer):
        await sfu.publish(ROOM, "anna", call.offerer(sends=False).offer())
    with pytest.raises(BadOffer):
        await sfu.receive(ROOM, "ben", "anna", call.offerer(sends=True).offer())


def only_connection(sfu: Sfu) -> IceTransport:
    (connection,) = sfu.port.by_user.values()
    assert isinstance(connection, IceTransport)
    return connection


def check_of(connection: IceTransport, peer: MediaPeer) -> stun.BindingRequest:
    """Return a right check of the connection's other side."""
    name, password = f"{connection.user}:{peer.user}", connection.password.encode()
    request = stun.parse(stun.request(secrets.token_bytes(12), name, password, use_candidate=True))
    assert request is not None
    return request


async def test_a_check_is_answered_only_with_the_password_and_the_right_names(call: Call, sfu: Sfu) -> None:
    await call.join("anna")
    anna = await call.publish("anna")
    connection = only_connection(sfu)
    password = connection.password.encode()

    def check(name: str, secret: bytes) -> bytes:
        return stun.request(secrets.token_bytes(12), name, secret)

    right = check(f"{connection.user}:{anna.user}", password)
    datagrams = [
        check(f"{connection.user}:{anna.user}", b"guess"),
        check(f"{connection.user}:other", password),
        check(f"other:{anna.user}", password),
        b"\x00\x01\x00\x00" + right[4:20],
        bytes(300),
        b"\x80" + bytes(40),
        b"\x16\xfe\xfd" + bytes(40),
        right,
    ]

    def first_answer() -> bytes:
        """From an address of nobody."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.settimeout(20)
            for datagram in datagrams:
                stranger.sendto(datagram, ("127.0.0.1", sfu.port.number))
            return stranger.recv(2048)

    answer = await asyncio.to_thread(first_answer)
    assert answer[8:20] == right[8:20]


async def test_nobody_takes_an_address_that_another_connection_holds(call: Call, sfu: Sfu) -> None:
    """A participant who knows a password of his own could forge the sender of a check."""
    await call.join("anna", "ben")
    anna = await call.publish("anna")
    ben = await call.receive("ben", "anna")
    await flows(anna, ben)
    one, other = sfu.port.by_user.values()
    assert isinstance(one, IceTransport)
    assert isinstance(other, IceTransport)
    hers, his = (one, other) if one.address == address_of(anna) else (other, one)
    assert hers.address == address_of(anna)
    his.on_check(check_of(his, ben), address_of(anna))
    assert sfu.port.by_address[address_of(anna)] is hers
    assert his.address == address_of(ben)
    await flows(anna, ben)


def address_of(peer: MediaPeer) -> tuple[str, int]:
    host, port = peer._socket.getsockname()
    return host, port


# The end of a connection


async def test_who_says_goodbye_is_gone_at_once(call: Call, told: Told) -> None:
    await call.join("anna", "ben")
    anna, ben = await call.publish("anna"), await call.receive("ben", "anna")
    anna.farewell()
    await until(lambda: told.gone)
    assert told.gone == [(ROOM, "anna", "anna")]
    ben.farewell()
    await until(lambda: len(told.gone) == 2)
    assert told.gone[1] == (ROOM, "ben", "anna")


async def test_who_is_silent_for_too_long_is_gone(call: Call, sfu: Sfu, told: Told) -> None:
    await call.join("anna")
    await call.publish("anna")
    connection = only_connection(sfu)
    later = time.monotonic() + CONSENT_SECONDS
    connection.look(later - 5)
    assert told.gone == []
    connection.look(later + 1)
    assert told.gone == [(ROOM, "anna", "anna")]
    assert sfu.participants == 1


async def test_who_never_connects_is_gone_whatever_it_checks(call: Call, sfu: Sfu, told: Told) -> None:
    await call.join("anna")
    anna = call.offerer(sends=True)
    await sfu.publish(ROOM, "anna", anna.offer())
    connection = only_connection(sfu)
    later = time.monotonic() + CONSENT_SECONDS
    connection.look(later - 5)
    connection.on_check(check_of(connection, anna), ("127.0.0.2", 9))
    connection._heard = later
    assert told.gone == []
    connection.look(later + 1)
    assert told.gone == [(ROOM, "anna", "anna")]


async def test_a_room_without_connections_is_closed(
    call: Call, sfu: Sfu, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sfu_module, "IDLE_SECONDS", 0.1)
    await call.join("anna")
    await until(lambda: told.closed)
    assert [room for room, _ in told.closed] == [ROOM]
    assert sfu.rooms == []


async def test_a_datagram_that_makes_it_fail_ends_that_connection_alone(
    call: Call, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    await call.join("anna", "ben", "carl")
    anna, carl = await call.publish("anna"), await call.publish("carl")
    ben = await call.receive("ben", "carl")
    on_rtp = StreamSource.on_rtp

    def fail(source: StreamSource, packet: bytes, now: float) -> None:
        if source.name == "anna":
            raise RuntimeError("made up")
        on_rtp(source, packet, now)

    monkeypatch.setattr(StreamSource, "on_rtp", fail)
    with capture_logs() as logs:
        anna.send("video", b"x")
        await until(lambda: told.gone)
    assert told.gone == [(ROOM, "anna", "anna")]
    assert "a datagram failed" in [line["event"] for line in logs]
    await flows(carl, ben)


# Bounds


@pytest.mark.parametrize("limits", [Limits(room_limit=2)])
async def test_a_participant_makes_so_many_offers_in_a_minute(call: Call, sfu: Sfu) -> None:
    await call.join("anna", "ben")
    peer = call.offerer(sends=True)
    for _ in range(8):
        await sfu.publish(ROOM, "anna", peer.offer())
    with pytest.raises(MediaServerError, match="too many offers"):
        await sfu.publish(ROOM, "anna", peer.offer())
    assert len(sfu.port.by_user) == 1
    await call.publish("ben")


async def test_rooms_and_connections_are_bounded(
    call: Call, sfu: Sfu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sfu_module, "MAX_ROOMS", 2)
    for room in ("a", "b"):
        await sfu.join(room, "anna")
    with pytest.raises(Busy):
        await sfu.join("c", "anna")
    await sfu.join("a", "ben")
    monkeypatch.setattr(sfu_module, "MAX_CONNECTIONS", 1)
    peer = call.offerer(sends=True)
    await sfu.publish("a", "anna", peer.offer())
    with pytest.raises(Busy):
        await sfu.publish("a", "ben", peer.offer())


@pytest.mark.parametrize("limits", [Limits(worker_mbps=1)])
async def test_nobody_joins_while_too_much_is_sent(call: Call, sfu: Sfu) -> None:
    await call.join("anna", "ben")
    anna, ben = await call.publish("anna"), await call.receive("ben", "anna")

    def flood() -> bool:
        for _ in range(20):
            anna.send("video", bytes(1000))
        return sfu.mbps > 1

    await until(flood, "it never sends too much")
    with pytest.raises(Busy):
        await call.join("carl")
    await call.join("ben")  # who is in begins anew
    assert ben.received
    await until(lambda: sfu.mbps < 1)
    await call.join("carl")


async def test_a_connection_has_so_many_addresses(call: Call, sfu: Sfu) -> None:
    await call.join("anna")
    anna = await call.publish("anna")
    connection = only_connection(sfu)
    request = check_of(connection, anna)._replace(use_candidate=False)
    for port in range(9, 60):
        connection.on_check(request, ("127.0.0.2", port))
    assert len(sfu.port.by_address) == MAX_ADDRESSES
    assert connection.address == address_of(anna)


async def test_a_connection_has_so_many_sources(call: Call) -> None:
    await call.join("anna", "ben")
    anna, ben = await call.publish("anna"), await call.receive("ben", "anna")
    await flows(anna, ben)
    for ssrc in range(1, 40):
        anna.ssrcs["audio"] = ssrc
        anna.send("audio", b"source %d" % ssrc)
    anna.send("video", b"the end")
    await until(lambda: b"the end" in ben.bodies)
    assert sum(body.startswith(b"source") for body in ben.bodies) < MAX_SOURCES
