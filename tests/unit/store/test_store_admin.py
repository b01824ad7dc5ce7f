"""What the back office reads and changes of users and groups."""

import pytest

from fsharechat.protocol.signals import MemberType, UserStatus
from fsharechat.store import admin, groups, sessions, users
from fsharechat.store.admin import GROUP_ORDERS, USER_ORDERS, Order
from fsharechat.store.groups import Info, NewMember, Silence
from fsharechat.store.sessions import LoginSession
from fsharechat.store.store import Store

PAGE = 100


async def user(store: Store, number: str, name: str = "") -> str:
    account, created = await store.write(admin.create_user, number, name, 1)
    assert created
    return account.uid


async def found(
    store: Store, search: str = "", status: int | None = None, after: str = "", limit: int = PAGE
) -> list[str]:
    behind = [after, after] if after else []
    order = Order("uid")
    return [one.uid for one in await store.read(admin.accounts, search, status, order, behind, limit)]


async def test_a_user_is_made_once_for_a_number(store: Store) -> None:
    first, created = await store.write(admin.create_user, "13800000000", "Ann", 7)
    assert created
    assert first[:4] == (first.uid, "13800000000", "Ann", UserStatus.NORMAL)
    assert await store.write(admin.create_user, "13800000000", "Eve", 8) == (first, False)
    unnamed, _ = await store.write(admin.create_user, "ann@example.com", "", 9)
    assert unnamed.display_name == "ann"


async def test_a_user_is_found_by_uid_and_by_number(store: Store) -> None:
    ann = await user(store, "13800000000")
    for key in (ann, "13800000000"):
        account = await store.read(admin.account, key)
        assert account is not None
        assert account.uid == ann
    assert await store.read(admin.account, "nobody") is None


async def test_uids_of_numbers_are_those_that_exist(store: Store) -> None:
    ann, bob = await user(store, "13800000000"), await user(store, "bob@example.com")
    wanted = ["13800000000", "bob@example.com", "13900000000"]
    assert await store.read(admin.uids_of, wanted) == {"13800000000": ann, "bob@example.com": bob}
    assert await store.read(admin.uids_of, []) == {}


async def test_users_are_listed_page_by_page(store: Store) -> None:
    everybody = sorted([await user(store, f"138000000{n:02}") for n in range(7)])
    assert await found(store, limit=3) == everybody[:3]
    assert await found(store, after=everybody[2], limit=3) == everybody[3:6]
    assert await found(store, after=everybody[-1]) == []


async def test_users_are_searched_by_what_an_administrator_knows(store: Store) -> None:
    ann, bob = await user(store, "13800000000", "Ann Li"), await user(store, "bob@example.com", "100% Bob")
    assert await found(store, "380000") == [ann]
    assert await found(store, "n L") == [ann]
    assert await found(store, ann) == [ann]
    assert await found(store, ann[1:]) == []
    assert await found(store, "0%") == [bob]
    assert await found(store, "_") == []


async def test_users_are_listed_by_status(store: Store) -> None:
    ann, bob = await user(store, "13800000000"), await user(store, "13900000000")
    await store.write(admin.set_status, bob, UserStatus.BLOCKED)
    assert await found(store, status=UserStatus.BLOCKED) == [bob]
    assert await found(store, status=UserStatus.NORMAL) == [ann]
    assert await found(store, "13900000000", UserStatus.NORMAL) == []
    rights = await store.read(users.rights, bob)
    assert rights is not None
    assert rights.status == UserStatus.BLOCKED


async def test_a_device_or_all_of_a_user_are_logged_out(store: Store) -> None:
    ann, bob = await user(store, "13800000000"), await user(store, "13900000000")
    for uid, client, when in ((ann, "phone", 1), (ann, "web", 2), (ann, "pad", 3), (bob, "phone", 4)):
        await store.write(sessions.renew, uid, client, LoginSession("s", "d", when))
    assert await store.read(admin.logged_in, ann) == {"pad": 3, "phone": 1, "web": 2}
    assert await store.write(admin.log_out, ann, ["phone", "other"]) == ["phone"]
    assert await store.write(admin.log_out, ann, None) == ["pad", "web"]
    assert await store.read(admin.logged_in, ann) == {}
    assert await store.read(admin.logged_in, bob) == {"phone": 4}


async def test_tokens_from_before_a_block_are_revoked_after_it(store: Store) -> None:
    ann, bob = await user(store, "13800000000"), await user(store, "13900000000")
    for uid, client in ((ann, "phone"), (ann, "web"), (bob, "phone")):
        await store.write(sessions.renew, uid, client, LoginSession("s", "d", 5))

    async def issued(uid: str, client: str = "phone") -> int:
        found = await store.read(sessions.find, uid, client)
        assert found is not None
        return found[0].issued_ms

    for status in (UserStatus.MUTED, UserStatus.NORMAL, UserStatus.BLOCKED, UserStatus.BLOCKED):
        await store.write(admin.set_status, ann, status)
        assert await issued(ann) == 5
    await store.write(admin.set_status, ann, UserStatus.MUTED)
    assert [await issued(ann), await issued(ann, "web"), await issued(bob)] == [sessions.REVOKED] * 2 + [5]
    assert await store.read(admin.logged_in, ann) == {}
    again = await store.write(sessions.renew, ann, "phone", LoginSession("new", "other", 9))
    assert again == LoginSession("new", "d", 9)  # the device's own database can be opened again
    await store.write(admin.set_status, ann, UserStatus.NORMAL)
    assert await store.read(admin.logged_in, ann) == {"phone": 9}
    assert await store.write(admin.log_out, ann, None) == ["phone"]
    assert await store.read(sessions.find, ann, "web") is None


