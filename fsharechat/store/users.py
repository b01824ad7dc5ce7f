"""Users, and facts that the whole deployment shares."""

import secrets
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.protocol.signals import FriendState, UserStatus, UserType
from fsharechat.store import webhooks
from fsharechat.store.unit import Dialect, Query, Row, Unit, insert_many, marks, select_in

PAGE = 20
"""How many users one page of a search has."""

MAX_FOUND = 2000
"""The most users that a search finds by one column."""

MAX_PART = 64
"""How many characters of a display name are searched. A name has no more."""

_LAST_LETTER = "\U0010ffff"
"""It sorts after all characters of names."""

_UID_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
_UID_SIZE = 10

PROFILE = (
    "uid",
    "name",
    "display_name",
    "portrait",
    "mobile",
    "email",
    "address",
    "company",
    "social",
    "extra",
    "gender",
    "type",
    "update_dt",
)
"""The columns that are fields of the contract's User."""

_COLUMNS = ", ".join(PROFILE)


class Rights(NamedTuple):
    """The facts that decide whether a user may send, and who may send to that user."""

    status: int
    blacklist: frozenset[str]
    robot: bool = False


def profiles(_: Dialect, uids: Sequence[str]) -> Unit[dict[str, Row]]:
    """Return the PROFILE columns of the existing users, by uid."""
    rows = yield from select_in(f"SELECT {_COLUMNS} FROM users WHERE uid IN ({{}})", uids)
    return {row[0]: row for row in rows}


def parts(display_name: str) -> list[str]:
    """Return the parts of a display name, one from each of its characters on, in the form that is searched: without
    case and width.

    None begins or ends with a space: MySQL would ignore it.
    """
    whole = _folded(display_name)
    return [whole[start:] for start, letter in enumerate(whole) if not letter.isspace()]


def _folded(text: str) -> str:
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return folded[:MAX_PART].strip()


def friend_since(_: Dialect, viewer: str, uids: Sequence[str]) -> Unit[dict[str, int]]:
    """Return the users who have `viewer` as a friend, by uid, and since when (ms)."""
    sql = "SELECT uid, update_dt FROM friends WHERE friend_uid = ? AND state = ? AND uid IN ({})"
    return dict((yield from select_in(sql, uids, viewer, FriendState.FRIEND)))


def search(_: Dialect, keyword: str, fuzzy: bool, page: int) -> Unit[list[Row]]:
    """Return a page (from 0) of the users whose login number or name is `keyword`.

    With `fuzzy` also users whose display name contains it. Users beyond MAX_FOUND are left out. So the number of read
    rows is bounded, however many users there are.
    """
    found: set[str] = set()
    # Numbers are kept in lower case.
    for column, value in (("number", keyword.lower()), ("name", keyword), ("display_name", keyword)):
        sql = f"SELECT uid FROM users WHERE {column} = ? LIMIT ?"
        found.update(uid for (uid,) in (yield Query(sql, (value, MAX_FOUND))).rows)
    part = _folded(keyword)
    if fuzzy and part and len(keyword) <= MAX_PART:
        sql = "SELECT uid FROM name_parts WHERE part >= ? AND part < ? ORDER BY part, uid LIMIT ?"
        rows = (yield Query(sql, (part, part + _LAST_LETTER, MAX_FOUND))).rows
        found.update(uid for (uid,) in rows)
    if not found:
        return []
    where = f"uid IN ({marks(len(found))}) AND status <> ?"
    sql = f"SELECT {_COLUMNS} FROM users WHERE {where} ORDER BY uid LIMIT ? OFFSET ?"
    return (yield Query(sql, (*sorted(found), UserStatus.BLOCKED, PAGE, page * PAGE))).rows


def modify(_: Dialect, uid: str, changes: dict[str, object], now: int) -> Unit[None]:
    """Set PROFILE columns of a user.

    The version always grows, even if two changes fall into one millisecond or the clock has gone back: a device asks
    for profiles newer than its own.
    """
    assignments = "".join(f"{column} = ?, " for column in changes)
    version = "update_dt = CASE WHEN update_dt < ? THEN ? ELSE update_dt + 1 END"
    sql = f"UPDATE users SET {assignments}{version} WHERE uid = ?"
    yield Query(sql, (*changes.values(), now, now, uid), unread=True)
    if "display_name" in changes:
        yield from _keep_parts(uid)


