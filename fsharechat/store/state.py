"""The state of a database: its last migration, and which versions may write to it. Reading it changes nothing."""

from typing import NamedTuple

from fsharechat.errors import StoreError
from fsharechat.store import fence
from fsharechat.store.unit import Dialect, Query, Unit

VERSION_FACT = "store_version"
"""The row of `facts` with the version of the program that migrated the database last."""


IMPORT_FACT = "import"
"""The row of `facts` that says where an import reads from (imports.py)."""


class StoreUnread(StoreError):
    """A process was killed while it wrote. Now only a process that may write to the database can read it."""


class StoreState(NamedTuple):
    """`revision` is that of the last migration, "" if there are no tables."""

    revision: str = ""
    level: int = 0
    """The lowest level that may write (fence.py)."""
    migrated_by: str = ""
    closed_by: str = ""
    """The version that migrated it last, and the version that raised the fence; "" if they did not note it."""
    has_users: bool = False
    imported: bytes = b""
    """The note of an import (imports.py); empty if there was none."""


def look(dialect: Dialect) -> Unit[StoreState]:
    """Return the state of the database."""
    tables = {name for (name,) in (yield Query(dialect.tables)).rows}
    if "alembic_version" not in tables:
        return StoreState()
    rows = (yield Query("SELECT version_num FROM alembic_version")).rows
    if not rows or "facts" not in tables:
        return StoreState()
    wanted = (fence.NAME, fence.CLOSED_BY, VERSION_FACT, IMPORT_FACT)
    found: dict[str, bytes] = dict(
        (yield Query("SELECT name, value FROM facts WHERE name IN (?, ?, ?, ?)", wanted)).rows
    )
    has_users = "users" in tables and bool((yield Query("SELECT uid FROM users LIMIT 1")).rows)
    level, closed_by, migrated_by = (bytes(found.get(name, b"")).decode() for name in wanted[:3])
    imported = bytes(found.get(IMPORT_FACT, b""))
    return StoreState(str(rows[0][0]), int(level or 0), migrated_by, closed_by, has_users, imported)
