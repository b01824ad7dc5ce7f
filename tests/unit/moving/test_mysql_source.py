"""Reading of a source whose server is too slow, or away for a while: a fake, for no real one is so at a wish."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from fsharechat.moving import mysql_source
from fsharechat.moving.mysql_source import FIRST_ROWS, MysqlSource
from fsharechat.moving.source import SourceError, SourceTable
from fsharechat.settings_types import ServiceTls
from fsharechat.store.mysql_connection import DatabaseConnectionLost, Unreachable
from fsharechat.store.unit import Result
from fsharechat.urls import parse

TABLE = SourceTable("t_user", frozenset({"id", "_uid"}), 5000)


class SlowServer:
    """Gives a page of up to `most` rows in time, and nothing if more are asked for."""

    def __init__(self, most: int) -> None:
        self.most, self.away, self.usable = most, 0, True
        self.asked: list[int] = []

    async def connect(self) -> "SlowServer":
        if self.away:
            self.away -= 1
            raise Unreachable("no answer in time")
        self.usable = True
        return self

    async def execute(self, sql: str, params: Sequence[Any]) -> Result:
        limit = int(re.findall(r"LIMIT (\d+)", sql)[0])
        self.asked.append(limit)
        if limit > self.most:
            self.usable = False
            raise DatabaseConnectionLost("no answer in time")
        (after,) = params
        return Result([(id, f"u{id}") for id in range(after + 1, min(after + limit, TABLE.rows) + 1)], 0)


def source_on(server: SlowServer, monkeypatch: pytest.MonkeyPatch) -> MysqlSource:
    monkeypatch.setattr(mysql_source, "_PAUSE_SECONDS", 0)
    source = MysqlSource(parse("mysql://u:p@db/chat", "mysql", 3306), ServiceTls())
    source._hosts = server  # type: ignore[assignment]
    return source


async def test_a_page_that_comes_too_late_is_asked_for_again_with_fewer_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = SlowServer(most=700)
    source = source_on(server, monkeypatch)
    found: list[str] = []
    page = await source.page(TABLE, ("_uid",), 0)
    while True:
        found += [uid for (uid,) in page.rows]
        if page.last:
            break
        server.away = 2
        page = await source.page(TABLE, ("_uid",), page.at)
    assert found == [f"u{id}" for id in range(1, TABLE.rows + 1)]
    assert server.asked[:4] == [FIRST_ROWS, 400, 800, 200]


async def test_a_server_that_stays_away_ends_the_import_and_one_that_was_never_there_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = SlowServer(most=700)
    server.away = 1
    with pytest.raises(SourceError, match="no answer in time"):
        await source_on(server, monkeypatch).page(TABLE, ("_uid",), 0)
    source = source_on(server, monkeypatch)
    page = await source.page(TABLE, ("_uid",), 0)
    monkeypatch.setattr(mysql_source, "PATIENCE_SECONDS", 0)
    server.most = 0
    with pytest.raises(SourceError, match="no answer in time"):
        await source.page(TABLE, ("_uid",), page.at)
