"""The addresses for uploads that each user got today, and the bytes that the user has uploaded."""

from fsharechat.protocol.ids import MAX_AHEAD_MS
from fsharechat.store.sessions import DAY_MS
from fsharechat.store.unit import Dialect, Query, Unit


def grant(
    dialect: Dialect,
    uid: str,
    now: int,
    per_day: int,
    retried: bool,
    folder: str = "",
    bytes_per_day: int = 0,
) -> Unit[bool]:
    """Count one more address for a user. Return whether the user may have it: `per_day` from midnight UTC, 0: any.

    `now` is in ms. A retried call is not counted: its first try may have been the last one allowed. With
    `bytes_per_day` no address is given either once so many bytes are in the user's `folder`.
    """
    if bytes_per_day:
        _, had = yield from _of_today(dialect, "uploaded", "folder", "bytes", folder, now)
        if had >= bytes_per_day:
            return False
    if not per_day:
        return True
    day, granted = yield from _of_today(dialect, "uploads", "uid", "granted", uid, now)
    if retried:
        return granted <= per_day
    if granted >= per_day:
        return False
    yield Query("UPDATE uploads SET day = ?, granted = ? WHERE uid = ?", (day, granted + 1, uid))
    return True


def take_bytes(dialect: Dialect, folder: str, size: int, now: int, per_day: int) -> Unit[bool]:
    """Count the bytes of a file. Return whether the uploader may store it: `per_day` bytes a day, UTC.

    `now` is in ms. A negative `size` takes back counted bytes that were not kept, and is never refused.
    """
    day, had = yield from _of_today(dialect, "uploaded", "folder", "bytes", folder, now)
    if size > 0 and had + size > per_day:
        return False
    yield from _set_bytes(folder, day, had + size)
    return True


def add_bytes(dialect: Dialect, folder: str, size: int, now: int) -> Unit[None]:
    """Count the bytes of a file that is there already. `now` is in ms."""
    day, had = yield from _of_today(dialect, "uploaded", "folder", "bytes", folder, now)
    yield from _set_bytes(folder, day, had + size)


def _set_bytes(folder: str, day: int, size: int) -> Unit[None]:
    yield Query("UPDATE uploaded SET day = ?, bytes = ? WHERE folder = ?", (day, max(0, size), folder))


def _of_today(
    dialect: Dialect, table: str, key: str, count: str, whose: str, now: int
) -> Unit[tuple[int, int]]:
    """Return the day and its count from a row. The row is locked, and made if it is missing."""
    today = now // DAY_MS
    select = Query(f"SELECT day, {count} FROM {table} WHERE {key} = ?{dialect.locking}", (whose,))
    rows = (yield select).rows
    if not rows:  # a missing row cannot be locked
        yield Query(dialect.insert_new(table, (key, "day", count)), (whose, today, 0), unread=True)
        rows = (yield select).rows
    day, counted = rows[0]
    # A process whose clock is a little behind uses the day that has begun at another process. A day further ahead
    # comes from a wrong clock.
    if day not in (today, (now + MAX_AHEAD_MS) // DAY_MS):
        return today, 0
    return day, counted
