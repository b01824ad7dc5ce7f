"""GSM, GTG, GMA and GML: who is what in a group, and the groups of a user (contract.md section 8)."""

from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, GroupType, MemberType, SubSignal
from fsharechat.store import groups
from fsharechat.store.groups import Info
from roles.group import group_roles
from tests.unit.group.group_kit import Office
from tests.unit.group.groups_kit import add, create, dismiss, info, leave, member_list, members, notices, say

NORMAL, MANAGER, OWNER, SILENCED, REMOVED = MemberType


class Circle(NamedTuple):
    """A group with its owner, a manager and two others."""

    id: str
    owner: str
    manager: str
    one: str
    other: str


@pytest.fixture
async def circle(office: Office) -> Circle:
    owner, manager, one, other = [await office.user(name) for name in ("Ann", "Max", "Eva", "Ole")]
    id = await create(office, owner, manager, one, other, types={manager: MANAGER})
    return Circle(id, owner, manager, one, other)


async def set_type(office: Office, uid: str, group: str, kind: int, *uids: str, until: int = 0) -> int:
    request = pb.SetMemberTypeRequest(group_id=group, type=kind, member_id=uids, until=until)
    return await office.code(uid, SubSignal.GSM, request)


async def transfer(office: Office, uid: str, group: str, to: str) -> int:
    return await office.code(uid, SubSignal.GTG, pb.TransferGroupRequest(group_id=group, new_owner=to))


async def set_alias(office: Office, uid: str, group: str, alias: str) -> int:
    return await office.code(uid, SubSignal.GMA, pb.ModifyGroupAliasRequest(group_id=group, alias=alias))


async def mine(office: Office, uid: str, version: int = 0, after: str = "") -> pb.MyGroupsResult:
    request = pb.MyGroupsRequest(version=version, after=after)
    return pb.MyGroupsResult.FromString(await office.payload(uid, SubSignal.GML, request))


# The types of members


async def test_the_owner_sets_any_type(office: Office, circle: Circle) -> None:
    for kind in (MANAGER, SILENCED, NORMAL):
        before = await info(office, circle.one, circle.id)
        assert await set_type(office, circle.owner, circle.id, kind, circle.one, circle.other) == 0
        found = await members(office, circle.one, circle.id)
        assert (found[circle.one], found[circle.other], found[circle.manager]) == (kind, kind, MANAGER)
        assert (await info(office, circle.one, circle.id)).member_update_dt > before.member_update_dt


async def test_a_manager_only_silences_normal_members(office: Office, circle: Circle) -> None:
    assert await set_type(office, circle.manager, circle.id, SILENCED, circle.one) == 0
    assert await set_type(office, circle.manager, circle.id, NORMAL, circle.one) == 0
    assert await set_type(office, circle.manager, circle.id, MANAGER, circle.one) == Code.NO_RIGHT
    await set_type(office, circle.owner, circle.id, MANAGER, circle.other)
    assert await set_type(office, circle.manager, circle.id, SILENCED, circle.other) == Code.NO_RIGHT
    assert await set_type(office, circle.one, circle.id, SILENCED, circle.other) == Code.NO_RIGHT
    found = await members(office, circle.one, circle.id)
    assert found[circle.one] == NORMAL
    assert found[circle.other] == MANAGER


async def test_the_owner_and_strangers_are_skipped(office: Office, circle: Circle) -> None:
    stranger = await office.user()
    assert await set_type(office, circle.manager, circle.id, SILENCED, circle.owner, stranger, "nobody") == 0
    assert await members(office, circle.one, circle.id) == {
        circle.owner: OWNER,
        circle.manager: MANAGER,
        circle.one: NORMAL,
        circle.other: NORMAL,
    }


@pytest.mark.parametrize(("kind", "until"), [(OWNER, 0), (REMOVED, 0), (9, 0), (-1, 0), (NORMAL, 1 << 45)])
async def test_what_no_member_can_be_is_refused(
    office: Office, circle: Circle, kind: int, until: int
) -> None:
    code = await set_type(office, circle.owner, circle.id, kind, circle.one, until=until)
    assert code == Code.INVALID_PARAMETER


