"""FDL and BLU: friends who are none any more, and who is kept away (contract.md section 8)."""

import struct
from collections.abc import Awaitable, Callable

import pytest

from fsharechat.bus import Notify, Push, Reported
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, FriendState, SubSignal
from roles.group import friends
from tests.unit.group.group_kit import Office, text
from tests.unit.group.groups_kit import add, create, members, new_group, say

FDL, BLU, FN = SubSignal.FDL, SubSignal.BLU, SubSignal.FN
FRIEND, DELETED, BLACKLISTED = FriendState
DAY_MS = 86_400_000


async def ask(office: Office, uid: str, target: str) -> int:
    return await office.code(uid, SubSignal.FAR, pb.AddFriendRequest(target_uid=target, reason="hello"))


async def accept(office: Office, uid: str, requester: str) -> int:
    request = pb.HandleFriendRequest(target_uid=requester, status=1)
    return await office.code(uid, SubSignal.FHR, request)


async def befriend(office: Office, ann: str, bob: str) -> None:
    assert await ask(office, ann, bob) == await accept(office, bob, ann) == Code.SUCCESS


async def delete(office: Office, uid: str, other: str) -> int:
    return await office.code(uid, FDL, pb.DeleteFriendRequest(target_uid=other))


async def blacklist(office: Office, uid: str, other: str, status: int = 1) -> int:
    return await office.code(uid, BLU, pb.BlacklistUserRequest(target_uid=other, status=status))


async def listed(office: Office, uid: str, version: int = 0) -> dict[str, int]:
    """Return the state of each of a user's friends that changed after a version."""
    payload = await office.payload(uid, SubSignal.FP, pb.Version(version=version))
    return {friend.uid: friend.state for friend in pb.GetFriendsResult.FromString(payload).entry}


async def write(office: Office, uid: str, target: str, content_type: int = ContentType.TEXT) -> int:
    return (await office.ask(uid, SubSignal.MS, text(target, content_type=content_type))).code


@pytest.fixture
async def pair(office: Office) -> tuple[str, str]:
    """Return the uids of two users with two devices online each."""
    ann, bob = await office.user(), await office.user()
    office.online(ann, bob)
    office.online(ann, bob, client="tablet")
    return ann, bob


# FDL


