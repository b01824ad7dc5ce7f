"""SQLite in WAL mode: one writer thread with group commit, a few reader threads."""

import asyncio
import queue
import secrets
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate

import structlog

from fsharechat.errors import StoreBusy, StoreError
from fsharechat.process import full
from fsharechat.store import messages
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.migrate import migrate
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, P, Query, Result, Row, T, Unit, chunks, flat, marks, rows_of_marks
from fsharechat.store.writer import Batch

log = structlog.get_logger(__name__)

READERS = 2

SWITCH_INTERVAL_SECONDS = 0.0005
"""The writer thread asks for the GIL at every statement; the default of 5 ms a time is too long."""


class SqliteDialect:
    """The SQL of SQLite 3.35 and later."""

    name = "sqlite"
    locking = ""  # there is one writer

    def upsert(
        self,
        table: str,
        keys: Sequence[str],
        columns: Sequence[str],
        rows: int = 1,
        highest: Sequence[str] = (),
    ) -> str:
        updates = ",".join(
            f"{column}=MAX({column},excluded.{column})"
            if column in highest
            else f"{column}=excluded.{column}"
            for column in columns
        )
        names = ",".join((*keys, *columns))
        values = rows_of_marks(len(keys) + len(columns), rows)
        conflict = f"ON CONFLICT ({','.join(keys)}) DO UPDATE SET {updates}"
        return f"INSERT INTO {table} ({names}) VALUES {values} {conflict}"

    def insert_new(self, table: str, columns: Sequence[str]) -> str:
        return (
            f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks(len(columns))}) ON CONFLICT DO NOTHING"
        )

    def find_rows(self, table: str, columns: Sequence[str], keys: Sequence[str], count: int) -> str:
        # A condition `(keys) IN (VALUES …)` would scan the table; a CROSS JOIN keeps the order that it is written in.
        names = ",".join(keys)
        found = ",".join(f"t.{column}" for column in columns)
        same = " AND ".join(f"t.{key}=w.{key}" for key in keys)
        return (
            f"WITH w({names}) AS (VALUES {rows_of_marks(len(keys), count)}) "
            f"SELECT {found} FROM w CROSS JOIN {table} t ON {same}"
        )

    def advance(self, counts: dict[str, int], column: str = "seq") -> Unit[dict[str, int]]:
        rows: list[Row] = []
        for part in chunks(list(counts.items())):
            sql = _on_heads(column, len(part), f"{column} + excluded.{column}")
            rows += (yield Query(f"{sql} RETURNING uid, {column}", flat(part))).rows
        return dict(rows)

    def raise_heads(self, column: str, uids: Sequence[str], now: int) -> Unit[None]:
        for part in chunks([(uid, now) for uid in uids]):
            yield Query(_on_heads(column, len(part), f"MAX({column} + 1, excluded.{column})"), flat(part))


def _on_heads(column: str, count: int, update: str) -> str:
    """Return the statement that takes `count` rows (uid, value) into a column of the heads."""
    if column == "seq":
        insert = f"INSERT INTO heads (uid, seq) VALUES {rows_of_marks(2, count)}"
    else:
        values = ",".join(["(?,0,?)"] * count)
        insert = f"INSERT INTO heads (uid, seq, {column}) VALUES {values}"
    return f"{insert} ON CONFLICT (uid) DO UPDATE SET {column} = {update}"


