"""Friends and friend requests as rows."""

import pytest

from fsharechat.protocol.signals import FriendState, RequestStatus
from fsharechat.store import friends
from fsharechat.store.friends import BLOCKED_MS, OPEN_MS, FriendRequest, Tie
from fsharechat.store.store import Store

FRIEND, BLACKLISTED = FriendState.FRIEND, FriendState.BLACKLISTED
DAY_MS = 86_400_000


def asked(from_uid: str, to_uid: str, update_dt: int, reason: str = "hello") -> FriendRequest:
    return FriendRequest(from_uid, to_uid, reason, RequestStatus.SENT, update_dt, 0, update_dt, True, False)


async def test_a_request_is_found_in_its_direction(store: Store) -> None:
    sent = asked("ann", "bob", 1)
    await store.write(friends.put_request, sent)
    assert await store.read(friends.request, "ann", "bob") == sent
    assert await store.read(friends.request, "bob", "ann") is None


async def test_an_id_with_spaces_behind_it_is_nobodys(store: Store) -> None:
    await store.write(friends.put_request, asked("ann", "bob", 1))
    await store.write(friends.befriend, "ann", "bob", 1)
    for one, other in (("ann ", "bob"), ("ann", "bob ")):
        assert await store.read(friends.request, one, other) is None
    assert await store.write(friends.tie, "ann", "bob ") == Tie()
    assert await store.read(friends.changed, "ann", 1) == []


async def test_a_later_request_takes_the_place_of_the_earlier_one(store: Store) -> None:
    await store.write(friends.put_request, asked("ann", "bob", 1))
    again = asked("ann", "bob", 2, "again")
    await store.write(friends.put_request, again)
    assert await store.read(friends.requests, "ann", 0) == [again]


async def test_requests_are_those_from_and_to_a_user_after_a_version_oldest_change_first(
    store: Store,
) -> None:
    first, second, third = asked("ann", "bob", 3), asked("cid", "ann", 2), asked("ann", "dan", 1)
    for sent in (first, second, third, asked("bob", "cid", 4)):
        await store.write(friends.put_request, sent)
    assert await store.read(friends.requests, "ann", 0) == [third, second, first]
    assert await store.read(friends.requests, "ann", 1) == [second, first]
    assert await store.read(friends.requests, "ann", 3) == []


async def test_reading_marks_the_requests_that_were_seen_and_makes_them_news(store: Store) -> None:
    for sent in (asked("bob", "ann", 1), asked("cid", "ann", 2), asked("dan", "ann", 3)):
        await store.write(friends.put_request, sent)
    await store.write(friends.mark_read, "ann", 2, 9)
    read = {
        one.from_uid: (one.to_read, one.update_dt) for one in await store.read(friends.requests, "ann", 0)
    }
    assert read == {"bob": (True, 9), "cid": (True, 9), "dan": (False, 3)}
    await store.write(friends.mark_read, "ann", 10, 11)
    news = await store.read(friends.requests, "ann", 9)
    assert [(one.from_uid, bool(one.to_read)) for one in news] == [("dan", True)]


async def test_reading_is_of_ones_own_side(store: Store) -> None:
    await store.write(friends.put_request, asked("ann", "bob", 1)._replace(from_read=False))
    await store.write(friends.mark_read, "ann", 5, 9)
    found = await store.read(friends.request, "ann", "bob")
    assert found is not None
    assert (found.from_read, found.to_read) == (True, False)


async def test_friends_are_so_of_each_other(store: Store) -> None:
    await store.write(friends.befriend, "bob", "ann", 5)
    assert await store.read(friends.changed, "ann", 0) == [("bob", FRIEND, 5, "")]
    assert await store.read(friends.changed, "bob", 0) == [("ann", FRIEND, 5, "")]
    assert await store.write(friends.tie, "ann", "bob") == Tie(FRIEND)
    assert await store.write(friends.tie, "ann", "cid") == Tie()


async def test_an_alias_stays_when_two_become_friends_again(store: Store) -> None:
    await store.write(friends.befriend, "ann", "bob", 1)
    await store.write(friends.put_tie, "ann", "bob", Tie(FRIEND, alias="Bobby"), 2)
    await store.write(friends.befriend, "ann", "bob", 3)
    assert await store.read(friends.changed, "ann", 0) == [("bob", FRIEND, 3, "Bobby")]
    assert await store.read(friends.changed, "bob", 0) == [("ann", FRIEND, 3, "")]


async def test_what_a_user_is_to_another_is_kept_whole(store: Store) -> None:
    tie = Tie(FRIEND, alias="Bobby").blacklisted(True)
    assert tie == Tie(BLACKLISTED, FRIEND, "Bobby")
    await store.write(friends.put_tie, "ann", "bob", tie, 2)
    assert await store.write(friends.tie, "ann", "bob") == tie
    assert await store.write(friends.tie, "bob", "ann") == Tie()
    assert await store.read(friends.blacklist_size, "ann") == 1
    assert await store.read(friends.blacklist_size, "bob") == 0
    assert await store.read(friends.blacklisters, ["ann", "cid", "bob"], "bob") == {"ann"}
    assert await store.read(friends.blacklisters, ["ann", "cid", "bob"], "ann") == set()


async def test_who_is_a_friend_no_more_is_news_and_not_in_the_whole_list(store: Store) -> None:
    await store.write(friends.befriend, "ann", "bob", 1)
    await store.write(friends.put_tie, "ann", "bob", Tie(FRIEND).no_friend(), 2)
    assert await store.read(friends.changed, "ann", 1) == [("bob", FriendState.DELETED, 2, "")]
    assert await store.read(friends.changed, "ann", 0) == []


def test_ties_that_end() -> None:
    friend = Tie(FRIEND, alias="Bobby")
    assert friend.blacklisted(True).blacklisted(True).blacklisted(False) == friend
    assert friend.blacklisted(False) == friend
    assert Tie().blacklisted(True).blacklisted(False) == Tie()
    assert friend.blacklisted(True).is_friend
    assert friend.blacklisted(True).no_friend() == Tie(BLACKLISTED, alias="Bobby")
    assert not friend.no_friend().is_friend


async def test_changed_friends_are_those_after_a_version(store: Store) -> None:
    await store.write(friends.befriend, "ann", "cid", 2)
    await store.write(friends.befriend, "ann", "bob", 1)
    assert [row[0] for row in await store.read(friends.changed, "ann", 0)] == ["bob", "cid"]
    assert [row[0] for row in await store.read(friends.changed, "ann", 1)] == ["cid"]


def test_limits_of_requests_are_those_of_the_contract() -> None:
    assert (OPEN_MS, BLOCKED_MS) == (7 * DAY_MS, 30 * DAY_MS)


@pytest.mark.parametrize(
    ("status", "age", "is_open", "is_blocked"),
    [
        (RequestStatus.SENT, 0, True, False),
        (RequestStatus.SENT, OPEN_MS - 1, True, False),
        (RequestStatus.SENT, OPEN_MS, False, False),
        (RequestStatus.ACCEPTED, 0, False, False),
        (RequestStatus.REJECTED, 0, False, True),
        (RequestStatus.REJECTED, BLOCKED_MS - 1, False, True),
        (RequestStatus.REJECTED, BLOCKED_MS, False, False),
    ],
)
def test_what_an_earlier_request_keeps_away(
    status: RequestStatus, age: int, is_open: bool, is_blocked: bool
) -> None:
    sent = asked("ann", "bob", 1)._replace(status=status, handled_ms=1)
    assert friends.is_open(sent, 1 + age) is is_open
    assert friends.is_blocked(sent, 1 + age) is is_blocked
