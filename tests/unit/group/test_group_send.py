"""MS: who may send what to whom, what is stored of it, and who is told (contract.md sections 6 and 8)."""

import asyncio
import struct
from hashlib import blake2b

import pytest
from structlog.testing import capture_logs

from fsharechat.bus import Deliver, Push, PushTo
from fsharechat.errors import StoreBusy
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import SENT_BYTES
from fsharechat.protocol.ids import time_of
from fsharechat.protocol.signals import Code, ConversationType, SubSignal, UserStatus
from fsharechat.store import messages
from fsharechat.store.messages import Entry
from tests.unit.group.group_kit import Office, text, words

MS = SubSignal.MS
HOUR_MS = 3_600_000


async def test_the_answer_is_id_and_time_of_the_stored_message(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    id = office.ids.next()
    reply = await office.ask(ann, MS, text(bob), message_id=id)
    assert (reply.code, struct.unpack(">qqq", reply.payload)) == (Code.SUCCESS, (id, time_of(id), 1))
    (message,) = (await office.inbox(bob)).message
    assert (message.message_id, message.server_timestamp) == (id, time_of(id))


async def test_sender_and_receiver_have_one_entry_each(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await office.ask(ann, MS, text(bob, "one"))
    await office.ask(ann, MS, text(bob, "two"))
    for uid in (ann, bob):
        inbox = await office.inbox(uid)
        assert (words(inbox), inbox.current, inbox.head) == (["one", "two"], 2, 2)


async def test_a_message_to_oneself_has_one_entry(office: Office) -> None:
    ann = await office.user()
    await office.ask(ann, MS, text(ann))
    assert (await office.inbox(ann)).head == 1


async def test_the_sender_is_who_is_authenticated_whatever_the_client_wrote(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await office.ask(ann, MS, text(bob, from_user=bob))
    await office.ask(ann, MS, text(bob).SerializeToString().replace(b"somebody else", b"\xff" * 13))
    assert [message.from_user for message in (await office.inbox(bob)).message] == [ann, ann]


async def test_what_the_client_wrote_otherwise_is_kept(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    sent = text(bob, "飞享", local_id=77)
    sent.content.data = b"\x00\xff"
    sent.content.mentioned_target.append(bob)
    await office.ask(ann, MS, sent)
    (kept,) = (await office.inbox(bob)).message
    assert (kept.conversation, kept.content, kept.local_message_id) == (sent.conversation, sent.content, 77)


async def test_a_stored_message_is_delivered_with_its_bytes_and_entries(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    office.online(ann, bob)
    await office.ask(ann, MS, text(bob), client="tablet")
    (event,) = office.events
    (stored,) = (await office.inbox(bob)).message
    assert isinstance(event, Deliver)
    assert pb.Message.FromString(event.body) == stored
    assert sorted(event.entries) == sorted([Entry(ann, 1), Entry(bob, 1)])
    assert (event.sender, event.sender_client) == (ann, "tablet")


async def test_nobody_online_is_told_nothing(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    assert (await office.ask(ann, MS, text(bob))).code == Code.SUCCESS
    assert office.events == []


@pytest.mark.parametrize(
    ("status", "code"), [(UserStatus.MUTED, Code.MUTED), (UserStatus.BLOCKED, Code.USER_FORBIDDEN)]
)
async def test_who_is_muted_or_blocked_sends_nothing(office: Office, status: UserStatus, code: Code) -> None:
    ann, bob = await office.user(), await office.user()
    assert (await office.ask(ann, MS, text(bob))).code == Code.SUCCESS  # cached as one who may
    await office.set_status(ann, status)
    assert await office.code(ann, MS, text(bob)) == code
    assert await office.code(ann, MS, text(bob, content_type=91)) == code
    await office.set_status(ann, UserStatus.NORMAL)
    assert (await office.ask(ann, MS, text(bob))).code == Code.SUCCESS
    assert (await office.inbox(bob)).head == 2


async def test_who_is_blacklisted_sends_nothing_to_that_user(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    office.online(bob)
    await office.blacklist(bob, ann)
    assert await office.code(ann, MS, text(bob)) == Code.BLACKLISTED
    assert await office.code(ann, MS, text(bob, content_type=400)) == Code.BLACKLISTED
    assert office.events == []
    for sender, target in ((ann, cid), (cid, bob), (bob, ann)):
        assert (await office.ask(sender, MS, text(target))).code == Code.SUCCESS
    assert (await office.inbox(bob)).head == 2


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ConversationType.GROUP, Code.NOT_IN_GROUP),
        (ConversationType.CHAT_ROOM, Code.NOT_IN_CHATROOM),
        (ConversationType.CHANNEL, Code.NOT_IN_CHANNEL),
        (7, Code.INVALID_PARAMETER),
        (-1, Code.INVALID_PARAMETER),
    ],
)
async def test_conversations_that_one_is_not_in(office: Office, kind: int, code: Code) -> None:
    ann, bob = await office.user(), await office.user()
    assert await office.code(ann, MS, text("a group", kind=kind)) == code
    await office.ask(ann, MS, text(bob))
    assert await office.code(ann, MS, text(bob, kind=kind)) == code  # though a user of that name is cached


@pytest.mark.parametrize("target", ["nobody", ""])
async def test_an_unknown_target_does_not_exist(office: Office, target: str) -> None:
    ann = await office.user()
    assert await office.code(ann, MS, text(target)) == Code.NOT_EXIST
    assert (await office.inbox(ann)).head == 0


async def test_a_sender_who_does_not_exist_sends_nothing(office: Office) -> None:
    assert await office.code("nobody", MS, text(await office.user())) == Code.NOT_EXIST


def without(field: str) -> bytes:
    message = text("x" * 10)
    message.ClearField(field)
    return message.SerializePartialToString()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xff\xff",
        b"\x0a\xff\xff\xff\xff\x07",
        text("bob", "hello").SerializeToString()[:-1],
        text("bob", "hello").SerializeToString().replace(b"hello", b"\xc3\x28\xff\xfeo"),
        text("bobby").SerializeToString().replace(b"bobby", b"\xc3\x28\xff\xfeo"),
        without("conversation"),
        without("content"),
    ],
    ids=[
        "empty",
        "noise",
        "length",
        "cut",
        "text is not UTF-8",
        "target is not",
        "no conversation",
        "no content",
    ],
)
async def test_what_is_no_message_is_invalid_data(office: Office, body: bytes) -> None:
    ann = await office.user()
    assert await office.code(ann, MS, body) == Code.INVALID_DATA


@pytest.mark.parametrize("content_type", [91, 401, 402, 403, 404, 405])
async def test_transparent_types_are_pushed_whatever_the_flag_says(office: Office, content_type: int) -> None:
    ann, bob = await office.user(), await office.user()
    office.online(ann, bob)
    id = office.ids.next()
    reply = await office.ask(ann, MS, text(bob, content_type=content_type), message_id=id)
    assert (reply.code, struct.unpack(">qqq", reply.payload)) == (Code.SUCCESS, (id, time_of(id), 0))
    (event,) = office.events
    assert isinstance(event, Push)
    assert event.uids == [bob]  # never the sender's own devices
    pushed = pb.Message.FromString(event.body)
    assert (pushed.from_user, pushed.message_id, pushed.content.type) == (ann, id, content_type)
    assert [(await office.inbox(uid)).head for uid in (ann, bob)] == [0, 0]


@pytest.mark.parametrize("content_type", [91, 400, 401, 402, 403, 404, 405])
async def test_the_other_devices_of_who_answers_a_call_hear_of_it_alone(
    office: Office, content_type: int
) -> None:
    """They ring no more. What they are not pushed could end a call of their own (calls.md section 9.2)."""
    ann, bob = await office.user(), await office.user()
    for client in ("phone", "tablet", "web"):
        office.online(ann, client=client)
    await office.ask(ann, MS, text(bob, content_type=content_type))
    own = {event.client_id: event for event in office.events if isinstance(event, PushTo)}
    assert own.keys() == ({"tablet", "web"} if content_type in (401, 405) else set())
    for event in own.values():
        pushed = pb.Message.FromString(event.body)
        assert (event.uid, event.sender, pushed.from_user, pushed.conversation.target) == (ann, ann, ann, bob)
    assert not any(isinstance(event, Push) for event in office.events)


@pytest.mark.parametrize("flag", [None, 0, 1, 3, 4], ids=str)
async def test_the_start_of_a_call_is_stored_whatever_the_flag_says(office: Office, flag: int | None) -> None:
    ann, bob = await office.user(), await office.user()
    office.online(bob)
    assert (await office.ask(ann, MS, text(bob, content_type=400, flag=flag))).code == Code.SUCCESS
    assert [type(event) for event in office.events] == [Deliver]
    assert [(await office.inbox(uid)).head for uid in (ann, bob)] == [1, 1]


@pytest.mark.parametrize(
    ("flag", "stored"), [(None, True), (1, True), (3, True), (2, True), (0, False), (4, False)], ids=str
)
async def test_the_persist_flag_says_whether_a_message_is_stored(
    office: Office, flag: int | None, stored: bool
) -> None:
    ann, bob = await office.user(), await office.user()
    office.online(bob)
    assert (await office.ask(ann, MS, text(bob, flag=flag))).code == Code.SUCCESS
    assert [type(event) for event in office.events] == [Deliver if stored else Push]
    assert (await office.inbox(bob)).head == stored


async def test_a_transparent_message_to_who_is_offline_is_gone(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    office.online(ann)
    for target in (bob, ann):
        assert (await office.ask(ann, MS, text(target, content_type=91))).code == Code.SUCCESS
    assert office.events == []


async def test_the_time_of_a_message_is_the_clock_s_also_where_ids_are_ahead(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    office.ids.next()
    office.now -= HOUR_MS
    sent = struct.unpack(">qqq", await office.payload(ann, MS, text(bob)))
    assert time_of(sent[0]) == office.now + HOUR_MS
    assert sent[1] == office.now
    (message,) = (await office.inbox(bob)).message
    assert (message.message_id, message.server_timestamp) == sent[:2]


async def test_a_resend_answers_the_first_id_and_tells_nobody(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    office.online(ann, bob)
    first, again = office.ids.next(), office.ids.next() + (1 << 30)  # a later millisecond
    one = await office.ask(ann, MS, text(bob, local_id=5), message_id=first)
    office.now += 777
    two = await office.ask(ann, MS, text(bob, local_id=5), message_id=again)
    assert struct.unpack(">qqq", one.payload) == (first, office.now - 777, 1)
    assert struct.unpack(">qqq", two.payload) == (first, office.now - 777, 0)
    assert len(office.events) == 1
    assert (await office.inbox(bob)).head == 1


def others_than(bob: str, cid: str) -> list[pb.Message]:
    """Return messages that differ from `text(bob, local_id=5)` in what is read or by whom."""
    other_line, other_data, directed = (text(bob, local_id=5) for _ in range(3))
    other_line.conversation.line = 1
    other_data.content.data = b"x"
    directed.to_user = bob
    return [text(bob, "other words", local_id=5), text(cid, local_id=5), other_line, other_data, directed]


async def sent_as(office: Office, uid: str, message: pb.Message) -> bytes:
    """Send, and return what the device gets."""
    return (await office.payload(uid, MS, message))[:SENT_BYTES]


async def test_what_a_resend_is_known_by_never_changes(office: Office) -> None:
    """In a rolling upgrade a resend may come to another version than the message. Both must find the first copy."""
    ann, bob = await office.user(), await office.user()
    id = office.ids.next()
    await office.ask(ann, MS, text(bob, local_id=5, from_user=ann), message_id=id)
    sent = text(bob, local_id=5, from_user=ann)
    hashed = blake2b(sent.SerializePartialToString(), digest_size=8).digest()
    digest = int.from_bytes(hashed, "big", signed=True)
    assert await office.node.store.read(messages.first_copy, ann, 5, digest) == id


async def test_the_same_local_id_with_another_text_or_target_is_another_message(office: Office) -> None:
    """A client that begins to count anew, after it lost its state, loses no message by it."""
    ann, bob = await office.user(), await office.user()
    sent = [text(bob, local_id=5), *others_than(bob, await office.user())]
    ids = [await sent_as(office, ann, message) for message in sent]
    assert len(set(ids)) == len(sent)
    assert [await sent_as(office, ann, message) for message in sent] == ids
    assert (await office.inbox(ann)).head == len(sent)


async def test_what_a_client_writes_about_ids_and_times_makes_no_other_message(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    one, two = text(bob, local_id=5), text(bob, local_id=5, from_user="anybody")
    two.message_id, two.server_timestamp = 77, 78
    assert await sent_as(office, ann, one) == await sent_as(office, ann, two)


async def test_a_frame_that_is_sent_again_without_a_local_id_is_a_resend(office: Office) -> None:
    """Public Android sends its messages so, again after 3 s and at every CONNECT_ACK."""
    ann, bob = await office.user(), await office.user()
    body = text(bob)

    async def send(body: pb.Message, frame_id: int = 9, issued_ms: int = 1, client: str = "phone") -> bytes:
        reply = await office.ask(ann, MS, body, client=client, frame_id=frame_id, issued_ms=issued_ms)
        assert reply.code == Code.SUCCESS
        return reply.payload[:SENT_BYTES]

    first = await send(body)
    assert await send(body) == first
    others = [
        await send(text(bob, "other")),
        await send(body, frame_id=10),
        await send(body, issued_ms=2),
        await send(body, client="tablet"),
        await send(body, frame_id=65536 + 9),
    ]
    assert len({first, *others}) == 6
    assert await send(body) == first
    assert (await office.inbox(bob)).head == 6


async def test_a_frame_is_not_taken_for_a_local_id(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await office.ask(ann, MS, text(bob), frame_id=9, issued_ms=1)
    await office.ask(ann, MS, text(bob, local_id=9), frame_id=9, issued_ms=1)
    assert (await office.inbox(bob)).head == 2


async def test_a_retried_call_answers_as_the_first_did(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    id = office.ids.next()
    first = await office.ask(ann, MS, text(bob), message_id=id)
    office.now += 777
    again = await office.ask(ann, MS, text(bob), message_id=id, retried=True)
    assert (again.code, again.payload[:SENT_BYTES]) == (first.code, first.payload[:SENT_BYTES])
    assert (await office.inbox(bob)).head == 1


async def test_messages_of_one_sender_keep_their_order_behind_one_that_waits(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    await office.ask(ann, MS, text(bob, "first"))  # ann and bob are cached now, cid is not
    sent = [("one", cid), ("two", bob), ("three", cid), ("four", bob)]
    replies = await asyncio.gather(*[office.ask(ann, MS, text(target, word)) for word, target in sent])
    assert {reply.code for reply in replies} == {Code.SUCCESS}
    assert words(await office.inbox(ann)) == ["first", "one", "two", "three", "four"]


async def test_what_waits_behind_a_message_waits_no_longer_than_it(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    await office.ask(ann, MS, text(bob, "first"))  # ann and bob are cached now, cid is not
    before = office.node.store.stats.batches
    await asyncio.gather(*[office.ask(ann, MS, text(target, "another")) for target in (cid, bob, bob, bob)])
    assert office.node.store.stats.batches == before + 1


async def test_a_refused_message_holds_up_nobody_behind_it(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    codes = [
        reply.code
        for reply in await asyncio.gather(
            office.ask(ann, MS, text("nobody", "lost")),
            office.ask(ann, MS, text("a group", kind=1)),
            office.ask(ann, MS, text(bob, "kept")),
        )
    ]
    assert codes == [Code.NOT_EXIST, Code.NOT_IN_GROUP, Code.SUCCESS]
    assert (await office.ask(ann, MS, text(bob, "later"))).code == Code.SUCCESS
    assert words(await office.inbox(bob)) == ["kept", "later"]


async def test_a_message_that_the_store_refuses_is_a_server_error(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await office.user(), await office.user()
    await office.ask(ann, MS, text(bob))

    def busy(*_: object) -> None:
        raise StoreBusy("full")

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(office.node.store, "append", busy)
        assert await office.code(ann, MS, text(bob)) == Code.SERVER_ERROR
    assert [(line["event"], line["error"]) for line in logs] == [("message not stored", "full")]
    assert (await office.ask(ann, MS, text(bob))).code == Code.SUCCESS
