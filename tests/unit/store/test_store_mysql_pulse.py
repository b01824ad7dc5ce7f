"""A database that says nothing any more: who needs it hears so long before the time of a statement is over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace

import pytest

from fsharechat.errors import StoreError
from fsharechat.store import inboxes, mysql_connection
from fsharechat.store.mysql import MysqlStore
from fsharechat.store.mysql_connection import MysqlConnection
from fsharechat.store.unit import Dialect, Query, Unit
from fsharechat.urls import ServiceUrl
from tests.unit.store.store_kit import append, inbox, new
from tools.testing.server import BOUND, until
from tools.wire.proxy import Proxy

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_other_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the pulse ends a wait within the test."""
    monkeypatch.setattr(mysql_connection, "STATEMENT_SECONDS", 100 * BOUND)
    monkeypatch.setattr(mysql_connection, "CONNECT_SECONDS", 100 * BOUND)


@pytest.fixture
async def wire(empty_mysql: ServiceUrl) -> AsyncIterator[Proxy]:
    host, port = empty_mysql.hosts[0]
    wire = Proxy(f"{host}:{port}")
    yield wire
    await wire.close()


@pytest.fixture
async def store(wire: Proxy, empty_mysql: ServiceUrl) -> AsyncIterator[MysqlStore]:
    host, _, port = (await wire.open()).rpartition(":")
    store = MysqlStore(replace(empty_mysql, hosts=((host, int(port)),)), 1000)
    await store.open()
    yield store
    await store.close()


async def refused(asked: Awaitable[object]) -> str:
    async with asyncio.timeout(BOUND):
        with pytest.raises(StoreError) as error:
            await asked
    return str(error.value)


async def test_what_waits_for_a_silent_database_fails_and_the_next_at_once(
    store: MysqlStore, wire: Proxy
) -> None:
    changes: list[str] = []
    store.on_reach(lambda: changes.append(store.away))
    await append(store, new("ann", "bob"))
    wire.stop()
    reads = [asyncio.ensure_future(store.read(inboxes.heads, ["bob"])) for _ in range(20)]
    for read in reads:
        assert "no answer" in await refused(read)
    assert changes == ["no answer within 1 s"]
    assert "no answer" in await refused(append(store, new("ann", "bob")))
    wire.go()
    await until(lambda: not store.away, "the store is not back")
    assert len(changes) == 2
    await append(store, new("ann", "bob"))
    assert await store.read(inboxes.heads, ["bob"]) == {"bob": 2}


async def test_what_is_being_stored_fails_too(store: MysqlStore, wire: Proxy) -> None:
    await append(store, new("ann", "bob"))
    wire.stop()
    waiting = [append(store, new("ann", "bob", local_id=n)) for n in range(1, 11)]
    for one in waiting:
        await refused(one)
    wire.go()
    await until(lambda: not store.away, "the store is not back")
    for n in range(1, 11):
        await append(store, new("ann", "bob", local_id=n))
    pulled = await inbox(store, "bob")
    assert pulled.head == len(pulled.bodies) == 11


async def test_a_connection_that_is_being_made_is_given_up(store: MysqlStore, wire: Proxy) -> None:
    wire.stop()
    wire.cut(refuse=False)
    assert await refused(asyncio.ensure_future(store.read(inboxes.heads, ["bob"])))
    wire.go()
    await until(lambda: not store.away, "the store is not back")
    assert await store.read(inboxes.heads, ["bob"]) == {}


async def test_a_statement_that_takes_long_is_no_silence(store: MysqlStore) -> None:
    changes: list[str] = []
    store.on_reach(lambda: changes.append(store.away))

    def slow(_: Dialect) -> Unit[int]:
        return int((yield Query("SELECT SLEEP(3)", ())).rows[0][0])

    assert await store.read(slow) == 0
    assert changes == []


async def test_a_silent_database_takes_no_write(store: MysqlStore, wire: Proxy) -> None:
    await store.probe()
    wire.stop()
    assert "no answer" in await refused(asyncio.ensure_future(store.probe()))
    wire.go()
    await until(lambda: not store.away, "the store is not back")
    await store.probe()


async def test_a_fault_of_the_pulse_itself_does_not_end_it(
    store: MysqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> MysqlConnection:
        raise LookupError("a mistake")

    with monkeypatch.context() as broken:
        broken.setattr(MysqlConnection, "execute", fail)
        await until(lambda: store.away == "LookupError('a mistake')", "it is not noticed")
    await until(lambda: not store.away, "the store is not back")
