"""What addresses may do: so many at once, so many over a time, and no more rows than are in use."""

import asyncio

import pytest

from fsharechat.store import address_limits
from fsharechat.store.address_limits import AddressLimit, Counted
from fsharechat.store.mysql import MysqlStore
from fsharechat.store.store import Store
from fsharechat.urls import ServiceUrl
from tests.unit.store.store_kit import select

NOON = 1_700_000_000_000
LIMIT = AddressLimit(10, 60_000)
ANN, BOB = "192.0.2.1", "2001:db8::/64"


async def take(
    store: Store,
    address: str = ANN,
    now: int = NOON,
    what: Counted = Counted.WRONG_KEYS,
    limit: AddressLimit = LIMIT,
) -> int:
    return await store.write(address_limits.take, what, address, now, limit)


async def wait(store: Store, address: str = ANN, now: int = NOON) -> int:
    return await store.read(address_limits.wait, Counted.WRONG_KEYS, address, now, LIMIT)


async def test_so_many_at_once_and_so_many_over_the_time(store: Store) -> None:
    assert [await take(store) for _ in range(12)] == [0] * 10 + [6_000] * 2
    assert await wait(store) == 6_000
    assert await take(store, now=NOON + 5_999) == 1
    assert [await take(store, now=NOON + 6_000) for _ in range(2)] == [0, 6_000]
    assert await wait(store, now=NOON + 12_000) == 0
    assert [await take(store, now=NOON + 90_000) for _ in range(11)] == [0] * 10 + [6_000]


async def test_addresses_and_what_they_do_are_counted_each_for_itself(store: Store) -> None:
    for _ in range(10):
        await take(store)
    assert await take(store, BOB) == 0
    assert await take(store, what=Counted.CODES) == 0
    assert await take(store) == 6_000


async def test_without_an_address_or_a_limit_nothing_is_counted(store: Store) -> None:
    assert [await take(store, "") for _ in range(20)] == [0] * 20
    assert [await take(store, limit=AddressLimit(0, 60_000)) for _ in range(20)] == [0] * 20
    assert (await wait(store, ""), await wait(store)) == (0, 0)
    assert await store.read(select, "SELECT COUNT(*) FROM address_limits") == [(0,)]


async def test_more_than_one_a_millisecond_is_a_limit_too(store: Store) -> None:
    limit = AddressLimit(100, 50)
    assert [await take(store, limit=limit) for _ in range(101)] == [0] * 100 + [1]


async def test_what_a_clock_far_ahead_has_left_behind_counts_for_nothing(store: Store) -> None:
    for _ in range(10):
        await take(store, now=NOON + 400 * 86_400_000)
    assert [await take(store) for _ in range(11)] == [0] * 10 + [6_000]


async def test_clocks_that_differ_by_a_little_change_nothing(store: Store) -> None:
    for _ in range(10):
        await take(store, now=NOON + 500)
    assert await take(store) == 6_000


async def test_what_is_forgotten_goes(store: Store) -> None:
    for n in range(20):
        await take(store, f"192.0.2.{n}")
    for n in range(10):
        await take(store, f"198.51.100.{n}", now=NOON + 60_000)
    rows = await store.read(select, "SELECT address FROM address_limits")
    assert {address for (address,) in rows} == {f"198.51.100.{n}" for n in range(10)}
    for _ in range(9):
        assert await take(store, "198.51.100.0", now=NOON + 60_000) == 0
    assert await take(store, "198.51.100.0", now=NOON + 60_000) == 6_000


@pytest.mark.slow
async def test_several_processes_together_allow_as_many(empty_mysql: ServiceUrl) -> None:
    stores = [MysqlStore(empty_mysql, 10_000) for _ in range(3)]
    for store in stores:
        await store.open()
    for n in range(10):
        waits = await asyncio.gather(*[take(store, f"192.0.2.{n}") for store in stores for _ in range(5)])
        assert waits.count(0) == 10
    for store in stores:
        await store.close()
