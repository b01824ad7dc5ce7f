"""Reads and changes of users and groups by the back office."""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.protocol.signals import MemberType, UserStatus
from fsharechat.store import sessions, users
from fsharechat.store.groups import Info
from fsharechat.store.unit import Dialect, Query, Row, Unit, containing, select_in


def uids_of(_: Dialect, numbers: Sequence[str]) -> Unit[dict[str, str]]:
    """Return the uids of login numbers, by number. Numbers without a user are left out."""
    return dict((yield from select_in("SELECT number, uid FROM users WHERE number IN ({})", numbers)))


def keep_system_user(dialect: Dialect, uid: str, display_name: str, now: int) -> Unit[None]:
    """Ensure a system user with that display name. Its number is the uid, so nobody can log in with it."""
    rows = (yield Query("SELECT display_name FROM users WHERE uid = ?", (uid,))).rows
    if not rows:
        yield from users.insert(dialect, uid, uid, display_name, now)
        yield from users.modify(dialect, uid, {"mobile": ""}, now)
    elif rows[0][0] != display_name:
        yield from users.modify(dialect, uid, {"display_name": display_name}, now)


class Account(NamedTuple):
    """A user in an administrator's list."""

    uid: str
    number: str
    display_name: str
    status: int
    update_dt: int


_ACCOUNT = ", ".join(Account._fields)


def account(dialect: Dialect, key: str) -> Unit[Account | None]:
    """Return the user with that uid, else the user with that login number."""
    for column in ("uid", "number"):
        rows = (yield Query(f"SELECT {_ACCOUNT} FROM users WHERE {column} = ?", (key,))).rows
        if rows:
            return Account(*rows[0])
    return None


class Order(NamedTuple):
    """The order of a list: by a column, and by the key where that is the same."""

    column: str
    descending: bool = False


def _ordered(
    table: str, columns: Sequence[str], key: str, order: Order, after: Sequence[object], limit: int
) -> tuple[str, list[object], str, list[object]]:
    """Return the SELECT and its end, around further conditions, with their parameters.

    `after` has the value of the column and the key of the last row of the page before, or nothing.
    """
    sign, way = ("<", "DESC") if order.descending else (">", "ASC")
    where, params = "1 = 1", list[object]()
    if after and order.column == key:
        where, params = f"{key} {sign} ?", [after[-1]]
    elif after:
        where = f"({order.column} {sign} ? OR ({order.column} = ? AND {key} {sign} ?))"
        params = [after[0], after[0], after[1]]
    by = f"{order.column} {way}" + (f", {key} {way}" if order.column != key else "")
    return (
        f"SELECT {', '.join(columns)} FROM {table} WHERE {where}",
        params,
        f"ORDER BY {by} LIMIT ?",
        [limit],
    )


USER_ORDERS = ("uid", "number", "display_name", "update_dt")


def accounts(
    _: Dialect, search: str, status: int | None, order: Order, after: Sequence[object], limit: int
) -> Unit[list[Account]]:
    """Return up to `limit` users behind `after`, in an order by one of USER_ORDERS.

    With `search`: users with that uid, and users whose number or display name contains it.
    """
    select, params, end, last = _ordered("users", Account._fields, "uid", order, after, limit)
    if search:
        params += [search, containing(search), containing(search)]
        select += " AND (uid = ? OR number LIKE ? ESCAPE '!' OR display_name LIKE ? ESCAPE '!')"
    if status is not None:
        select += " AND status = ?"
        params.append(status)
    return [Account(*row) for row in (yield Query(f"{select} {end}", (*params, *last))).rows]


def set_status(dialect: Dialect, uid: str, status: int) -> Unit[None]:
    """Make a user normal, muted or blocked (UserStatus).

    A block ends all earlier tokens for good. The caller must still tell the devices of a blocked user why.
    """
    rows = (yield Query(f"SELECT status FROM users WHERE uid = ?{dialect.locking}", (uid,))).rows
    yield Query("UPDATE users SET status = ? WHERE uid = ?", (status, uid))
    if rows == [(UserStatus.BLOCKED,)] and status != UserStatus.BLOCKED:
        yield from sessions.revoke(dialect, uid)


