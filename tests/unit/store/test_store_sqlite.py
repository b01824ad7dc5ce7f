"""What only the SQLite engine has: its file, its plans, its threads."""

import asyncio
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fsharechat.errors import StoreError
from fsharechat.protocol.signals import ConversationType, MemberType, ReportType, UserStatus
from fsharechat.store import (
    cursors,
    friends,
    groups,
    heads,
    inboxes,
    messages,
    reports,
    sessions,
    sqlite,
    users,
)
from fsharechat.store.group_reads import GroupRead
from fsharechat.store.groups import NewMember
from fsharechat.store.migrate import migrate
from fsharechat.store.reports import NewReport
from fsharechat.store.sqlite import SqliteDialect, SqliteStore
from fsharechat.store.unit import Dialect, Unit
from tests.unit.store.store_kit import (
    Exchange,
    append,
    append_all,
    fact_names,
    new,
    put_fact,
    recorded,
    select,
)

DIALECT = SqliteDialect()

READS = [GroupRead("a group", 0, reporter, 5, 1) for reporter in ("bob", "cid")]


def read_and_pull(dialect: Dialect) -> Unit[None]:
    """Pull what was read in groups, to the user alone, and in private."""
    yield from groups.put_members(dialect, "a group", [NewMember("ann", MemberType.NORMAL)], 1)
    to_ann = [NewReport(ReportType.READ, kind, 0, "a group", "bob", 5, ["ann"]) for kind in ConversationType]
    yield from reports.keep(dialect, to_ann, READS)
    assert len((yield from reports.pull(dialect, "ann", ReportType.READ, 0)).reports) > 1


HOT: dict[str, tuple[Callable[..., Any], tuple[object, ...]]] = {
    "append": (
        messages.append,
        ([new("ann", "bob", local_id=n) for n in range(1, 3)] + [new("ann", "bob", retried=True)],),
    ),
    "append many": (messages.append, ([new("ann", f"bob{n}", local_id=n) for n in range(1, 1001)],)),
    "pull": (inboxes.pull, ("bob", 0)),
    "heads": (inboxes.heads, (["ann", "bob"],)),
    "history": (messages.history, ("a conversation", 0, 20)),
    "history of a member": (messages.history, ("a conversation", 0, 20, "ann")),
    "connect": (sessions.find, ("ann", "phone")),
    "heads of a session": (heads.heads, (["ann"],)),
    "cursors of a device": (cursors.marks, ("ann", "phone")),
    "rights": (users.rights, ("ann",)),
    "profiles": (users.profiles, (["ann", "bob"],)),
    "login": (users.get_or_create, ("13800000000", 1)),
    "exact search": (users.search, ("ann", False, 0)),
    "fuzzy search": (users.search, ("ann", True, 0)),
    "a new name": (users.modify, ("ann", {"display_name": "Ann"}, 1)),
    "friends": (friends.changed, ("ann", 0)),
    "befriend": (friends.befriend, ("ann", "bob", 1)),
    "requests": (friends.requests, ("ann", 0)),
    "read in groups": (reports.keep, ([], READS)),
    "read reports": (read_and_pull, ()),
    "requests read": (friends.mark_read, ("ann", 1, 1)),
}

ROWS_OF_THE_STATEMENT = re.compile("SCAN (w|CONSTANT ROW|[0-9]+ CONSTANT ROWS)$")


@pytest.fixture
async def path(sqlite_file: Callable[[str], Path]) -> Path:
    return sqlite_file("store.db")


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, 100)
    await store.open()
    return store


@pytest.mark.parametrize("name", HOT)
async def test_hot_statements_use_an_index(path: Path, name: str) -> None:
    unit, args = HOT[name]
    store = await opened(path)
    await append_all(store, *[new("ann", "bob") for _ in range(20)])  # enough to be read with care
    seen: list[Exchange] = []
    await store.write(recorded, seen, unit, *args)
    assert seen
    for query, _ in seen:
        plan = await store.read(select, f"EXPLAIN QUERY PLAN {query.sql}", *query.params)
        scans = [row[3] for row in plan if row[3].startswith("SCAN")]
        assert [scan for scan in scans if not ROWS_OF_THE_STATEMENT.match(scan)] == [], query.sql[:200]
    await store.close()