class SqliteStore(Store):
    """One file. Only one process may have it open for writing (the node locks its data folder)."""

    def __init__(self, path: Path, max_queue: int) -> None:
        super().__init__(max_queue)
        self.dialect: Dialect = SqliteDialect()
        self._path = path
        self._max_reads = max_queue
        self._closing = False
        self._reading = 0
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_batches, name="store-writer", daemon=True)
        self._readers = ThreadPoolExecutor(READERS, "store-reader", initializer=self._open_reader)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(migrate, f"sqlite:///{self._path}")
            self._connection = await asyncio.to_thread(self._connect)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self._path}: {error}") from error
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self._writer.start()

    async def close(self) -> None:
        self._closing = True
        await self._commits.close()
        if self._writer.is_alive():
            self._batches.put(None)
            await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._connections:
            connection.close()

    async def probe(self) -> None:
        try:
            problem = full(self._path.parent)
        except OSError as error:
            raise StoreError(f"{self._path.parent}: {error.strerror}") from error
        if problem:
            raise StoreError(problem)
        await self.write(_mark)

    async def read(
        self, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._closing:
            raise StoreError("the store is closed")
        if self._reading >= self._max_reads:
            raise StoreBusy(f"{self._reading} reads wait for the store")
        self._reading += 1
        try:
            return await self._loop.run_in_executor(
                self._readers, self._run_read, lambda: unit(self.dialect, *args, **kwargs)
            )
        finally:
            self._reading -= 1

    def _start_batch(self, batch: Batch) -> None:
        self._batches.put(batch)

    # In the writer thread

    def _write_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._commit(batch)
            except Exception as error:
                # Nothing of the batch is stored, and every caller is told; the next one may do better.
                log.exception("store batch failed", messages=len(batch.messages), units=len(batch.works))
                self._undo()
                batch.fail(error)
            self._loop.call_soon_threadsafe(self._commits.finish, batch)

    def _commit(self, batch: Batch) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        batch.results = [self._guarded(work.start) for work in batch.works]
        if batch.messages:
            execute("SAVEPOINT messages")
            try:
                batch.stored[:] = _run(self._connection, messages.append(self.dialect, batch.messages))
            except sqlite3.IntegrityError:
                # One of them cannot be stored: let it fail alone.
                execute("ROLLBACK TO messages")
                batch.stored[:] = [self._append_one(message) for message in batch.messages]
        execute("COMMIT")

    def _append_one(self, message: NewMessage) -> Stored | StoreError:
        outcome = self._guarded(lambda: messages.append(self.dialect, [message]))
        if isinstance(outcome, Exception):
            return outcome if isinstance(outcome, StoreError) else StoreError(str(outcome))
        return outcome[0]

    def _guarded(self, start: Callable[[], Unit[T]]) -> T | Exception:
        """Run a unit so that its failure undoes and concerns it alone."""
        self._connection.execute("SAVEPOINT unit")
        try:
            result = _run(self._connection, start())
        except Exception as error:  # noqa: BLE001 - it is handed to the unit's caller
            self._connection.execute("ROLLBACK TO unit")
            return StoreError(str(error)) if isinstance(error, sqlite3.Error) else error
        self._connection.execute("RELEASE unit")
        return result

    def _undo(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            log.exception("store rollback failed")

    # In the reader threads

    def _open_reader(self) -> None:
        self._local.connection = self._connect()
        self._local.connection.execute("PRAGMA query_only = ON")

    def _run_read(self, start: Callable[[], Unit[T]]) -> T:
        connection: sqlite3.Connection = self._local.connection
        try:
            connection.execute("BEGIN")  # one snapshot for all statements of the unit
            try:
                return _run(connection, start())
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=10, cached_statements=512
        )
        self._connections.append(connection)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # acknowledged means on the disk
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "cache_size = -65536",  # KiB
            "wal_autocheckpoint = 4000",  # pages
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection


def _mark(dialect: Dialect) -> Unit[None]:
    """Write a row that nobody reads."""
    yield Query(dialect.upsert("facts", ("name",), ("value",)), ("probe", secrets.token_bytes(8)))


def _run(connection: sqlite3.Connection, unit: Unit[T]) -> T:
    try:
        query = next(unit)
        while True:
            cursor = connection.execute(query.sql, query.params)
            rows = cursor.fetchall()
            query = unit.send(Result(rows, cursor.rowcount))
    except StopIteration as stop:
        value: T = stop.value
        return value
