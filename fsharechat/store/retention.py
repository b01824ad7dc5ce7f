"""Removal by age, in units of few rows (docs/operations.md, "Retention").

Seqs stay as they are. An inbox then has holes where messages were, or begins later, and a pull goes on behind them.
The messages of an age have ids below one id, since ids are times (protocol/ids.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.store.cursors import Log
from fsharechat.store.messages import is_directed_key, undirected_key
from fsharechat.store.unit import Dialect, Query, Unit, marks, select_in

STEP = 200
"""The most rows of a table that one unit removes, and the most users or groups that it looks at."""

_FACT = "retention"


def claim(dialect: Dialect, now: int, every: int) -> Unit[bool]:
    """Return whether the caller is the one process that removes now: nobody has begun within `every` ms."""
    sql = f"SELECT value FROM facts WHERE name = ?{dialect.locking}"
    rows = (yield Query(sql, (_FACT,))).rows
    if rows and 0 <= now - int(rows[0][0]) < every:
        return False
    yield Query(dialect.upsert("facts", ("name",), ("value",)), (_FACT, b"%d" % now))
    return True


class Looked(NamedTuple):
    """Of one page of users or groups: those who have something to remove, and the last of all ("" at the end)."""

    found: list[str]
    last: str


def _page(rows: Sequence[tuple[str, int | None]], below: int) -> Looked:
    found = [name for name, oldest in rows if oldest is not None and oldest < below]
    return Looked(found, rows[-1][0] if len(rows) == STEP else "")


# Inboxes


def old_inboxes(_: Dialect, after: str, below: int) -> Unit[Looked]:
    """Return users after `after` whose oldest entry is of a message below an id."""
    sql = (
        "SELECT h.uid, (SELECT message_id FROM inbox i WHERE i.uid = h.uid ORDER BY i.seq LIMIT 1) FROM heads h "
        f"WHERE h.uid > ? ORDER BY h.uid LIMIT {STEP}"
    )
    return _page((yield Query(sql, (after,))).rows, below)


def trim_inbox(_: Dialect, uid: str, gone_below: int, fetched_below: int) -> Unit[int]:
    """Remove the oldest entries of an inbox: of messages below `gone_below`, and of those below `fetched_below` that
    every device of the user has. Return how many; there may be more while it is STEP.

    A user without a device keeps the latter. The order of an inbox is nearly that of the ids. An old entry behind a
    younger one goes with it.
    """
    sql = f"SELECT seq, message_id FROM inbox WHERE uid = ? ORDER BY seq LIMIT {STEP}"
    rows = (yield Query(sql, (uid,))).rows
    fetched = 0
    if fetched_below:
        sql = "SELECT MIN(seq), COUNT(*) FROM device_cursors WHERE uid = ? AND kind = ?"
        [(lowest, known)] = (yield Query(sql, (uid, int(Log.INBOX)))).rows
        [(devices,)] = (yield Query("SELECT COUNT(*) FROM sessions WHERE uid = ?", (uid,))).rows
        fetched = (
            lowest if known and known >= devices else 0
        )  # an imported device has no mark before it connects
    last = count = 0
    for seq, id in rows:
        if id >= gone_below and not (id < fetched_below and seq <= fetched):
            break
        last, count = seq, count + 1
    if count:
        yield Query("DELETE FROM inbox WHERE uid = ? AND seq <= ?", (uid, last))
    return count


def old_recalls(_: Dialect, after: str, below: int) -> Unit[Looked]:
    """Return users after `after` whose oldest recall is of a message below an id."""
    sql = (
        "SELECT h.uid, (SELECT message_id FROM recalls r WHERE r.uid = h.uid ORDER BY r.seq LIMIT 1) FROM heads h "
        f"WHERE h.uid > ? ORDER BY h.uid LIMIT {STEP}"
    )
    return _page((yield Query(sql, (after,))).rows, below)


def trim_recalls(_: Dialect, uid: str, below: int) -> Unit[int]:
    """Remove the oldest recalls of a user, of messages below an id. Return how many, like `trim_inbox`."""
    sql = f"SELECT seq, message_id FROM recalls WHERE uid = ? ORDER BY seq LIMIT {STEP}"
    last = count = 0
    for seq, id in (yield Query(sql, (uid,))).rows:
        if id >= below:
            break
        last, count = seq, count + 1
    if count:
        yield Query("DELETE FROM recalls WHERE uid = ? AND seq <= ?", (uid, last))
    return count


# Messages


def remove_messages(_: Dialect, below: int) -> Unit[int]:
    """Remove the oldest messages with ids below one, with their rows of groups' logs. Return how many, like
    `trim_inbox`.

    The newest message of all stays: the next id must be above it.
    """
    sql = (
        "SELECT id, conversation FROM messages WHERE id < ? AND id < (SELECT MAX(id) FROM messages) "
        f"ORDER BY id LIMIT {STEP}"
    )
    rows = (yield Query(sql, (below,))).rows
    if not rows:
        return 0
    ids = [id for id, _ in rows]
    yield from _remove_directed({id: key for id, key in rows if is_directed_key(key)})
    yield Query(f"DELETE FROM group_log WHERE message_id IN ({marks(len(ids))})", ids)
    yield Query(f"DELETE FROM messages WHERE id IN ({marks(len(ids))})", ids)
    return len(ids)


def _remove_directed(keys: dict[int, str]) -> Unit[None]:
    """Remove what leads to messages for some members of a group. The message itself names them."""
    bodies = yield from select_in("SELECT id, body FROM messages WHERE id IN ({})", list(keys))
    for id, body in bodies:
        message = pb.Message.FromString(bytes(body))
        uids = list(dict.fromkeys(uid for uid in (message.from_user, message.to_user, *message.to) if uid))
        for start in range(0, len(uids), STEP):
            part = uids[start : start + STEP]
            sql = f"DELETE FROM directed WHERE conversation = ? AND message_id = ? AND uid IN ({marks(len(part))})"
            yield Query(sql, (undirected_key(keys[id]), id, *part))


# Reports


def old_reports(_: Dialect, after: str, below: int) -> Unit[Looked]:
    """Return users after `after` who have reports with a date below `below` (ms)."""
    sql = (
        "SELECT h.uid, (SELECT MIN(r.date) FROM reports r WHERE r.uid = h.uid) FROM heads h "
        f"WHERE h.uid > ? ORDER BY h.uid LIMIT {STEP}"
    )
    return _page((yield Query(sql, (after,))).rows, below)


_REPORT = ("kind", "conversation", "line", "target", "reporter")


def remove_reports(_: Dialect, uid: str, below: int) -> Unit[int]:
    """Remove reports for a user with a date below `below` (ms). Return how many, like `trim_inbox`."""
    columns = ", ".join(_REPORT)
    sql = f"SELECT {columns} FROM reports WHERE uid = ? AND date < ? LIMIT {STEP}"
    rows = (yield Query(sql, (uid, below))).rows
    same = " AND ".join(f"{column} = ?" for column in _REPORT)
    for row in rows:
        yield Query(f"DELETE FROM reports WHERE uid = ? AND {same}", (uid, *row), unread=True)
    return len(rows)


def old_group_reads(_: Dialect, after: str, below: int) -> Unit[Looked]:
    """Return groups after `after` that have reads with a version below `below` (ms)."""
    sql = (
        "SELECT g.id, (SELECT MIN(r.version) FROM group_reads r WHERE r.group_id = g.id) FROM chat_groups g "
        f"WHERE g.id > ? ORDER BY g.id LIMIT {STEP}"
    )
    return _page((yield Query(sql, (after,))).rows, below)


def remove_group_reads(_: Dialect, group_id: str, below: int) -> Unit[int]:
    """Remove reads in a group with a version below `below` (ms), but not the last one: the head of the log of reads
    must not fall. Return how many, like `trim_inbox`.
    """
    sql = "SELECT MAX(version) FROM group_reads WHERE group_id = ?"
    newest = (yield Query(sql, (group_id,))).rows[0][0] or 0
    sql = f"SELECT line, reporter FROM group_reads WHERE group_id = ? AND version < ? LIMIT {STEP}"
    rows = (yield Query(sql, (group_id, min(below, newest)))).rows
    for row in rows:
        sql = "DELETE FROM group_reads WHERE group_id = ? AND line = ? AND reporter = ?"
        yield Query(sql, (group_id, *row), unread=True)
    return len(rows)
