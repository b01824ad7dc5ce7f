"""The calls that go on in groups: a room for each, and who rings, is in, or has gone (calls.md section 9.6).

Any group process may take the next signal of a call, so what they must agree on is kept here
(docs/decisions/group-calls.md). Nothing of it outlives the call.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from fsharechat.store.group_log import lock_groups
from fsharechat.store.unit import Dialect, Query, T, Unit, select_in, upsert_many


class Attendance(IntEnum):
    """Where somebody is in a call."""

    RINGING = 0
    IN = 1
    LEFT = 2
    """Was in, and may come back."""
    SILENT = 3
    """Has declined, or has not answered in time."""


class Attendee(NamedTuple):
    """Somebody who was invited, or has started the call. `client_id` is the device that is in it."""

    attendance: int
    client_id: str = ""


class CallRoom(NamedTuple):
    """A call in a group. `id` is the message id of its start (400), which no other call has."""

    group_id: str
    id: int
    call_id: str
    initiator: str
    opened_ms: int
    attendees: Mapping[str, Attendee]


MAX_CALL_ID = 255
"""Characters of a call id that are kept."""

RoomMove = Callable[[CallRoom | None], tuple[CallRoom | None, T]]
"""Makes the next state of a room of the one that is there, and says what is to be told. It may be called again."""

_COLUMNS = ("group_id", "id", "call_id", "initiator", "opened_ms")
_KEYS = ("group_id", "uid")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM call_rooms"


def rooms(_: Dialect, group_ids: Sequence[str]) -> Unit[dict[str, CallRoom]]:
    """Return the calls of those of the groups that have one."""
    found: dict[str, dict[str, Attendee]] = {}
    sql = (
        "SELECT group_id, uid, attendance, client_id FROM call_attendees WHERE group_id IN ({}) ORDER BY uid"
    )
    rows = yield from select_in(f"{_SELECT} WHERE group_id IN ({{}})", group_ids)
    if not rows:
        return {}
    for group_id, uid, attendance, client_id in (yield from select_in(sql, group_ids)):
        found.setdefault(group_id, {})[uid] = Attendee(attendance, client_id)
    wanted = set(group_ids)  # MySQL finds an id with spaces behind it, too
    return {
        group_id: CallRoom(group_id, id, call_id, initiator, opened_ms, found.get(group_id, {}))
        for group_id, id, call_id, initiator, opened_ms in rows
        if group_id in wanted
    }


def room(dialect: Dialect, group_id: str) -> Unit[CallRoom | None]:
    """Return the call that goes on in a group."""
    return (yield from rooms(dialect, [group_id])).get(group_id)


def change(dialect: Dialect, group_id: str, move: RoomMove[T]) -> Unit[tuple[CallRoom | None, T]]:
    """Make a move; return the room as it is now, and what the move says. The group's row is its lock."""
    yield from lock_groups(dialect, [group_id])
    before = yield from room(dialect, group_id)
    after, told = move(before)
    if after == before:
        return after, told
    if before is not None and (after is None or after.id != before.id):
        yield Query("DELETE FROM call_rooms WHERE group_id = ?", (group_id,))
        yield Query("DELETE FROM call_attendees WHERE group_id = ?", (group_id,))
        before = None
    if after is None:
        return None, told
    if before is None:
        yield Query(dialect.insert_new("call_rooms", _COLUMNS), after[: len(_COLUMNS)])
    known = before.attendees if before is not None else {}
    rows = [(group_id, uid, *one) for uid, one in after.attendees.items() if known.get(uid) != one]
    yield from upsert_many(dialect, "call_attendees", _KEYS, Attendee._fields, rows)
    return after, told


def all_groups(_: Dialect, most: int) -> Unit[list[str]]:
    """Return the groups in which calls go on, `most` at most, the oldest calls first."""
    rows = (yield Query("SELECT group_id FROM call_rooms ORDER BY id LIMIT ?", (most,))).rows
    return [group_id for (group_id,) in rows]


def devices_in(_: Dialect, uids: Collection[str]) -> Unit[dict[tuple[str, str], str]]:
    """Return the devices of these users that are in a call, as (uid, client id), and the group of each."""
    sql = "SELECT uid, client_id, group_id FROM call_attendees WHERE uid IN ({})"
    rows = yield from select_in(f"{sql} AND attendance = {int(Attendance.IN)}", list(uids))
    return {(uid, client_id): group_id for uid, client_id, group_id in rows}
