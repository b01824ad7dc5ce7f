"""Calls in groups, as the group role carries them: who is asked, who is told, and what is kept."""

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from fsharechat.bus import Deliver, Presence, Push, PushTo
from fsharechat.bus.memory import MemoryBus
from fsharechat.errors import StoreBusy
from fsharechat.mediaserver import Busy, Candidate, MediaServerError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, ConversationType, SubSignal
from fsharechat.rpc import Reply
from fsharechat.store import calls as call_rows
from roles.group import GroupRole
from roles.group.call_room import RING_MS
from roles.group.calls import GRACE_SECONDS, MAX_INVITED, MAX_OFFER, MEDIA_SECONDS, GroupCalls
from roles.group.processes import one_of
from tests.unit.group.group_kit import NODE, Office
from tests.unit.group.groups_kit import create, kick
from tools.testing.fake_media_server import FakeMediaServer
from tools.testing.server import until

START, ANSWER, BYE, SIGNAL, MODIFY, OWN_ANSWER = range(400, 406)


@dataclass
class Line:
    """The calls of one group on an office: signals go out by it, and what devices are told is read from it."""

    office: Office
    calls: GroupCalls
    media: FakeMediaServer
    group: str = ""
    seconds: float = 0.0

    async def send(
        self,
        uid: str,
        kind: int,
        data: bytes | dict[str, Any] = b"",
        *,
        to: Sequence[str] = (),
        content: str = "",
        client: str = "web",
        group: str = "",
        flag: int | None = None,
        **how: Any,
    ) -> Reply:
        message = pb.Message(
            conversation=pb.Conversation(type=ConversationType.GROUP, target=group or self.group, line=0),
            from_user="somebody else",
            content=pb.MessageContent(
                type=kind,
                content=content,
                data=data if isinstance(data, bytes) else orjson.dumps(data),
                persist_flag=flag,
            ),
            to=to,
        )
        return await self.office.ask(uid, SubSignal.MS, message, client=client, **how)

    async def sent(self, uid: str, kind: int, data: bytes | dict[str, Any] = b"", **how: Any) -> None:
        assert (await self.send(uid, kind, data, **how)).code == Code.SUCCESS

    async def start(self, uid: str, *to: str, **how: Any) -> None:
        await self.sent(uid, START, b'{"t":"G","a":0}', to=to, content=f"{self.group}123", **how)

    def told(self) -> list[tuple[str, str, Any]]:
        """Return and forget what devices were pushed: uid, client id, and the JSON of a 403 or the type."""
        told = []
        for event in self.office.events:
            assert not isinstance(event, Push), "a call is for no device that is not in it"
            if isinstance(event, PushTo):
                message = pb.Message.FromString(event.body)
                assert message.from_user == event.sender != event.uid
                assert message.message_id
                assert message.server_timestamp == self.office.now
                assert (message.conversation.type, message.conversation.line) == (1, 0)
                kind = message.content.type
                said = orjson.loads(message.content.data) if kind == SIGNAL else kind
                told.append((event.uid, event.client_id, said))
        self.office.events.clear()
        return told

    def rung(self) -> list[str]:
        """Return who was delivered the message of a start so far, but for its sender."""
        return sorted(
            entry.uid
            for event in self.office.events
            if isinstance(event, Deliver)
            for entry in event.entries
            if entry.uid != event.sender
        )

    async def sweep(self) -> None:
        await self.calls.sweep()
        await asyncio.sleep(0)  # the outbox gives away what one turn of the loop has

    async def room(self) -> call_rows.CallRoom | None:
        return await self.office.node.store.read(call_rows.room, self.group)

    async def there(self) -> dict[str, str]:
        """Return the client id of each who is in."""
        room = await self.room()
        return {
            uid: one.client_id
            for uid, one in (room.attendees if room else {}).items()
            if one.attendance == call_rows.Attendance.IN
        }

    async def name(self) -> str:
        room = await self.room()
        assert room is not None
        return f"{self.group}.{room.id}"


