"""Reads have owners and limits: one user's reads never hold up another's, nor the server's own."""

import asyncio
import gc
from collections.abc import Callable
from functools import partial

import pytest

from fsharechat.errors import StoreBusy
from fsharechat.store.readers import (
    OWN,
    READS_OF_ONE,
    WAITING_OF_ONE,
    Readers,
    ReadLane,
    ReadTooLong,
    Share,
)
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Unit
from tests.unit.store.store_kit import append, heads, inbox, new, select
from tools.testing.server import BOUND


def endless(dialect: Dialect) -> Unit[None]:
    """Read for as long as the engine lets it."""
    if dialect.name == "mysql":
        yield Query("SELECT SLEEP(1000)")
        return
    yield Query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n")


def endlessly_short(_: Dialect) -> Unit[None]:
    """Read by statements each of which is short."""
    while True:
        yield Query("SELECT uid FROM heads")


def limit(store: Store, seconds: float) -> None:
    store._shares = {lane: share._replace(seconds=seconds) for lane, share in store._shares.items()}


@pytest.mark.parametrize("kind", ["the server's own", "a user's", "a search"])
@pytest.mark.parametrize("unit", [endless, endlessly_short])
async def test_a_read_that_takes_too_long_is_stopped(
    store: Store, kind: str, unit: Callable[[Dialect], Unit[None]]
) -> None:
    limit(store, 0.2)
    read = {
        "the server's own": partial(store.read, unit),
        "a user's": partial(store.read_for, "ann", unit),
        "a search": partial(store.search_for, "ann", unit),
    }[kind]
    with pytest.raises(ReadTooLong):
        await read()
    limit(store, 5)
    await append(store, new("ann", "bob"))
    assert await store.search_for("ann", select, "SELECT uid, seq FROM heads WHERE uid = 'ann'") == [
        ("ann", 1)
    ]
    assert await heads(store, "bob") == {"bob": 1}


async def cancelled(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_searches_of_many_keep_no_reader_from_the_others(store: Store) -> None:
    limit(store, 600)
    await append(store, new("ann", "bob"))
    searches = [asyncio.create_task(store.search_for(f"user{n % 3}", endless)) for n in range(9)]
    await asyncio.sleep(0)
    assert await heads(store, "bob") == {"bob": 1}
    assert len((await inbox(store, "bob")).bodies) == 1
    assert not any(search.done() for search in searches)
    await cancelled(*searches)


async def test_reads_of_one_user_keep_no_reader_from_the_others(store: Store) -> None:
    limit(store, 600)
    await append(store, new("ann", "bob"))
    reads = [asyncio.create_task(store.read_for("ann", endless)) for _ in range(5)]
    await asyncio.sleep(0)
    assert await heads(store, "bob") == {"bob": 1}
    await cancelled(*reads[2:])
    await cancelled(reads[1])  # now there is room for one more of a user, if not of this one
    assert await store.read_for("bob", select, "SELECT uid FROM heads WHERE uid = 'bob'") == [("bob",)]
    assert not reads[0].done()
    await cancelled(reads[0])


async def test_who_cancels_a_read_gives_its_reader_back_at_once(store: Store) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    limit(store, 600)
    for turns in range(10):
        read = asyncio.create_task(store.search_for("ann", endless))
        for _ in range(turns * 3):  # it is under way, or will be: both are right
            await asyncio.sleep(0)
        await cancelled(read)
    assert await store.search_for("ann", select, "SELECT uid FROM heads") == []
    gc.collect()
    assert complaints == []  # that nobody looked at how the read ended


class Desk:
    """Notes who reads, and in which order they began."""

    def __init__(self, readers: int = 3, reserved: int = 1, most: int = 1000) -> None:
        shares = {
            ReadLane.SHORT: Share(readers, reserved, 1.0),
            ReadLane.LONG: Share(1, 0, 1.0),
        }
        self.readers = Readers(shares, most)
        self.begun: list[str] = []

    async def read(self, owner: str, lane: ReadLane = ReadLane.SHORT) -> None:
        await self.readers.enter(lane, owner)
        self.begun.append(owner)

    async def ask(self, *owners: str, lane: ReadLane = ReadLane.SHORT) -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(self.read(owner, lane)) for owner in owners]
        await asyncio.sleep(0)
        return tasks

    async def done(self, owner: str, lane: ReadLane = ReadLane.SHORT) -> None:
        self.readers.leave(lane, owner)
        await asyncio.sleep(0)


