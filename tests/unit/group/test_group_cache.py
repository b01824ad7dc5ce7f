"""Cache: what was read is kept until it changes or is crowded out."""

import asyncio

import pytest

from roles.group.cache import Cache


class Rows:
    """What a cache reads: answers at once, or when the test lets it."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {"a": "1", "b": "2", "c": "3"}
        self.loads: list[str] = []
        self.go = asyncio.Event()
        self.go.set()

    async def load(self, key: str) -> str | None:
        self.loads.append(key)
        value = self.values.get(key)  # what is read may be old by the time it arrives
        await self.go.wait()
        return value


@pytest.fixture
async def rows() -> Rows:
    return Rows()


async def test_a_value_is_read_once(rows: Rows) -> None:
    cache = Cache(10, rows.load)
    assert cache.peek("a") is None
    assert [await cache.get("a") for _ in range(3)] == ["1"] * 3
    assert cache.peek("a") == "1"
    assert rows.loads == ["a"]


async def test_what_does_not_exist_is_asked_for_again(rows: Rows) -> None:
    cache = Cache(10, rows.load)
    assert await cache.get("x") is None
    rows.values["x"] = "new"
    assert await cache.get("x") == "new"


async def test_a_dropped_value_is_read_again(rows: Rows) -> None:
    cache = Cache(10, rows.load)
    await cache.get("a")
    rows.values["a"] = "new"
    cache.drop(["a", "never read"])
    assert cache.peek("a") is None
    assert await cache.get("a") == "new"


async def test_a_value_that_changes_while_it_is_read_is_not_kept(rows: Rows) -> None:
    cache = Cache(10, rows.load)
    rows.go.clear()
    early = [asyncio.create_task(cache.get("a")) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rows.loads == ["a"]
    rows.values["a"] = "new"
    cache.drop(["a"])
    rows.go.set()
    assert await asyncio.gather(*early) == ["1", "1"]
    assert cache.peek("a") is None
    assert await cache.get("a") == "new"
    assert cache.peek("a") == "new"


async def test_who_comes_after_a_change_does_not_get_what_was_read_before_it(rows: Rows) -> None:
    cache = Cache(10, rows.load)
    rows.go.clear()
    early = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rows.values["a"] = "new"
    cache.drop(["a"])
    late = [asyncio.create_task(cache.get("a")) for _ in range(3)]
    await asyncio.sleep(0)
    rows.go.set()
    assert await early == "1"
    assert [await one for one in late] == ["new"] * 3
    assert rows.loads == ["a", "a"]
    assert cache.peek("a") == "new"


async def test_one_who_waits_no_longer_takes_nothing_from_the_others(rows: Rows) -> None:
    cache = Cache(10, rows.load)
    rows.go.clear()
    gone, stays = [asyncio.create_task(cache.get("a")) for _ in range(2)]
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    rows.go.set()
    assert await stays == "1"


async def test_a_change_of_another_value_does_not_keep_one_out(rows: Rows) -> None:
    cache = Cache(10, rows.load)
    rows.go.clear()
    reading = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    cache.drop(["b"])
    rows.go.set()
    await reading
    assert cache.peek("a") == "1"


async def test_a_read_that_fails_is_forgotten(rows: Rows) -> None:
    async def fail(_: str) -> str:
        raise OSError("away")

    cache = Cache(10, fail)
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await cache.get("a")
    assert cache.peek("a") is None


async def test_the_oldest_value_makes_room(rows: Rows) -> None:
    cache = Cache(2, rows.load)
    for key in "abc":
        await cache.get(key)
    assert [cache.peek(key) for key in "abc"] == [None, "2", "3"]


async def test_a_value_that_two_read_at_once_crowds_out_nobody(rows: Rows) -> None:
    cache = Cache(2, rows.load)
    await cache.get("a")
    rows.go.clear()
    reading = [asyncio.create_task(cache.get("b")) for _ in range(2)]
    await asyncio.sleep(0)
    rows.go.set()
    await asyncio.gather(*reading)
    assert rows.loads == ["a", "b"]
    assert [cache.peek(key) for key in "ab"] == ["1", "2"]


async def test_no_value_outlives_two_agings(rows: Rows) -> None:
    cache = Cache(10, rows.load)
    await cache.get("a")
    cache.age()
    assert cache.peek("a") == "1"
    cache.age()
    assert cache.peek("a") is None


async def test_an_aged_value_can_be_dropped(rows: Rows) -> None:
    cache = Cache(10, rows.load)
    await cache.get("a")
    cache.age()
    cache.drop(["a"])
    assert cache.peek("a") is None


async def test_values_make_room_by_what_they_weigh(rows: Rows) -> None:
    rows.values = {"a": "x" * 4, "b": "x" * 4, "c": "x" * 3, "d": "x" * 11}
    cache = Cache(10, rows.load, len)
    for key in "ab":
        await cache.get(key)
    cache.age()
    await cache.get("c")
    assert [cache.peek(key) is not None for key in "abc"] == [False, True, True]
    await cache.get("d")  # more than there is room for: it is kept alone
    assert [cache.peek(key) is not None for key in "abcd"] == [False, False, False, True]
    await cache.get("c")
    assert [cache.peek(key) is not None for key in "cd"] == [True, False]


async def test_what_is_gone_weighs_nothing(rows: Rows) -> None:
    rows.values = {"a": "x" * 6, "b": "x" * 6}
    cache = Cache(10, rows.load, len)
    await cache.get("a")
    cache.drop(["a"])
    await cache.get("b")
    cache.age()
    cache.drop(["b"])
    await cache.get("b")
    cache.age()
    cache.age()
    await cache.get("a")
    assert cache.peek("a") == "x" * 6