def existing(*uids: str) -> dict[str, Any]:
    return {"type": "existingParticipants", "data": list(uids)}


def about(kind: str, uid: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": uid, **more}


LEAVE = {"type": "leaveRoom"}


@pytest.fixture
async def line(office: Office, role: GroupRole) -> Line:
    assert role._business is not None
    it = role._business.calls
    media = FakeMediaServer(it)
    it.media = media
    opened = Line(office, it, media)
    it._time = lambda: opened.seconds
    return opened


@pytest.fixture
async def people(line: Line) -> list[str]:
    """Four members of the group of `line`, who have a browser and a phone."""
    uids = await line.office.users(4)
    line.group = await create(line.office, uids[0], *uids[1:])
    for client in ("web", "phone"):
        line.office.online(*uids, client=client)
    line.office.events.clear()
    return uids


async def test_a_start_rings_only_who_is_invited(line: Line, people: list[str]) -> None:
    ann, ben, cat, dan = people
    await line.start(ann, ben, cat, flag=4)
    assert line.rung() == sorted([ben, cat])
    assert line.told() == [(ann, "web", existing())]
    for uid in (ann, ben, cat):
        message = (await line.office.inbox(uid)).message[-1]
        assert (message.content.type, list(message.to), message.from_user) == (START, [ben, cat], ann)
        assert message.content.content == f"{line.group}123"
    assert (await line.office.inbox(dan)).message[-1].content.type == ContentType.GROUP_CREATED


async def test_a_start_for_all_names_them(line: Line, people: list[str]) -> None:
    ann, *others = people
    await line.start(ann)
    assert line.rung() == sorted(others)
    for uid in people:
        assert sorted((await line.office.inbox(uid)).message[-1].to) == sorted(others)


async def test_who_is_no_member_is_not_invited(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    stranger = (await line.office.users(1))[0]
    await line.start(ann, ben, stranger, ann)
    assert line.rung() == [ben]
    assert list((await line.office.inbox(ben)).message[-1].to) == [ben]
    assert (await line.send(stranger, ANSWER, b"0")).code == Code.NOT_IN_GROUP
    assert (await line.send(stranger, START)).code == Code.NOT_IN_GROUP


async def test_a_call_from_its_start_to_its_end(line: Line, people: list[str]) -> None:
    """The example of calls.md section 9.5."""
    ann, ben, cat, _ = people
    await line.start(ann, ben, cat)
    name = await line.name()
    await line.sent(ann, SIGNAL, {"type": "receiveVideoFrom", "sender": ann, "sdpOffer": "a"})
    assert line.told() == [
        (ann, "web", existing()),
        (ann, "web", about("receiveVideoAnswer", ann, sdpAnswer="answer to a")),
    ]
    await line.sent(ben, ANSWER, b"0", content=f"{line.group}123")
    assert line.told() == [
        (ann, "web", about("newParticipantArrived", ben)),
        (ben, "web", existing(ann)),
        (ben, "phone", BYE),  # it rings no more
    ]
    await line.sent(ben, SIGNAL, {"type": "receiveVideoFrom", "sender": ben, "sdpOffer": "b"})
    await line.sent(ben, SIGNAL, {"type": "receiveVideoFrom", "sender": ann, "sdpOffer": "b-a"})
    await line.sent(ann, SIGNAL, {"type": "receiveVideoFrom", "sender": ben, "sdpOffer": "a-b"})
    assert line.told() == [
        (ben, "web", about("receiveVideoAnswer", ben, sdpAnswer="answer to b")),
        (ben, "web", about("receiveVideoAnswer", ann, sdpAnswer="answer to b-a")),
        (ann, "web", about("receiveVideoAnswer", ben, sdpAnswer="answer to a-b")),
    ]
    await line.sent(cat, SIGNAL, LEAVE)
    assert line.told() == [(cat, "phone", BYE)]
    await line.sent(ben, SIGNAL, LEAVE)
    assert line.told() == [(ann, "web", about("participantLeft", ben))]
    await line.sent(ann, BYE, to=[ben, cat])
    assert line.told() == []
    assert await line.room() is None
    assert line.media.rooms == {}
    assert [one[0] for one in line.media.asked] == [
        *("join", "publish", "join", "publish", "receive", "receive", "leave", "close")
    ]
    assert {one[1] for one in line.media.asked} == {name}


async def test_who_started_it_ends_it_for_who_is_in_and_who_rings(line: Line, people: list[str]) -> None:
    ann, ben, cat, dan = people
    await line.start(ann, ben, cat)
    await line.sent(ben, ANSWER)
    line.told()
    await line.sent(ann, BYE, to=[ben, cat, dan])
    assert sorted(line.told()) == sorted([(ben, "web", BYE), (cat, "phone", BYE), (cat, "web", BYE)])


async def test_each_signal_is_acknowledged_like_any_other(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    for uid, kind, data in (
        *((ben, ANSWER, b"0"), (ben, OWN_ANSWER, b"0"), (ben, MODIFY, b"1")),
        *((ben, SIGNAL, b'{"type":"what comes later"}'), (ben, SIGNAL, orjson.dumps(LEAVE)), (ann, BYE, b"")),
    ):
        id = line.office.ids.next()
        reply = await line.send(uid, kind, data, message_id=id)
        assert (reply.code, struct.unpack(">qqq", reply.payload)) == (0, (id, line.office.now, 0))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"\xff", b"[]", b"1", b'"leaveRoom"', b'{"type":"receiveVideoFrom"}'),
        *(b'{"type":"receiveVideoFrom","sender":1,"sdpOffer":"x"}', b"[" * 10_000),
        b'{"type":"receiveVideoFrom","sender":"x","sdpOffer":{}}',
    ],
    ids=range(10),
)
async def test_who_sends_what_is_no_signal_hears_it_alone(line: Line, people: list[str], data: bytes) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    await line.sent(ben, ANSWER)
    line.told()
    assert (await line.send(ben, SIGNAL, data)).code == Code.INVALID_DATA
    assert line.told() == []
    await line.sent(ben, SIGNAL, LEAVE)
    assert line.told() == [(ann, "web", about("participantLeft", ben))]


