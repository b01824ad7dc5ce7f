"""Devices that are logged in, and the login codes that let them."""

from typing import NamedTuple

from fsharechat.protocol.signals import LoginCode
from fsharechat.store.unit import Dialect, Query, Unit

DAY_MS = 86_400_000


class Session(NamedTuple):
    """What proves the CONNECT of one device of one user."""

    secret: str
    db_secret: str
    issued_ms: int


class CodeRules(NamedTuple):
    """Limits of login codes (protocol.md section 3), in milliseconds and pieces."""

    lifetime_ms: int
    resend_ms: int
    per_day: int
    wrong_guesses: int
    lock_ms: int


def find(_: Dialect, uid: str, client_id: str) -> Unit[tuple[Session, int] | None]:
    """Return the session of a device and the status of its user."""
    rows = (
        yield Query(
            "SELECT s.secret, s.db_secret, s.issued_ms, u.status FROM sessions s JOIN users u ON u.uid = s.uid "
            "WHERE s.uid = ? AND s.client_id = ?",
            (uid, client_id),
        )
    ).rows
    if not rows:
        return None
    *session, status = rows[0]
    return Session(*session), status


def renew(dialect: Dialect, uid: str, client_id: str, fresh: Session) -> Unit[Session]:
    """Keep a new secret for a device. Its `db_secret` stays what it was, for it encrypts the device's data."""
    rows = (
        yield Query("SELECT db_secret FROM sessions WHERE uid = ? AND client_id = ?", (uid, client_id))
    ).rows
    session = fresh._replace(db_secret=rows[0][0]) if rows else fresh
    yield Query(dialect.upsert("sessions", ("uid", "client_id"), Session._fields), (uid, client_id, *session))
    return session


def forget(_: Dialect, uid: str, client_id: str) -> Unit[None]:
    """Log a device out."""
    yield Query("DELETE FROM sessions WHERE uid = ? AND client_id = ?", (uid, client_id))


_CODE_COLUMNS = ("digest", "sent_ms", "day", "day_count", "wrong", "locked_until_ms")


class _Codes(NamedTuple):
    digest: bytes = b""
    sent_ms: int = 0
    day: int = 0
    day_count: int = 0
    wrong: int = 0
    locked_until_ms: int = 0


def _codes(dialect: Dialect, number: str) -> Unit[_Codes]:
    sql = f"SELECT {', '.join(_CODE_COLUMNS)} FROM login_codes WHERE number = ?{dialect.locking}"
    rows = (yield Query(sql, (number,))).rows
    return _Codes(*rows[0]) if rows else _Codes()


def new_code(dialect: Dialect, number: str, digest: bytes, now: int, rules: CodeRules) -> Unit[LoginCode]:
    """Keep a code that is to be sent, if the number may have another one: SUCCESS or TOO_OFTEN."""
    codes = yield from _codes(dialect, number)
    today = now // DAY_MS
    sent_today = codes.day_count if codes.day == today else 0
    if now < codes.locked_until_ms or now < codes.sent_ms + rules.resend_ms or sent_today >= rules.per_day:
        return LoginCode.TOO_OFTEN
    changed = codes._replace(digest=digest, sent_ms=now, day=today, day_count=sent_today + 1)
    yield Query(dialect.upsert("login_codes", ("number",), _CODE_COLUMNS), (number, *changed))
    return LoginCode.SUCCESS


def use_code(
    dialect: Dialect, number: str, digest: bytes, is_super: bool | None, now: int, rules: CodeRules
) -> Unit[LoginCode]:
    """Check a guess and count it: SUCCESS, CODE_EXPIRED, WRONG_CODE or (locked) TOO_OFTEN.

    `is_super`: whether the guess is the super code; None where the server has none. A right code is used up. After
    `wrong_guesses` wrong ones the code is void and the number locked for a while.
    """
    codes = yield from _codes(dialect, number)
    if now < codes.locked_until_ms:
        return LoginCode.TOO_OFTEN
    alive = codes.digest != b"" and now < codes.sent_ms + rules.lifetime_ms
    if not alive and is_super is None:
        return LoginCode.CODE_EXPIRED  # nothing to guess, so nothing to count
    right = is_super or (alive and codes.digest == digest)
    if right:
        changed = codes._replace(wrong=0) if is_super else codes._replace(wrong=0, digest=b"")
        result = LoginCode.SUCCESS
    else:
        changed = codes._replace(wrong=codes.wrong + 1)
        if changed.wrong >= rules.wrong_guesses:
            changed = changed._replace(wrong=0, digest=b"", locked_until_ms=now + rules.lock_ms)
        result = LoginCode.WRONG_CODE if alive else LoginCode.CODE_EXPIRED
    if changed != codes:
        yield Query(dialect.upsert("login_codes", ("number",), _CODE_COLUMNS), (number, *changed))
    return result
