"""FRP, FRUS, FP and FALS: what a device reads of friends and requests (contract.md section 7)."""

import struct

from fsharechat.bus import Notify
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, FriendState, RequestStatus, SubSignal
from fsharechat.store import friends
from tests.unit.group.group_kit import Office


async def request(office: Office, uid: str, target: str, reason: str = "hello") -> None:
    await office.payload(uid, SubSignal.FAR, pb.AddFriendRequest(target_uid=target, reason=reason))
    office.now += 10


async def accept(office: Office, uid: str, requester: str) -> None:
    body = pb.HandleFriendRequest(target_uid=requester, status=RequestStatus.ACCEPTED)
    await office.payload(uid, SubSignal.FHR, body)
    office.now += 10


async def requests_of(office: Office, uid: str, version: int = 0) -> list[pb.FriendRequest]:
    payload = await office.payload(uid, SubSignal.FRP, pb.Version(version=version))
    return list(pb.GetFriendRequestResult.FromString(payload).entry)


async def friends_of(office: Office, uid: str, version: int = 0) -> list[pb.Friend]:
    payload = await office.payload(uid, SubSignal.FP, pb.Version(version=version))
    return list(pb.GetFriendsResult.FromString(payload).entry)


async def set_alias(office: Office, uid: str, target: str, alias: str) -> int:
    return await office.code(uid, SubSignal.FALS, pb.AddFriendRequest(target_uid=target, reason=alias))


async def test_both_sides_see_a_request_whole(office: Office) -> None:
    ann, bob, eve = [await office.user() for _ in range(3)]
    asked = office.now
    await request(office, ann, bob, "我是安")
    wanted = pb.FriendRequest(
        from_uid=ann,
        to_uid=bob,
        reason="我是安",
        status=RequestStatus.SENT,
        update_dt=asked,
        from_read_status=True,
        to_read_status=False,
    )
    assert await requests_of(office, ann) == [wanted]
    assert await requests_of(office, bob) == [wanted]
    assert await requests_of(office, eve) == []


async def test_requests_are_those_that_changed_after_the_version(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    first = office.now
    await request(office, bob, ann)
    second = office.now
    await request(office, cid, ann)
    assert [one.from_uid for one in await requests_of(office, ann)] == [bob, cid]
    assert [one.from_uid for one in await requests_of(office, ann, first)] == [cid]
    assert await requests_of(office, ann, second) == []
    accepted = office.now
    await accept(office, ann, bob)
    (changed,) = await requests_of(office, ann, second)
    assert (changed.from_uid, changed.status, changed.update_dt) == (bob, RequestStatus.ACCEPTED, accepted)


async def test_frus_marks_what_was_seen_and_tells_the_users_devices(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    office.online(ann, bob)
    seen = office.now
    await request(office, bob, ann)
    await request(office, cid, ann)
    office.events.clear()
    assert await office.code(ann, SubSignal.FRUS, pb.Version(version=seen)) == Code.SUCCESS
    assert office.events == [Notify(SubSignal.FRN, struct.pack(">q", office.now), ann)]
    assert {one.from_uid: one.to_read_status for one in await requests_of(office, ann)} == {
        bob: True,
        cid: False,
    }


async def test_friends_are_those_that_changed_after_the_version(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    versions = []
    for other in (bob, cid):
        await request(office, ann, other)
        versions.append(office.now)
        await accept(office, other, ann)
    wanted = [
        pb.Friend(uid=uid, state=FriendState.FRIEND, update_dt=version, alias="")
        for uid, version in zip((bob, cid), versions, strict=True)
    ]
    assert await friends_of(office, ann) == wanted
    assert await friends_of(office, ann, versions[0]) == wanted[1:]
    assert await friends_of(office, ann, versions[1]) == []


async def test_an_alias_is_ones_own_and_told_to_ones_other_devices(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await office.node.store.write(friends.befriend, ann, bob, 1)
    office.online(ann, bob)
    assert await set_alias(office, ann, bob, "老王") == Code.SUCCESS
    assert office.events == [Notify(SubSignal.FN, struct.pack(">q", office.now), ann, "phone")]
    assert [(one.alias, one.update_dt) for one in await friends_of(office, ann)] == [("老王", office.now)]
    assert [one.alias for one in await friends_of(office, bob)] == [""]
    assert await set_alias(office, ann, bob, "") == Code.SUCCESS
    assert [one.alias for one in await friends_of(office, ann)] == [""]


async def test_an_alias_is_of_a_friend_and_not_too_long(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    assert await set_alias(office, ann, bob, "Bobby") == Code.NOT_EXIST
    await office.node.store.write(friends.befriend, ann, bob, 1)
    assert await set_alias(office, ann, bob, "x" * 65) == Code.INVALID_PARAMETER
    assert await set_alias(office, ann, bob, "x" * 64) == Code.SUCCESS
