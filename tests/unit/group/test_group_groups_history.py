"""LRM of groups, and what a first login gets of them (contract.md section 6)."""

import asyncio

import pytest

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ConversationType, SubSignal
from tests.unit.group.group_kit import Office, words
from tests.unit.group.groups_kit import add, create, dismiss, kick, leave, said


async def history(office: Office, uid: str, group: str, before: int = 0, count: int = 100) -> list[str]:
    return words(await page(office, uid, group, before, count))


async def page(office: Office, uid: str, group: str, before: int, count: int) -> pb.PullMessageResult:
    where = pb.Conversation(type=ConversationType.GROUP, target=group, line=0)
    request = pb.LoadRemoteMessages(conversation=where, before_uid=before, count=count)
    return pb.PullMessageResult.FromString(await office.payload(uid, SubSignal.LRM, request))


async def test_members_read_back_what_was_said_newest_first(office: Office) -> None:
    ann, bob, late = [await office.user() for _ in range(3)]
    id = await create(office, ann, bob)
    for word in ("one", "two"):
        await said(office, ann, id, word)
    await said(office, bob, id, "three")
    assert await history(office, bob, id) == ["three", "two", "one", ""]
    assert await history(office, bob, id, count=2) == ["three", "two"]
    assert await add(office, ann, id, late) == Code.SUCCESS
    assert (await history(office, late, id))[1:4] == ["three", "two", "one"]


async def test_only_members_read_it(office: Office) -> None:
    ann, bob, eve = [await office.user() for _ in range(3)]
    id = await create(office, ann, bob)
    await said(office, ann, id)
    assert await history(office, bob, id) == ["hello", ""]
    assert await leave(office, bob, id) == Code.SUCCESS
    for uid, group in ((bob, id), (eve, id), (ann, "unknown")):
        where = pb.Conversation(type=ConversationType.GROUP, target=group, line=0)
        request = pb.LoadRemoteMessages(conversation=where, before_uid=0, count=9)
        assert await office.code(uid, SubSignal.LRM, request) == Code.NOT_IN_GROUP


async def test_directed_messages_are_for_those_they_name(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    id = await create(office, ann, bob, cid)
    await said(office, ann, id, "all")
    await said(office, ann, id, "bob", to=[bob])
    await said(office, bob, id, "cid", to=[cid])
    assert await history(office, ann, id) == ["bob", "all", ""]
    assert await history(office, bob, id) == ["cid", "bob", "all", ""]
    assert await history(office, cid, id) == ["cid", "all", ""]


async def test_a_page_is_full_whatever_is_left_out_of_it(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    id = await create(office, ann, bob, cid)
    for n in range(40):
        await said(office, ann, id, f"all {n}")
        await asyncio.gather(*[said(office, ann, id, "bob", to=[bob]) for _ in range(75)])
    wanted = [f"all {n}" for n in reversed(range(40))] + [""]
    seen: list[str] = []
    before = 0
    while part := (await page(office, cid, id, before, 9)).message:
        assert len(part) == min(9, len(wanted) - len(seen))
        seen += [message.content.searchable_content for message in part]
        before = part[-1].message_id
    assert seen == wanted


@pytest.mark.parametrize("how", ["quit", "kick", "dismiss"])
async def test_a_first_login_gets_nothing_of_groups_that_one_has_left(office: Office, how: str) -> None:
    ann, bob = await office.user(), await office.user()
    left, other = await create(office, ann, bob), await create(office, ann, bob)
    for word in ("one", "two"):
        await said(office, ann, left, word)
        await said(office, ann, other, word)
    if how == "quit":
        assert await leave(office, bob, left) == Code.SUCCESS
    elif how == "kick":
        assert await kick(office, ann, left, bob) == Code.SUCCESS
    else:
        assert await dismiss(office, ann, left) == Code.SUCCESS
    head = 7
    for after in (0, head + 1):
        inbox = await office.inbox(bob, after)
        assert {message.conversation.target for message in inbox.message} == {other}
        assert words(inbox) == ["", "one", "two"]
        assert (inbox.current, inbox.head) == (head, head)
    assert len((await office.inbox(bob, 1)).message) == head - 1  # no first login: all that follows
    await said(office, ann, other, "three")
    assert words(await office.inbox(bob)) == ["", "one", "two", "three"]
    if how != "dismiss":
        assert await add(office, ann, left, bob) == Code.SUCCESS
        assert len((await office.inbox(bob)).message) == head + 2
