"""The original's database on a MySQL server."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from fsharechat.errors import StoreError
from fsharechat.moving.source import PAGE_BYTES, PAGE_ROWS, ImportSource, SourceError, SourcePage, SourceTable
from fsharechat.settings_types import ServiceTls
from fsharechat.store.mysql_connection import DatabaseConnectionLost, Hosts, MysqlConnection, Unreachable
from fsharechat.store.unit import Row
from fsharechat.urls import ServiceUrl

FIRST_ROWS = 200
"""Rows of the first page: how large they are is not known yet."""

PATIENCE_SECONDS = 60.0
"""How long a server that was reached before may be away or too slow, s. An import of hours does not end by that."""
_PAUSE_SECONDS = 1.0


class _Patience:
    """How long one read is tried again."""

    def __init__(self) -> None:
        self._until = time.monotonic() + PATIENCE_SECONDS

    async def wait(self, error: StoreError) -> None:
        """Wait until the next try. Raises the error if it was the last."""
        if time.monotonic() >= self._until:
            raise error
        await asyncio.sleep(_PAUSE_SECONDS)


class MysqlSource(ImportSource):
    """Reads by ranges of the primary key; nothing is locked, and nothing is held open between two pages."""

    def __init__(self, url: ServiceUrl, tls: ServiceTls) -> None:
        self.name = f"mysql://{url.addresses}/{url.path}"
        self._hosts = Hosts(url, tls)
        self._connection: MysqlConnection | None = None
        self._limits: dict[str, int] = {}
        self._reached = False

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
        self._limits.setdefault(table.name, FIRST_ROWS)
        named = ", ".join(f"`{column}`" if column in table.columns else "NULL" for column in columns)
        if "id" in table.columns:
            sql = f"SELECT id, {named} FROM `{table.name}` WHERE id > ? ORDER BY id LIMIT {{}}"
            found = await self._read(sql, (after,), table.name)
            at = int(found[-1][0]) if found else after
            rows = [row[1:] for row in found]
        else:
            sql = f"SELECT {named} FROM `{table.name}` LIMIT {{}} OFFSET ?"
            rows = await self._read(sql, (after,), table.name)
            at = after + len(rows)
        limit = self._limits[table.name]
        size = sum(len(value) for row in rows for value in row if isinstance(value, (str, bytes)))
        self._limits[table.name] = max(1, min(PAGE_ROWS, 2 * limit, PAGE_BYTES * limit // (size or 1)))
        return SourcePage(rows, at, len(rows) < limit)

    async def _read(self, sql: str, params: Sequence[object], table: str = "") -> list[Row]:
        """Return the rows of a statement. With a `table`, its limit is put into the `{}` of the statement.

        A page that does not come in time is asked for again, with fewer rows. Raises SourceError.
        """
        patience = _Patience()
        while True:
            try:
                try:
                    if self._connection is None or not self._connection.usable:
                        self._connection = await self._hosts.connect()
                        self._reached = True
                    return (await self._connection.execute(sql.format(self._limits.get(table)), params)).rows
                except (DatabaseConnectionLost, Unreachable) as error:
                    if not self._reached:
                        raise
                    await patience.wait(error)
                    if table and isinstance(error, DatabaseConnectionLost):
                        self._limits[table] = max(1, self._limits[table] // 4)
            except StoreError as error:
                raise SourceError(f"{self.name}: {error}") from error
