"""Connections to MySQL: several hosts, every step bounded in time, units run statement by statement."""

import asyncio
import ssl
import time
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import aiomysql
import pymysql
import structlog
from pymysql.constants import CLIENT, CR, SERVER_STATUS
from pymysql.converters import escape_string

from fsharechat import tls
from fsharechat.errors import StoreError
from fsharechat.settings_types import ServiceTls
from fsharechat.store.readers import ReadTooLong
from fsharechat.store.unit import Result, T, Unit
from fsharechat.urls import ServiceUrl

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 3.0
STATEMENT_SECONDS = 6.0
"""Statements sent together that take longer, s, have lost their server, or the server its disk. Then the connection
is given up.
"""

TOGETHER_BYTES = 1 << 18
"""So many bytes of a unit are sent together. More would gain nothing, and MySQL takes texts up to 16 MiB."""

NO_TLS = ServiceTls()
_NO_TLS_THERE = "it speaks no TLS ([store.tls])"
RETRY_SECONDS = 0.5
"""After all hosts refused, requests fail at once for so many seconds. Then comes the next attempt."""

# On a Galera cluster a read waits for earlier commits on other nodes. Only MariaDB reads this comment.
_VARIABLES = "SET SESSION sql_mode = 'STRICT_ALL_TABLES' /*M!100400 , SESSION wsrep_sync_wait = 1 */"

# The gap locks of the default level make concurrent writers deadlock.
_GALERA = "SHOW VARIABLES WHERE Variable_name = 'wsrep_on' AND Value = 'ON'"
_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"

# A process that stands still, or whose machine has died, holds its locks, and other writers wait for them. So the
# server ends its transaction. MySQL (the last comment) can only end whole connections, even idle ones.
_WRITER = """SET SESSION sql_mode = @@sql_mode
    /*M!100300 , SESSION idle_write_transaction_timeout = 3 */ /*!80000 , SESSION wait_timeout = 3 */"""

# The server stops a statement that reads for too long. MariaDB's limit is in seconds, MySQL's in ms.
_READER = """SET SESSION sql_mode = @@sql_mode
    /*M!100300 , SESSION max_statement_time = {0} */ /*!80000 , SESSION max_execution_time = {1} */"""

UNREAD = Result([], -1)
"""The result of a statement whose result nobody reads."""

_DEADLOCK = frozenset(
    {1205, 1213, 1020}
)  # lock wait timeout; deadlock or Galera conflict; record has changed
_NOT_THERE = 1305
"""The error of a savepoint after a Galera node has undone the whole transaction; the next statement shows it."""
_TOOK_TOO_LONG = frozenset({1969, 3024})  # of MariaDB, of MySQL
# What a server says whose disk is full: write error, disk full (of the system, of MariaDB), table full.
_NO_ROOM = frozenset({3, 20, 1021, 1026, 1114})
_SERVER_GONE = frozenset({1047, 1053, 1152, 1158, 1159, 1160, 1161, 1290, 1836, 1927, 2006, 2013, 2014, 2055})


class Unreachable(StoreError):
    """No host took a connection."""


class DatabaseConnectionLost(StoreError):
    """The connection broke. Its transaction is undone, unless the break was at the commit."""


class Conflict(StoreError):
    """The engine undid the whole transaction in favour of another one. It may be run again."""


class Duplicate(StoreError):
    """A unique key exists already: another writer was faster, or the same row is written twice."""


class Unprepared(StoreError):
    """An earlier prepared statement failed, so the requested statement has not been run."""


