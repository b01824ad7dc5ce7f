"""Kurento behind its JSON-RPC: what is asked in which order, and what a break or an end of it does."""

import asyncio
from collections.abc import Iterator

import pytest

from fsharechat.mediaserver import BadOffer, Busy, Candidate, MediaServerError
from roles.media import kurento as kurento_module
from roles.media import kurento_client
from roles.media.kurento import KurentoServer
from roles.media.sfu import Limits
from tests.unit.media.media_kit import ROOM, Call, Told, flows
from tools.testing.fake_kurento import OLD_EVENTS, FakeKurento, KurentoFailure
from tools.testing.server import until


@pytest.fixture
def call(kurento: KurentoServer, told: Told) -> Iterator[Call]:
    made = Call(kurento, told)
    yield made
    made.close()


def steps(fake: FakeKurento) -> list[str]:
    """Return what was asked, in order: methods, and the operations of invoke."""
    return [
        frame["params"]["operation"] if frame["method"] == "invoke" else frame["method"]
        for frame in fake.frames
        if frame["method"] != "ping"
    ]


async def test_a_call_is_set_up_in_the_order_that_kurento_needs(call: Call, fake: FakeKurento) -> None:
    await call.join("anna", "ben")
    await call.publish("anna")
    await call.receive("ben", "anna")
    await until(lambda: fake.asked["gatherCandidates"] == 2)
    assert steps(fake) == [
        "connect",
        "create",
        *["create", "subscribe", "subscribe", "setMaxVideoRecvBandwidth"] * 2,
        "processOffer",
        "gatherCandidates",
        *["create", "subscribe", "subscribe", "setMaxVideoSendBandwidth"],
        "connect",
        "processOffer",
        "gatherCandidates",
    ]
    sessions = {frame["params"].get("sessionId") for frame in fake.frames[1:]}
    assert len(sessions) == 1
    assert [frame["id"] for frame in fake.frames] == sorted({frame["id"] for frame in fake.frames})


async def test_the_last_one_who_leaves_takes_all_objects_along(
    call: Call, fake: FakeKurento, kurento: KurentoServer
) -> None:
    await call.join("anna", "ben")
    await call.publish("anna")
    await call.receive("ben", "anna")
    assert len(fake.objects) == 4
    await kurento.leave(ROOM, "anna")
    assert len(fake.objects) == 2
    await kurento.leave(ROOM, "ben")
    assert (fake.objects, kurento.rooms, kurento.connections) == ({}, [], 0)


@pytest.mark.parametrize("peer", ["anna", ""])
async def test_candidates_that_come_before_their_offer_are_kept(
    call: Call, fake: FakeKurento, kurento: KurentoServer, peer: str
) -> None:
    await call.join("anna")
    sends = call.offerer(sends=True)
    early = Candidate("candidate:1 1 udp 1 127.0.0.1 9 typ host", "0", 0, "" if peer else sends.user)
    await kurento.candidate(ROOM, "anna", peer, early)
    for _ in range(2 * kurento_module.MAX_CANDIDATES):
        await kurento.candidate(ROOM, "anna", "", Candidate("candidate:2", "0", 0, "of nobody"))
    assert fake.candidates == []
    await kurento.publish(ROOM, "anna", sends.offer())
    assert [one["candidate"] for one in fake.candidates] == [early.candidate]
    await kurento.candidate(ROOM, "anna", peer, Candidate("", "0", 0, early.ufrag))
    assert [one["candidate"] for one in fake.candidates] == [early.candidate, ""]
    assert len(kurento._rooms[ROOM].participants["anna"].early) < kurento_module.MAX_CANDIDATES


async def test_older_servers_have_other_names_for_events(told: Told, limits: Limits) -> None:
    async with FakeKurento(OLD_EVENTS) as fake:
        server = KurentoServer([fake.url], limits, told)
        await server.open()
        try:
            await until(lambda: not server.away)
            call = Call(server, told)
            await call.join("anna", "ben")
            await flows(await call.publish("anna"), await call.receive("ben", "anna"))
        finally:
            await server.close()
            call.close()


async def test_who_is_lost_to_kurento_is_gone(call: Call, told: Told) -> None:
    await call.join("anna", "ben")
    anna = await call.publish("anna")
    await call.receive("ben", "anna")
    anna.farewell()
    await until(lambda: told.gone)
    assert told.gone == [(ROOM, "anna", "anna")]


