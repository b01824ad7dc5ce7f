"""Bots: users that log in by a token, which an administrator makes and takes back."""

from typing import NamedTuple

from fsharechat.protocol.signals import UserType
from fsharechat.store import sessions, users
from fsharechat.store.sessions import LoginSession
from fsharechat.store.unit import Dialect, Query, Unit

CLIENT = "bot"
"""The client id of the one device of a bot."""


class Bot(NamedTuple):
    """A bot. `active`: its token is good. `created_ms` is when the token was made."""

    name: str
    uid: str
    created_ms: int
    active: bool


class BotMade(NamedTuple):
    """The user of a bot, and the new session of its device; None if its token is good already."""

    uid: str
    session: LoginSession | None


_SELECT = (
    "SELECT b.name, b.uid, b.created_ms, s.uid IS NOT NULL FROM bots b LEFT JOIN sessions s "
    f"ON s.uid = b.uid AND s.client_id = ? AND s.bot = 1 AND s.issued_ms <> {sessions.REVOKED}"
)


def find(_: Dialect, name: str) -> Unit[Bot | None]:
    """Return a bot, None if there is none of that name."""
    rows = (yield Query(f"{_SELECT} WHERE b.name = ?", (CLIENT, name))).rows
    return _bot(*rows[0]) if rows and rows[0][0] == name else None


def page(_: Dialect, after: str, limit: int) -> Unit[list[Bot]]:
    """Return up to `limit` bots behind the name `after`, by name."""
    sql = f"{_SELECT} WHERE b.name > ? ORDER BY b.name LIMIT ?"
    return [_bot(*row) for row in (yield Query(sql, (CLIENT, after, limit))).rows]


def _bot(name: str, uid: str, created_ms: int, active: int) -> Bot:
    return Bot(name, uid, created_ms, bool(active))


def is_program(_: Dialect, uid: str) -> Unit[bool]:
    """Return whether a user is a bot or a robot."""
    sql = "SELECT 1 FROM users WHERE uid = ? AND type = ? UNION SELECT 1 FROM bots WHERE uid = ?"
    return bool((yield Query(sql, (uid, UserType.ROBOT, uid))).rows)


def create(
    dialect: Dialect, name: str, fresh: LoginSession, now: int, retried: bool = False
) -> Unit[BotMade]:
    """Make a bot and its session, or a new session for one whose token was taken back.

    A retried call makes the session anew: nobody has the first one's token.
    """
    known = yield from find(dialect, name)
    if known is not None and known.active and not retried:
        return BotMade(known.uid, None)
    uid, _, created = yield from users.get_or_create(dialect, f"bot:{name}", now)  # no number has a colon
    if created:
        yield from users.modify(dialect, uid, {"display_name": name, "mobile": ""}, now)
    yield Query(dialect.upsert("bots", ("name",), ("uid", "created_ms")), (name, uid, now))
    return BotMade(uid, (yield from sessions.renew(dialect, uid, CLIENT, fresh)))


def revoke(dialect: Dialect, name: str) -> Unit[Bot | None]:
    """Take the token of a bot back. Return the bot as it was, None if there is none."""
    known = yield from find(dialect, name)
    if known is not None:
        yield from sessions.end(dialect, known.uid, CLIENT)
    return known