async def test_the_last_readers_are_for_the_server_itself() -> None:
    desk = Desk()
    tasks = await desk.ask("ann", "bob", "cid", OWN)
    assert desk.begun == ["ann", "bob", OWN]
    await desk.done(OWN)
    assert desk.begun == ["ann", "bob", OWN]
    await desk.done("ann")
    assert desk.begun == ["ann", "bob", OWN, "cid"]
    await asyncio.gather(*tasks)


async def test_users_take_turns_and_have_only_so_many_reads_at_a_time() -> None:
    desk = Desk(readers=6)
    tasks = await desk.ask(*["ann"] * 5, *["bob"] * 3)
    assert desk.begun == ["ann"] * READS_OF_ONE + ["bob"] * READS_OF_ONE
    tasks += await desk.ask("cid", "dan", "cid")
    assert desk.begun[4:] == ["cid"]
    await desk.done("ann")
    assert desk.begun[5:] == ["ann"]
    await desk.done("cid")
    assert desk.begun[6:] == ["dan"]
    await desk.done("dan")
    await desk.done("bob")
    assert desk.begun[7:] == ["cid", "bob"]
    await desk.done("ann")
    await desk.done("ann")
    assert desk.begun[9:] == ["ann", "ann"]
    await asyncio.gather(*tasks)


async def test_a_users_reads_are_counted_over_both_lanes() -> None:
    desk = Desk(readers=9)
    tasks = await desk.ask("ann", "ann")
    tasks += await desk.ask("ann", lane=ReadLane.LONG)
    assert desk.begun == ["ann", "ann"]
    await desk.done("ann")
    assert desk.begun == ["ann"] * 3
    await asyncio.gather(*tasks)


async def test_what_waits_is_bounded_in_all_and_for_each_user() -> None:
    most = READS_OF_ONE + WAITING_OF_ONE + 10
    desk = Desk(most=most)
    tasks = await desk.ask(*["ann"] * (WAITING_OF_ONE + READS_OF_ONE))
    with pytest.raises(StoreBusy):
        await desk.read("ann")
    tasks += await desk.ask(*["bob"] * 10)
    with pytest.raises(StoreBusy, match=f"{most} reads wait"):
        await desk.read("cid")
    await desk.done("ann")
    tasks += await desk.ask("cid")  # there is room again
    await cancelled(*tasks)


@pytest.mark.parametrize("served", [False, True], ids=["waits", "is let in at that moment"])
async def test_a_read_that_is_cancelled_while_it_waits_leaves_nothing(served: bool) -> None:
    desk = Desk(readers=1, reserved=0)
    await desk.ask("ann")
    waiting, behind = await desk.ask("bob", "cid")
    if served:
        desk.readers.leave(ReadLane.SHORT, "ann")
    waiting.cancel()
    await asyncio.wait([waiting])
    if not served:
        await desk.done("ann")
    await asyncio.wait_for(behind, BOUND)
    assert desk.begun == ["ann", "cid"]
    await desk.done("cid")
    await desk.ask("bob")
    assert desk.begun == ["ann", "cid", "bob"]


async def test_a_read_that_was_cancelled_a_moment_ago_is_passed_over() -> None:
    desk = Desk(readers=1, reserved=0)
    await desk.ask("ann")
    waiting, behind = await desk.ask("bob", "cid")
    waiting.cancel()  # it has not heard of it yet
    desk.readers.leave(ReadLane.SHORT, "ann")
    await asyncio.wait([waiting, behind])
    assert desk.begun == ["ann", "cid"]
