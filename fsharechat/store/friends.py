"""Friends and friend requests (protocol.md section 8)."""

from typing import NamedTuple

from fsharechat.clock import within
from fsharechat.protocol.signals import FriendState, RequestStatus
from fsharechat.store.unit import Dialect, Query, Row, Unit


class Request(NamedTuple):
    """One row of friend_requests. `sent_ms` and `handled_ms` decide what is still open, `update_dt` what is news."""

    from_uid: str
    to_uid: str
    reason: str
    status: int
    sent_ms: int
    handled_ms: int
    update_dt: int
    from_read: bool
    to_read: bool


_REQUEST_KEYS = Request._fields[:2]
_REQUEST_COLUMNS = Request._fields[2:]
_SELECT_REQUEST = f"SELECT {', '.join(Request._fields)} FROM friend_requests"


def request(dialect: Dialect, from_uid: str, to_uid: str) -> Unit[Request | None]:
    """Return the last request from one user to another, for a unit that will change it."""
    sql = f"{_SELECT_REQUEST} WHERE from_uid = ? AND to_uid = ?{dialect.locking}"
    rows = (yield Query(sql, (from_uid, to_uid))).rows
    found = Request(*rows[0]) if rows else None
    return found if found and found[:2] == (from_uid, to_uid) else None  # for MySQL "a " is "a"


def put_request(dialect: Dialect, changed: Request) -> Unit[None]:
    """Keep a request, in the place of an earlier one between the two."""
    yield Query(dialect.upsert("friend_requests", _REQUEST_KEYS, _REQUEST_COLUMNS), changed)


def requests(_: Dialect, uid: str, after: int) -> Unit[list[Request]]:
    """Return the requests from and to a user that changed after the version `after`, oldest change first."""
    sql = f"{_SELECT_REQUEST} WHERE (from_uid = ? OR to_uid = ?) AND update_dt > ? ORDER BY update_dt"
    return [Request(*row) for row in (yield Query(sql, (uid, uid, after))).rows]


def mark_read(_: Dialect, uid: str, upto: int, now: int) -> Unit[None]:
    """Note that a user has seen the requests up to the version `upto`."""
    for side in ("to", "from"):
        sql = (
            f"UPDATE friend_requests SET {side}_read = 1, update_dt = ? "
            f"WHERE {side}_uid = ? AND {side}_read = 0 AND update_dt <= ?"
        )
        yield Query(sql, (now, uid, upto))


def state(_: Dialect, uid: str, friend_uid: str) -> Unit[int | None]:
    """Return what one user is to another (FriendState), or None."""
    rows = (yield Query("SELECT state FROM friends WHERE uid = ? AND friend_uid = ?", (uid, friend_uid))).rows
    return rows[0][0] if rows else None


def befriend(dialect: Dialect, one: str, other: str, now: int) -> Unit[None]:
    """Make two users friends of each other; an alias that was there stays."""
    upsert = dialect.upsert("friends", ("uid", "friend_uid"), ("state", "alias", "update_dt"))
    for uid, friend_uid in sorted(((one, other), (other, one))):
        rows = (
            yield Query("SELECT alias FROM friends WHERE uid = ? AND friend_uid = ?", (uid, friend_uid))
        ).rows
        alias = rows[0][0] if rows else ""
        yield Query(upsert, (uid, friend_uid, FriendState.FRIEND, alias, now))


def set_alias(_: Dialect, uid: str, friend_uid: str, alias: str, now: int) -> Unit[bool]:
    """Give a friend another name; return whether there is such a friend."""
    sql = "SELECT friend_uid FROM friends WHERE uid = ? AND friend_uid = ?"
    if (yield Query(sql, (uid, friend_uid))).rows != [(friend_uid,)]:  # for MySQL "a " is "a"
        return False
    sql = "UPDATE friends SET alias = ?, update_dt = ? WHERE uid = ? AND friend_uid = ?"
    yield Query(sql, (alias, now, uid, friend_uid))
    return True


def changed(_: Dialect, uid: str, after: int) -> Unit[list[Row]]:
    """Return (friend uid, state, update_dt, alias) of the friends that changed after the version `after`."""
    sql = (
        "SELECT friend_uid, state, update_dt, alias FROM friends "
        "WHERE uid = ? AND update_dt > ? ORDER BY update_dt, friend_uid"
    )
    return (yield Query(sql, (uid, after))).rows


OPEN_MS = 7 * 86_400_000
"""A request can be answered for so long, and keeps a second one away."""

BLOCKED_MS = 30 * 86_400_000
"""A rejection keeps further requests away for so long."""


def is_open(found: Request, now: int) -> bool:
    return found.status == RequestStatus.SENT and within(OPEN_MS, found.sent_ms, now)


def is_blocked(found: Request, now: int) -> bool:
    return found.status == RequestStatus.REJECTED and within(BLOCKED_MS, found.handled_ms, now)