async def test_a_deleted_friend_is_one_on_neither_side(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await befriend(office, ann, bob)
    before, office.now = office.now, office.now + 1000
    office.events.clear()
    assert await delete(office, ann, bob) == Code.SUCCESS
    version = struct.pack(">q", office.now)
    assert sorted(office.events) == sorted([Notify(FN, version, ann, "phone"), Notify(FN, version, bob)])
    for uid, other in ((ann, bob), (bob, ann)):
        assert await listed(office, uid, before) == {other: DELETED}
        assert await listed(office, uid) == {}, "some clients take the whole list for friends"


@pytest.mark.parametrize("who", [0, 1], ids=["who deleted", "who was deleted"])
async def test_both_may_ask_again(office: Office, pair: tuple[str, str], who: int) -> None:
    await befriend(office, *pair)
    await delete(office, *pair)
    one, other = pair[who], pair[1 - who]
    assert await ask(office, one, other) == Code.SUCCESS
    assert await accept(office, other, one) == Code.SUCCESS
    assert (await listed(office, one), await listed(office, other)) == ({other: FRIEND}, {one: FRIEND})


async def test_a_deleted_friend_may_still_write(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await befriend(office, ann, bob)
    await delete(office, ann, bob)
    assert await write(office, bob, ann) == Code.SUCCESS


async def test_only_a_friend_is_deleted(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    for other in (bob, ann, "nobody", "x" * 300):
        assert await delete(office, ann, other) == Code.NOT_EXIST
    await befriend(office, ann, bob)
    request = pb.DeleteFriendRequest(target_uid=bob)
    assert (await office.ask(ann, FDL, request, retried=True)).code == Code.SUCCESS
    assert (await office.ask(ann, FDL, request, retried=True)).code == Code.SUCCESS, "the first try did it"
    assert await delete(office, ann, bob) == await delete(office, bob, ann) == Code.NOT_EXIST


async def test_a_deleted_friend_has_no_alias_to_set(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await befriend(office, ann, bob)
    await delete(office, ann, bob)
    request = pb.AddFriendRequest(target_uid=bob, reason="Bobby")
    assert await office.code(ann, SubSignal.FALS, request) == Code.NOT_EXIST


# BLU


async def test_a_blacklisting_is_told_to_ones_own_other_devices_alone(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    for status, state in ((1, BLACKLISTED), (0, DELETED)):
        office.now += 1000
        assert await blacklist(office, ann, bob, status) == Code.SUCCESS
        assert office.events == [Notify(FN, struct.pack(">q", office.now), ann, "phone")]
        assert await listed(office, ann, office.now - 1) == {bob: state}
        assert await listed(office, bob) == {}
        office.events.clear()


async def test_a_friend_is_one_again_after_a_blacklisting(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await befriend(office, ann, bob)
    for _ in range(2):
        assert await blacklist(office, ann, bob) == Code.SUCCESS
        assert (await listed(office, ann), await listed(office, bob)) == ({bob: BLACKLISTED}, {ann: FRIEND})
    for _ in range(2):
        assert await blacklist(office, ann, bob, 0) == Code.SUCCESS
        assert await listed(office, ann) == {bob: FRIEND}


@pytest.mark.parametrize("who", [0, 1], ids=["by who blacklisted", "by who is blacklisted"])
async def test_a_friend_who_is_deleted_meanwhile_is_none_afterwards(
    office: Office, pair: tuple[str, str], who: int
) -> None:
    ann, bob = pair
    await befriend(office, ann, bob)
    await blacklist(office, ann, bob)
    assert await delete(office, pair[who], pair[1 - who]) == Code.SUCCESS
    assert await listed(office, ann) == {bob: BLACKLISTED}
    assert await listed(office, bob) == {}
    await blacklist(office, ann, bob, 0)
    assert await listed(office, ann) == {}


async def test_who_cannot_be_blacklisted(
    office: Office, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = pair
    assert await blacklist(office, ann, ann) == Code.INVALID_PARAMETER
    assert await blacklist(office, ann, "nobody") == Code.NOT_EXIST
    for status in (2, -1):
        assert await blacklist(office, ann, bob, status) == Code.INVALID_PARAMETER
    assert await listed(office, ann, -1) == {}
    monkeypatch.setattr(friends, "MAX_BLACKLIST", 2)
    some = [await office.user() for _ in range(3)]
    codes = [await blacklist(office, ann, uid) for uid in some]
    assert codes == [Code.SUCCESS, Code.SUCCESS, Code.INVALID_PARAMETER]
    assert await blacklist(office, ann, some[0]) == Code.SUCCESS
    assert await blacklist(office, ann, some[0], 0) == await blacklist(office, ann, some[2]) == Code.SUCCESS


# What it keeps away


@pytest.mark.parametrize("content_type", [ContentType.TEXT, ContentType.TYPING, *range(400, 406)])
async def test_who_is_blacklisted_neither_writes_nor_calls(
    office: Office, pair: tuple[str, str], content_type: int
) -> None:
    ann, bob = pair
    assert await write(office, bob, ann, content_type) == Code.SUCCESS  # what decides is cached now
    await blacklist(office, ann, bob)
    office.events.clear()
    assert await write(office, bob, ann, content_type) == Code.BLACKLISTED
    assert [event for event in office.events if isinstance(event, Push)] == []
    assert await write(office, ann, bob, content_type) == Code.SUCCESS
    await blacklist(office, ann, bob, 0)
    assert await write(office, bob, ann, content_type) == Code.SUCCESS


@pytest.mark.parametrize("say", [write, ask])
async def test_whose_blacklisting_has_ended_is_let_in_before_the_news_is_here(
    office: Office,
    pair: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    say: Callable[[Office, str, str], Awaitable[int]],
) -> None:
    ann, bob = pair
    await blacklist(office, ann, bob)
    assert await say(office, bob, ann) == Code.BLACKLISTED  # and cached as such
    monkeypatch.setattr(office.node.bus, "invalidate", lambda _: None)
    await blacklist(office, ann, bob, 0)
    assert await say(office, bob, ann) == Code.SUCCESS


async def test_who_is_blacklisted_does_not_become_a_friend(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    await office.blacklist(ann, bob)  # and with it she takes back what she has asked
    assert await accept(office, bob, ann) == Code.BLACKLISTED
    assert await ask(office, bob, ann) == Code.BLACKLISTED
    assert (await listed(office, ann), await listed(office, bob)) == ({bob: BLACKLISTED}, {})
    assert (await office.inbox(ann)).head == (await office.inbox(bob)).head == 0


async def test_who_has_blacklisted_somebody_does_not_accept_them(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    await office.blacklist(bob, ann)
    assert await accept(office, bob, ann) == Code.BLACKLISTED
    assert await listed(office, bob) == {ann: BLACKLISTED}


async def test_who_is_blacklisted_adds_nobody_to_a_group(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    cid = await office.user()
    await office.blacklist(ann, bob)
    group = await create(office, bob, ann, cid)
    assert set(await members(office, bob, group)) == {bob, cid}
    assert await add(office, bob, group, ann) == Code.BLACKLISTED
    dan = await office.user()
    assert await add(office, bob, group, ann, dan) == Code.SUCCESS
    assert set(await members(office, bob, group)) == {bob, cid, dan}
    assert (await office.inbox(ann)).head == 0
    assert await add(office, cid, group, ann) == Code.SUCCESS
    assert (await say(office, bob, group)).code == Code.SUCCESS, "in a group both are members as all are"


async def test_who_is_blacklisted_is_not_told_what_was_fetched_and_read(
    office: Office, pair: tuple[str, str]
) -> None:
    """A report tells when somebody is online."""
    ann, bob = pair
    cid = await office.user()
    office.online(cid)
    group = (await office.payload(cid, SubSignal.GC, new_group(ann, bob))).decode()
    await office.blacklist(ann, bob)
    office.events.clear()
    date = office.now
    delivered = pb.DeliveryReport(date=date, target=bob)
    read = pb.ReadReport(type=0, line=0, target=bob, date=date)
    in_group = pb.ReadReport(type=1, line=0, target=group, date=date)
    to_bob = pb.ReadReport(type=1, line=0, target=group, date=date + 1, tos=[bob])
    for method, report in (
        (SubSignal.MDR, delivered),
        (SubSignal.MRR, read),
        (SubSignal.MRR, to_bob),
        (SubSignal.MRR, in_group),
    ):
        assert await office.code(ann, method, report) == Code.SUCCESS
    told = [event for event in office.events if isinstance(event, Reported)]
    assert {entry.uid for event in told for entry in event.entries} == {cid}
    for kind in (1, 2):
        request = pb.PullMessageReportRequest(id=0, type=kind)
        payload = await office.payload(bob, SubSignal.MRP, request)
        assert list(pb.PullMessageReportResult.FromString(payload).report) == []