class Hosts:
    """Opens connections to the first host that accepts, beginning with the one that accepted last."""

    def __init__(self, url: ServiceUrl, encryption: ServiceTls = NO_TLS) -> None:
        self._url = url
        self._encryption = encryption
        self._context: ssl.SSLContext | None = None
        self._first = 0
        self._quiet_until = 0.0
        self._reason = ""
        self.away = ""
        """Why the database cannot be used, as the pulse found; "" while it answers."""
        self._connections: weakref.WeakSet[MysqlConnection] = weakref.WeakSet()
        self._connecting: set[asyncio.Timeout] = set()

    @property
    def last(self) -> tuple[str, int]:
        """The host that took the last connection."""
        return self._url.hosts[self._first]

    def connect_blocking(self, *args: Any, **options: Any) -> Any:
        """Return a connection of pymysql with these arguments, over TLS if that is set. Raises Unreachable."""
        return _BlockingConnection(*args, **options, ssl=self._tls())

    def _tls(self) -> ssl.SSLContext | None:
        if self._encryption.on and self._context is None:
            try:
                self._context = tls.client_context(self._encryption)
            except tls.TlsError as error:
                raise Unreachable(f"[store.tls] {error}") from error
        return self._context

    def renew(self) -> float | None:
        """Use the present contents of the certificate files for new connections. Raises TlsError."""
        return tls.renew([self._context], self._encryption) if self._context is not None else None

    async def connect_writer(self) -> "MysqlConnection":
        """Return a connection whose transactions end if this process stands still. Raises StoreError."""
        connection = await self.connect()
        await connection.execute(_WRITER)
        return connection

    def cut(self) -> None:
        """End all connections, even those being made. Their requests fail with ConnectionLost."""
        for connection in list(self._connections):
            connection.cut()
        for attempt in self._connecting:
            _expire(attempt)

    async def connect_reader(self, seconds: float) -> "MysqlConnection":
        """Return a connection whose statements take at most so many seconds. Raises StoreError."""
        connection = await self.connect()
        await connection.execute(_READER.format(seconds, int(seconds * 1000)))
        return connection

    async def connect(self, anyway: bool = False) -> "MysqlConnection":
        """Return a connection. `anyway`: even while the database is known to be away. Raises Unreachable."""
        if self.away and not anyway:
            raise Unreachable(self.away)
        if time.monotonic() < self._quiet_until:
            raise Unreachable(self._reason)
        hosts = self._url.hosts
        reasons = []
        for step in range(len(hosts)):
            index = (self._first + step) % len(hosts)
            try:
                connection = await self._connect_to(*hosts[index])
            except (OSError, TimeoutError, StoreError, pymysql.err.MySQLError) as error:
                reasons.append(f"{hosts[index][0]}:{hosts[index][1]}: {_text(error)}")
                if self.away and not anyway:
                    raise Unreachable(self.away) from error
                continue
            if (
                self.away and not anyway
            ):  # `away` was set while this connection was being made, so it was not cut with the others
                connection.cut()
                raise Unreachable(self.away)
            if step:
                log.warning("another database host is used", host=hosts[index][0], reasons=reasons)
            self._first = index
            if len(hosts) > 1:
                connection.leave = partial(self._leave, index)
            return connection
        self._reason = "; ".join(reasons)
        self._quiet_until = time.monotonic() + RETRY_SECONDS
        raise Unreachable(self._reason)

    def _leave(self, index: int, reason: str) -> None:
        """Begin with another host from now on: this one cannot write, and nothing but that shows it."""
        if index == self._first:
            host, _ = self._url.hosts[index]
            log.warning("a database host has no room; the next one is used", host=host, reason=reason)
            self._first = (index + 1) % len(self._url.hosts)

    async def _connect_to(self, host: str, port: int) -> "MysqlConnection":
        async with asyncio.timeout(CONNECT_SECONDS) as attempt:
            raw = _Connection(
                host=host,
                port=port,
                user=self._url.user,
                password=self._url.password,
                db=self._url.path,
                charset="utf8mb4",
                autocommit=True,
                client_flag=CLIENT.FOUND_ROWS,  # a row set to its old values counts as changed, as on SQLite
                init_command=_VARIABLES,
                ssl=self._tls(),
            )
            self._connecting.add(attempt)
            try:
                await raw._connect()
            finally:
                self._connecting.discard(attempt)
        if raw.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES:
            raw.close()
            raise StoreError("NO_BACKSLASH_ESCAPES is in force, whatever sql_mode the session sets")
        connection = MysqlConnection(raw)
        self._connections.add(connection)
        await connection.execute(_ISOLATION)
        connection.one_by_one = bool((await connection.execute(_GALERA)).rows)
        return connection


class _Connection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql has no types
    async def _get_server_information(self) -> None:
        """Stop at a server that offers no TLS. aiomysql itself would go on without TLS, and send the password."""
        await super()._get_server_information()
        if self._ssl_context is not None and not self.server_capabilities & CLIENT.SSL:
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, _NO_TLS_THERE)


class _BlockingConnection(pymysql.connections.Connection):  # type: ignore[misc]  # pymysql has no types
    def _get_server_information(self) -> None:
        super()._get_server_information()
        if self.ssl and not self.server_capabilities & CLIENT.SSL:
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, _NO_TLS_THERE)


class _Cursor(aiomysql.Cursor):  # type: ignore[misc]  # aiomysql has no types
    async def _show_warnings(self, conn: Any) -> None:
        """Do not ask for warnings. MySQL 8 warns of each VALUES() in an upsert, but MariaDB knows no other way."""