async def test_a_silence_ends_when_its_time_has_come(office: Office, circle: Circle) -> None:
    until = office.now + 60_000
    assert await set_type(office, circle.owner, circle.id, SILENCED, circle.one, until=office.now) == 251
    assert await set_type(office, circle.owner, circle.id, SILENCED, circle.one, until=until) == 0
    assert (await say(office, circle.one, circle.id)).code == Code.NO_RIGHT
    listed = {one.member_id: one.silenced_until for one in await member_list(office, circle.one, circle.id)}
    assert listed[circle.one] == until
    assert listed[circle.other] == 0
    office.now = until - 1
    assert (await say(office, circle.one, circle.id)).code == Code.NO_RIGHT
    office.now = until
    assert (await say(office, circle.one, circle.id)).code == Code.SUCCESS
    assert (await members(office, circle.one, circle.id))[circle.one] == NORMAL


async def test_a_silence_that_is_over_lets_an_alias_be_set(office: Office, circle: Circle) -> None:
    until = office.now + 60_000
    await set_type(office, circle.owner, circle.id, SILENCED, circle.one, until=until)
    assert await set_alias(office, circle.one, circle.id, "me") == Code.NO_RIGHT
    assert await set_alias(office, circle.one, circle.id, "") == Code.NO_RIGHT
    office.now = until
    assert await set_alias(office, circle.one, circle.id, "me") == Code.SUCCESS


async def test_who_comes_back_is_silenced_until_the_same_time(office: Office, circle: Circle) -> None:
    until = office.now + 60_000
    await set_type(office, circle.owner, circle.id, SILENCED, circle.one, circle.other, until=until)
    assert await leave(office, circle.one, circle.id) == 0
    assert await leave(office, circle.other, circle.id) == 0
    await add(office, circle.manager, circle.id, circle.one)
    found = {one.member_id: one for one in await member_list(office, circle.owner, circle.id)}
    assert (found[circle.one].type, found[circle.one].silenced_until) == (SILENCED, until)
    office.now = until
    await add(office, circle.manager, circle.id, circle.other)
    assert (await members(office, circle.owner, circle.id))[circle.other] == NORMAL


async def test_a_repeated_call_changes_and_tells_nothing_again(office: Office, circle: Circle) -> None:
    request = pb.SetMemberTypeRequest(group_id=circle.id, type=MANAGER, member_id=[circle.one])
    id = office.ids.next()
    for retried in (False, True):
        reply = await office.ask(circle.owner, SubSignal.GSM, request, message_id=id, retried=retried)
        assert reply.code == Code.SUCCESS
    assert [kind for kind, _, _ in await notices(office, circle.one)] == [104, ContentType.TIP]


async def test_the_members_are_told(office: Office, circle: Circle) -> None:
    until = office.now + 60_000
    await set_type(office, circle.manager, circle.id, SILENCED, circle.one, until=until)
    await transfer(office, circle.owner, circle.id, circle.other)
    silenced, handed = (await office.inbox(circle.one)).message[-2:]
    assert (silenced.content.content, handed.content.content) == ("Eva 被禁言", "群主已转让给 Ole")
    for uid in (circle.owner, circle.one):
        assert (await notices(office, uid))[1:] == [
            (
                90,
                circle.manager,
                {"g": circle.id, "o": circle.manager, "ms": [circle.one], "t": 3, "u": until},
            ),
            (90, circle.owner, {"g": circle.id, "o": circle.owner, "ms": [circle.other], "t": 2}),
        ]


# Handing over


@pytest.mark.parametrize("kind", list(GroupType))
async def test_a_group_is_handed_over(office: Office, kind: GroupType) -> None:
    ann, bob = await office.user(), await office.user()
    id = await create(office, ann, bob, kind=kind, types={bob: SILENCED})
    assert await transfer(office, bob, id, bob) == Code.NO_RIGHT
    assert await transfer(office, ann, id, await office.user()) == Code.NOT_EXIST
    assert await transfer(office, ann, id, ann) == Code.SUCCESS
    assert await transfer(office, ann, id, bob) == Code.SUCCESS
    assert await members(office, ann, id) == {ann: NORMAL, bob: OWNER}
    assert (await info(office, ann, id)).owner == bob
    assert await dismiss(office, ann, id) == Code.NO_RIGHT
    assert await dismiss(office, bob, id) == Code.SUCCESS
    assert await transfer(office, bob, id, ann) == Code.NOT_EXIST