async def test_the_system_user_is_made_once_and_renamed(store: Store) -> None:
    for now, name in ((1, "News"), (2, "News"), (3, "Notices")):
        await store.write(admin.keep_system_user, "System", name, now)
    row = (await store.read(users.profiles, ["System"]))["System"]
    profile = dict(zip(users.PROFILE, row, strict=True))
    assert (profile["name"], profile["display_name"], profile["update_dt"]) == ("System", "Notices", 3)
    assert (profile["mobile"], profile["email"]) == ("", "")


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", USER_ORDERS)
async def test_users_come_in_an_order_page_by_page(store: Store, column: str, descending: bool) -> None:
    for number in range(7):
        await user(store, f"1380000000{(number * 3) % 7}", f"name {number % 3}")
    order = Order(column, descending)
    whole = await store.read(admin.accounts, "", None, order, [], PAGE)
    values = [(getattr(one, column), one.uid) for one in whole]
    assert len(whole) == 7
    assert values == sorted(values, reverse=descending)
    paged: list[admin.Account] = []
    while page := await store.read(
        admin.accounts, "", None, order, values[len(paged) - 1] if paged else [], 2
    ):
        paged += page
    assert paged == whole


@pytest.mark.parametrize("column", GROUP_ORDERS)
async def test_groups_come_in_an_order_page_by_page(store: Store, column: str) -> None:
    for number in range(5):
        info = Info(f"g{number}", f"name {number % 2}", "", "o", 0, "", number % 3, False, number % 2, 1)
        await store.write(groups.create, info)
    order = Order(column, descending=True)
    whole = await store.read(admin.chat_groups, "", order, [], PAGE)
    values = [(getattr(one, column), one.id) for one in whole]
    assert values == sorted(values, reverse=True)
    assert await store.read(admin.chat_groups, "", order, values[1], PAGE) == whole[2:]


async def test_a_user_gets_another_number_unless_somebody_has_it(store: Store) -> None:
    ann, bob = await user(store, "13800000000"), await user(store, "13900000000")
    taken = await store.write(admin.set_number, ann, "13900000000", 5)
    assert taken is not None
    assert taken.uid == bob
    assert await store.write(admin.set_number, ann, "ann@example.com", 5) is None
    account = await store.read(admin.account, "ann@example.com")
    assert account is not None
    assert (account.uid, await store.read(admin.account, "13800000000")) == (ann, None)
    profile = dict(zip(users.PROFILE, (await store.read(users.profiles, [ann]))[ann], strict=True))
    assert (profile["mobile"], profile["email"], profile["name"]) == (
        "",
        "ann@example.com",
        "ann@example.com",
    )


@pytest.fixture
async def two_groups(store: Store) -> tuple[str, str]:
    """Two groups, whose owner is the user who is returned first; the other is a member of the first."""
    ann, bob = await user(store, "13800000000", "Ann"), await user(store, "13900000000", "Bob")
    for id, name, dismissed in (("g1", "Hiking", False), ("g2", "Chess", True)):
        await store.write(groups.create, Info(id, name, "", ann, 0, "", 0, dismissed, 1, 1))
        members = [NewMember(ann, MemberType.OWNER), NewMember(bob, MemberType.NORMAL, "bobby")]
        await store.write(groups.put_members, id, members, 5)
    return ann, bob


async def test_groups_are_listed_and_searched(store: Store, two_groups: tuple[str, str]) -> None:
    async def ids(search: str = "", after: str = "", limit: int = PAGE) -> list[str]:
        behind = [after, after] if after else []
        order = Order("id")
        return [one.id for one in await store.read(admin.chat_groups, search, order, behind, limit)]

    assert await ids() == ["g1", "g2"]
    assert await ids(limit=1) == ["g1"]
    assert await ids(after="g1") == ["g2"]
    assert await ids("ik") == ["g1"]
    assert await ids("g2") == ["g2"]
    assert await ids(two_groups[0]) == ["g1", "g2"]
    assert await ids(two_groups[1]) == []
    group = await store.read(admin.chat_group, "g2")
    assert group is not None
    assert group.dismissed
    assert await store.read(admin.chat_group, "g3") is None


async def test_the_members_of_a_group_are_those_who_are_not_removed(
    store: Store, two_groups: tuple[str, str]
) -> None:
    ann, bob = two_groups
    members = await store.read(admin.group_members, "g1", "", PAGE)
    assert sorted(members) == sorted(
        [(ann, "Ann", "", MemberType.OWNER, 5), (bob, "Bob", "bobby", MemberType.NORMAL, 5)]
    )
    assert await store.read(admin.group_members, "g1", "", 1) == members[:1]
    assert await store.read(admin.group_members, "g1", members[0][0], PAGE) == members[1:]
    await store.write(groups.remove_members, "g1", [bob], 6, Silence.LEFT)
    assert [row[0] for row in await store.read(admin.group_members, "g1", "", PAGE)] == [ann]