def _keep_parts(uid: str) -> Unit[None]:
    """Make the kept parts match the present display name of a user, if the user exists. The row is locked."""
    rows = (yield Query("SELECT display_name FROM users WHERE uid = ?", (uid,))).rows
    yield Query("DELETE FROM name_parts WHERE uid = ?", (uid,), unread=True)
    named = [(part, uid) for (name,) in rows for part in parts(name)]
    yield from insert_many("name_parts", ("part", "uid"), named)


def rights(_: Dialect, uid: str) -> Unit[Rights | None]:
    """Return the rights of a user, None if there is no such user."""
    rows = (yield Query("SELECT uid, status, type FROM users WHERE uid = ?", (uid,))).rows
    if not rows or rows[0][0] != uid:  # MySQL also finds a uid with spaces behind it
        return None
    blocked = (
        yield Query(
            "SELECT friend_uid FROM friends WHERE uid = ? AND state = ?", (uid, FriendState.BLACKLISTED)
        )
    ).rows
    return Rights(rows[0][1], frozenset(row[0] for row in blocked), rows[0][2] == UserType.ROBOT)


def has_number(_: Dialect, number: str) -> Unit[bool]:
    """Return whether a user logs in with `number`."""
    return bool((yield Query("SELECT uid FROM users WHERE number = ?", (number,))).rows)


def get_or_create(dialect: Dialect, number: str, now: int) -> Unit[tuple[str, int, bool]]:
    """Return (uid, status, created) of the user who logs in with `number`."""
    made_uid = ""
    while not (rows := (yield Query("SELECT uid, status FROM users WHERE number = ?", (number,))).rows):
        made_uid = new_uid()
        yield from insert(dialect, made_uid, number, default_name(number), now)
    uid, status = rows[0]
    if created := uid == made_uid:
        yield from webhooks.note(dialect, webhooks.USER_REGISTERED, uid, now, {})
    return uid, status, created


def has_come(dialect: Dialect, uid: str, now: int) -> Unit[None]:
    """Note that a user has logged in, if it is for the first time."""
    sql = "UPDATE users SET came_ms = ? WHERE uid = ? AND came_ms < 0"
    if (yield Query(sql, (now, uid))).changed:
        yield from webhooks.note(dialect, webhooks.USER_FIRST_LOGIN, uid, now, {})


def new_uid() -> str:
    """Return a uid that nobody has."""
    return "".join(secrets.choice(_UID_LETTERS) for _ in range(_UID_SIZE))


def default_name(number: str) -> str:
    """Return the name of a new user: a part of the number or address, too short to reveal the whole."""
    return number.partition("@")[0][:4] if "@" in number else number[-4:]


def insert(dialect: Dialect, uid: str, number: str, display_name: str, now: int) -> Unit[None]:
    """Add a new user, unless the uid or the number is taken."""
    mobile, email = ("", number) if "@" in number else (number, "")
    values = {
        "uid": uid,
        "number": number,
        "name": number,
        "display_name": display_name,
        "portrait": "",
        "mobile": mobile,
        "email": email,
        "address": "",
        "company": "",
        "social": "",
        "extra": "",
        "gender": 0,
        "type": 0,
        "status": UserStatus.NORMAL,
        "update_dt": now,
        "came_ms": -1,
    }
    yield Query(dialect.insert_new("users", list(values)), list(values.values()), unread=True)
    yield from _keep_parts(uid)


def fact(dialect: Dialect, name: str, value: bytes) -> Unit[bytes]:
    """Return the fact of the deployment under `name`. If there is none yet, `value` becomes it."""
    yield Query(dialect.insert_new("facts", ("name", "value")), (name, value))
    stored: bytes = (yield Query("SELECT value FROM facts WHERE name = ?", (name,))).rows[0][0]
    return stored
