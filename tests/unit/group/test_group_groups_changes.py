"""GAM, GKM, GQ, GD and GMI: who may, what comes of it, and who is told (contract.md sections 5 and 8)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message

from fsharechat.bus import Deliver
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import (
    Code,
    ContentType,
    GroupInfoType,
    GroupType,
    MemberType,
    SubSignal,
    UserStatus,
)
from tests.unit.group.group_kit import Office, words
from tests.unit.group.groups_kit import (
    add,
    as_members,
    create,
    dismiss,
    info,
    infos,
    kick,
    leave,
    member_list,
    members,
    modify,
    new_group,
    notices,
    said,
    say,
)

NORMAL, FREE, RESTRICTED = GroupType
NAME, PORTRAIT, EXTRA = GroupInfoType
OK, DENIED, OUTSIDE, GONE = Code.SUCCESS, Code.NO_RIGHT, Code.NOT_IN_GROUP, Code.NOT_EXIST


@dataclass
class Circle:
    """A group of an owner, a manager, a member and one who is silenced; and a stranger."""

    office: Office
    owner: str
    manager: str
    member: str
    silenced: str
    stranger: str
    id: str = ""

    @classmethod
    async def of(cls, office: Office, kind: int = NORMAL) -> "Circle":
        circle = cls(office, *[await office.user() for _ in range(5)])
        types = {circle.manager: MemberType.MANAGER, circle.silenced: MemberType.SILENCED}
        circle.id = await create(office, *circle.everyone(), kind=kind, types=types)
        return circle

    def everyone(self) -> list[str]:
        return [self.owner, self.manager, self.member, self.silenced]

    async def state(self) -> dict[str, int]:
        return await members(self.office, self.owner, self.id)

    async def heard(self, uid: str) -> list[tuple[int, str, Any]]:
        """Return what a user was told of, but the creation."""
        return [notice for notice in await notices(self.office, uid) if notice[0] != 104]


Act = Callable[[Circle, str], Awaitable[int]]

ACTS: dict[str, Act] = {
    "add": lambda circle, uid: add(circle.office, uid, circle.id, circle.stranger),
    "kick": lambda circle, uid: kick(circle.office, uid, circle.id, circle.silenced),
    "rename": lambda circle, uid: modify(circle.office, uid, circle.id, NAME, "new"),
    "portrait": lambda circle, uid: modify(circle.office, uid, circle.id, PORTRAIT, "http://p"),
    "extra": lambda circle, uid: modify(circle.office, uid, circle.id, EXTRA, "{}"),
    "quit": lambda circle, uid: leave(circle.office, uid, circle.id),
    "dismiss": lambda circle, uid: dismiss(circle.office, uid, circle.id),
}

# what the owner, the manager, the member, the silenced one and the stranger are answered
RIGHTS = {
    NORMAL: {
        "add": (OK, OK, OK, OK, OUTSIDE),
        "kick": (OK, DENIED, DENIED, DENIED, DENIED),
        "rename": (OK, OK, OK, DENIED, OUTSIDE),
        "portrait": (OK, DENIED, DENIED, DENIED, OUTSIDE),
        "extra": (OK, DENIED, DENIED, DENIED, OUTSIDE),
        "quit": (DENIED, OK, OK, OK, OUTSIDE),
        "dismiss": (OK, DENIED, DENIED, DENIED, DENIED),
    },
    FREE: {
        "add": (OK, OK, OK, OK, OUTSIDE),
        "kick": (DENIED, DENIED, DENIED, DENIED, DENIED),
        "rename": (OK, OK, OK, DENIED, OUTSIDE),
        "portrait": (OK, DENIED, DENIED, DENIED, OUTSIDE),
        "extra": (OK, DENIED, DENIED, DENIED, OUTSIDE),
        "quit": (OK, OK, OK, OK, OUTSIDE),
        "dismiss": (OK, DENIED, DENIED, DENIED, DENIED),
    },
    RESTRICTED: {
        "add": (OK, DENIED, DENIED, DENIED, OUTSIDE),
        "kick": (OK, DENIED, DENIED, DENIED, DENIED),
        "rename": (OK, DENIED, DENIED, DENIED, OUTSIDE),
        "portrait": (OK, DENIED, DENIED, DENIED, OUTSIDE),
        "extra": (OK, DENIED, DENIED, DENIED, OUTSIDE),
        "quit": (DENIED, OK, OK, OK, OUTSIDE),
        "dismiss": (OK, DENIED, DENIED, DENIED, DENIED),
    },
}
CASES = [(kind, act) for kind, acts in RIGHTS.items() for act in acts]


@pytest.mark.parametrize(("kind", "act"), CASES, ids=[f"{kind.name.lower()} {act}" for kind, act in CASES])
async def test_who_may_do_what(office: Office, kind: GroupType, act: str) -> None:
    found = []
    for role in range(5):
        circle = await Circle.of(office, kind)
        before = await circle.state(), await info(office, circle.owner, circle.id)
        uid = (*circle.everyone(), circle.stranger)[role]
        code = await ACTS[act](circle, uid)
        found.append(code)
        if code:  # refused: nothing has changed, and nobody is told
            assert (await circle.state(), await info(office, circle.owner, circle.id)) == before
            assert await circle.heard(circle.owner) == []
    assert tuple(found) == RIGHTS[kind][act]


async def test_a_group_that_is_not_there_does_not_exist(office: Office) -> None:
    circle = await Circle.of(office)
    assert await dismiss(office, circle.owner, circle.id) == OK
    for id in (circle.id, "unknown"):
        circle.id = id
        for act in ACTS.values():
            assert await act(circle, circle.owner) == GONE


# Adding


async def test_new_members_and_old_are_told_who_came(office: Office) -> None:
    circle = await Circle.of(office)
    await said(office, circle.owner, circle.id, "before")
    office.online(circle.member, circle.stranger)
    office.online(circle.member, client="tablet")
    office.now += 10
    assert await add(office, circle.member, circle.id, circle.stranger, circle.owner, "nobody") == OK
    data = {"g": circle.id, "o": circle.member, "ms": [circle.stranger]}
    for uid in (*circle.everyone(), circle.stranger):
        assert await circle.heard(uid) == [(ContentType.MEMBERS_ADDED, circle.member, data)]
    found = await info(office, circle.stranger, circle.id)
    assert (found.member_count, found.update_dt, found.member_update_dt) == (5, office.now, office.now)
    (event,) = [event for event in office.events if isinstance(event, Deliver)]
    assert {uid for uid, _ in event.entries} == {circle.member, circle.stranger}
    assert event.sender_client == ""
    await said(office, circle.stranger, circle.id, "after")
    assert (await office.inbox(circle.owner)).message[-1].content.searchable_content == "after"


async def test_who_is_a_member_already_stays_what_they_are(office: Office) -> None:
    circle = await Circle.of(office)
    before = await info(office, circle.owner, circle.id)
    assert await add(office, circle.owner, circle.id, circle.manager, circle.owner) == OK
    assert (await circle.state())[circle.manager] == MemberType.MANAGER
    assert await info(office, circle.owner, circle.id) == before
    assert await circle.heard(circle.owner) == []


@pytest.mark.parametrize(("by_owner", "kind"), [(True, MemberType.MANAGER), (False, MemberType.NORMAL)])
async def test_managers_are_the_owners_to_name(office: Office, by_owner: bool, kind: MemberType) -> None:
    circle = await Circle.of(office)
    uid = circle.owner if by_owner else circle.manager
    assert await add(office, uid, circle.id, circle.stranger, **{circle.stranger: MemberType.MANAGER}) == OK
    assert (await circle.state())[circle.stranger] == kind


async def test_who_was_removed_can_come_back(office: Office) -> None:
    circle = await Circle.of(office)
    assert await kick(office, circle.owner, circle.id, circle.manager) == OK
    assert await members(office, circle.manager, circle.id) == {}
    assert await add(office, circle.member, circle.id, circle.manager) == OK
    assert (await members(office, circle.manager, circle.id))[circle.manager] == MemberType.NORMAL
    assert (await info(office, circle.owner, circle.id)).member_count == 4
    await said(office, circle.manager, circle.id)


async def test_a_group_has_no_more_members_than_the_setting_says(office: Office) -> None:
    owner, late = await office.user(), await office.user()
    crowd = await office.users(4998)
    id = await create(office, owner, *crowd)
    assert await add(office, owner, id, late) == OK
    assert await add(office, owner, id, await office.user()) == Code.INVALID_PARAMETER
    assert (await info(office, owner, id)).member_count == 5000


# Going


async def test_those_who_are_kicked_are_told_and_then_hear_no_more(office: Office) -> None:
    circle = await Circle.of(office)
    office.online(*circle.everyone())
    office.now += 10
    gone = [circle.member, circle.silenced]
    assert await kick(office, circle.owner, circle.id, *gone, circle.owner, circle.stranger, *gone) == OK
    told = (ContentType.MEMBERS_KICKED, circle.owner, {"g": circle.id, "o": circle.owner, "ms": gone})
    for uid in circle.everyone():
        assert await circle.heard(uid) == ([] if uid in gone else [told])
        assert (await office.inbox(uid, 1)).message[0].content.type == ContentType.MEMBERS_KICKED
    assert await circle.state() == {circle.owner: 2, circle.manager: 1}
    found = await info(office, circle.owner, circle.id)
    assert (found.member_count, found.update_dt, found.member_update_dt) == (2, office.now, office.now)
    (event,) = office.events
    assert isinstance(event, Deliver)
    assert {uid for uid, _ in event.entries} == set(circle.everyone())
    await said(office, circle.owner, circle.id)
    assert (await say(office, circle.member, circle.id)).code == OUTSIDE
    assert (await office.inbox(circle.member, 1)).head == 2


async def test_kicking_who_is_not_there_changes_nothing(office: Office) -> None:
    circle = await Circle.of(office)
    before = await info(office, circle.owner, circle.id)
    assert await kick(office, circle.owner, circle.id, circle.stranger, circle.owner) == OK
    assert await info(office, circle.owner, circle.id) == before
    assert await circle.heard(circle.owner) == []


async def test_who_quits_is_told_and_then_hears_no_more(office: Office) -> None:
    circle = await Circle.of(office)
    assert await leave(office, circle.member, circle.id) == OK
    told = (ContentType.MEMBER_QUIT, circle.member, {"g": circle.id, "o": circle.member})
    assert await circle.heard(circle.owner) == [told]
    assert (await office.inbox(circle.member, 1)).message[0].content.type == ContentType.MEMBER_QUIT
    assert circle.member not in await circle.state()
    assert (await info(office, circle.owner, circle.id)).member_count == 3
    assert await leave(office, circle.member, circle.id) == OUTSIDE


async def test_when_the_owner_of_a_free_group_quits_the_eldest_owns_it(office: Office) -> None:
    circle = await Circle.of(office, FREE)
    office.now += 5
    assert await add(office, circle.member, circle.id, circle.stranger) == OK
    for uid in (circle.manager, circle.silenced, circle.owner):
        assert await leave(office, uid, circle.id) == OK
    assert (await info(office, circle.member, circle.id)).owner == circle.member
    assert (await members(office, circle.member, circle.id))[circle.member] == MemberType.OWNER
    assert await leave(office, circle.member, circle.id) == OK
    assert await leave(office, circle.stranger, circle.id) == OK
    assert await infos(office, circle.stranger, circle.id) == []


async def test_a_dismissed_group_is_gone_and_its_members_were_told(office: Office) -> None:
    circle = await Circle.of(office)
    assert await dismiss(office, circle.owner, circle.id) == OK
    for uid in circle.everyone():
        (told,) = (await office.inbox(uid, 1)).message
        assert (told.content.type, told.from_user) == (ContentType.GROUP_DISMISSED, circle.owner)
        assert orjson.loads(told.content.data) == {"g": circle.id, "o": circle.owner}
        assert await members(office, uid, circle.id) == {}
        assert (await say(office, uid, circle.id)).code == OUTSIDE
    assert await infos(office, circle.owner, circle.id) == []
    assert await office.code(circle.owner, SubSignal.GC, new_group(id=circle.id)) == Code.GROUP_EXISTS


# Modifying


@pytest.mark.parametrize(
    ("what", "value", "told"),
    [
        (NAME, "飞享", [(ContentType.GROUP_RENAMED, {"n": "飞享"})]),
        (PORTRAIT, "http://p", [(ContentType.GROUP_PORTRAIT_CHANGED, {})]),
        (EXTRA, "{}", []),
    ],
    ids=["name", "portrait", "extra"],
)
async def test_what_is_modified_is_so_for_everybody(
    office: Office, what: GroupInfoType, value: str, told: list[tuple[int, dict[str, str]]]
) -> None:
    circle = await Circle.of(office)
    before = await info(office, circle.owner, circle.id)
    office.now += 10
    assert await modify(office, circle.owner, circle.id, what, value) == OK
    found = await info(office, circle.member, circle.id)
    assert getattr(found, what.name.lower()) == value
    assert (found.update_dt, found.member_update_dt) == (office.now, before.member_update_dt)
    assert await circle.heard(circle.silenced) == [
        (kind, circle.owner, {"g": circle.id, "o": circle.owner, **data}) for kind, data in told
    ]


@pytest.mark.parametrize(("what", "size"), [(NAME, 255), (PORTRAIT, 2048), (EXTRA, 16000)], ids=str)
async def test_values_have_bounds(office: Office, what: GroupInfoType, size: int) -> None:
    circle = await Circle.of(office)
    assert await modify(office, circle.owner, circle.id, what, "飞" * size) == OK
    assert await modify(office, circle.owner, circle.id, what, "x" * (size + 1)) == Code.INVALID_PARAMETER


@pytest.mark.parametrize("what", [-1, 3])
async def test_there_is_nothing_else_to_modify(office: Office, what: int) -> None:
    circle = await Circle.of(office)
    assert await modify(office, circle.owner, circle.id, what, "x") == Code.INVALID_PARAMETER


async def test_versions_grow_though_the_clock_stands_still(office: Office) -> None:
    circle = await Circle.of(office)
    versions = []
    steps: tuple[Callable[[], Awaitable[int]], ...] = (
        lambda: modify(office, circle.owner, circle.id, NAME, "one"),
        lambda: add(office, circle.owner, circle.id, circle.stranger),
        lambda: kick(office, circle.owner, circle.id, circle.stranger),
        lambda: leave(office, circle.member, circle.id),
    )
    for step in steps:
        assert await step() == OK
        found = await info(office, circle.owner, circle.id)
        versions.append((found.update_dt, found.member_update_dt))
    start = office.now
    assert versions == [
        (start + 1, start),
        (start + 2, start + 1),
        (start + 3, start + 2),
        (start + 4, start + 3),
    ]
    listed = await member_list(office, circle.owner, circle.id, start + 2)
    assert {member.member_id for member in listed} == {circle.owner, circle.manager, circle.silenced}


# Notices of the client's own


def own_notice(**details: Any) -> pb.MessageContent:
    return pb.MessageContent(**{"type": 105, "content": "own", "data": b'{"x":1}', **details})


def with_notice(circle: Circle, notice: pb.MessageContent) -> list[tuple[int, Message]]:
    id = circle.id
    return [
        (
            SubSignal.GAM,
            pb.AddGroupMemberRequest(
                group_id=id, added_member=as_members(circle.stranger), notify_content=notice
            ),
        ),
        (
            SubSignal.GKM,
            pb.RemoveGroupMemberRequest(group_id=id, removed_member=[circle.stranger], notify_content=notice),
        ),
        (
            SubSignal.GMI,
            pb.ModifyGroupInfoRequest(group_id=id, type=EXTRA, value="x", notify_content=notice),
        ),
        (SubSignal.GC, new_group(circle.manager, notice=notice)),
        (SubSignal.GD, pb.DismissGroupRequest(group_id=id, notify_content=notice)),
    ]


async def test_a_request_may_bring_what_is_told(office: Office) -> None:
    circle = await Circle.of(office)
    for method, request in with_notice(circle, own_notice()):
        head = (await office.inbox(circle.manager)).head
        assert (await office.ask(circle.owner, method, request)).code == OK
        (told,) = (await office.inbox(circle.manager, head)).message
        assert (told.content, told.from_user) == (own_notice(), circle.owner)


@pytest.mark.parametrize(
    "notice",
    [own_notice(type=0), own_notice(type=91), own_notice(persist_flag=4), own_notice(persist_flag=0)],
    ids=["no type", "typing", "transparent", "not stored"],
)
async def test_what_cannot_be_stored_tells_nothing(office: Office, notice: pb.MessageContent) -> None:
    circle = await Circle.of(office)
    request = pb.QuitGroupRequest(group_id=circle.id, notify_content=notice)
    assert await office.code(circle.member, SubSignal.GQ, request) == OK
    assert await circle.heard(circle.owner) == [
        (ContentType.MEMBER_QUIT, circle.member, {"g": circle.id, "o": circle.member})
    ]


@pytest.mark.parametrize("silenced", [True, False], ids=["silenced", "muted"])
async def test_who_may_not_speak_brings_no_words(office: Office, silenced: bool) -> None:
    circle = await Circle.of(office)
    uid = circle.silenced if silenced else circle.member
    if not silenced:
        await office.set_status(uid, UserStatus.MUTED)
    request = pb.QuitGroupRequest(group_id=circle.id, notify_content=own_notice())
    assert await office.code(uid, SubSignal.GQ, request) == OK
    assert await circle.heard(circle.owner) == [(ContentType.MEMBER_QUIT, uid, {"g": circle.id, "o": uid})]


async def test_the_blocked_change_nothing(office: Office) -> None:
    circle = await Circle.of(office)
    await office.set_status(circle.owner, UserStatus.BLOCKED)
    for act in ACTS.values():
        assert await act(circle, circle.owner) == Code.USER_FORBIDDEN
    assert await office.code(circle.owner, SubSignal.GC, new_group()) == Code.USER_FORBIDDEN


# Calls made again


async def test_a_change_that_is_tried_again_happens_once(office: Office) -> None:
    circle = await Circle.of(office)
    id = circle.id
    requests: list[tuple[str, int, Message]] = [
        (
            circle.owner,
            SubSignal.GAM,
            pb.AddGroupMemberRequest(group_id=id, added_member=as_members(circle.stranger)),
        ),
        (circle.owner, SubSignal.GMI, pb.ModifyGroupInfoRequest(group_id=id, type=NAME, value="x")),
        (
            circle.owner,
            SubSignal.GKM,
            pb.RemoveGroupMemberRequest(group_id=id, removed_member=[circle.stranger]),
        ),
        (circle.member, SubSignal.GQ, pb.QuitGroupRequest(group_id=id)),
        (circle.owner, SubSignal.GD, pb.DismissGroupRequest(group_id=id)),
    ]
    for uid, method, request in requests:
        message_id = office.ids.next()
        head = (await office.inbox(circle.manager)).head
        for retried in (False, True, True):
            reply = await office.ask(uid, method, request, message_id=message_id, retried=retried)
            assert reply.code == OK
        told = (await office.inbox(circle.manager, head)).message
        assert [message.message_id for message in told] == [message_id]
        assert (await office.ask(uid, method, request)).code != OK or method in (
            SubSignal.GAM,
            SubSignal.GMI,
            SubSignal.GKM,
        )


async def test_what_was_never_carried_out_is_when_tried_again(office: Office) -> None:
    circle = await Circle.of(office)
    request = pb.QuitGroupRequest(group_id=circle.id)
    reply = await office.ask(circle.member, SubSignal.GQ, request, retried=True)
    assert reply.code == OK
    assert circle.member not in await circle.state()
    reply = await office.ask(circle.member, SubSignal.GQ, request, retried=True)  # another request's id
    assert reply.code == OUTSIDE
    assert words(await office.inbox(circle.member)) == []
