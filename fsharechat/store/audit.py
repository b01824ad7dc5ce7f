"""The audit log: who administered what, on whom, when, from where, and what came of it."""

from enum import IntEnum
from typing import NamedTuple

from fsharechat.store.unit import Dialect, Query, Unit

SWEPT = 20
"""How many entries that are too old are removed with each new one."""


class Way(IntEnum):
    """How an administrator came."""

    KEY = 1
    """A program with the key."""
    COMMAND = 2
    """`fsharechat admin`, with the key."""
    ACCOUNT = 3
    """A named administrator, with a session."""


class AuditEntry(NamedTuple):
    """One action. `request` names the request, so that a repeated call is one entry. `status` is that of HTTP."""

    id: int
    request: str
    at_ms: int
    way: int
    actor: str
    op: str
    target: str
    details: str
    address: str
    status: int


class AuditFilter(NamedTuple):
    """What to show: empty texts and 0 mean all. Times are in ms: from `since`, before `until`."""

    actor: str = ""
    op: str = ""
    target: str = ""
    since: int = 0
    until: int = 0


def add(dialect: Dialect, entry: AuditEntry, keep_ms: int) -> Unit[None]:
    """Keep an entry, and remove some that are older than `keep_ms` (0: keep all). Ids grow with the time."""
    yield Query(dialect.insert_new("audit_log", AuditEntry._fields), entry, unread=True)
    if keep_ms:
        old = "SELECT id FROM audit_log WHERE at_ms < ? ORDER BY at_ms LIMIT ?"
        for (id,) in (yield Query(old, (entry.at_ms - keep_ms, SWEPT))).rows:
            yield Query("DELETE FROM audit_log WHERE id = ?", (id,), unread=True)


def page(
    _: Dialect, chosen: AuditFilter, before: int, limit: int, newest_first: bool = True
) -> Unit[list[AuditEntry]]:
    """Return up to `limit` entries, the newest first: those before the id `before` (0: from the end).

    With the oldest first, `before` is the id after which they come.
    """
    where: list[str] = []
    params: list[object] = []
    if before:
        where.append("id < ?" if newest_first else "id > ?")
        params.append(before)
    for column, value in (("actor", chosen.actor), ("op", chosen.op), ("target", chosen.target)):
        if value:
            where.append(f"{column} = ?")
            params.append(value)
    if chosen.since:
        where.append("at_ms >= ?")
        params.append(chosen.since)
    if chosen.until:
        where.append("at_ms < ?")
        params.append(chosen.until)
    condition = f"WHERE {' AND '.join(where)} " if where else ""
    order = "DESC" if newest_first else "ASC"
    sql = f"SELECT {', '.join(AuditEntry._fields)} FROM audit_log {condition}ORDER BY id {order} LIMIT ?"
    return [AuditEntry(*row) for row in (yield Query(sql, (*params, limit))).rows]
