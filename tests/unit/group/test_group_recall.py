"""MR: taking a message back (contract.md section 8)."""

import orjson
import pytest

from fsharechat.bus import Event, Recalled
from fsharechat.clock import now_ms
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import IdGenerator, time_of
from fsharechat.protocol.signals import Code, ContentType, ConversationType, MemberType, SubSignal
from fsharechat.rpc import Method
from fsharechat.store import messages, recalls
from fsharechat.store.messages import Entry, NewMessage, conversation_key
from fsharechat.store.unit import Dialect, Query, Unit
from tests.unit.group.group_kit import Office, text
from tests.unit.group.groups_kit import create, kick, say

GROUP = "a group"
UNKNOWN = 1 << 50


def sent_id(payload: bytes) -> int:
    return int.from_bytes(payload[:8])


async def send(office: Office, sender: str, target: str, words: str = "a secret") -> int:
    """Send a text; return its id. What was told of it is forgotten."""
    message = text(target, words, local_id=7)
    message.content.push_content = message.content.content = words
    message.content.mentioned_type = 2
    id = sent_id(await office.payload(sender, SubSignal.MS, message))
    office.events.clear()
    return id


async def recall(office: Office, uid: str, id: int, *, retried: bool = False) -> int:
    reply = await office.ask(uid, SubSignal.MR, pb.INT64Buf(id=id), retried=retried)
    assert reply.payload == b""
    return reply.code


def told(office: Office) -> list[Event]:
    """Return and forget what the connector was told."""
    heard = list(office.events)
    office.events.clear()
    return heard


@pytest.fixture
async def pair(office: Office) -> tuple[str, str]:
    """Return the uids of two users with a device online each."""
    ann, bob = await office.user(), await office.user()
    office.online(ann, bob)
    return ann, bob


