"""Invitations: who may become a user with `[registration] mode = "invited"`."""

from typing import NamedTuple

from fsharechat.login_numbers import names_of
from fsharechat.store.unit import Dialect, Query, Unit

KEPT_MS = 90 * 86_400_000
"""How long an invitation is kept after its end, so that the list shows it."""

SWEPT = 20
"""How many old invitations are removed with each new one."""


class Invitation(NamedTuple):
    """An invitation. Ids grow with the time.

    `invitee`: the number, the address or the domain ("@example.org") that it is for; empty if it is for whoever has
    its code. `places`: how many new users it makes; `used` of them have come.
    """

    id: str
    invitee: str
    places: int
    used: int
    created_ms: int
    expires_ms: int

    def good(self, now: int) -> bool:
        """Return whether it still makes a user at the time `now` (ms)."""
        return self.used < self.places and now < self.expires_ms


_SELECT = "SELECT id, invitee, places, used, created_ms, expires_ms FROM invitations"


def create(dialect: Dialect, made: Invitation, digest: bytes) -> Unit[None]:
    """Keep an invitation; `digest` is that of its code, empty if it has none. A repeat replaces the code."""
    columns = ("digest", "invitee", "places", "created_ms", "expires_ms")
    sql = dialect.upsert("invitations", ("id",), columns)
    yield Query(sql, (made.id, digest, made.invitee, made.places, made.created_ms, made.expires_ms))
    old = "SELECT id FROM invitations WHERE expires_ms < ? ORDER BY expires_ms LIMIT ?"
    for (id,) in (yield Query(old, (made.created_ms - KEPT_MS, SWEPT))).rows:
        yield Query("DELETE FROM invitations WHERE id = ?", (id,), unread=True)


def page(_: Dialect, after: str, limit: int) -> Unit[list[Invitation]]:
    """Return up to `limit` invitations behind the id `after`, the oldest first."""
    sql = f"{_SELECT} WHERE id > ? ORDER BY id LIMIT ?"
    return [Invitation(*row) for row in (yield Query(sql, (after, limit))).rows]


def revoke(dialect: Dialect, id: str, now: int) -> Unit[Invitation | None]:
    """End an invitation now. Return it as it is then, None if there is none. A repeat changes nothing."""
    rows = (yield Query(f"{_SELECT} WHERE id = ?{dialect.locking}", (id,))).rows
    if not rows or rows[0][0] != id:  # for MySQL "a " is "a"
        return None
    found = Invitation(*rows[0])
    if found.expires_ms > now:
        found = found._replace(expires_ms=now)
        yield Query("UPDATE invitations SET expires_ms = ? WHERE id = ?", (now, id))
    return found


def find(dialect: Dialect, number: str, digest: bytes, now: int) -> Unit[str | None]:
    """Return the id of a good invitation for a number or address, None if there is none.

    First comes that with the code whose `digest` is given, then those for the number, then those for its domain. The
    row stays locked, so that no two users take its last place.
    """
    asked = [("digest", digest)] if digest else []
    for column, value in (*asked, *(("invitee", name) for name in names_of(number))):
        if found := (yield from _first(dialect, column, value, now)):
            return found
    return None


def by_code(dialect: Dialect, digest: bytes, now: int) -> Unit[str | None]:
    """Return the id of a good invitation with the code of this digest, None if there is none. The row is locked."""
    return (yield from _first(dialect, "digest", digest, now))


def _first(dialect: Dialect, column: str, value: object, now: int) -> Unit[str | None]:
    sql = (
        f"SELECT id FROM invitations WHERE {column} = ? AND used < places AND expires_ms > ? "
        f"ORDER BY id LIMIT 1{dialect.locking}"
    )
    rows = (yield Query(sql, (value, now))).rows
    return rows[0][0] if rows else None


def take(_: Dialect, id: str) -> Unit[None]:
    """Count a new user of an invitation that `find` has returned in the same unit."""
    yield Query("UPDATE invitations SET used = used + 1 WHERE id = ?", (id,), unread=True)


def forget(_: Dialect, number: str) -> Unit[None]:
    """Remove the invitations that name a number or address."""
    yield Query("DELETE FROM invitations WHERE invitee = ?", (number,), unread=True)