class MysqlConnection:
    """One connection. After ConnectionLost it cannot be used any more.

    Statements whose results nobody reads are sent together with the next one, as one text. The server runs them in
    order and stops at the first failure.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.one_by_one = False
        """Each statement goes out alone. A Galera node that undoes a transaction between two statements of one text
        says nothing. It carries out the rest of the text without a transaction."""
        self.leave: Callable[[str], None] | None = None
        """Called with the reason when the host has no room to write, if there are others."""
        self._prepared: list[bytes] = []
        self._deadline: asyncio.Timeout | None = None
        self._is_cut = False
        self.usable = True

    def prepare(self, sql: str, params: Sequence[object] = ()) -> None:
        """Prepare a statement: it is sent before the next one. If it fails, the next one raises Unprepared."""
        self._prepared.append(self._statement(sql, params))

    async def execute(self, sql: str, params: Sequence[object] = ()) -> Result:
        """Run one statement with `?` marks. Raises ConnectionLost, Conflict, Duplicate, Unprepared or StoreError."""
        return await self._send([self._statement(sql, params)])

    async def run(self, unit: Unit[T]) -> T:
        """Run the statements of a unit. Raises the errors of `execute` and of the unit."""
        waiting: list[bytes] = []
        try:
            query = next(unit)
            while True:
                waiting.append(self._statement(query.sql, query.params))
                if query.unread and sum(map(len, waiting)) < TOGETHER_BYTES:
                    result = UNREAD
                else:
                    result = await self._send(waiting)
                    waiting = []
                query = unit.send(result)
        except StopIteration as stop:
            if waiting:
                await self._send(waiting)
            value: T = stop.value
            return value
        finally:
            unit.close()

    async def _send(self, statements: list[bytes]) -> Result:
        """Run the prepared statements, then these. Return the result of the last one."""
        prepared, self._prepared = self._prepared, []
        answered = 0
        try:
            async with asyncio.timeout(STATEMENT_SECONDS) as self._deadline:
                # The cursor is not closed: it holds nothing, and closing it might wait for a server that is gone.
                cursor = await self._raw.cursor(_Cursor)
                for text in prepared + statements if self.one_by_one else [b";".join(prepared + statements)]:
                    await cursor.execute(text)
                    answered += 1
                    while await cursor.nextset():
                        answered += 1
                rows = list(await cursor.fetchall()) if cursor.description else []
                if self._is_cut:  # the answer came before the deadline was handled
                    raise TimeoutError("the connection was cut")
                return Result(rows, cursor.rowcount)
        except (OSError, EOFError, TimeoutError, RuntimeError, pymysql.err.InterfaceError) as error:
            # uvloop raises RuntimeError on a write to a closed socket, as after a restart.
            self.abandon()
            raise DatabaseConnectionLost(_text(error)) from error
        except pymysql.err.MySQLError as error:
            raise self._translated(error, answered < len(prepared)) from error
        except BaseException:  # cancelled in the middle: the next bytes of the server are unknown
            self.abandon()
            raise
        finally:
            self._deadline = None

    def cut(self) -> None:
        """End the connection for an outside reason. A running request fails with ConnectionLost."""
        self._is_cut = True
        if self._deadline is not None:
            _expire(self._deadline)
        else:
            self.abandon()

    def abandon(self) -> None:
        """Drop the connection without telling the server."""
        self.usable = False
        self._raw.close()

    async def close(self) -> None:
        """End the connection properly, if it still can be."""
        if self.usable:
            self.usable = False
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._raw.ensure_closed()
            except (OSError, TimeoutError, pymysql.err.MySQLError):
                self._raw.close()

    def _statement(self, sql: str, params: Sequence[object]) -> bytes:
        """Return a statement with its parameters filled in."""
        return (_with_percent_marks(sql) % tuple(map(self._literal, params))).encode()

    def _literal(self, value: object) -> str:
        if isinstance(value, str):
            return f"'{escape_string(value)}'"
        if isinstance(value, int):
            return int.__repr__(value)  # also for a bool and an IntEnum
        if isinstance(value, bytes):
            return f"x'{value.hex()}'"  # escaping the same bytes as a text would take ten times as long
        literal: str = self._raw.literal(value)
        return literal

    def _translated(self, error: pymysql.err.MySQLError, prepared: bool) -> StoreError:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if number in _DEADLOCK or (number == _NOT_THERE and "SAVEPOINT" in str(error)):
            return Conflict(_text(error))
        if number in _SERVER_GONE:
            self.abandon()
            return DatabaseConnectionLost(_text(error))
        if number in _NO_ROOM and self.leave is not None:
            self.leave(_text(error))
            self.abandon()
            return DatabaseConnectionLost(_text(error))
        if number in _TOOK_TOO_LONG:
            return ReadTooLong(_text(error))
        if prepared:
            return Unprepared(_text(error))
        if isinstance(error, pymysql.err.IntegrityError):
            return Duplicate(_text(error))
        return StoreError(_text(error))


def _expire(deadline: asyncio.Timeout) -> None:
    """End the time now."""
    if not deadline.expired():
        deadline.reschedule(asyncio.get_running_loop().time())


@lru_cache(maxsize=1024)
def _with_percent_marks(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _text(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error.__cause__, ssl.SSLError):
        return f"{tls.why(error.__cause__)} ([store.tls])"
    return str(error.args[1]) if len(error.args) > 1 else str(error) or type(error).__name__
