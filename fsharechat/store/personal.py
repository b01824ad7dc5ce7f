"""What is stored about one user: read in pages for an export, and removed in small units (docs/admin.md)."""

import orjson

from fsharechat.protocol.signals import MemberType, UserStatus
from fsharechat.store import admin, heads, invitations, oidc, users
from fsharechat.store.unit import Dialect, Query, Row, Unit, marks

STEP = 100
"""The most rows of one page, and of one unit that removes."""

DELETED_NAME = "已注销用户"
"""The display name of a deleted user: clients show something beside what others still have of the user."""

_FIRST = (0, -(1 << 63), -(1 << 63))


def sent(_: Dialect, uid: str, after: str) -> Unit[tuple[list[tuple[int, bytes]], str]]:
    """Return (id, body) of a page of the messages that a user sent, in the order of an index, and where the next page
    begins, "" after the last one.
    """
    part, first, second = orjson.loads(after) if after else _FIRST
    if part == 0:
        sql = (
            "SELECT id, body, local_id, digest FROM messages WHERE sender = ? AND local_id >= ? "
            f"AND (local_id > ? OR digest > ?) ORDER BY local_id, digest LIMIT {STEP}"
        )
        rows = (yield Query(sql, (uid, first, first, second))).rows
        following: tuple[int, int, int] = (0, *rows[-1][2:]) if len(rows) == STEP else (1, 0, 0)
    else:
        sql = (
            "SELECT id, body FROM messages WHERE sender = ? AND local_id IS NULL AND id > ? "
            f"ORDER BY id LIMIT {STEP}"
        )
        rows = (yield Query(sql, (uid, first))).rows
        following = (1, rows[-1][0] if rows else 0, 0)
    more = part == 0 or len(rows) == STEP
    return [(row[0], bytes(row[1])) for row in rows], orjson.dumps(following).decode() if more else ""


def friends(_: Dialect, uid: str, after: str) -> Unit[list[Row]]:
    """Return (friend_uid, state, alias, update_dt) of a page of friends behind one."""
    sql = (
        "SELECT friend_uid, state, alias, update_dt FROM friends WHERE uid = ? AND friend_uid > ? "
        f"ORDER BY friend_uid LIMIT {STEP}"
    )
    return (yield Query(sql, (uid, after))).rows


def memberships(_: Dialect, uid: str, after: str) -> Unit[list[Row]]:
    """Return (group_id, name, alias, type, joined_ms) of a page of groups behind one in which a user is."""
    sql = (
        "SELECT m.group_id, g.name, m.alias, m.type, m.joined_ms FROM group_members m "
        "JOIN chat_groups g ON g.id = m.group_id "
        f"WHERE m.uid = ? AND m.group_id > ? AND m.type <> ? ORDER BY m.group_id LIMIT {STEP}"
    )
    return (yield Query(sql, (uid, after, int(MemberType.REMOVED)))).rows


def settings(_: Dialect, uid: str) -> Unit[list[Row]]:
    """Return (scope, name, value, update_dt) of the settings that a user keeps on the server."""
    sql = "SELECT scope, name, value, update_dt FROM user_settings WHERE uid = ? ORDER BY scope, name"
    return (yield Query(sql, (uid,))).rows


def portrait(_: Dialect, uid: str) -> Unit[str]:
    rows = (yield Query("SELECT portrait FROM users WHERE uid = ?", (uid,))).rows
    return rows[0][0] if rows else ""


def empty_profile(dialect: Dialect, uid: str, now: int) -> Unit[None]:
    """Take everything from a profile. Its number is the uid then, so nobody can log in with it. All devices are
    logged out.

    The user may leave groups from now on, and so is neither blocked nor muted.
    """
    rows = (yield Query(f"SELECT number FROM users WHERE uid = ?{dialect.locking}", (uid,))).rows
    for (number,) in rows:
        yield Query("DELETE FROM login_codes WHERE number = ?", (number,))
        yield from invitations.forget(dialect, number)
    yield from oidc.forget(dialect, uid)
    yield from admin.log_out(dialect, uid, None)
    gone = dict.fromkeys(("portrait", "mobile", "email", "address", "company", "social", "extra"), "")
    named = {"number": uid, "name": uid, "display_name": DELETED_NAME, "status": int(UserStatus.NORMAL)}
    yield from users.modify(dialect, uid, {**gone, **named, "gender": 0}, now)
    yield Query("UPDATE friend_requests SET reason = '' WHERE from_uid = ?", (uid,))
    yield Query("DELETE FROM user_settings WHERE uid = ?", (uid,))
    yield from heads.next_version(dialect, heads.SETTINGS, [uid], now)


_OWN = {
    "inbox": ("seq",),
    "recalls": ("seq",),
    "directed": ("conversation", "message_id"),
    "reports": ("kind", "conversation", "line", "target", "reporter"),
    "device_cursors": ("client_id", "kind"),
}
"""Tables that have rows for a user, and the rest of their keys."""


def remove_rows(_: Dialect, uid: str) -> Unit[bool]:
    """Remove some of the rows that were there for the user alone. Return whether there may be more."""
    for table, keys in _OWN.items():
        columns = ", ".join(keys)
        rows = (yield Query(f"SELECT {columns} FROM {table} WHERE uid = ? LIMIT {STEP}", (uid,))).rows
        if not rows:
            continue
        if len(keys) == 1:
            sql = f"DELETE FROM {table} WHERE uid = ? AND {columns} IN ({marks(len(rows))})"
            yield Query(sql, (uid, *(value for (value,) in rows)))
        else:
            same = " AND ".join(f"{key} = ?" for key in keys)
            for row in rows:
                yield Query(f"DELETE FROM {table} WHERE uid = ? AND {same}", (uid, *row), unread=True)
        return True
    return False