async def test_who_is_not_in_the_call_gets_nothing_of_it(line: Line, people: list[str]) -> None:
    """Somebody not invited, another device of a participant, a sender who is none, and no call at all."""
    ann, ben, cat, dan = people
    offer = {"type": "receiveVideoFrom", "sender": ann, "sdpOffer": "x"}
    assert (await line.send(ben, SIGNAL, offer)).code == Code.NO_RIGHT
    await line.start(ann, ben, cat)
    await line.sent(ben, ANSWER)
    line.told()
    for uid, client, said in (
        *((dan, "web", offer), (cat, "web", offer), (ben, "phone", offer)),
        *((ben, "web", {**offer, "sender": cat}), (ben, "web", {**offer, "sender": dan})),
    ):
        assert (await line.send(uid, SIGNAL, said, client=client)).code == Code.NO_RIGHT
    assert (await line.send(dan, ANSWER)).code == Code.NO_RIGHT
    for uid, kind, data in ((dan, SIGNAL, LEAVE), (dan, BYE, b"")):
        await line.sent(uid, kind, data)
    assert line.told() == []
    assert await line.there() == {ann: "web", ben: "web"}
    assert not any(one[0] in ("publish", "receive") for one in line.media.asked)


async def test_who_is_no_member_starts_nothing(line: Line, people: list[str]) -> None:
    ann, ben, cat, _ = people
    assert await kick(line.office, ann, line.group, cat) == Code.SUCCESS
    line.office.events.clear()
    assert (await line.send(cat, START, b'{"t":"G","a":0}', to=[ann, ben])).code == Code.NOT_IN_GROUP
    assert line.rung() == []
    assert line.told() == []
    assert await line.room() is None
    assert line.media.asked == []


