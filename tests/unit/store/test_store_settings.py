"""Settings of users as rows (contract.md section 8)."""

import asyncio

from fsharechat.protocol.sizes import MAX_ANSWER_BYTES
from fsharechat.store import heads, user_settings
from fsharechat.store.store import Store
from fsharechat.store.user_settings import Setting
from tests.unit.store.store_kit import Exchange, recorded

NOW = 1_700_000_000_000


async def put(
    store: Store, key: str, value: str = "1", *, uid: str = "ann", scope: int = 3, now: int = NOW
) -> int:
    return await store.write(user_settings.put, uid, scope, key, value, now)


async def changed(store: Store, after: int = 0, uid: str = "ann") -> list[Setting]:
    return await store.read(user_settings.changed, uid, after)


async def test_who_has_set_nothing_has_no_settings(store: Store) -> None:
    await put(store, "a key", uid="bob")
    assert await changed(store) == []


async def test_settings_that_changed_after_a_version_come_oldest_change_first(store: Store) -> None:
    first = await put(store, "b", now=NOW)
    second = await put(store, "a", now=NOW + 5)
    third = await put(store, "c", now=NOW + 9)
    wanted = [Setting(3, "b", "1", first), Setting(3, "a", "1", second), Setting(3, "c", "1", third)]
    assert (first, second, third) == (NOW, NOW + 5, NOW + 9)
    assert await changed(store) == await changed(store, first - 1) == wanted
    assert await changed(store, first) == wanted[1:]
    assert await changed(store, third) == []


async def test_a_setting_takes_the_place_of_the_one_before_also_when_it_is_the_same(store: Store) -> None:
    first = await put(store, "a", "1")
    await put(store, "b", "1")
    assert await put(store, "a", "1", now=NOW) == first + 2
    assert await put(store, "a", "0", now=NOW) == first + 3
    assert await changed(store) == [Setting(3, "b", "1", first + 1), Setting(3, "a", "0", first + 3)]


async def test_a_key_is_of_its_scope_and_its_user(store: Store) -> None:
    for scope in (1, 3):
        for uid in ("ann", "bob"):
            await put(store, "a", f"{scope} {uid}", scope=scope, uid=uid)
    assert [(setting.scope, setting.value) for setting in await changed(store)] == [
        (1, "1 ann"),
        (3, "3 ann"),
    ]


async def test_no_two_changes_have_one_version_and_the_head_is_the_last(store: Store) -> None:
    versions = await asyncio.gather(*(put(store, f"key {n % 7}") for n in range(50)))
    assert sorted(versions) == list(range(NOW, NOW + 50))
    reached = await store.read(heads.heads, ["ann"])
    assert reached["ann"].settings == max(versions)
    assert {setting.update_dt for setting in await changed(store)} == set(versions[-7:])


async def test_keys_may_be_empty_or_long_and_of_any_letters(store: Store) -> None:
    keys = ["", "k" * 255, "群" * 255, "1-群 '\"%_-0", "😀"]
    for key in keys:
        await put(store, key, key + "值")
    assert [(setting.key, setting.value) for setting in await changed(store)] == [
        (key, key + "值") for key in keys
    ]


async def test_room_is_for_keys_that_are_there_or_while_there_are_few(store: Store) -> None:
    for key in ("a", "b"):
        await put(store, key)
    await put(store, "c", uid="bob")

    async def room(key: str, limit: int, scope: int = 3) -> bool:
        return await store.read(user_settings.has_room, "ann", scope, key, limit)

    assert await room("c", 3)
    assert not await room("c", 2)
    assert await room("a", 2)
    assert not await room("a", 2, scope=1)


async def test_an_answer_ends_where_it_weighs_enough_and_the_rest_follows(store: Store) -> None:
    value = "群" * 1000
    versions = [await put(store, f"{n}", value) for n in range(400)]
    first = await changed(store)
    assert 300 < len(first) < 400
    assert sum(setting.size for setting in first) <= MAX_ANSWER_BYTES
    rest = await changed(store, first[-1].update_dt)
    assert [setting.update_dt for setting in first + rest] == versions


async def test_an_answer_takes_two_statements_and_reads_little_more_than_it_gives(store: Store) -> None:
    for n in range(600):
        await put(store, f"{n}", "v" * 4096)
    seen: list[Exchange] = []
    found = await store.read(recorded, seen, user_settings.changed, "ann", 0)
    assert len(seen) == 2
    assert len(seen[1].result.rows) <= len(found) + 1
