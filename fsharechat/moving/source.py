"""The database of the original, as an import reads it: page by page, in the order of its rows."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Row = tuple[Any, ...]

PAGE_ROWS = 10_000
PAGE_BYTES = 4 << 20
"""What a page holds at most, about: so much is in memory, and in one transaction."""

_MESSAGES = re.compile(r"t_messages(_\d+)?")
_INBOXES = re.compile(r"t_user_messages(_\d+)?")


class SourceError(Exception):
    """The source cannot be read."""


class SourceTable(NamedTuple):
    """A table that is there, in lower case; `rows`: about how many it has."""

    name: str
    columns: frozenset[str]
    rows: int


class SourcePage(NamedTuple):
    """Rows of a table; `at` is the position behind the last one. `last`: there are no more."""

    rows: Sequence[Row]
    at: int
    last: bool


class ImportSource(ABC):
    """A database to import from. Only one page is read at a time."""

    name: str
    """Where it is, without a password."""

    @abstractmethod
    async def open(self) -> Mapping[str, SourceTable]:
        """Return the tables that are there, by name. Raises SourceError."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def page(self, table: SourceTable, columns: Sequence[str], after: int) -> SourcePage:
        """Return the rows behind a position, with None for columns that the table has not. Raises SourceError."""


def tables_of(tables: Mapping[str, SourceTable], name: str) -> list[SourceTable]:
    """Return the tables that a kind of rows is in: messages and inboxes are in many, or in one."""
    pattern = {"t_messages": _MESSAGES, "t_user_messages": _INBOXES}.get(name, re.compile(name))
    found = [table for table in tables.values() if pattern.fullmatch(table.name)]
    return sorted(found, key=lambda table: (len(table.name), table.name))
