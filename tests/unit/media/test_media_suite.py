"""What all media servers do alike: the embedded one, and Kurento behind its JSON-RPC."""

import itertools

import pytest

from fsharechat.mediaserver import BadOffer, Candidate, RoomFull, UnknownSender
from roles.media import rtcp
from roles.media.sfu import Limits
from tests.unit.media.media_kit import ROOM, Call, Told, flows, stays_silent
from tools.testing.media_peer import PAYLOADS
from tools.testing.server import until


async def test_sound_and_picture_reach_who_receives(either: Call) -> None:
    await either.join("anna", "ben", "carl")
    anna = await either.publish("anna")
    sinks = [await either.receive(name, "anna") for name in ("ben", "carl")]
    for sink in sinks:
        for kind, payload in PAYLOADS.items():
            await flows(anna, sink, kind, payload)
    number = anna.send("video", b"the very bytes")
    await until(lambda: all(b"the very bytes" in sink.bodies for sink in sinks))
    assert number is not None
    assert anna.received.total() == 0
    assert sinks[0].sources == sinks[1].sources
    assert sinks[0].sources.isdisjoint(anna.ssrcs.values())


async def test_a_receiver_may_come_before_the_sender(either: Call) -> None:
    await either.join("anna", "ben")
    ben = await either.receive("ben", "anna")
    anna = await either.publish("anna")
    await flows(anna, ben)
    assert anna.feedback[rtcp.PSFB, rtcp.PLI] >= 1


async def test_receivers_go_on_when_the_sender_publishes_again(either: Call, told: Told) -> None:
    await either.join("anna", "ben")
    first = await either.publish("anna")
    ben = await either.receive("ben", "anna")
    await flows(first, ben, payload=PAYLOADS["video"])
    second = await either.publish("anna")
    await flows(second, ben, payload=PAYLOADS["video"])
    numbers = ben.numbers[PAYLOADS["video"]]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers))
    assert len(ben.sources) == 1
    assert told.gone == []
    await until(lambda: first.failed)


async def test_a_new_receiving_connection_takes_the_place_of_the_old_one(either: Call, told: Told) -> None:
    await either.join("anna", "ben")
    anna = await either.publish("anna")
    old = await either.receive("ben", "anna")
    await flows(anna, old)
    new = await either.receive("ben", "anna")
    await stays_silent(anna, old, witness=new)
    assert told.gone == []


async def test_who_leaves_and_comes_back_is_seen_again(either: Call) -> None:
    await either.join("anna", "ben")
    anna, ben = await either.publish("anna"), await either.receive("ben", "anna")
    await flows(anna, ben)
    await either.server.leave(ROOM, "anna")
    await until(lambda: anna.failed and ben.failed)
    with pytest.raises(UnknownSender):
        await either.receive("ben", "anna")
    await either.join("anna")
    anna, ben = await either.publish("anna"), await either.receive("ben", "anna")
    await flows(anna, ben)


async def test_who_is_not_there_cannot_leave(either: Call) -> None:
    await either.join("anna", "ben")
    anna, ben = await either.publish("anna"), await either.receive("ben", "anna")
    await either.server.leave(ROOM, "carl")
    await either.server.leave("elsewhere", "anna")
    await either.server.close_room("elsewhere")
    await flows(anna, ben)
    assert await either.server.has(ROOM)
    assert not await either.server.has("elsewhere")


async def test_who_joins_again_begins_anew(either: Call) -> None:
    await either.join("anna", "ben")
    first, ben = await either.publish("anna"), await either.receive("ben", "anna")
    await flows(first, ben)
    await either.join("anna")
    await until(lambda: first.failed)
    await flows(await either.publish("anna"), ben)


async def test_rooms_hear_nothing_of_each_other(either: Call, told: Told) -> None:
    other = Call(either.server, told, "elsewhere")
    try:
        for one in (either, other):
            await one.join("anna", "ben")
        here, there = await either.publish("anna"), await other.publish("anna")
        ben_here, ben_there = await either.receive("ben", "anna"), await other.receive("ben", "anna")
        await flows(here, ben_here)
        assert ben_there.received.total() == 0
        await flows(there, ben_there)
        await either.server.close_room("elsewhere")
        await flows(here, ben_here)
    finally:
        other.close()


@pytest.mark.parametrize("offer", ["", "v=0\r\n", "v=0\r\nm=audio 9 X 1\r\n", "v=0\r\n" + "x" * 70_000])
async def test_a_bad_offer_leaves_the_connection_that_there_is(either: Call, offer: str) -> None:
    await either.join("anna", "ben")
    anna, ben = await either.publish("anna"), await either.receive("ben", "anna")
    with pytest.raises(BadOffer):
        await either.server.publish(ROOM, "anna", offer)
    with pytest.raises(BadOffer):
        await either.server.receive(ROOM, "ben", "anna", offer)
    await flows(anna, ben)


async def test_only_participants_of_the_room_send_and_receive(either: Call) -> None:
    await either.join("anna")
    sends, receives = either.offerer(sends=True), either.offerer(sends=False)
    for refused in (
        either.server.publish(ROOM, "ben", sends.offer()),
        either.server.publish("elsewhere", "anna", sends.offer()),
        either.server.receive(ROOM, "ben", "anna", receives.offer()),
        either.server.receive(ROOM, "anna", "ben", receives.offer()),
        either.server.receive(ROOM, "anna", "anna", receives.offer()),
    ):
        with pytest.raises(UnknownSender):
            await refused
    await either.server.candidate(ROOM, "ben", "anna", Candidate("candidate:1"))


@pytest.mark.parametrize("limits", [Limits(room_limit=2)])
async def test_a_room_has_so_many_participants(limits: Limits, either: Call) -> None:
    await either.join("anna", "ben", "anna")
    with pytest.raises(RoomFull):
        await either.join("carl")
    await either.server.leave(ROOM, "ben")
    await either.join("carl")
