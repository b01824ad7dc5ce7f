"""SQLite in WAL mode: one writer thread with group commit, a few reader threads."""

import asyncio
import os
import queue
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import structlog

from fsharechat.clock import now_ms
from fsharechat.errors import StoreError, StoreFull
from fsharechat.process import full, rights_of_others
from fsharechat.store import messages
from fsharechat.store.checkpoints import LATEST_PAGES, LOG_BYTES, Checkpoints
from fsharechat.store.disk import Disk
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.migrate import OnStep, log_step, migrate
from fsharechat.store.read_threads import ReadThreads
from fsharechat.store.readers import ReadLane, ReadTooLong, Share
from fsharechat.store.state import StoreState, StoreUnread, look
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Result, Row, T, Unit, chunks, flat, marks, rows_of_marks
from fsharechat.store.writer import Batch

log = structlog.get_logger(__name__)

SHARES = {
    ReadLane.SHORT: Share(readers=3, reserved=1, seconds=5.0),
    ReadLane.LONG: Share(readers=1, reserved=0, seconds=3.0),
}
"""The reader threads; each has a connection of its own."""

WRITER_CACHE_KIB = 32 << 10
READER_CACHE_KIB = 8 << 10
CHECKPOINT_CACHE_KIB = 1 << 10
"""How much of the database each connection keeps in memory, KiB: the writer, each reader, the checkpoints. Together
at most 65 MiB.
"""

LOOK_STEPS = 200_000
"""After so many steps of SQLite's machine (some ms) a read checks whether it takes too long."""

_PRIVATE = 0o600

SWITCH_INTERVAL_SECONDS = 0.0005
"""The writer thread asks for the GIL at every statement. The default of 5 ms each time is too long."""


class SqliteDialect:
    """The SQL of SQLite 3.35 and later."""

    name = "sqlite"
    shared = False
    locking = ""  # there is one writer
    tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
    # Python's module takes a bytearray as it is. For bytes, and for None, it looks for an adapter, by way of
    # an exception, each time: 2 us.
    blob: type[bytes | bytearray] = bytearray
    undigested = True
    hears: Mapping[str, Sequence[str]] = MappingProxyType({})

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

    def advance(self, counts: dict[str, int], column: str) -> Unit[dict[str, int]]:
        return (yield from _add_to_heads(column, counts, column))

    def advance_inboxes(self, counts: dict[str, int]) -> Unit[dict[str, int]]:
        return (yield from _add_to_heads("seq", counts, "IIF(asleep, -seq, seq)"))

    def raise_heads(self, column: str, uids: Sequence[str], now: int) -> Unit[dict[str, int]]:
        rows: list[Row] = []
        for part in chunks([(uid, now) for uid in uids]):
            sql = _on_heads(column, len(part), f"MAX({column} + 1, excluded.{column})")
            rows += (yield Query(f"{sql} RETURNING uid, {column}", flat(part))).rows
        return dict(rows)

    def clock(self) -> Unit[int]:
        yield from ()  # only this process writes, so its clock counts
        return now_ms()


def _add_to_heads(column: str, counts: dict[str, int], returned: str) -> Unit[dict[str, int]]:
    rows: list[Row] = []
    for part in chunks(list(counts.items())):
        sql = _on_heads(column, len(part), f"{column} + excluded.{column}")
        rows += (yield Query(f"{sql} RETURNING uid, {returned}", flat(part))).rows
    return dict(rows)


def _on_heads(column: str, count: int, update: str) -> str:
    """Return the statement that writes `count` rows (uid, value) into a column of the heads."""
    if column == "seq":
        insert = f"INSERT INTO heads (uid, seq) VALUES {rows_of_marks(2, count)}"
    else:
        values = ",".join(["(?,0,?)"] * count)
        insert = f"INSERT INTO heads (uid, seq, {column}) VALUES {values}"
    return f"{insert} ON CONFLICT (uid) DO UPDATE SET {column} = {update}"


