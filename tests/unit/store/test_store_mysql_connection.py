"""What MysqlConnection makes of a connection that breaks in its hands."""

import asyncio

import aiomysql
import pymysql
import pytest
from pymysql.constants import SERVER_STATUS

from fsharechat import urls
from fsharechat.store import mysql_connection
from fsharechat.store.mysql_connection import DatabaseConnectionLost, Hosts, MysqlConnection, Unreachable


class BrokenConnection:
    """In place of aiomysql's: fails as told."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.closed = False
        self.server_status = 0

    async def _connect(self) -> None:
        """Be connected."""

    async def cursor(self, kind: type[aiomysql.Cursor]) -> aiomysql.Cursor:
        raise self.error

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
        ConnectionResetError(104, "Connection reset by peer"),
        asyncio.IncompleteReadError(b"", 4),
        TimeoutError(),
        pymysql.err.InterfaceError("(0, 'Not connected')"),
        pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_however_a_connection_breaks_it_is_lost(error: BaseException) -> None:
    raw = BrokenConnection(error)
    connection = MysqlConnection(raw)
    with pytest.raises(DatabaseConnectionLost):
        await connection.execute("SELECT 1")
    assert raw.closed
    assert not connection.usable


async def test_a_cancelled_statement_leaves_no_connection_behind() -> None:
    raw = BrokenConnection(asyncio.CancelledError())
    connection = MysqlConnection(raw)
    with pytest.raises(asyncio.CancelledError):
        await connection.execute("SELECT 1")
    assert raw.closed
    assert not connection.usable


async def test_a_server_on_which_a_backslash_escapes_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = BrokenConnection(AssertionError("a statement was sent"))
    raw.server_status = SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES

    monkeypatch.setattr(mysql_connection, "_Connection", lambda **_: raw)
    with pytest.raises(Unreachable, match="NO_BACKSLASH_ESCAPES"):
        await Hosts(urls.parse("mysql://user@host/db", "mysql", 3306)).connect()
    assert raw.closed
