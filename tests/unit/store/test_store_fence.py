"""Who may write to the store while several versions run: those of a level that is not below the fence."""

import asyncio
from collections.abc import AsyncIterator

import pymysql
import pytest
from structlog.testing import capture_logs

from fsharechat.errors import StoreError
from fsharechat.store import fence
from fsharechat.store.fence import StoreFenced
from fsharechat.store.mysql import MysqlStore
from fsharechat.store.mysql_connection import DatabaseConnectionLost, MysqlConnection
from fsharechat.store.store import Store
from fsharechat.urls import ServiceUrl
from tests.unit.store.store_kit import Engine, append, new
from tools.testing.logs import lines
from tools.testing.server import BOUND, until


def put(url: ServiceUrl, level: int) -> None:
    """Have the fence at a level, as a newer version does."""
    host, port = url.hosts[0]
    login = {"user": url.user, "password": url.password, "database": url.path, "autocommit": True}
    with pymysql.connect(host=host, port=port, **login) as connection, connection.cursor() as cursor:
        cursor.execute("REPLACE INTO facts (name, value) VALUES (%s, %s)", (fence.NAME, str(level)))


async def test_without_a_fence_every_level_may_write(store: Store) -> None:
    assert await store.read(fence.lowest) == 0
    await append(store, new("ann", "bob"))


async def test_it_is_put_up_at_the_level_of_this_version(store: Store) -> None:
    assert await store.write(fence.put_up) == fence.LEVEL
    assert await store.write(fence.put_up) == fence.LEVEL
    assert await store.read(fence.lowest) == fence.LEVEL
    await append(store, new("ann", "bob"))


async def test_an_older_version_does_not_lower_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "LEVEL", 10)
    assert await store.write(fence.put_up) == 10
    monkeypatch.setattr(fence, "LEVEL", 9)
    assert await store.write(fence.put_up) == 10
    assert await store.read(fence.lowest) == 10


async def test_a_process_below_it_does_not_start(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(fence, "LEVEL", fence.LEVEL + 1)
        first = engine.store()
        await first.open()
        await first.write(fence.put_up)
        await first.close()
    second = engine.store()
    with pytest.raises(StoreError, match=f"this version is of level {fence.LEVEL}: run a newer one"):
        await second.open()
    await second.close()


@pytest.mark.slow
async def test_a_running_process_below_it_stops_at_once(mysql: MysqlStore, empty_mysql: ServiceUrl) -> None:
    changes: list[str] = []
    mysql.on_reach(lambda: changes.append(mysql.away))
    with capture_logs() as logs:
        busy = asyncio.create_task(write_until_refused(mysql))
        await asyncio.to_thread(put, empty_mysql, fence.LEVEL + 1)
        refused = await asyncio.wait_for(busy, BOUND)
    reason = fence.problem(fence.LEVEL + 1)
    assert reason in str(refused) or "no answer" in str(refused)
    assert (mysql.away, changes) == (reason, [reason])
    for work in (mysql.read(fence.lowest), mysql.probe()):
        with pytest.raises(StoreError, match=reason):
            await work
    [closed] = lines(logs, "the store is closed to this version")
    assert (closed["log_level"], closed["reason"]) == ("error", reason)
    with pytest.raises(StoreFenced):
        await MysqlStore(empty_mysql, 1000).open()


@pytest.mark.slow
async def test_it_is_taken_down_again(mysql: MysqlStore, empty_mysql: ServiceUrl) -> None:
    await asyncio.to_thread(put, empty_mysql, fence.LEVEL + 1)
    await until(lambda: bool(mysql.away), "the fence is not seen")
    await asyncio.to_thread(put, empty_mysql, fence.LEVEL)
    await until(lambda: not mysql.away, "it does not go on")
    await append(mysql, new("ann", "bob"))


@pytest.fixture
async def mysql(empty_mysql: ServiceUrl) -> AsyncIterator[MysqlStore]:
    store = MysqlStore(empty_mysql, 1000)
    await store.open()
    yield store
    await store.close()


async def write_until_refused(store: Store) -> BaseException:
    while True:
        try:
            await append(store, new("ann", "bob"))
        except StoreError as error:
            return error


class CutAtItsAnswer:
    """A connection of aiomysql, cut in the moment in which its answer is here: no server can be made to hit that."""

    description = None
    rowcount = 0

    def __init__(self) -> None:
        self.connection = MysqlConnection(self)

    async def cursor(self, _: object) -> "CutAtItsAnswer":
        return self

    async def execute(self, _: bytes) -> None:
        self.connection.cut()

    async def nextset(self) -> bool:
        return False

    def close(self) -> None:
        pass


async def test_a_connection_is_cut_also_while_an_answer_comes() -> None:
    raw = CutAtItsAnswer()
    with pytest.raises(DatabaseConnectionLost):
        await raw.connection.execute("SELECT 1")
    assert not raw.connection.usable