async def test_a_recalled_message_is_a_notice_with_its_old_place(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    id = await send(office, ann, bob)
    before = (await office.inbox(bob)).message[0]
    assert await recall(office, ann, id) == Code.SUCCESS
    notice = (await office.inbox(bob)).message[0]
    assert notice.content == pb.MessageContent(
        type=ContentType.RECALLED, content=ann, data=str(id).encode(), persist_flag=1
    )
    before.content.Clear()
    notice.content.Clear()
    assert notice == before
    assert (notice.message_id, notice.local_message_id, notice.from_user) == (id, 7, ann)


async def test_a_recalled_message_is_recalled_in_every_inbox_and_in_the_history(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    id = await send(office, ann, bob)
    await recall(office, ann, id)
    for uid, other in ((ann, bob), (bob, ann)):
        where = pb.Conversation(type=0, target=other, line=0)
        request = pb.LoadRemoteMessages(conversation=where, before_uid=0, count=9)
        history = pb.PullMessageResult.FromString(await office.payload(uid, SubSignal.LRM, request))
        for result in (history, await office.inbox(uid)):
            assert b"secret" not in result.SerializeToString()
            assert [message.content.type for message in result.message] == [ContentType.RECALLED]


async def test_all_devices_of_both_are_told_once(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, bob)
    await recall(office, ann, id)
    body = (await office.inbox(bob)).message[0].SerializeToString()
    assert told(office) == [Recalled(id, body, [Entry(ann, 1), Entry(bob, 1)], ann, "phone")]


async def test_a_recall_is_kept_with_the_device_that_asked(office: Office, pair: tuple[str, str]) -> None:
    """The operator's other devices are told of it, that one is not."""
    ann, bob = pair
    id = await send(office, ann, bob)
    request = pb.INT64Buf(id=id)
    assert (await office.ask(ann, SubSignal.MR, request, client="tablet")).code == Code.SUCCESS
    payload = await office.payload(ann, Method.RECALLS, b"0")
    assert orjson.loads(payload) == [[1, id, ann, "tablet"]]


async def test_only_the_sender_recalls_a_private_message(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    eve = await office.user()
    id = await send(office, ann, bob)
    assert await recall(office, bob, id) == Code.NO_RIGHT
    assert await recall(office, eve, id) == Code.NOT_EXIST  # and does not learn that it exists
    assert told(office) == []
    assert (await office.inbox(bob)).message[0].content.searchable_content == "a secret"


@pytest.mark.parametrize("id", [UNKNOWN, 0, -1, 1 << 62])
async def test_a_message_that_is_not_stored_cannot_be_recalled(
    office: Office, pair: tuple[str, str], id: int
) -> None:
    assert await recall(office, pair[0], id) == Code.NOT_EXIST


async def test_a_transparent_message_cannot_be_recalled(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    payload = await office.payload(ann, SubSignal.MS, text(bob, content_type=ContentType.TYPING))
    assert await recall(office, ann, sent_id(payload)) == Code.NOT_EXIST


async def test_a_message_to_oneself_is_recalled(office: Office, pair: tuple[str, str]) -> None:
    ann, _ = pair
    id = await send(office, ann, ann)
    assert await recall(office, ann, id) == Code.SUCCESS
    (event,) = told(office)
    assert isinstance(event, Recalled)
    assert event.entries == [Entry(ann, 1)]


async def test_a_second_recall_succeeds_and_changes_nothing(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, bob)
    await recall(office, ann, id)
    body = (await office.inbox(bob)).message[0]
    told(office)
    assert await recall(office, ann, id) == Code.SUCCESS
    assert await recall(office, bob, id) == Code.NO_RIGHT
    assert told(office) == []
    assert (await office.inbox(bob)).message[0] == body


async def test_a_retried_recall_is_in_the_recalls_once(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, bob)
    assert await recall(office, ann, id) == Code.SUCCESS
    assert len(told(office)) == 1
    assert await recall(office, ann, id, retried=True) == Code.SUCCESS
    assert told(office) == []  # who was not told the first time is told by the head check
    for uid in pair:
        assert await office.node.store.read(recalls.missed, uid, 0) == [(1, id, ann, "phone")]


async def test_a_message_that_only_looks_recalled_is_recalled(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    """So it came from clients before the server refused it."""
    message = text(bob, content_type=ContentType.RECALLED, from_user=ann)
    message.content.content = "somebody"
    id = office.ids.next()
    key = conversation_key(ConversationType.PRIVATE, 0, bob, ann)
    old = NewMessage(id, ann, 0, key, message.SerializeToString(), [bob])
    await office.node.store.write(messages.append, [old])
    assert await recall(office, ann, id) == Code.SUCCESS
    assert (await office.inbox(bob)).message[0].content.content == ann


class RecallCrowd:
    """A group with a member of each kind, all online, one who has left it long ago and one who never was in it."""

    def __init__(self, office: Office, uids: list[str]) -> None:
        self.office = office
        self.owner, self.manager, self.silenced, self.gone, self.sender, self.other, self.eve, self.past = (
            uids
        )
        self.all = set(uids) - {self.eve, self.past}
        self.ids = IdGenerator(5)

    async def message(self, sender: str, *, to: tuple[str, ...] = (), to_user: str = "") -> int:
        """Store a message of the group; return its id."""
        id = self.ids.next()
        message = text(GROUP, kind=ConversationType.GROUP, from_user=sender)
        message.message_id = id
        message.server_timestamp = time_of(id)
        message.to.extend(to)
        if to_user:
            message.to_user = to_user
        key = conversation_key(ConversationType.GROUP, 0, GROUP, sender)
        receivers = tuple({*to, to_user} - {""}) or tuple(self.all - {sender})
        new = NewMessage(id, sender, 0, key, message.SerializeToString(), receivers)
        await self.office.node.store.write(messages.append, [new])
        return id

    def told(self) -> set[str]:
        """Return and forget who was told of a recall."""
        return {uid for event in told(self.office) if isinstance(event, Recalled) for uid, _ in event.entries}


@pytest.fixture
async def crowd(office: Office) -> RecallCrowd:
    made = RecallCrowd(office, [await office.user() for _ in range(8)])
    kinds = {
        made.owner: MemberType.OWNER,
        made.manager: MemberType.MANAGER,
        made.silenced: MemberType.SILENCED,
        made.gone: MemberType.REMOVED,
        made.past: MemberType.REMOVED,
        made.sender: MemberType.NORMAL,
        made.other: MemberType.NORMAL,
    }

    def insert(_: Dialect) -> Unit[None]:
        for uid, kind in kinds.items():
            columns = "(group_id, uid, alias, type, joined_ms, update_dt)"
            sql = f"INSERT INTO group_members {columns} VALUES (?, ?, '', ?, 1, ?)"
            yield Query(sql, (GROUP, uid, int(kind), now_ms() if uid == made.gone else 1))

    await office.node.store.write(insert)
    office.online(*made.all, made.eve, made.past)
    return made


async def test_who_was_removed_after_the_clock_had_gone_back_is_told(office: Office) -> None:
    ann, bob = [await office.user() for _ in range(2)]
    id = await create(office, ann, bob)
    office.online(bob)
    office.now += 600_000
    message = sent_id((await say(office, ann, id)).payload)
    office.now -= 3_600_000
    assert await kick(office, ann, id, bob) == Code.SUCCESS
    told(office)
    assert await recall(office, ann, message) == Code.SUCCESS
    assert [uid for event in told(office) if isinstance(event, Recalled) for uid, _ in event.entries] == [bob]


@pytest.mark.parametrize("who", ["sender", "owner", "manager"])
async def test_sender_owner_and_manager_recall_in_a_group(
    office: Office, crowd: RecallCrowd, who: str
) -> None:
    id = await crowd.message(crowd.sender)
    operator: str = getattr(crowd, who)
    assert await recall(office, operator, id) == Code.SUCCESS
    assert crowd.told() == crowd.all  # who has left since has it as well
    notice = (await office.inbox(crowd.other)).message[0]
    assert (notice.content.type, notice.content.content) == (ContentType.RECALLED, operator)
    assert notice.from_user == crowd.sender


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("other", Code.NO_RIGHT),
        ("silenced", Code.NO_RIGHT),
        ("gone", Code.NOT_EXIST),
        ("eve", Code.NOT_EXIST),
    ],
)
async def test_nobody_else_recalls_in_a_group(
    office: Office, crowd: RecallCrowd, who: str, code: Code
) -> None:
    id = await crowd.message(crowd.sender)
    assert await recall(office, getattr(crowd, who), id) == code
    assert crowd.told() == set()


async def test_who_has_left_recalls_their_own(office: Office, crowd: RecallCrowd) -> None:
    assert await recall(office, crowd.gone, await crowd.message(crowd.gone)) == Code.SUCCESS


async def test_a_recall_by_another_after_the_first_keeps_the_first_operator(
    office: Office, crowd: RecallCrowd
) -> None:
    id = await crowd.message(crowd.sender)
    await recall(office, crowd.sender, id)
    assert await recall(office, crowd.owner, id) == Code.SUCCESS
    assert (await office.inbox(crowd.other)).message[0].content.content == crowd.sender


@pytest.mark.parametrize("by_to_user", [False, True])
async def test_a_directed_message_concerns_only_those_it_was_for(
    office: Office, crowd: RecallCrowd, by_to_user: bool
) -> None:
    if by_to_user:
        id = await crowd.message(crowd.sender, to_user=crowd.silenced)
    else:
        id = await crowd.message(crowd.sender, to=(crowd.silenced, crowd.eve))
    assert await recall(office, crowd.other, id) == Code.NOT_EXIST
    assert await recall(office, crowd.eve, id) == Code.NOT_EXIST  # was no member
    assert await recall(office, crowd.silenced, id) == Code.NO_RIGHT
    assert await recall(office, crowd.sender, id) == Code.SUCCESS
    assert crowd.told() == {crowd.sender, crowd.silenced}
