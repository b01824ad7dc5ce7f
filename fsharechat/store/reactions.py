"""Reactions to messages: a few emoji of each user."""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.store.unit import Dialect, Query, Unit, select_in


class Reaction(NamedTuple):
    """What a user has reacted with, since `update_dt` (ms)."""

    message_id: int
    uid: str
    emoji: list[str]
    update_dt: int


def put(dialect: Dialect, reaction: Reaction, most: int) -> Unit[bool]:
    """Keep what a user reacts with, in place of what was there. Return False if `most` others have reacted."""
    message_id, uid, emoji, update_dt = reaction
    if not emoji:
        yield Query("DELETE FROM reactions WHERE message_id = ? AND uid = ?", (message_id, uid))
        return True
    sql = "SELECT COUNT(*) FROM reactions WHERE message_id = ? AND uid <> ?"
    if (yield Query(sql, (message_id, uid))).rows[0][0] >= most:
        return False
    sql = dialect.upsert("reactions", ("message_id", "uid"), ("emoji", "update_dt"))
    yield Query(sql, (message_id, uid, " ".join(emoji), update_dt))
    return True


def of_messages(_: Dialect, ids: Sequence[int]) -> Unit[list[Reaction]]:
    """Return the reactions to messages, in the order of the messages."""
    rows = yield from select_in(
        "SELECT message_id, uid, emoji, update_dt FROM reactions WHERE message_id IN ({}) "
        "ORDER BY message_id, update_dt, uid",
        ids,
    )
    return [Reaction(id, uid, emoji.split(), update_dt) for id, uid, emoji, update_dt in rows]
