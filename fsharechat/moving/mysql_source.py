"""The original's database on a MySQL server."""

from collections.abc import Mapping, Sequence

from fsharechat.errors import StoreError
from fsharechat.moving.source import PAGE_BYTES, PAGE_ROWS, Source, SourceError, SourcePage, SourceTable
from fsharechat.settings_types import ServiceTls
from fsharechat.store.mysql_connection import DatabaseConnectionLost, Hosts, MysqlConnection
from fsharechat.store.unit import Row
from fsharechat.urls import ServiceUrl

FIRST_ROWS = 200
"""Rows of the first page: how large they are is not known yet."""

_TRIES = 3


class MysqlSource(Source):
    """Reads by ranges of the primary key; nothing is locked, and nothing is held open between two pages."""

    def __init__(self, url: ServiceUrl, tls: ServiceTls) -> None:
        self.name = f"mysql://{url.addresses}/{url.path}"
        self._hosts = Hosts(url, tls)
        self._connection: MysqlConnection | None = None
        self._limits: dict[str, int] = {}

    async def open(self) -> Mapping[str, SourceTable]:
        rows = await self._read(
            "SELECT LOWER(c.table_name), LOWER(c.column_name), t.table_rows FROM information_schema.columns c "
            "JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name "
            "WHERE c.table_schema = DATABASE()",
            (),
        )
        columns: dict[str, set[str]] = {}
        counts: dict[str, int] = {}
        for table, column, count in rows:
            columns.setdefault(str(table), set()).add(str(column))
            counts[str(table)] = int(count or 0)
        return {name: SourceTable(name, frozenset(those), counts[name]) for name, those in columns.items()}

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def page(self, table: SourceTable, columns: Sequence[str], after: int) -> SourcePage:
        limit = self._limits.get(table.name, FIRST_ROWS)
        named = ", ".join(f"`{column}`" if column in table.columns else "NULL" for column in columns)
        if "id" in table.columns:
            sql = f"SELECT id, {named} FROM `{table.name}` WHERE id > ? ORDER BY id LIMIT ?"
            found = await self._read(sql, (after, limit))
            at = int(found[-1][0]) if found else after
            rows = [row[1:] for row in found]
        else:
            rows = await self._read(f"SELECT {named} FROM `{table.name}` LIMIT ? OFFSET ?", (limit, after))
            at = after + len(rows)
        size = sum(len(value) for row in rows for value in row if isinstance(value, (str, bytes)))
        self._limits[table.name] = max(1, min(PAGE_ROWS, 2 * limit, PAGE_BYTES * limit // (size or 1)))
        return SourcePage(rows, at, len(rows) < limit)

    async def _read(self, sql: str, params: Sequence[object]) -> list[Row]:
        for attempt in range(1, _TRIES + 1):
            try:
                if self._connection is None or not self._connection.usable:
                    self._connection = await self._hosts.connect()
                return (await self._connection.execute(sql, params)).rows
            except DatabaseConnectionLost as error:
                if attempt == _TRIES:
                    raise SourceError(f"{self.name}: {error}") from error
            except StoreError as error:
                raise SourceError(f"{self.name}: {error}") from error
        raise AssertionError