# Rights, whatever anybody does


class Small(NamedTuple):
    operator: int
    kind: int
    whom: tuple[int, ...]


steps = st.lists(
    st.builds(
        Small, st.integers(0, 3), st.integers(-1, 5), st.lists(st.integers(0, 3), max_size=3).map(tuple)
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
async def test_there_is_one_owner_and_only_rights_change_types(office: Office, changes: list[Small]) -> None:
    people = [await office.user() for _ in range(4)]
    id = await create(office, people[0], *people[1:], types={people[1]: MANAGER})
    for operator, kind, whom in changes:
        before = await members(office, people[0], id)
        by = before[people[operator]]
        code = await set_type(office, people[operator], id, kind, *(people[one] for one in whom))
        after = await members(office, people[0], id)
        changed = {uid for uid in before if before[uid] != after[uid]}
        assert [uid for uid, what in after.items() if what == OWNER] == [people[0]]
        if code != Code.SUCCESS:
            assert not changed
        assert changed <= {people[one] for one in whom}
        if by == MANAGER:
            assert all({before[uid], after[uid]} <= {NORMAL, SILENCED} for uid in changed)
        elif by != OWNER:
            assert not changed


# Aliases


async def test_an_alias_is_seen_by_all_members(office: Office, circle: Circle) -> None:
    before = await info(office, circle.one, circle.id)
    assert await set_alias(office, circle.one, circle.id, "小一") == Code.SUCCESS
    listed = await member_list(office, circle.other, circle.id, before.member_update_dt)
    assert {one.member_id: one.alias for one in listed}[circle.one] == "小一"
    assert await set_alias(office, circle.one, circle.id, "x" * 65) == Code.INVALID_PARAMETER
    assert await set_alias(office, await office.user(), circle.id, "x") == Code.NOT_IN_GROUP
    assert [kind for kind, _, _ in await notices(office, circle.other)] == [ContentType.GROUP_CREATED]


# The groups of a user


async def test_the_groups_of_a_user_and_what_has_changed(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    ids = sorted([await create(office, ann, bob, name=name) for name in "abc"])
    first = await mine(office, bob)
    assert [one.group_info.target_id for one in first.group] == ids
    assert {one.type for one in first.group} == {NORMAL}
    assert not first.next
    assert first.group[0].group_info == await info(office, bob, ids[0])
    office.now += 120_000
    second = await mine(office, bob, first.version)
    assert [one.group_info.target_id for one in second.group] == ids  # just made: told again
    assert not (await mine(office, bob, second.version)).group
    await set_alias(office, ann, ids[1], "me")
    await leave(office, bob, ids[2])
    news = await mine(office, bob, second.version)
    assert [(one.group_info.target_id, one.type, one.group_info.name != "") for one in news.group] == [
        (ids[1], NORMAL, True),
        (ids[2], REMOVED, False),
    ]
    assert [one.group_info.target_id for one in (await mine(office, bob)).group] == ids[:2]


async def test_many_groups_come_in_pages(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_roles, "PAGE", 2)
    ann = await office.user()
    ids = sorted([await create(office, ann) for _ in range(5)])
    found: list[str] = []
    after, pages = "", 0
    while True:
        page = await mine(office, ann, after=after)
        found += [one.group_info.target_id for one in page.group]
        pages += 1
        after = page.next
        if not after:
            break
    assert (found, pages) == (ids, 3)


async def test_a_page_has_no_more_than_an_answer_may_hold(office: Office) -> None:
    ann = await office.user()
    extra = "\x01" * 16_000  # seven bytes each as JSON inside JSON
    for number in range(12):
        one = Info(f"g{number:02}", "n", "p", ann, 0, extra, 1, False, 1, 1)
        await office.node.store.write(groups.create, one)
        new = [groups.NewMember(ann, OWNER)]
        await office.node.store.write(groups.put_members, one.id, new, 1)
        await office.node.store.write(groups.save, one)
    page = await mine(office, ann)
    assert 0 < len(page.group) < 12
    assert page.next == page.group[-1].group_info.target_id
    rest = await mine(office, ann, after=page.next)
    assert len(page.group) + len(rest.group) == 12
