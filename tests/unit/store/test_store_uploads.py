"""The addresses for uploads and the bytes of a day: counted for each user, whoever asks, also many at once."""

import asyncio
from collections import Counter

import pytest

from fsharechat.store import uploads
from fsharechat.store.mysql import MysqlStore
from fsharechat.store.sessions import DAY_MS
from fsharechat.store.store import Store
from fsharechat.urls import ServiceUrl

TODAY = 20_000 * DAY_MS


async def grant(
    store: Store, uid: str = "ann", now: int = TODAY, *, most: int = 2, retried: bool = False
) -> bool:
    return await store.write(uploads.grant, uid, now, most, retried)


async def test_a_user_gets_so_many_a_day(store: Store) -> None:
    assert [await grant(store) for _ in range(4)] == [True, True, False, False]
    assert await grant(store, now=TODAY + DAY_MS - 1) is False
    assert await grant(store, "bob")
    assert [await grant(store, now=TODAY + DAY_MS) for _ in range(3)] == [True, True, False]


async def test_a_clock_that_is_behind_gives_no_more(store: Store) -> None:
    assert [await grant(store) for _ in range(2)] == [True, True]
    assert await grant(store, now=TODAY - 1) is False
    assert await grant(store, now=TODAY) is False
    assert await grant(store, "bob", TODAY)
    assert await grant(store, "bob", TODAY - 1)
    assert await grant(store, "bob", TODAY) is False


@pytest.mark.parametrize("ahead", [DAY_MS, 400 * DAY_MS])
async def test_a_clock_that_was_ahead_locks_nobody_out(store: Store, ahead: int) -> None:
    assert [await grant(store, now=TODAY + ahead) for _ in range(3)] == [True, True, False]
    assert [await grant(store) for _ in range(3)] == [True, True, False]


async def test_what_is_refused_is_not_counted(store: Store) -> None:
    assert [await grant(store, most=1) for _ in range(5)] == [True, *[False] * 4]
    assert await grant(store, most=2)


async def test_a_retried_call_is_counted_once(store: Store) -> None:
    assert await grant(store)
    assert [await grant(store, retried=True) for _ in range(3)] == [True] * 3
    assert await grant(store)
    assert await grant(store, retried=True)  # which may be the one that was just counted
    assert await grant(store) is False


async def test_many_at_once_get_no_more(store: Store) -> None:
    asked = [grant(store, uid, most=10) for _ in range(20) for uid in ("ann", "bob")]
    assert sum(await asyncio.gather(*asked)) == 20


@pytest.mark.slow
async def test_several_processes_together_give_no_more(empty_mysql: ServiceUrl) -> None:
    stores = [MysqlStore(empty_mysql, 10_000) for _ in range(3)]
    for store in stores:
        await store.open()
    people = [f"user{n}" for n in range(30)] * 4
    granted: Counter[str] = Counter()

    async def ask(store: Store, uid: str) -> None:
        if await grant(store, uid, most=7):
            granted[uid] += 1

    await asyncio.gather(*[ask(store, uid) for uid in people for store in stores])
    assert granted == Counter(dict.fromkeys(people, 7))
    for store in stores:
        await store.close()


async def take(store: Store, size: int, folder: str = "~uann", now: int = TODAY) -> bool:
    return await store.write(uploads.take_bytes, folder, size, now, 1 << 40)


async def test_an_uploader_puts_so_many_bytes_a_day(store: Store) -> None:
    half = 1 << 39
    assert [await take(store, half) for _ in range(3)] == [True, True, False]
    assert await take(store, 0)
    assert await take(store, 1) is False
    assert await take(store, 1 << 40, "~ubob")
    assert await take(store, (1 << 40) + 1, now=TODAY + DAY_MS) is False
    assert await take(store, 1 << 40, now=TODAY + DAY_MS)
    assert await take(store, 1, now=TODAY + DAY_MS - 1) is False  # a clock that is a little behind


async def test_what_is_given_back_may_be_put_again(store: Store) -> None:
    assert await take(store, 1 << 40)
    assert await take(store, -10)
    assert await take(store, 11) is False
    assert await take(store, 10)
    assert await take(store, -(1 << 41))  # of the day before, say
    assert await take(store, 1 << 40)
    assert await take(store, 1) is False


async def test_many_files_at_once_are_no_more(store: Store) -> None:
    taken = await asyncio.gather(*[take(store, 1 << 38) for _ in range(20)])
    assert sum(taken) == 4


@pytest.mark.parametrize("ahead", [DAY_MS, 400 * DAY_MS])
async def test_a_clock_that_was_ahead_takes_nobodys_bytes(store: Store, ahead: int) -> None:
    async def take(now: int) -> bool:
        return await store.write(uploads.take_bytes, "~u1", 60, now, 100)

    assert [await take(TODAY + ahead), await take(TODAY + ahead)] == [True, False]
    assert [await take(TODAY), await take(TODAY), await take(TODAY - 1)] == [True, False, False]
