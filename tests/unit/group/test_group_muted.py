"""Who is muted, or silenced in a group, says nothing anywhere that others read (contract.md section 8)."""

from collections.abc import Awaitable, Callable

import pytest

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import (
    Code,
    ConversationType,
    GroupInfoType,
    InfoType,
    MemberType,
    SubSignal,
    UserStatus,
)
from tests.unit.group.group_kit import Office, text
from tests.unit.group.groups_kit import (
    add,
    as_members,
    create,
    info,
    kick,
    leave,
    members,
    modify,
    new_group,
    notices,
    say,
)

SILENCED, MANAGER = MemberType.SILENCED, MemberType.MANAGER
Say = Callable[[Office, str, str, str], Awaitable[int]]
"""Let a user of a group say something; the other user is a friend to be."""


def far(reason: str) -> Say:
    return lambda office, uid, other, _: office.code(
        uid, SubSignal.FAR, pb.AddFriendRequest(target_uid=other, reason=reason)
    )


def mmi(kind: InfoType, value: str) -> Say:
    request = pb.ModifyMyInfoRequest(entry=[pb.InfoEntry(type=kind, value=value)])
    return lambda office, uid, _, __: office.code(uid, SubSignal.MMI, request)


async def _make(office: Office, uid: str, request: pb.CreateGroupRequest) -> int:
    return (await office.ask(uid, SubSignal.GC, request)).code


async def _add_named(office: Office, uid: str, other: str, group: str) -> int:
    request = pb.AddGroupMemberRequest(group_id=group, added_member=as_members(other))
    request.added_member[0].alias = "a name"
    return await office.code(uid, SubSignal.GAM, request)


async def _write(office: Office, uid: str, message: pb.Message) -> int:
    return (await office.ask(uid, SubSignal.MS, message)).code


WORDS: dict[str, Say] = {
    "message": lambda office, uid, other, _: _write(office, uid, text(other)),
    "typing": lambda office, uid, other, _: _write(office, uid, text(other, content_type=91)),
    "reason": far("hear me"),
    "display name": mmi(InfoType.DISPLAY_NAME, "hear me"),
    "company": mmi(InfoType.COMPANY, "hear me"),
    "extra": mmi(InfoType.EXTRA, "hear me"),
    "name of a new group": lambda office, uid, _, __: _make(office, uid, new_group(name="hear me")),
    "group name": lambda office, uid, _, group: modify(office, uid, group, GroupInfoType.NAME, "hear me"),
    "alias of a member": _add_named,
}
NO_WORDS: dict[str, Say] = {
    "no reason": far(""),
    "own portrait": mmi(InfoType.PORTRAIT, "http://p"),
    "no display name": mmi(InfoType.DISPLAY_NAME, ""),
    "nameless group": lambda office, uid, _, __: _make(office, uid, new_group(name="")),
    "no group name": lambda office, uid, _, group: modify(office, uid, group, GroupInfoType.NAME, ""),
    "a member": lambda office, uid, other, group: add(office, uid, group, other),
}


async def heard(office: Office, say: Say, status: UserStatus) -> int:
    """Return what a member of a group with that status is answered."""
    ann, bob, cid = [await office.user() for _ in range(3)]
    group = await create(office, ann, bob)
    await office.set_status(bob, status)
    return await say(office, bob, cid, group)


@pytest.mark.parametrize("say", WORDS.values(), ids=WORDS)
async def test_the_muted_say_nothing(office: Office, say: Say) -> None:
    assert await heard(office, say, UserStatus.MUTED) == Code.MUTED
    assert await heard(office, say, UserStatus.BLOCKED) == Code.USER_FORBIDDEN


@pytest.mark.parametrize("say", WORDS.values(), ids=WORDS)
async def test_who_is_muted_no_more_is_heard_before_the_news_is_here(office: Office, say: Say) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    group = await create(office, ann, bob)
    await office.set_status(bob, UserStatus.MUTED)
    assert await say(office, bob, cid, group) == Code.MUTED  # and cached as such
    await office.set_status(bob, UserStatus.NORMAL, told=False)
    assert await say(office, bob, cid, group) == Code.SUCCESS


