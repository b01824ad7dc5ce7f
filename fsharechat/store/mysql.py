"""MySQL, MariaDB and Galera: one writing connection with group commit, a few reading ones."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import count
from types import MappingProxyType
from urllib.parse import quote

import orjson
import structlog

from fsharechat.errors import CommitInDoubt, StoreError
from fsharechat.settings_types import ServiceTls
from fsharechat.store import fence, group_log, messages
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.migrate import OnStep, log_step, migrate
from fsharechat.store.mysql_connection import (
    CONNECT_SECONDS,
    NO_TLS,
    Conflict,
    DatabaseConnectionLost,
    Duplicate,
    Hosts,
    MysqlConnection,
    Unprepared,
    Unreachable,
)
from fsharechat.store.mysql_pulse import Pulse
from fsharechat.store.readers import ReadLane, ReadTooLong, Share
from fsharechat.store.state import StoreState, look
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, T, Unit, chunks, flat, marks, rows_of_marks, select_in
from fsharechat.store.writer import Batch, Locks
from fsharechat.tasks import spawn
from fsharechat.urls import ServiceUrl

log = structlog.get_logger(__name__)


class MysqlDialect:
    name = "mysql"
    shared = True
    locking = " FOR UPDATE"
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    blob: type[bytes | bytearray] = bytes
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
            f"{column}=GREATEST({column},VALUES({column}))"
            if column in highest
            else f"{column}=VALUES({column})"
            for column in columns
        )
        return f"{_insert(table, (*keys, *columns), rows)} ON DUPLICATE KEY UPDATE {updates}"

    def insert_new(self, table: str, columns: Sequence[str]) -> str:
        # Not INSERT IGNORE: it would hide other errors too.
        return f"{_insert(table, columns)} ON DUPLICATE KEY UPDATE {columns[0]}={columns[0]}"

    def find_rows(self, table: str, columns: Sequence[str], keys: Sequence[str], count: int) -> str:
        # Not `(keys) IN (rows)`: MariaDB needs time that grows with the square of the rows to prepare it.
        found = ",".join(f"t.{column}" for column in columns)
        same = " AND ".join(f"t.{key}=w.{key}" for key in keys)
        first = ",".join(f"? AS {key}" for key in keys)
        others = f" UNION ALL SELECT {marks(len(keys))}" * (count - 1)
        return f"SELECT {found} FROM (SELECT {first}{others}) w STRAIGHT_JOIN {table} t ON {same}"

    def advance(self, counts: dict[str, int], column: str) -> Unit[dict[str, int]]:
        return (yield from _move_heads(column, counts, f"{column} + VALUES({column})"))

    def advance_inboxes(self, counts: dict[str, int]) -> Unit[dict[str, int]]:
        return (yield from _move_heads("seq", counts, "seq + VALUES(seq)", "IF(asleep, -seq, seq)"))

    def raise_heads(self, column: str, uids: Sequence[str], now: int) -> Unit[dict[str, int]]:
        later = f"GREATEST({column} + 1, VALUES({column}))"
        return (yield from _move_heads(column, dict.fromkeys(uids, now), later))

    def clock(self) -> Unit[int]:
        since = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3))"
        return int((yield Query(f"SELECT {since} DIV 1000")).rows[0][0])


def _move_heads(column: str, values: dict[str, int], update: str, returned: str = "") -> Unit[dict[str, int]]:
    # In user order, and before all other writes of the batch, so that no two writers wait for each other. Other
    # writers wait at the row until this transaction has ended. So a seq becomes visible only after all lower ones.
    uids = sorted(values)
    for part in chunks([(uid, values[uid]) for uid in uids]):
        yield Query(_on_heads(column, len(part), update), flat(part), unread=True)
    # As one text: parsing hundreds of rows would cost more than the rest of a transaction.
    sql = f"SELECT JSON_OBJECTAGG(uid, {returned or column}) FROM heads WHERE uid IN ({{}})"
    heads: dict[str, int] = {}
    for (text,) in (yield from select_in(sql, uids)):
        heads |= orjson.loads(text)
    return heads


def _on_heads(column: str, count: int, update: str) -> str:
    """Return the statement that writes `count` rows (uid, value) into a column of the heads."""
    if column == "seq":
        insert = f"INSERT INTO heads (uid, seq) VALUES {rows_of_marks(2, count)}"
    else:
        values = ",".join(["(?,0,?)"] * count)
        insert = f"INSERT INTO heads (uid, seq, {column}) VALUES {values}"
    return f"{insert} ON DUPLICATE KEY UPDATE {column} = {update}"


def _insert(table: str, columns: Sequence[str], rows: int = 1) -> str:
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES {rows_of_marks(len(columns), rows)}"


SHARES = {
    ReadLane.SHORT: Share(readers=4, reserved=1, seconds=5.0),
    ReadLane.LONG: Share(readers=1, reserved=0, seconds=3.0),
}
"""The reading connections of a process."""

ANSWER_SECONDS = 1.0
"""The server stops a statement that is longer than a read may be. So many seconds later we stop waiting."""

TRIES = 6
"""How often a batch is run when it meets a conflict or loses its connection. Then its callers get the error."""

DOUBT_SECONDS = 2.0
"""How long, at least, a database is asked whether a cut-off commit was carried out, s: it may be restarting."""

PAUSE_SECONDS = 0.02
"""The pause before the second try, s. It doubles before each further one."""


class MysqlStore(Store):
    """A database with several writing processes. Each has a row in `writers` that shows its last commit."""

    def __init__(self, url: ServiceUrl, max_queue: int, tls: ServiceTls = NO_TLS) -> None:
        super().__init__(max_queue, SHARES)
        self.dialect: Dialect = MysqlDialect()
        self._url = url
        self._hosts = Hosts(url, tls)
        self._idle: dict[ReadLane, list[MysqlConnection]] = {lane: [] for lane in ReadLane}
        self._writing: MysqlConnection | None = None
        self._writer = secrets.token_hex(16)
        self._batch_number = 0
        self._committing: asyncio.Task[None] | None = None
        self._pulse: asyncio.Task[None] | None = None

    async def look(self) -> StoreState:
        connection = await self._hosts.connect()
        try:
            return await connection.run(look(self.dialect))
        finally:
            await connection.close()

    async def migrate(self, on_step: OnStep) -> None:
        await (await self._hosts.connect()).close()  # a clear error before anything else
        await asyncio.to_thread(self._migrate, on_step)

    async def open(self) -> None:
        await self.migrate(log_step)
        self.dialect.undigested = await self.read(messages.any_undigested)
        self._pulse = spawn("pulse of the store", Pulse(self._hosts, self._set_away).run())

    def renew(self) -> float | None:
        return self._hosts.renew()

    async def close(self) -> None:
        self._closing = True
        await self._commits.close()
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.wait({self._pulse})
        if self._committing is not None:
            await self._committing
        if self._writing is not None and self._writing.usable:
            try:
                await self._writing.execute("DELETE FROM writers WHERE id = ?", (self._writer,))
            except StoreError as error:
                log.info("the row of this writer stays", error=str(error))
            await self._writing.close()
        for idle in self._idle.values():
            while idle:
                await idle.pop().close()

    async def probe(self) -> None:
        if self.away:
            raise StoreError(self.away)
        await self.write(_nothing)  # each batch writes the row of this writer

    async def _read(self, lane: ReadLane, start: Callable[[], Unit[T]]) -> T:
        idle, seconds = self._idle[lane], self._shares[lane].seconds
        connection = idle.pop() if idle else None
        try:
            if connection is not None and connection.usable:
                try:
                    return await _within(seconds, connection.run(start()))
                except (DatabaseConnectionLost, Conflict) as error:
                    log.info("a read is tried again", error=str(error))
            if connection is None or not connection.usable:
                connection = await self._hosts.connect_reader(seconds)
            return await _within(seconds, connection.run(start()))
        finally:
            if connection is not None and connection.usable:
                if self._closing:
                    connection.abandon()
                else:
                    idle.append(connection)

    # The writer: one batch at a time

    def _start_batch(self, batch: Batch) -> None:
        self._committing = asyncio.get_running_loop().create_task(self._carry_out(batch))

    async def _carry_out(self, batch: Batch) -> None:
        try:
            await self._commit_with_tries(batch)
        except StoreError as error:
            log.warning(
                "store batch failed", error=str(error), messages=len(batch.messages), units=len(batch.works)
            )
            batch.fail(error)
        except Exception as error:
            log.exception("store batch failed", messages=len(batch.messages), units=len(batch.works))
            batch.fail(error)
            self._drop_writing()
        self._commits.finish(batch)

    async def _commit_with_tries(self, batch: Batch) -> None:
        """Carry a batch out once. Raises CommitInDoubt if the database does not say whether that happened."""
        self._batch_number += 1
        in_doubt = False
        asked_until = 0.0
        for attempt in count(1):
            try:
                connection = await self._writing_connection()
                if in_doubt and await self._was_committed(connection):
                    return
                in_doubt = False
                try:
                    await self._work(connection, batch)
                    in_doubt = True  # until the answer comes, only the database knows
                    await connection.execute("COMMIT")
                except Conflict:
                    in_doubt = False  # the engine says that it is undone, even at the commit
                    raise
                return
            except StoreError as error:
                await self._roll_back()  # a probe must not see uncommitted changes of this connection
                now = time.monotonic()
                if in_doubt:
                    asked_until = asked_until or now + DOUBT_SECONDS
                elif not isinstance(error, (Conflict, DatabaseConnectionLost, Unreachable)):
                    raise
                if (attempt >= TRIES or self.away) and (not in_doubt or now > asked_until):
                    if in_doubt:
                        raise CommitInDoubt(f"it may be stored or not: {error}") from error
                    raise
                log.info("store batch is tried again", attempt=attempt, error=str(error))
                await asyncio.sleep(PAUSE_SECONDS * 2 ** min(attempt - 1, TRIES - 2))

    async def _work(self, connection: MysqlConnection, batch: Batch) -> None:
        """Do all work of a batch except the commit."""
        connection.prepare("BEGIN")
        connection.prepare(
            "INSERT INTO writers (id, batch) VALUES (?, ?) ON DUPLICATE KEY UPDATE batch = VALUES(batch)",
            (self._writer, self._batch_number),
        )
        locks = batch.locks()
        if locks.groups or locks.uids:
            await connection.run(_lock(self.dialect, locks))
        batch.results = [await self._guarded(connection, work.start) for work in batch.works]
        if batch.messages:
            await self._append(connection, batch)

    async def _append(self, connection: MysqlConnection, batch: Batch) -> None:
        batch.late.clear()
        connection.prepare("SAVEPOINT messages")
        try:
            batch.stored = list(
                await connection.run(messages.append_some(self.dialect, batch.messages, batch.late))
            )
            return
        except Duplicate as error:
            # Another process stores the same message, or two messages have one id. Stored one by one, the first kind
            # is found to be stored, and the second kind fails alone.
            log.info("messages are stored one by one", error=str(error))
        batch.late.clear()
        await connection.execute("ROLLBACK TO messages")
        batch.stored = [
            _outcome(await self._guarded(connection, partial(_append_one, self.dialect, message, batch.late)))
            for message in batch.messages
        ]

    async def _guarded(self, connection: MysqlConnection, start: Callable[[], Unit[T]]) -> T | Exception:
        """Run a unit so that its failure undoes only this unit, unless the whole transaction fails."""
        connection.prepare("SAVEPOINT unit")  # the savepoint of the unit before is gone
        try:
            return await connection.run(start())
        except (Conflict, DatabaseConnectionLost, Unprepared):
            raise
        except Exception as error:  # noqa: BLE001 - it is handed to the unit's caller
            await connection.execute("ROLLBACK TO unit")
            return error

    async def _was_committed(self, connection: MysqlConnection) -> bool:
        """Return whether the batch whose commit was cut off is in the database.

        FOR UPDATE waits for the end of the cut-off transaction, if the server has not noticed the break yet.
        """
        result = await connection.execute(
            "SELECT batch FROM writers WHERE id = ? FOR UPDATE", (self._writer,)
        )
        committed = bool(result.rows) and result.rows[0][0] == self._batch_number
        log.info("a commit was cut off", committed=committed)
        return committed

    async def _writing_connection(self) -> MysqlConnection:
        if self._writing is None or not self._writing.usable:
            self._writing = await self._hosts.connect_writer()
        return self._writing

    async def _roll_back(self) -> None:
        if self._writing is not None and self._writing.usable:
            try:
                await self._writing.execute("ROLLBACK")
            except StoreError:
                self._drop_writing()

    def _drop_writing(self) -> None:
        if self._writing is not None:
            self._writing.abandon()
            self._writing = None

    def _migrate(self, on_step: OnStep) -> None:
        host, port = self._hosts.last
        login = f"{quote(self._url.user, safe='')}:{quote(self._url.password, safe='')}"
        options = f"charset=utf8mb4&connect_timeout={CONNECT_SECONDS:.0f}"
        try:
            migrate(
                f"mysql+pymysql://{login}@{host}:{port}/{quote(self._url.path)}?{options}",
                connect=self._hosts.connect_blocking,
                on_step=on_step,
            )
        except fence.StoreFenced:
            raise
        except StoreError as error:
            raise StoreError(f"{host}:{port}: {error}") from error


def _nothing(_: Dialect) -> Unit[None]:
    yield from ()


async def _within(seconds: float, read: Awaitable[T]) -> T:
    """Return the result of a read. Raises an error if all its statements together take too long."""
    try:
        async with asyncio.timeout(seconds + ANSWER_SECONDS):
            return await read
    except TimeoutError:
        raise ReadTooLong(f"a read took more than {seconds:g} s") from None


def _lock(dialect: Dialect, locks: Locks) -> Unit[None]:
    yield from group_log.lock_groups(dialect, locks.groups)
    uids = set(locks.uids)
    for id in locks.logs:
        uids.update((yield from group_log.awake(id)))
    yield from group_log.lock_heads(dialect, uids)


def _append_one(dialect: Dialect, message: NewMessage, late: set[int]) -> Unit[Stored]:
    return (yield from messages.append_some(dialect, [message], late))[0]


def _outcome(result: Stored | Exception) -> Stored | StoreError:
    return result if isinstance(result, (Stored, StoreError)) else StoreError(str(result))
