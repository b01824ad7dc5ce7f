"""MP and LRM (contract.md sections 6 and 7)."""

import pytest

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ConversationType, SubSignal
from tests.unit.group.group_kit import Office, text, words


def page(
    target: str, before: int = 0, count: int = 10, kind: int = 0, line: int = 0
) -> pb.LoadRemoteMessages:
    where = pb.Conversation(type=kind, target=target, line=line)
    return pb.LoadRemoteMessages(conversation=where, before_uid=before, count=count)


async def history(office: Office, uid: str, request: pb.LoadRemoteMessages) -> pb.PullMessageResult:
    return pb.PullMessageResult.FromString(await office.payload(uid, SubSignal.LRM, request))


@pytest.mark.parametrize(
    ("id", "wanted"), [(0, "abc"), (1, "bc"), (3, ""), (4, "abc"), (1 << 62, "abc"), (-1, "abc")], ids=str
)
async def test_mp_answers_what_follows_and_above_the_head_everything(
    office: Office, id: int, wanted: str
) -> None:
    ann, bob = await office.user(), await office.user()
    for word in "abc":
        await office.ask(ann, SubSignal.MS, text(bob, word))
    result = await office.inbox(bob, id)
    assert (words(result), result.current, result.head) == (list(wanted), 3, 3)


async def test_an_empty_inbox_is_zeros_on_the_wire(office: Office) -> None:
    result = await office.inbox(await office.user(), 5)
    assert result.SerializeToString() == pb.PullMessageResult(current=0, head=0).SerializeToString()


async def test_lrm_pages_backwards_newest_first_in_both_directions(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    for sender, target, word in ((ann, bob, "one"), (bob, ann, "two"), (ann, bob, "three")):
        await office.ask(sender, SubSignal.MS, text(target, word))
    for uid, other in ((ann, bob), (bob, ann)):
        newest = await history(office, uid, page(other, count=2))
        assert words(newest) == ["three", "two"]
        oldest = await history(office, uid, page(other, before=newest.message[-1].message_id, count=2))
        assert words(oldest) == ["one"]


async def test_lrm_never_shows_what_others_said_to_each_other(office: Office) -> None:
    ann, bob, eve = [await office.user() for _ in range(3)]
    await office.ask(ann, SubSignal.MS, text(bob))
    for target in (ann, bob, eve, f"{ann}|{bob}", "", "nobody"):
        assert words(await history(office, eve, page(target))) == []
    assert words(await history(office, ann, page(bob, line=1))) == []


async def test_lrm_of_nothing_or_less_is_nothing(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await office.ask(ann, SubSignal.MS, text(bob))
    for count in (0, -1):
        assert words(await history(office, ann, page(bob, count=count))) == []
    assert words(await history(office, ann, page(bob, before=-1))) == ["hello"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ConversationType.GROUP, Code.NOT_IN_GROUP),
        (ConversationType.CHAT_ROOM, Code.NOT_IN_CHATROOM),
        (ConversationType.CHANNEL, Code.NOT_IN_CHANNEL),
        (9, Code.INVALID_PARAMETER),
    ],
)
async def test_lrm_of_a_conversation_that_one_is_not_in(office: Office, kind: int, code: Code) -> None:
    assert await office.code(await office.user(), SubSignal.LRM, page("target", kind=kind)) == code