async def test_a_scan_would_be_seen(path: Path) -> None:
    store = await opened(path)
    (row,) = await store.read(select, "EXPLAIN QUERY PLAN SELECT sender FROM messages WHERE body = ?", b"")
    assert row[3].startswith("SCAN messages")
    await store.close()


async def test_acknowledged_means_on_the_disk(path: Path) -> None:
    store = await opened(path)
    for pragma, wanted in (("journal_mode", "wal"), ("synchronous", 2)):
        assert await store.write(select, f"PRAGMA {pragma}") == [(wanted,)]
    await append(store, new("ann", "bob"))
    # Another connection, while the store is open and nothing was closed: what a killed process leaves behind.
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT COUNT(*) FROM messages").fetchall() == [(1,)]
    other.close()
    await store.close()


async def test_a_unit_that_only_reads_cannot_write(path: Path) -> None:
    store = await opened(path)
    with pytest.raises(StoreError, match="readonly"):
        await store.read(put_fact, "written")
    assert await fact_names(store) == []
    await store.close()


async def test_a_transaction_that_cannot_start_fails_whole_and_the_next_one_works(path: Path) -> None:
    store = await opened(path)
    with sqlite3.connect(path) as other, capture_logs() as logs:
        other.execute("BEGIN IMMEDIATE")  # another process has the file
        store._connection.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(StoreError, match="locked"):
            await store.write(put_fact, "one")
        with pytest.raises(StoreError, match="locked"):
            await append(store, new("ann", "bob"))
        other.execute("ROLLBACK")
    other.close()
    assert [line["event"] for line in logs] == ["store batch failed"] * 2
    assert store.stats.failed == 1
    await store.write(put_fact, "two")
    await append(store, new("ann", "bob"))
    assert await fact_names(store) == ["two"]
    await store.close()


async def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is no database, though it is long enough to be read as one" * 100)
    with pytest.raises(StoreError, match="not a database"):
        await opened(path)


async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        await opened(tmp_path / "file" / "store.db")


async def test_a_new_file_gets_the_schema(tmp_path: Path) -> None:
    store = await opened(tmp_path / "folder" / "store.db")
    assert await store.write(users.get_or_create, "13800000000", 1) != ("", UserStatus.NORMAL, True)
    await store.close()


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as database:
        database.execute("CREATE TABLE users (uid VARCHAR(8))")  # in the way of the first migration
    with pytest.raises(StoreError) as caught:
        migrate(f"sqlite:///{tmp_path / 'store.db'}")
    said = "the schema could not be brought up to date: table users already exists"
    assert str(caught.value) == f"{tmp_path / 'store.db'}: {said}"
    assert database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("users",)]
    database.close()


async def test_a_store_that_was_never_opened_can_be_closed(path: Path) -> None:
    await SqliteStore(path, 100).close()


def test_find_rows_keeps_the_order_of_keys_and_columns() -> None:
    sql = DIALECT.find_rows("messages", ("sender", "id"), ("sender", "local_id"), 2)
    assert sql.startswith("WITH w(sender,local_id) AS (VALUES (?,?),(?,?)) SELECT t.sender,t.id ")


async def test_the_connections_of_a_store_together_have_a_small_cache(path: Path) -> None:
    store = await opened(path)
    searches = [store.search_for(f"user{n}", select, "SELECT COUNT(*) FROM messages") for n in range(20)]
    reads = [store.read(select, "SELECT COUNT(*) FROM messages") for _ in range(20)]
    await asyncio.gather(*reads, *searches)
    caches = [connection.execute("PRAGMA cache_size").fetchone()[0] for connection in store._connections]
    assert 2 < len(caches) <= 6
    assert sum(-kib for kib in caches) + (6 - len(caches)) * sqlite.READER_CACHE_KIB == 65 << 10
    await store.close()
