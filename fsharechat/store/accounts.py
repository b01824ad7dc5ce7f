"""Administrators: their names, passwords and roles, and the sessions of their browsers."""

from typing import NamedTuple

from fsharechat.store import address_limits
from fsharechat.store.address_limits import AddressLimit, Counted
from fsharechat.store.unit import Dialect, Query, Unit

MAX_ADMINISTRATORS = 1000
MAX_SESSIONS = 20
"""How many sessions of one administrator there are. A further login ends the one that was used least lately."""

USED_STEP_MS = 60_000
"""How exactly the last use of a session is kept, ms: not every request writes."""


class Administrator(NamedTuple):
    """`password` is the text of argon2, with its parameters and salt. `role` is an AdminRole."""

    name: str
    password: str
    role: int
    made_ms: int


class AdminSession(NamedTuple):
    """A session of an administrator. `digest` is that of the secret in the browser's cookie."""

    digest: bytes
    name: str
    made_ms: int
    used_ms: int
    address: str


class SessionRules(NamedTuple):
    """How long a session lives after its last use, and after its login, ms."""

    idle_ms: int
    whole_ms: int


class SignInLimits(NamedTuple):
    """How many tries to log in there may be for an address, and for a name."""

    address: AddressLimit
    name: AddressLimit


_COLUMNS = ", ".join(Administrator._fields)


def administrators(_: Dialect, after: str, limit: int) -> Unit[list[Administrator]]:
    """Return up to `limit` administrators behind a name, by name."""
    sql = f"SELECT {_COLUMNS} FROM administrators WHERE name > ? ORDER BY name LIMIT ?"
    return [Administrator(*row) for row in (yield Query(sql, (after, limit))).rows]


def administrator(dialect: Dialect, name: str) -> Unit[Administrator | None]:
    """Return an administrator, with the row locked if the unit writes."""
    rows = (yield Query(f"SELECT {_COLUMNS} FROM administrators WHERE name = ?", (name,))).rows
    return Administrator(*rows[0]) if rows and rows[0][0] == name else None


def add(dialect: Dialect, new: Administrator) -> Unit[Administrator]:
    """Add an administrator, unless the name is taken. Return who has the name."""
    yield Query(dialect.insert_new("administrators", Administrator._fields), new, unread=True)
    found = yield from administrator(dialect, new.name)
    assert found is not None
    return found


def count(_: Dialect) -> Unit[int]:
    total: int = (yield Query("SELECT COUNT(*) FROM administrators")).rows[0][0]
    return total


def set_role(_: Dialect, name: str, role: int) -> Unit[None]:
    """Change a role. Sessions have the new one from their next request on."""
    yield Query("UPDATE administrators SET role = ? WHERE name = ?", (role, name))


def set_password(_: Dialect, name: str, password: str, keep: bytes = b"") -> Unit[None]:
    """Change a password, and end all sessions except the one with the digest `keep`."""
    yield Query("UPDATE administrators SET password = ? WHERE name = ?", (password, name))
    yield Query("DELETE FROM admin_sessions WHERE name = ? AND digest <> ?", (name, keep))


def remove(_: Dialect, name: str) -> Unit[None]:
    """Remove an administrator and all sessions."""
    yield Query("DELETE FROM admin_sessions WHERE name = ?", (name,))
    yield Query("DELETE FROM administrators WHERE name = ?", (name,))


def try_sign_in(
    dialect: Dialect, name: str, address: str, now: int, limits: SignInLimits
) -> Unit[tuple[int, Administrator | None]]:
    """Count a try to log in, and return how long to wait (ms, 0: not at all) and whose password it must be."""
    wait_ms = yield from address_limits.take(dialect, Counted.SIGN_INS, address, now, limits.address)
    if not wait_ms:
        wait_ms = yield from address_limits.take(dialect, Counted.SIGN_IN_NAMES, name, now, limits.name)
    if wait_ms:
        return wait_ms, None
    return 0, (yield from administrator(dialect, name))


def begin(dialect: Dialect, session: AdminSession, password: str, rules: SessionRules) -> Unit[bool]:
    """Keep a new session. Return False if the administrator's password is no longer the one that was checked."""
    found = yield from administrator(dialect, session.name)
    if found is None or found.password != password:
        return False
    yield Query(
        "DELETE FROM admin_sessions WHERE used_ms < ? OR made_ms < ?",
        (session.made_ms - rules.idle_ms, session.made_ms - rules.whole_ms),
    )
    sql = "SELECT digest FROM admin_sessions WHERE name = ? ORDER BY used_ms DESC"
    for (digest,) in (yield Query(sql, (session.name,))).rows[MAX_SESSIONS - 1 :]:
        yield Query("DELETE FROM admin_sessions WHERE digest = ?", (digest,))
    yield Query(dialect.insert_new("admin_sessions", AdminSession._fields), session)
    return True


def session(
    _: Dialect, digest: bytes, now: int, rules: SessionRules
) -> Unit[tuple[Administrator, AdminSession] | None]:
    """Return the session with a digest and whose it is, None if there is none, or it has expired."""
    sql = (
        f"SELECT {', '.join(f'a.{name}' for name in Administrator._fields)}, "
        f"{', '.join(f's.{name}' for name in AdminSession._fields)} "
        "FROM admin_sessions s JOIN administrators a ON a.name = s.name WHERE s.digest = ?"
    )
    rows = (yield Query(sql, (digest,))).rows
    if not rows:
        return None
    width = len(Administrator._fields)
    owner, found = Administrator(*rows[0][:width]), AdminSession(*rows[0][width:])
    alive = now - found.used_ms < rules.idle_ms and now - found.made_ms < rules.whole_ms
    return (owner, found) if alive else None


def used(_: Dialect, digest: bytes, now: int) -> Unit[None]:
    """Note that a session is used now."""
    yield Query("UPDATE admin_sessions SET used_ms = ? WHERE digest = ?", (now, digest))


def end(_: Dialect, digest: bytes) -> Unit[None]:
    yield Query("DELETE FROM admin_sessions WHERE digest = ?", (digest,))
