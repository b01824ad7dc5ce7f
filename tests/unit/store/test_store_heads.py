"""One row of heads a user: the inbox, the versions of what belongs to the user, the reports."""

import pytest

from fsharechat.store import heads, recalls
from fsharechat.store.heads import FRIENDS, REQUESTS, SETTINGS, Heads
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from tests.unit.store.store_kit import append, new


async def of(store: Store, uid: str) -> Heads:
    return (await store.read(heads.heads, [uid])).get(uid, Heads())


def advance(dialect: Dialect, counts: dict[str, int], column: str) -> Unit[dict[str, int]]:
    return (yield from dialect.advance(counts, column))


async def test_who_has_nothing_yet_has_no_heads(store: Store) -> None:
    await append(store, new("bob", "ann"))
    assert await store.read(heads.heads, ["ann", "cid"]) == {"ann": Heads(seq=1)}


async def test_each_version_and_seq_goes_its_own_way(store: Store) -> None:
    await append(store, new("bob", "ann"))
    assert await store.write(heads.next_version, FRIENDS, ["ann"], 50) == 50
    assert await store.write(heads.next_version, REQUESTS, ["ann"], 40) == 40
    assert await store.write(heads.next_version, SETTINGS, ["ann"], 30) == 30
    assert await store.write(advance, {"ann": 2}, "delivered_seq") == {"ann": 2}
    assert await store.write(advance, {"ann": 1, "cid": 4}, "read_seq") == {"ann": 1, "cid": 4}
    assert await store.write(advance, {"ann": 3}, "delivered_seq") == {"ann": 5}
    await append(store, new("bob", "ann"))
    await store.write(recalls.keep, 7, "bob", "phone", ["ann"])
    assert await of(store, "ann") == Heads(2, 50, 40, 30, 5, 1, 1)
    assert await of(store, "bob") == Heads(seq=2)
    assert await of(store, "cid") == Heads(read=4)


@pytest.mark.parametrize(("now", "version"), [(99, 101), (100, 101), (101, 101), (102, 102)])
async def test_a_version_grows_also_when_the_clock_stands_still_or_goes_back(
    store: Store, now: int, version: int
) -> None:
    await store.write(heads.next_version, SETTINGS, ["ann"], 100)
    assert await store.write(heads.next_version, SETTINGS, ["ann"], now) == version


async def test_a_version_for_several_is_new_to_each(store: Store) -> None:
    await store.write(heads.next_version, FRIENDS, ["ann"], 500)
    assert await store.write(heads.next_version, FRIENDS, ["bob", "ann"], 100) == 501
    assert (await of(store, "ann")).friends == (await of(store, "bob")).friends == 501


async def test_recalls_are_a_log_for_each_user(store: Store) -> None:
    assert await store.write(recalls.keep, 70, "bob", "phone", ["ann", "bob"]) == [("ann", 1), ("bob", 1)]
    assert await store.write(recalls.keep, 80, "cid", "pc", ["cid", "ann"]) == [("cid", 1), ("ann", 2)]
    assert await store.read(recalls.missed, "ann", 0) == [(1, 70, "bob", "phone"), (2, 80, "cid", "pc")]
    assert await store.read(recalls.missed, "ann", 1) == [(2, 80, "cid", "pc")]
    assert await store.read(recalls.missed, "ann", 2) == []


async def test_who_missed_many_recalls_learns_of_the_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalls, "MAX_MISSED", 2)
    for id in range(1, 5):
        await store.write(recalls.keep, id, "bob", "phone", ["ann"])
    assert [recall.message_id for recall in await store.read(recalls.missed, "ann", 0)] == [3, 4]