class SqliteStore(Store):
    """One file. Only one process may open it for writing (the node locks its data folder)."""

    def __init__(self, path: Path, max_queue: int) -> None:
        super().__init__(max_queue, SHARES)
        self.dialect: Dialect = SqliteDialect()
        self._path = path
        self._disk = Disk(path)
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_batches, name="store-writer", daemon=True)
        self._threads = {
            lane: ReadThreads(f"store-reader-{lane.value}", share.readers) for lane, share in SHARES.items()
        }
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def look(self) -> StoreState:
        try:
            return await asyncio.to_thread(look_at, self._path)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error

    async def migrate(self, on_step: OnStep) -> None:
        with self._opening():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(self._path)
            await asyncio.to_thread(migrate, f"sqlite:///{self._path}", on_step=on_step)

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.migrate(log_step)
        with self._opening():
            self._connection = await asyncio.to_thread(self._connect, WRITER_CACHE_KIB)
            self._checkpoints = Checkpoints(self._path, lambda: self._connect(CHECKPOINT_CACHE_KIB))
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self._writer.start()
        self.dialect.undigested = await self.read(messages.any_undigested)

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Explain an error while a database is opened, and whether its disk is full."""
        try:
            yield
        except StoreError as error:
            raise StoreError(self._disk.explained(str(error))) from error
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self._path}: {self._disk.explained(str(error))}") from error

    async def close(self) -> None:
        self._closing = True
        await self._commits.close()
        if self._writer.is_alive():
            self._batches.put(None)
            await asyncio.to_thread(self._writer.join)
            await asyncio.to_thread(self._checkpoints.close)
        for threads in self._threads.values():
            await asyncio.to_thread(threads.close)
        for connection in self._connections:
            connection.close()

    async def begin_import(self) -> None:
        # Each message is somewhere else in that index: to keep it takes most of the time of a long import.
        await self.write(_drop_history)

    async def end_import(self) -> None:
        try:
            await asyncio.to_thread(self._index_history)
        except sqlite3.Error as error:
            raise self._disk.failure(error) from error

    def _index_history(self) -> None:
        """Make the index, which sorts all messages: in files, for they may be more than the memory takes."""
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        try:
            for statement in (
                "PRAGMA temp_store = FILE",
                f"PRAGMA cache_size = -{WRITER_CACHE_KIB}",
                _HISTORY,
            ):
                connection.execute(statement)
        finally:
            connection.close()

    async def probe(self) -> None:
        try:
            problem = full(self._path.parent)
        except OSError as error:
            raise StoreError(f"{self._path.parent}: {error.strerror}") from error
        if problem:
            raise StoreError(problem)
        await self.write(_mark)

    async def _read(self, lane: ReadLane, start: Callable[[], Unit[T]]) -> T:
        read = _Read(self._shares[lane].seconds)
        return await self._threads[lane].run(partial(self._run_read, start, read), read.give_up)

    def _start_batch(self, batch: Batch) -> None:
        self._batches.put(batch)

    # In the writer thread

    def _write_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._commit(batch)
                self._disk.went_well()
            except sqlite3.Error as error:
                failure = self._disk.failure(error)
                if not isinstance(failure, StoreFull):
                    log.error(
                        "store batch failed",
                        error=str(error),
                        messages=len(batch.messages),
                        units=len(batch.works),
                    )
                self._undo()
                batch.fail(failure)
            except Exception as error:
                # Nothing of the batch is stored, and every caller is told. The next batch may succeed.
                log.exception("store batch failed", messages=len(batch.messages), units=len(batch.works))
                self._undo()
                batch.fail(error)
            self._loop.call_soon_threadsafe(self._commits.finish, batch)
            self._checkpoints.committed(self._connection)

    def _commit(self, batch: Batch) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        batch.results = [self._guarded(work.start) for work in batch.works]
        if batch.messages:
            execute("SAVEPOINT messages")
            try:
                batch.stored[:] = _run(
                    self._connection, messages.append_some(self.dialect, batch.messages, batch.late)
                )
            except sqlite3.IntegrityError:
                # One of them cannot be stored: let it fail alone.
                execute("ROLLBACK TO messages")
                batch.late.clear()
                batch.stored[:] = [self._append_one(message, batch.late) for message in batch.messages]
        execute("COMMIT")

    def _append_one(self, message: NewMessage, late: set[int]) -> Stored | StoreError:
        outcome = self._guarded(lambda: messages.append_some(self.dialect, [message], late))
        if isinstance(outcome, Exception):
            return outcome if isinstance(outcome, StoreError) else StoreError(str(outcome))
        return outcome[0]

    def _guarded(self, start: Callable[[], Unit[T]]) -> T | Exception:
        """Run a unit so that its failure undoes only this unit."""
        self._connection.execute("SAVEPOINT unit")
        try:
            result = _run(self._connection, start())
        except Exception as error:
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise  # such as a full disk: no fault of the unit, and the whole transaction may be undone
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

    def _open_reader(self) -> sqlite3.Connection:
        connection = self._connect(READER_CACHE_KIB)
        connection.execute("PRAGMA query_only = ON")
        connection.set_progress_handler(self._is_over, LOOK_STEPS)
        self._local.connection = connection
        return connection

    def _is_over(self) -> bool:
        """Return whether SQLite must stop the read of this thread."""
        read: _Read | None = self._local.read
        return read is not None and read.is_over

    def _run_read(self, start: Callable[[], Unit[T]], read: "_Read") -> T:
        read.begin()
        self._local.read = read
        try:
            connection: sqlite3.Connection = getattr(self._local, "connection", None) or self._open_reader()
            connection.execute("BEGIN")  # one snapshot for all statements of the unit
            try:
                return _run(connection, start(), read)
            finally:
                self._local.read = None
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise read.too_long() from error
            raise self._disk.failure(error) from error

    def _connect(self, cache_kib: int) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=10, cached_statements=512
        )
        self._connections.append(connection)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # acknowledged means on the disk
            "foreign_keys = ON",
            "temp_store = MEMORY",
            f"cache_size = -{cache_kib}",
            f"wal_autocheckpoint = {LATEST_PAGES}",
            f"journal_size_limit = {LOG_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection


def look_at(path: Path) -> StoreState:
    """Read the state of a database. Make no file beside it, as SQLite would if it may write there.

    Raises sqlite3.Error, OSError and StoreUnread.
    """
    if not path.exists() or not path.stat().st_size:
        return StoreState()
    with_wal, shared = (path.with_name(path.name + beside) for beside in ("-wal", "-shm"))
    whole = not _has_content(with_wal) and not _has_content(path.with_name(path.name + "-journal"))
    if not whole and _has_content(with_wal) and not shared.exists():
        raise StoreUnread(_UNREAD)
    how = "immutable=1" if whole else "mode=ro&readonly_shm=1"
    connection = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True)
    try:
        return _run(connection, look(SqliteDialect()))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in _NEEDS_WRITING:
            raise StoreUnread(_UNREAD) from error
        raise
    finally:
        connection.close()


_UNREAD = (
    "a process was killed while it wrote there. The next start, or `fsharechat migrate`, puts that right"
)
_NEEDS_WRITING = frozenset({sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY})


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


_HISTORY = "CREATE INDEX IF NOT EXISTS messages_history ON messages (conversation, id)"


def _drop_history(_: Dialect) -> Unit[None]:
    yield Query("DROP INDEX IF EXISTS messages_history")


def _mark(dialect: Dialect) -> Unit[None]:
    """Write a row that nobody reads."""
    yield Query(dialect.upsert("facts", ("name",), ("value",)), ("probe", secrets.token_bytes(8)))


@dataclass(slots=True)
class _Read:
    """The time limit of a read, and whether a caller still waits for it."""

    seconds: float
    deadline: float = 0.0
    unwanted: bool = False

    def begin(self) -> None:
        self.deadline = time.monotonic() + self.seconds

    def give_up(self) -> None:
        self.unwanted = True

    @property
    def is_over(self) -> bool:
        return self.unwanted or time.monotonic() > self.deadline

    def too_long(self) -> ReadTooLong:
        return ReadTooLong(f"a read took more than {self.seconds:g} s")


def _make_private(path: Path) -> None:
    """Make a database, old or new, private to its user. SQLite gives the files beside it the same rights.

    Raises OSError.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE))
    for file in (path, *(path.with_name(path.name + beside) for beside in ("-wal", "-shm"))):
        try:
            if rights_of_others(file.stat()):
                file.chmod(_PRIVATE)
        except FileNotFoundError:
            continue
        except PermissionError as error:  # it belongs to another user, who lets this one write
            log.warning(
                "other users of this machine may read the database", file=str(file), reason=error.strerror
            )


def _run(connection: sqlite3.Connection, unit: Unit[T], read: _Read | None = None) -> T:
    try:
        query = next(unit)
        while True:
            cursor = connection.execute(query.sql, query.params)
            rows = cursor.fetchall()
            if read is not None and read.is_over:  # a short statement never checks
                raise read.too_long()
            query = unit.send(Result(rows, cursor.rowcount))
    except StopIteration as stop:
        value: T = stop.value
        return value