def create_user(dialect: Dialect, number: str, display_name: str, now: int) -> Unit[tuple[Account, bool]]:
    """Return the user with that login number, and whether it was made now."""
    uid, _, created = yield from users.get_or_create(dialect, number, now)
    if created and display_name:
        yield from users.modify(dialect, uid, {"display_name": display_name}, now)
    found = yield from account(dialect, uid)
    assert found is not None
    return found, created


def set_number(dialect: Dialect, uid: str, number: str, now: int) -> Unit[Account | None]:
    """Give a user another login number, and show it in the profile. Return who has the number already, or None.

    Codes that were sent to the old number and to the new one are void. Devices stay logged in.
    """
    rows = (yield Query(f"SELECT number, name FROM users WHERE uid = ?{dialect.locking}", (uid,))).rows
    other = yield from account(dialect, number)
    if other is not None and other.uid != uid:
        return other
    for old, name in rows:
        kind, empty = ("email", "mobile") if "@" in number else ("mobile", "email")
        changes: dict[str, object] = {"number": number, kind: number, empty: ""}
        if name == old:
            changes["name"] = number
        yield from users.modify(dialect, uid, changes, now)
        yield Query("DELETE FROM login_codes WHERE number IN (?, ?)", (old, number))
    return None


def logged_in(_: Dialect, uid: str) -> Unit[dict[str, int]]:
    """Return the time (ms) at which each device of a user got its secret, by client id."""
    return {
        client_id: issued for client_id, issued in (yield from _devices(uid)) if issued != sessions.REVOKED
    }


def _devices(uid: str) -> Unit[list[Row]]:
    sql = "SELECT client_id, issued_ms FROM sessions WHERE uid = ? ORDER BY client_id"
    return (yield Query(sql, (uid,))).rows


def log_out(dialect: Dialect, uid: str, client_ids: Sequence[str] | None) -> Unit[list[str]]:
    """Forget devices of a user; without `client_ids`, all of them. Return which were logged in."""
    gone: list[str] = []
    for client_id, issued in (yield from _devices(uid)):
        if client_ids is None or client_id in client_ids:
            yield from sessions.forget(dialect, uid, client_id)
            if issued != sessions.REVOKED:
                gone.append(client_id)
    return gone


GROUP_ORDERS = ("id", "name", "member_count", "update_dt")


def chat_groups(
    _: Dialect, search: str, order: Order, after: Sequence[object], limit: int
) -> Unit[list[Info]]:
    """Return up to `limit` groups behind `after`, in an order by one of GROUP_ORDERS; dismissed ones too.

    With `search`: groups with that id or owner, and groups whose name contains it.
    """
    select, params, end, last = _ordered("chat_groups", Info._fields, "id", order, after, limit)
    if search:
        select += " AND (id = ? OR owner = ? OR name LIKE ? ESCAPE '!')"
        params += [search, search, containing(search)]
    return [Info(*row) for row in (yield Query(f"{select} {end}", (*params, *last))).rows]


def chat_group(_: Dialect, id: str) -> Unit[Info | None]:
    """Return a group, even a dismissed one."""
    rows = (yield Query(f"SELECT {', '.join(Info._fields)} FROM chat_groups WHERE id = ?", (id,))).rows
    return Info(*rows[0]) if rows else None


def group_members(_: Dialect, id: str, after: str, limit: int) -> Unit[list[Row]]:
    """Return (uid, display name, alias, type, joined_ms) of up to `limit` members behind the uid `after`, by uid."""
    sql = (
        "SELECT m.uid, u.display_name, m.alias, m.type, m.joined_ms FROM group_members m "
        "JOIN users u ON u.uid = m.uid WHERE m.group_id = ? AND m.uid > ? AND m.type <> ? ORDER BY m.uid LIMIT ?"
    )
    return (yield Query(sql, (id, after, MemberType.REMOVED, limit))).rows
