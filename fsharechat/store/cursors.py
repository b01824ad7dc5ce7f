"""The certain position of each device in the logs of its user (contract.md section 6).

The connector of the device keeps these cursors, many at a time (roles/connector/cursor.py).
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from fsharechat.store import heads
from fsharechat.store.heads import Heads
from fsharechat.store.unit import Dialect, Query, Row, Unit, upsert_many


class Log(IntEnum):
    """The logs of a user. DELIVERED and READ are ReportType."""

    INBOX = 0
    DELIVERED = 1
    READ = 2
    RECALLS = 3


class Mark(NamedTuple):
    """A device has a log up to `seq`. It was given the inbox up to `handed`, and may have that."""

    uid: str
    client_id: str
    log: int
    seq: int
    handed: int = 0


_KEYS = ("uid", "client_id", "kind")


def marks(_: Dialect, uid: str, client_id: str) -> Unit[dict[int, Mark]]:
    """Return the marks of a device by log, without those that were never kept."""
    sql = "SELECT kind, seq, handed FROM device_cursors WHERE uid = ? AND client_id = ?"
    rows = (yield Query(sql, (uid, client_id))).rows
    return {kind: Mark(uid, client_id, kind, seq, handed) for kind, seq, handed in rows}


def keep(dialect: Dialect, batch: Sequence[Mark]) -> Unit[None]:
    """Keep marks. A mark below the kept one changes nothing: batches may overtake each other."""
    highest: dict[Row, tuple[int, int]] = {}
    for uid, client_id, log, seq, handed in batch:
        key = (uid, client_id, log)
        before = highest.get(key, (0, 0))
        highest[key] = (max(seq, before[0]), max(handed, before[1]))
    columns = ("seq", "handed")
    rows = [(*key, *values) for key, values in highest.items()]
    yield from upsert_many(dialect, "device_cursors", _KEYS, columns, rows, highest=columns)


def begin(dialect: Dialect, uid: str, client_id: str) -> Unit[None]:
    """Set the marks of a device that logs in: nothing of the inbox, all recalls until now. Existing marks stay."""
    reached = (yield from heads.own(dialect, [uid])).get(uid, Heads())
    sql = dialect.insert_new("device_cursors", (*_KEYS, "seq", "handed"))
    yield Query(sql, (uid, client_id, Log.INBOX, 0, 0))
    yield Query(sql, (uid, client_id, Log.RECALLS, reached.recalled, 0))


def begin_inbox_at(dialect: Dialect, uid: str, client_id: str, seq: int, head: int) -> Unit[None]:
    """Set the inbox marks of a device that asks for all: it needs nothing up to `seq`, and is given `seq` + 1 to
    `head`.

    Its earlier marks may be higher, if it has been wiped.
    """
    sql = dialect.upsert("device_cursors", _KEYS, ("seq", "handed"))
    yield Query(sql, (uid, client_id, Log.INBOX, seq, head))


def forget(_: Dialect, uid: str, client_id: str) -> Unit[None]:
    """Forget a device that has logged out."""
    yield Query("DELETE FROM device_cursors WHERE uid = ? AND client_id = ?", (uid, client_id))
