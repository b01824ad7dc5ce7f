"""Which of a user's messages were recalled: a log for each user, so that a device which was away learns of it."""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.store.messages import Entry
from fsharechat.store.unit import Dialect, Query, Unit, insert_many

MAX_MISSED = 1000
"""A device that has missed more recalls learns of the last ones."""

COLUMN = "recalled_seq"


class Missed(NamedTuple):
    """Message `message_id`, which the user may have, was recalled by `operator`."""

    seq: int
    message_id: int
    operator: str


def keep(dialect: Dialect, message_id: int, operator: str, uids: Sequence[str]) -> Unit[list[Entry]]:
    """Take a recall into the log of each user who may have the message; return where it is there."""
    reached = yield from dialect.advance(dict.fromkeys(uids, 1), COLUMN)
    entries = [Entry(uid, reached[uid]) for uid in uids]
    columns = ("uid", "seq", "message_id", "operator")
    yield from insert_many("recalls", columns, [(uid, seq, message_id, operator) for uid, seq in entries])
    return entries


def missed(_: Dialect, uid: str, after: int) -> Unit[list[Missed]]:
    """Return the recalls with seq above `after`, oldest first."""
    sql = "SELECT seq, message_id, operator FROM recalls WHERE uid = ? AND seq > ? ORDER BY seq DESC LIMIT ?"
    return [Missed(*row) for row in reversed((yield Query(sql, (uid, after, MAX_MISSED))).rows)]
