"""Users: one for each number, found by what is asked for, and what the deployment shares."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol.signals import FriendState, UserStatus
from fsharechat.store import friends, users
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Unit
from fsharechat.store.users import PAGE, PROFILE, Rights
from tests.unit.store.store_kit import select


async def named(store: Store, number: str, name: str = "") -> str:
    uid, _, _ = await store.write(users.get_or_create, number, 1)
    if name:
        await store.write(users.modify, uid, {"display_name": name}, 2)
    return uid


async def set_status(store: Store, uid: str, status: UserStatus) -> None:
    def change(_: Dialect) -> Unit[None]:
        yield Query("UPDATE users SET status = ? WHERE uid = ?", (status, uid))

    await store.write(change)


async def found(store: Store, keyword: str, fuzzy: bool = False, page: int = 0) -> set[str]:
    rows = await store.read(users.search, keyword, fuzzy, page)
    return {row[0] for row in rows}


async def test_logins_at_the_same_time_with_one_number_make_one_user(store: Store) -> None:
    made = await asyncio.gather(
        *[store.write(users.get_or_create, "13800000000", now) for now in range(20)],
        store.write(users.get_or_create, "13900000000", 1),
    )
    assert len({uid for uid, _, _ in made[:20]}) == 1
    assert sum(created for _, _, created in made[:20]) == 1
    assert made[20][0] != made[0][0]
    assert await store.read(select, "SELECT COUNT(*) FROM users") == [(2,)]


async def test_a_user_is_found_again_by_number(store: Store) -> None:
    uid, status, created = await store.write(users.get_or_create, "13800000000", 1)
    assert (status, created) == (UserStatus.NORMAL, True)
    await set_status(store, uid, UserStatus.BLOCKED)
    assert await store.write(users.get_or_create, "13800000000", 2) == (uid, UserStatus.BLOCKED, False)


@pytest.mark.parametrize(
    ("number", "mobile", "email", "display_name"),
    [
        ("13800001234", "13800001234", "", "1234"),
        ("ann@example.com", "", "ann@example.com", "ann"),
        ("annabella@example.com", "", "annabella@example.com", "anna"),
    ],
)
async def test_a_new_user_has_a_whole_profile_and_is_not_called_by_the_number(
    store: Store, number: str, mobile: str, email: str, display_name: str
) -> None:
    uid = await named(store, number)
    profile = dict(zip(PROFILE, (await store.read(users.profiles, [uid]))[uid], strict=True))
    assert {name: value for name, value in profile.items() if value} == {
        name: value
        for name, value in {
            "uid": uid,
            "name": number,
            "display_name": display_name,
            "mobile": mobile,
            "email": email,
            "update_dt": 1,
        }.items()
        if value
    }
    assert None not in profile.values()


async def test_profiles_are_of_those_that_exist(store: Store) -> None:
    ann, bob = await named(store, "13800000000"), await named(store, "13900000000")
    assert (await store.read(users.profiles, [bob, "nobody", ann, bob])).keys() == {ann, bob}
    assert await store.read(users.profiles, []) == {}
    assert len(await store.read(users.profiles, [*map(str, range(5000)), ann])) == 1


async def test_the_version_of_a_user_grows_with_each_change_whatever_the_clock_says(store: Store) -> None:
    ann = (await store.write(users.get_or_create, "13800000000", 100))[0]
    versions = []
    for now in (200, 200, 150):
        await store.write(users.modify, ann, {"address": f"at {now}"}, now)
        row = (await store.read(users.profiles, [ann]))[ann]
        versions.append(dict(zip(users.PROFILE, row, strict=True))["update_dt"])
    assert versions == [200, 201, 202]


async def test_modify_changes_what_is_given_and_the_version(store: Store) -> None:
    ann, bob = await named(store, "13800000000"), await named(store, "13900000000")
    before = await store.read(users.profiles, [ann, bob])
    await store.write(users.modify, ann, {"address": "here", "gender": 2}, 9)
    after = await store.read(users.profiles, [ann, bob])
    assert after[bob] == before[bob]
    changes = {
        name: new for name, old, new in zip(PROFILE, before[ann], after[ann], strict=True) if old != new
    }
    assert changes == {"address": "here", "gender": 2, "update_dt": 9}


async def test_an_exact_search_finds_number_and_names_as_a_whole(store: Store) -> None:
    ann = await named(store, "13800000000", "Ann Li")
    await named(store, "13900000000", "Ann Lim")
    assert await found(store, "13800000000") == {ann}
    assert await found(store, "Ann Li") == {ann}
    assert await found(store, "Ann") == set()
    assert await found(store, "1380000000") == set()


async def test_an_e_mail_address_is_found_whatever_its_case(store: Store) -> None:
    ann = await named(store, "ann@example.com", "Ann")
    assert await found(store, "Ann@Example.com") == {ann}


async def test_a_fuzzy_search_finds_parts_of_the_display_name(store: Store) -> None:
    ann, lim = await named(store, "13800000000", "Ann Li"), await named(store, "13900000000", "Ann Lim")
    assert await found(store, "nn L", fuzzy=True) == {ann, lim}
    assert await found(store, "Lim", fuzzy=True) == {lim}
    assert await found(store, "13800000000", fuzzy=True) == {ann}
    assert await found(store, "1380000000", fuzzy=True) == set()  # parts of a number find nobody


async def test_a_fuzzy_search_finds_any_part_whatever_its_case_and_width(store: Store) -> None:
    ann, wang = await named(store, "13800000000", "Ann LI"), await named(store, "13900000000", "王小明ＡＢ")
    for keyword, wanted in (
        ("aNN", ann),
        ("li", ann),
        ("I", ann),
        ("王", wang),
        ("小明", wang),
        ("明", wang),
        ("ab", wang),
        ("ＡＢ", wang),
    ):
        assert await found(store, keyword, fuzzy=True) == {wanted}, keyword
    for keyword in ("an li", "王明", "b王", "小明AB小"):
        assert await found(store, keyword, fuzzy=True) == set(), keyword


@given(name=st.text(max_size=64), start=st.integers(0, 63), size=st.integers(1, 64))
def test_every_part_of_a_name_begins_one_of_its_parts(name: str, start: int, size: int) -> None:
    keyword = name[start : start + size].strip()
    pieces = users.parts(name)
    assert len(pieces) == len({piece.rstrip(" ") for piece in pieces}) <= users.MAX_PART
    if keyword.isascii() and name.isascii() and keyword:
        assert any(piece.startswith(keyword.lower()) for piece in pieces)


async def test_a_part_that_a_name_has_more_than_once_finds_its_user_once(store: Store) -> None:
    ann = await named(store, "13800000000", "aaa a aaa")
    assert await found(store, "a", fuzzy=True) == {ann}
    assert len(await store.read(users.search, "aa", True, 0)) == 1


async def test_a_changed_name_is_found_and_the_old_one_is_not(store: Store) -> None:
    ann = await named(store, "13800000000", "Ann Li")
    await store.write(users.modify, ann, {"display_name": "Zoë", "address": "here"}, 9)
    assert await found(store, "oË", fuzzy=True) == {ann}
    assert await found(store, "Ann", fuzzy=True) == set()
    await store.write(users.modify, ann, {"display_name": ""}, 10)
    assert await store.read(select, "SELECT COUNT(*) FROM name_parts") == [(0,)]
    await store.write(users.modify, "nobody", {"display_name": "Zoë"}, 11)
    assert await found(store, "oË", fuzzy=True) == set()


async def test_logins_at_the_same_time_leave_parts_of_one_user_alone(store: Store) -> None:
    await asyncio.gather(*[store.write(users.get_or_create, "13800000000", now) for now in range(20)])
    assert len(await store.read(select, "SELECT DISTINCT uid FROM name_parts")) == 1


async def test_a_search_reads_only_so_much_however_many_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = {await named(store, f"138000000{n:02}", "Ann") for n in range(30)}
    monkeypatch.setattr(users, "MAX_FOUND", 10)
    assert len(await found(store, "nn", fuzzy=True) & everybody) == 10
    assert len(await found(store, "Ann") & everybody) == 10


@pytest.mark.parametrize("wild", ["%", "_", "!", "a%b", "a_b", "a!b"])
async def test_signs_of_patterns_stand_for_themselves(store: Store, wild: str) -> None:
    has = await named(store, "13800000000", f"x{wild}y")
    await named(store, "13900000000", "xaabby")
    assert await found(store, wild, fuzzy=True) == {has}


async def test_a_search_pages_without_repeating_anybody(store: Store) -> None:
    everybody = {await named(store, f"138000000{n:02}", "Ann") for n in range(2 * PAGE + 5)}
    pages = [await found(store, "Ann", page=page) for page in range(4)]
    assert [len(page) for page in pages] == [PAGE, PAGE, 5, 0]
    assert set().union(*pages) == everybody


async def test_blocked_users_are_not_found(store: Store) -> None:
    ann = await named(store, "13800000000", "Ann")
    await set_status(store, ann, UserStatus.BLOCKED)
    assert await found(store, "Ann", fuzzy=True) == set()


async def test_a_uid_with_a_space_behind_it_is_nobodys(store: Store) -> None:
    ann, _, _ = await store.write(users.get_or_create, "13800000001", 1)
    assert await store.read(users.rights, ann) is not None
    assert await store.read(users.rights, f"{ann} ") is None


async def test_rights_are_status_and_blacklist(store: Store) -> None:
    ann = await named(store, "13800000000")
    assert await store.read(users.rights, "nobody") is None
    assert await store.read(users.rights, ann) == Rights(UserStatus.NORMAL, frozenset())
    await set_status(store, ann, UserStatus.MUTED)
    await store.write(friends.befriend, ann, "bob", 1)

    def blacklist(_: Dialect, uid: str) -> Unit[None]:
        sql = "INSERT INTO friends (uid, friend_uid, state, alias, update_dt) VALUES (?, ?, ?, '', 1)"
        yield Query(sql, (ann, uid, FriendState.BLACKLISTED))

    await store.write(blacklist, "cid")
    assert await store.read(users.rights, ann) == Rights(UserStatus.MUTED, frozenset({"cid"}))


async def test_who_counts_one_as_a_friend_is_known_with_when(store: Store) -> None:
    ann, bob, cid = [await named(store, f"1380000000{n}") for n in range(3)]
    await store.write(friends.befriend, ann, bob, 5)
    await store.write(friends.befriend, ann, cid, 6)
    tie = await store.read(friends.tie, ann, bob)
    await store.write(friends.put_tie, ann, bob, tie._replace(alias="Bobby"), 7)

    def blacklist(_: Dialect) -> Unit[None]:
        yield Query("UPDATE friends SET state = ? WHERE uid = ?", (FriendState.BLACKLISTED, cid))

    await store.write(blacklist)
    assert await store.read(users.friend_since, bob, [ann, bob, cid, "nobody"]) == {ann: 7}
    assert await store.read(users.friend_since, ann, [bob, cid]) == {bob: 5}
    assert await store.read(users.friend_since, ann, []) == {}


async def test_all_who_offer_a_fact_at_the_same_time_get_the_same(store: Store) -> None:
    offers = [b"\x00one", b"\xfftwo", b"three"]
    facts = await asyncio.gather(*[store.write(users.fact, "key", offer) for offer in offers])
    assert len(set(facts)) == 1
    assert facts[0] in offers
    assert await store.write(users.fact, "key", b"later") == facts[0]
    assert await store.write(users.fact, "other key", b"later") == b"later"