async def test_a_broken_connection_is_made_again_and_the_call_goes_on(
    call: Call, fake: FakeKurento, kurento: KurentoServer, told: Told
) -> None:
    await call.join("anna", "ben")
    anna, ben = await call.publish("anna"), await call.receive("ben", "anna")
    last = fake.frames[-1]["id"]
    await fake.cut()
    await until(lambda: fake.frames[-1]["method"] == "connect" and fake.frames[-1]["id"] > last)
    await until(lambda: not kurento.away)
    await flows(anna, ben)
    await call.join("carl")
    await flows(anna, await call.receive("carl", "anna"))
    assert told.closed == []
    assert len(fake.sessions) == 1
    ids = [frame["id"] for frame in fake.frames]
    assert ids == sorted(set(ids))


async def test_kurento_that_was_started_anew_has_lost_its_calls(
    call: Call, fake: FakeKurento, kurento: KurentoServer, told: Told
) -> None:
    await call.join("anna")
    await fake.stop()
    await until(lambda: kurento.away)
    with pytest.raises(MediaServerError):
        await call.join("ben")
    await fake.start()
    await until(lambda: told.closed)
    assert [room for room, _ in told.closed] == [ROOM]
    assert not await kurento.has(ROOM)
    await until(lambda: not kurento.away)
    await call.join("anna", "ben")
    await flows(await call.publish("anna"), await call.receive("ben", "anna"))


async def test_kurento_that_stays_away_has_lost_its_calls(
    call: Call, fake: FakeKurento, told: Told, kurento: KurentoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kurento_client, "DEAD_SECONDS", 0.1)
    await call.join("anna")
    await fake.stop()
    await until(lambda: told.closed)
    assert [room for room, _ in told.closed] == [ROOM]
    with pytest.raises(Busy):
        await call.join("anna")


async def test_a_room_is_on_the_kurento_that_is_there(told: Told, limits: Limits, fake: FakeKurento) -> None:
    async with FakeKurento() as other:
        server = KurentoServer([fake.url, other.url], limits, told)
        await server.open()
        try:
            await until(lambda: all(client.ready for client in server._clients))
            for number in range(20):
                await server.join(f"room {number}", "anna")
            assert fake.objects
            assert other.objects
            here = len(other.objects) // 2
            await other.stop()
            await until(lambda: not all(client.ready for client in server._clients))
            for number in range(20, 30):
                await server.join(f"room {number}", "anna")
            await other.start()
            await until(lambda: len(told.closed) == here)
        finally:
            await server.close()


@pytest.mark.parametrize(
    ("operation", "code", "kind"),
    [
        ("processOffer", 40201, BadOffer),
        ("processOffer", 40205, BadOffer),
        ("processOffer", 40003, MediaServerError),
    ],
)
async def test_errors_of_kurento_are_errors_of_that_call_alone(
    call: Call, fake: FakeKurento, operation: str, code: int, kind: type[MediaServerError]
) -> None:
    await call.join("anna", "ben")
    anna = await call.publish("anna")
    fake.refuse[operation] = KurentoFailure(code, "made up", "MADE_UP")
    with pytest.raises(kind, match="made up"):
        await call.receive("ben", "anna")
    await flows(anna, await call.receive("ben", "anna"))


async def test_a_room_that_could_not_be_made_is_not_there(
    call: Call, fake: FakeKurento, kurento: KurentoServer
) -> None:
    fake.refuse["create"] = KurentoFailure(40009, "Not enough resources", "NOT_ENOUGH_RESOURCES")
    with pytest.raises(MediaServerError, match="Not enough"):
        await call.join("anna")
    assert kurento.rooms == []
    await call.join("anna")


async def test_requests_that_are_not_answered_end(
    call: Call, fake: FakeKurento, monkeypatch: pytest.MonkeyPatch
) -> None:
    await call.join("anna")
    monkeypatch.setattr(kurento_client, "CALL_SECONDS", 0.1)
    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def wait(*_: object) -> str:
        return await never

    monkeypatch.setattr(fake, "_process_offer", wait)
    with pytest.raises(MediaServerError, match="in time"):
        await call.publish("anna")
    never.cancel()


async def test_what_nobody_understands_is_passed_over(
    call: Call, fake: FakeKurento, kurento: KurentoServer
) -> None:
    await call.join("anna")
    (socket,) = fake._sockets
    said: list[str | bytes] = [
        "no JSON",
        "[]",
        "5",
        '{"method": "onEvent"}',
        '{"method": "onEvent", "params": {"value": {"object": "x", "type": "IceCandidateFound", "data": {}}}}',
        '{"id": 77777, "result": {}}',
        '{"id": "x"}',
    ]
    for text in said:
        await socket.send_str(str(text))
    await call.join("ben")
    assert kurento.participants == 2