async def test_who_was_removed_from_the_group_does_not_come_in(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    assert await kick(line.office, ann, line.group, ben) == Code.SUCCESS
    assert (await line.send(ben, ANSWER)).code == Code.NOT_IN_GROUP
    assert await line.there() == {ann: "web"}


async def test_candidates_find_their_connection(line: Line, people: list[str]) -> None:
    ann, ben, cat, _ = people
    await line.start(ann, ben)
    await line.sent(ben, ANSWER)
    name = await line.name()
    line.media.asked.clear()
    sent = {"candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "abcd"}
    ice = {"type": "onIceCandidate", "candidate": sent}
    for said in (
        *({**ice, "name": ann}, {**ice, "name": ""}, {**ice, "name": cat}, {**ice, "name": 7}, ice),
        {**ice, "name": ben, "candidate": {"candidate": "x", "sdpMid": None, "sdpMLineIndex": None}},
    ):
        await line.sent(ben, SIGNAL, said)
    expected = Candidate("candidate:1", "0", 0, "abcd")
    assert line.media.asked == [
        ("candidate", name, ben, ann, expected),
        *[("candidate", name, ben, "", expected)] * 4,
        ("candidate", name, ben, ben, Candidate("x")),
    ]
    for dropped in (None, 1, {"candidate": 1}, {"candidate": "x" * 5000}, {**sent, "sdpMLineIndex": -1}):
        await line.sent(ben, SIGNAL, {**ice, "candidate": dropped})
    await line.sent(cat, SIGNAL, ice)  # who is not in
    assert len(line.media.asked) == 6


async def test_candidates_of_the_media_server_go_to_the_device(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    line.told()
    name = await line.name()
    for room, uid in ((name, ann), (name, ben), (f"{line.group}.1", ann), ("nowhere.1", ann)):
        line.calls.on_candidate(room, uid, ben, Candidate("candidate:9", "1", 1))
    said = {"candidate": "candidate:9", "sdpMid": "1", "sdpMLineIndex": 1}
    await until(lambda: bool(line.office.events) and len(line.calls._tasks._tasks) == 1, "no candidate")
    assert line.told() == [(ann, "web", about("iceCandidate", ben, candidate=said))]


async def test_offers_have_a_bound(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    offer = {"type": "receiveVideoFrom", "sender": ann, "sdpOffer": "x" * (MAX_OFFER + 1)}
    assert (await line.send(ann, SIGNAL, offer)).code == Code.INVALID_PARAMETER


async def test_a_call_rings_only_so_many(line: Line) -> None:
    uids = await line.office.users(MAX_INVITED + 2)
    line.group = await create(line.office, uids[0], *uids[1:])
    assert (await line.send(uids[0], START)).code == Code.INVALID_PARAMETER
    await line.start(uids[0], *uids[1:-1])
    assert await line.there() == {uids[0]: "web"}


@pytest.mark.parametrize(
    "linked", [True, False], ids=["no process has the role", "this process links to none"]
)
async def test_without_a_media_server_nobody_is_rung(line: Line, people: list[str], linked: bool) -> None:
    ann, ben, *_ = people
    line.media.there = False
    if not linked:
        line.calls.media = None
    assert (await line.send(ann, START, to=[ben])).code == Code.NOT_IMPLEMENTED
    assert line.rung() == []
    assert line.told() == [(ann, "web", BYE)]
    assert await line.room() is None


async def test_while_a_connector_passes_over_what_is_for_one_device_nobody_is_rung(
    line: Line, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben, *_ = people
    with monkeypatch.context() as patch:
        patch.setattr(MemoryBus, "reaches_one_device", False)
        assert (await line.send(ann, START, to=[ben])).code == Code.NOT_IMPLEMENTED
        assert line.rung() == []
        assert await line.room() is None
    await line.start(ann, ben)


@pytest.mark.parametrize("error", [Busy("full"), MediaServerError("away")], ids=str)
async def test_a_media_server_that_takes_no_call_rings_nobody(
    line: Line, people: list[str], error: MediaServerError
) -> None:
    ann, ben, *_ = people
    line.media.error = error
    assert (await line.send(ann, START, to=[ben])).code == Code.SERVER_ERROR
    assert line.rung() == []
    assert line.told() == [(ann, "web", BYE)]
    assert await line.room() is None
    await line.start(ann, ben)
    line.told()
    line.media.error = error  # the room is full for the next one
    assert (await line.send(ben, ANSWER)).code == Code.SERVER_ERROR
    assert line.told() == [(ben, "web", BYE)]
    assert await line.there() == {ann: "web"}


async def test_a_second_start_joins_who_is_invited_and_stores_nothing(line: Line, people: list[str]) -> None:
    ann, ben, _, dan = people
    await line.start(ann, ben)
    line.told()
    await line.start(ben, ann, dan)
    assert line.rung() == []
    assert line.told() == [
        (ann, "web", about("newParticipantArrived", ben)),
        (ben, "web", existing(ann)),
        (ben, "phone", BYE),
    ]
    assert (await line.office.inbox(dan)).message[-1].content.type == ContentType.GROUP_CREATED
    assert (await line.send(dan, START, to=[ann])).code == Code.NO_RIGHT
    assert line.told() == [(dan, "web", BYE)]
    assert len(line.media.rooms) == 1


async def test_a_start_that_is_sent_again_is_one_call(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    id = line.office.ids.next()
    for _ in range(2):
        await line.start(ann, ben, frame_id=5, issued_ms=6)
        await line.start(ann, ben, message_id=id, retried=True, frame_id=5, issued_ms=6)
    assert line.rung() == [ben]
    assert len(line.media.rooms) == 1
    assert (await line.room()) is not None


async def test_who_is_in_a_call_is_not_rung(line: Line, people: list[str]) -> None:
    """Web clients fail on it (section 9.5); a 402 would end the call that they are in."""
    ann, ben, cat, dan = people
    await line.start(ann, ben)
    await line.sent(ben, ANSWER)
    first, line.group = line.group, await create(line.office, cat, ben, dan)
    line.office.events.clear()
    await line.start(cat, ben, dan)
    assert line.rung() == [dan]
    assert list((await line.office.inbox(dan)).message[-1].to) == [ben, dan]
    line.told()
    await line.sent(cat, BYE)
    assert {uid for uid, _, _ in line.told()} == {dan}
    line.group = first
    assert await line.there() == {ann: "web", ben: "web"}


async def test_who_answers_another_call_leaves_the_first(line: Line, people: list[str]) -> None:
    ann, ben, cat, _ = people
    await line.start(ann, ben)
    first, line.group = line.group, await create(line.office, cat, ben)
    await line.start(cat, ben)
    await line.sent(ben, ANSWER)
    line.told()
    await line.sent(ben, ANSWER, group=first)
    assert (cat, "web", about("participantLeft", ben)) in line.told()
    assert await line.there() == {cat: "web"}
    line.group = first
    assert await line.there() == {ann: "web", ben: "web"}


async def test_a_start_that_is_not_stored_leaves_no_room(
    line: Line, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben, *_ = people

    def append(message: object, stored: Any) -> None:
        stored(StoreBusy("full"))

    monkeypatch.setattr(line.office.node.store, "append", append)
    assert (await line.send(ann, START, to=[ben])).code == Code.SERVER_ERROR
    assert line.told() == [(ann, "web", BYE)]
    assert await line.room() is None
    assert line.media.rooms == {}


# What ends by itself


async def test_nobody_rings_for_longer_than_a_minute(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    line.told()
    line.office.now += RING_MS - 1
    await line.sweep()
    assert line.told() == []
    line.office.now += 1
    await line.sweep()
    assert sorted(line.told()) == sorted([(ben, "web", BYE), (ben, "phone", BYE), (ann, "web", BYE)])
    assert await line.room() is None
    assert line.media.rooms == {}


async def test_who_has_no_connection_for_long_has_left(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    await line.sent(ben, ANSWER)
    line.told()
    bus = line.office.node.bus
    bus.announce(Presence(ben, "web", NODE, 99, online=False))
    await line.sweep()
    line.seconds += GRACE_SECONDS - 0.1
    await line.sweep()
    assert line.told() == []
    line.office.online(ben, client="web")  # it is back in time
    await line.sweep()
    line.seconds += GRACE_SECONDS + 1
    await line.sweep()
    assert await line.there() == {ann: "web", ben: "web"}
    bus.announce(Presence(ben, "web", NODE, 199, online=False))
    await line.sweep()
    line.seconds += GRACE_SECONDS + 1
    await line.sweep()
    assert line.told() == [(ann, "web", about("participantLeft", ben))]
    bus.announce(Presence(ann, "web", NODE, 199, online=False))
    await line.sweep()
    line.seconds += GRACE_SECONDS + 1
    await line.sweep()
    assert await line.room() is None


async def test_while_places_are_unknown_nobody_is_gone(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    line.calls._places_are_known = lambda: False
    line.office.node.bus.announce(Presence(ann, "web", NODE, 99, online=False))
    for _ in range(3):
        await line.sweep()
        line.seconds += GRACE_SECONDS + 1
    assert await line.there() == {ann: "web"}


async def test_who_has_lost_their_media_is_out_and_is_told(line: Line, people: list[str]) -> None:
    ann, ben, cat, _ = people
    await line.start(ann, ben)
    await line.sent(ben, ANSWER)
    line.told()
    name = await line.name()
    line.calls.on_gone(name, ann, ben)  # a connection that receives: another offer may come
    line.calls.on_gone("nowhere.1", ann, ann)
    line.calls.on_gone(name, cat, cat)
    line.calls.on_gone(name, ben, ben)
    await until(lambda: len(line.calls._tasks._tasks) == 1, "the participant stays")
    assert line.told() == [(ben, "web", BYE), (ann, "web", about("participantLeft", ben))]
    assert await line.there() == {ann: "web"}


async def test_a_media_server_that_is_gone_ends_the_call(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    await line.sent(ben, ANSWER)
    line.told()
    line.calls.on_closed(await line.name(), "it died")
    await until(lambda: len(line.calls._tasks._tasks) == 1, "the room stays")
    assert sorted(line.told()) == sorted([(ann, "web", BYE), (ben, "web", BYE)])
    assert await line.room() is None


async def test_what_is_told_after_the_end_is_for_another_process(line: Line, people: list[str]) -> None:
    """The media server of the same process ends after the group role, which has no message ids any more."""
    ann, ben, *_ = people
    await line.start(ann, ben)
    name = await line.name()
    await line.calls.stop()
    line.calls.on_closed(name, "it ends")
    line.calls.on_gone(name, ann, ann)
    line.calls.on_candidate(name, ann, ann, Candidate("x"))
    assert not line.calls._tasks._tasks
    assert await line.there() == {ann: "web"}


async def test_a_room_that_the_media_server_does_not_have_is_over(line: Line, people: list[str]) -> None:
    """As after a stop of everything: the store has the room, and nothing carries it."""
    ann, ben, *_ = people
    await line.start(ann, ben)
    await line.sweep()
    line.media.rooms.clear()
    line.told()
    line.seconds += MEDIA_SECONDS
    await line.sweep()
    assert (ann, "web", BYE) in line.told()
    assert await line.room() is None


async def test_one_process_looks_after_a_room(line: Line, people: list[str]) -> None:
    ann, ben, *_ = people
    await line.start(ann, ben)
    line.calls._processes.on_change(())
    line.office.now += RING_MS
    await line.sweep()
    assert await line.room() is not None
    assert line.calls.looked_after == 0


def test_each_process_says_the_same_of_who_looks_after_a_room() -> None:
    nodes = [3, 5, 9]
    rooms = [f"group{number}" for number in range(300)]
    chosen = {room: one_of(room, nodes) for room in rooms}
    assert {one_of(room, nodes[::-1]) for room in rooms} == set(nodes)
    assert all(one_of(room, nodes[::-1]) == node for room, node in chosen.items())
    assert all(one_of(room, [3, 5]) == node for room, node in chosen.items() if node != 9)
    assert one_of("group", []) is None
