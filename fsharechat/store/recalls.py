"""A log of recalled and edited messages for each user, so that a device that was away learns of them.

Recalls and edits have one row of seqs and a table each: a process of an earlier version does not know of edits, and
takes their seqs for gaps.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.store.messages import Entry
from fsharechat.store.unit import Dialect, Query, Unit, insert_many

MAX_MISSED = 1000
"""A device that has missed more recalls is told only of the last ones."""

COLUMN = "recalled_seq"


class Missed(NamedTuple):
    """Message `message_id`, which the user may have, was recalled by `operator`, on the device `operator_client`."""

    seq: int
    message_id: int
    operator: str
    operator_client: str


def keep(
    dialect: Dialect, message_id: int, operator: str, operator_client: str, uids: Sequence[str]
) -> Unit[list[Entry]]:
    """Add a recall to the log of each user who may have the message. Return its seqs."""
    reached = yield from dialect.advance(dict.fromkeys(uids, 1), COLUMN)
    entries = [Entry(uid, reached[uid]) for uid in uids]
    rows = [(uid, seq, message_id, operator, operator_client) for uid, seq in entries]
    yield from insert_many("recalls", ("uid", *Missed._fields), rows)
    return entries


class Altered(NamedTuple):
    """As Missed, or `edited`: the message has another content."""

    seq: int
    message_id: int
    operator: str
    operator_client: str
    edited: bool


def keep_edit(
    dialect: Dialect, message_id: int, operator: str, operator_client: str, uids: Sequence[str]
) -> Unit[list[Entry]]:
    """Add an edit to the log of each user who may have the message, in place of earlier ones. Return its seqs."""
    yield Query("DELETE FROM edits WHERE message_id = ?", (message_id,))
    reached = yield from dialect.advance(dict.fromkeys(uids, 1), COLUMN)
    entries = [Entry(uid, reached[uid]) for uid in uids]
    rows = [(uid, seq, message_id, operator, operator_client) for uid, seq in entries]
    yield from insert_many("edits", ("uid", *Missed._fields), rows)
    return entries


def altered(dialect: Dialect, uid: str, after: int) -> Unit[list[Altered]]:
    """Return the recalls and edits with seq above `after`, oldest first."""
    recalled = yield from missed(dialect, uid, after)
    columns = ", ".join(Missed._fields)
    sql = f"SELECT {columns} FROM edits WHERE uid = ? AND seq > ? ORDER BY seq DESC LIMIT ?"
    edited = (yield Query(sql, (uid, after, MAX_MISSED))).rows
    found = [*((*one, False) for one in recalled), *((*one, True) for one in edited)]
    return [Altered(*one) for one in sorted(found)[-MAX_MISSED:]]


def missed(_: Dialect, uid: str, after: int) -> Unit[list[Missed]]:
    """Return the recalls with seq above `after`, oldest first."""
    columns = ", ".join(Missed._fields)
    sql = f"SELECT {columns} FROM recalls WHERE uid = ? AND seq > ? ORDER BY seq DESC LIMIT ?"
    return [Missed(*row) for row in reversed((yield Query(sql, (uid, after, MAX_MISSED))).rows)]
