"""Who sees the mobile numbers and e-mail addresses of others: [users] directory."""

import pytest

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import InfoType, SubSignal, UserResultCode
from fsharechat.store import friends, users
from fsharechat.store.unit import Dialect, Query, Unit
from tests.unit.group.group_kit import Office

ANN, MAIL = "13800001234", "Ann.Li@example.com"


async def search(office: Office, viewer: str, keyword: str, fuzzy: int = 0) -> list[pb.User]:
    body = pb.SearchUserRequest(keyword=keyword, fuzzy=fuzzy)
    return list(pb.SearchUserResult.FromString(await office.payload(viewer, SubSignal.US, body)).entry)


async def pull(office: Office, viewer: str, uid: str, known: int = 0) -> pb.UserResult:
    body = pb.PullUserRequest(request=[pb.UserRequest(uid=uid, update_dt=known)])
    payload = await office.payload(viewer, SubSignal.UPUI, body)
    return pb.PullUserResult.FromString(payload).result[0]


async def ann_li(office: Office) -> str:
    """Return the uid of Ann Li, who has a mobile number, by which she logs in, and an e-mail address."""
    uid, _, _ = await office.node.store.write(users.get_or_create, ANN, 1)
    changes: dict[str, object] = {"display_name": "Ann Li", "email": MAIL}
    await office.node.store.write(users.modify, uid, changes, 2)
    return uid


def numbers(user: pb.User) -> tuple[str, str, str]:
    return user.name, user.mobile, user.email


async def befriend(office: Office, one: str, other: str) -> None:
    await office.node.store.write(friends.befriend, one, other, office.now)


async def test_strangers_see_no_numbers_and_friends_do(office: Office) -> None:
    ann, bob = await ann_li(office), await office.user("Bob")
    for keyword in ("Ann Li", "Ann"):
        (found,) = await search(office, bob, keyword, fuzzy=1)
        assert (found.uid, found.display_name, numbers(found)) == (ann, "Ann Li", ("", "", ""))
        assert found.HasField("mobile")
    assert numbers((await pull(office, bob, ann)).user) == ("", "", "")
    await befriend(office, ann, bob)
    for found in (*await search(office, bob, "Ann Li"), (await pull(office, bob, ann)).user):
        assert numbers(found) == (ANN, ANN, MAIL)


async def test_one_sees_ones_own_numbers(office: Office) -> None:
    ann = await ann_li(office)
    assert numbers((await pull(office, ann, ann)).user) == (ANN, ANN, MAIL)
    (found,) = await search(office, ann, "Ann Li")
    assert numbers(found) == (ANN, ANN, MAIL)


async def test_who_typed_a_number_whole_sees_it_and_no_more(office: Office) -> None:
    ann, bob = await ann_li(office), await office.user("Bob")
    (found,) = await search(office, bob, ANN)
    assert (found.uid, numbers(found)) == (ann, (ANN, ANN, ""))
    assert await search(office, bob, ANN[:-1], fuzzy=1) == []
    uid, _, _ = await office.node.store.write(users.get_or_create, "eve@example.com", 1)
    (found,) = await search(office, bob, "Eve@Example.com")
    assert (found.uid, numbers(found)) == (uid, ("eve@example.com", "", "eve@example.com"))


async def test_a_number_is_found_however_it_is_written(office: Office) -> None:
    bob = await office.user("Bob")
    for kept, typed in ((ANN, f" +86{ANN}"), (ANN, f"0086{ANN}"), ("+4915112345678", "004915112345678")):
        uid, _, _ = await office.node.store.write(users.get_or_create, kept, 1)
        (found,) = await search(office, bob, typed)
        assert (found.uid, found.name) == (uid, kept)


async def test_numbers_that_one_has_written_oneself_are_for_friends_too(office: Office) -> None:
    ann, bob = await office.user("Ann"), await office.user("Bob")
    body = pb.ModifyMyInfoRequest(entry=[pb.InfoEntry(type=InfoType.MOBILE, value="555-0199")])
    await office.payload(ann, SubSignal.MMI, body)
    assert (await pull(office, bob, ann)).user.mobile == ""
    assert (await pull(office, ann, ann)).user.mobile == "555-0199"


async def test_whom_one_has_put_on_the_blacklist_sees_no_numbers(office: Office) -> None:
    ann, bob = await ann_li(office), await office.user("Bob")
    await befriend(office, ann, bob)

    def blacklist(_: Dialect) -> Unit[None]:
        yield Query("UPDATE friends SET state = 2 WHERE uid = ? AND friend_uid = ?", (ann, bob))

    await office.node.store.write(blacklist)
    assert numbers((await pull(office, bob, ann)).user) == ("", "", "")


async def test_a_profile_is_news_to_who_has_become_a_friend(office: Office) -> None:
    ann, bob = await ann_li(office), await office.user("Bob")
    known = (await pull(office, bob, ann)).user.update_dt
    assert (await pull(office, bob, ann, known)).code == UserResultCode.NOT_MODIFIED
    await befriend(office, ann, bob)
    after = await pull(office, bob, ann, known)
    assert (after.code, after.user.mobile) == (UserResultCode.OK, ANN)
    assert (await pull(office, bob, ann, after.user.update_dt)).code == UserResultCode.NOT_MODIFIED
    office.now += 1
    await office.payload(
        ann, SubSignal.MMI, pb.ModifyMyInfoRequest(entry=[pb.InfoEntry(type=0, value="Ann")])
    )
    assert (await pull(office, bob, ann, after.user.update_dt)).code == UserResultCode.OK


class TestInAnOpenDirectory:
    @pytest.fixture
    def directory(self) -> str:
        return "open"

    async def test_everybody_sees_all_numbers(self, office: Office) -> None:
        ann, bob = await ann_li(office), await office.user("Bob")
        (found,) = await search(office, bob, "Ann", fuzzy=1)
        assert numbers(found) == numbers((await pull(office, bob, ann)).user) == (ANN, ANN, MAIL)


class TestInADirectoryOfFriends:
    @pytest.fixture
    def directory(self) -> str:
        return "friends"

    async def test_a_number_finds_friends_alone(self, office: Office) -> None:
        ann, bob = await ann_li(office), await office.user("Bob")
        for typed in (ANN, f"+86{ANN}", f"0086{ANN}"):
            assert await search(office, bob, typed) == []
        (found,) = await search(office, bob, "Ann Li")
        assert numbers(found) == ("", "", "")
        await befriend(office, ann, bob)
        (found,) = await search(office, bob, ANN)
        assert (found.uid, numbers(found)) == (ann, (ANN, ANN, MAIL))