@pytest.mark.parametrize("said", ["a message", "typing"])
async def test_who_is_silenced_no_more_is_heard_before_the_news_is_here(
    office: Office, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    ann, bob = await office.user(), await office.user()
    group = await create(office, ann)
    await add(office, ann, group, bob, **{bob: SILENCED})
    message = text(group, kind=ConversationType.GROUP, content_type=91 if said == "typing" else 1)
    assert (await office.ask(bob, SubSignal.MS, message)).code == Code.NO_RIGHT
    monkeypatch.setattr(office.node.bus, "invalidate", lambda _: None)
    await kick(office, ann, group, bob)
    await add(office, ann, group, bob)
    assert (await office.ask(bob, SubSignal.MS, message)).code == Code.SUCCESS


@pytest.mark.parametrize("say", NO_WORDS.values(), ids=NO_WORDS)
async def test_the_muted_may_do_what_nobody_reads(office: Office, say: Say) -> None:
    assert await heard(office, say, UserStatus.MUTED) == Code.SUCCESS


@pytest.mark.parametrize("said", ["group name", "alias of a member"])
async def test_the_silenced_say_nothing_in_their_group(office: Office, said: str) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    group = await create(office, ann, bob, types={bob: SILENCED})
    assert await WORDS[said](office, bob, cid, group) == Code.NO_RIGHT
    assert (await info(office, ann, group)).name == "a group"
    assert await members(office, ann, group) == {ann: MemberType.OWNER, bob: SILENCED}
    assert await add(office, bob, group, cid) == Code.SUCCESS
    assert await far("hear me")(office, bob, cid, group) == Code.SUCCESS  # it is their business outside


@pytest.mark.parametrize("kind", [80, *range(104, 113)])
async def test_what_the_server_says_nobody_else_says(office: Office, kind: int) -> None:
    ann, bob = await office.user(), await office.user()
    group = await create(office, ann, bob)
    for _ in range(2):  # also when all that decides is cached
        assert await office.code(ann, SubSignal.MS, text(bob, content_type=kind)) == Code.INVALID_PARAMETER
        message = text(group, kind=ConversationType.GROUP, content_type=kind)
        assert await office.code(ann, SubSignal.MS, message) == Code.INVALID_PARAMETER
        assert (await office.ask(ann, SubSignal.MS, text(bob))).code == Code.SUCCESS


async def test_a_change_of_a_group_may_bring_a_notice_of_those_types(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    content = pb.MessageContent(type=104, data=b'{"own":1}', persist_flag=1)
    await create(office, ann, bob, notice=content)
    assert await notices(office, bob) == [(104, ann, {"own": 1})]


# Silence lasts


async def test_who_left_silenced_comes_back_silenced(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    group = await create(office, ann, bob, cid, types={bob: SILENCED})
    for adds, as_type in ((cid, 0), (ann, 0), (ann, MANAGER), (cid, MANAGER)):
        assert await leave(office, bob, group) == Code.SUCCESS
        assert await add(office, adds, group, bob, **{bob: as_type}) == Code.SUCCESS
        assert (await members(office, ann, group))[bob] == SILENCED
        assert (await say(office, bob, group)).code == Code.NO_RIGHT


async def test_an_owner_who_removes_and_adds_somebody_ends_the_silence(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    group = await create(office, ann, bob, cid, types={bob: SILENCED})
    assert await kick(office, ann, group, bob) == Code.SUCCESS
    assert await add(office, cid, group, bob) == Code.SUCCESS
    assert (await members(office, ann, group))[bob] == SILENCED, "it was not the owner who added them"
    assert await kick(office, ann, group, bob) == Code.SUCCESS
    assert await add(office, ann, group, bob) == Code.SUCCESS
    assert (await members(office, ann, group))[bob] == MemberType.NORMAL
    assert await leave(office, bob, group) == Code.SUCCESS
    assert await add(office, cid, group, bob) == Code.SUCCESS
    assert (await members(office, ann, group))[bob] == MemberType.NORMAL, "nothing is left of it"


async def test_who_is_silenced_owns_a_free_group_last(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    group = await create(office, ann, bob, kind=1, types={bob: SILENCED})
    assert await add(office, ann, group, cid) == Code.SUCCESS
    assert await leave(office, ann, group) == Code.SUCCESS
    assert await members(office, cid, group) == {bob: SILENCED, cid: MemberType.OWNER}
    assert await leave(office, cid, group) == Code.SUCCESS
    assert await members(office, bob, group) == {bob: MemberType.OWNER}
