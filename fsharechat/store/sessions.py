"""Devices that are logged in, and the login codes that let them."""

from typing import NamedTuple

from fsharechat.protocol.signals import LoginCode, UserStatus
from fsharechat.store import cursors, users
from fsharechat.store.unit import Dialect, Query, Unit

DAY_MS = 86_400_000


REVOKED = 0
"""The `issued_ms` of a session whose token is good no more."""


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
    yield from cursors.begin(dialect, uid, client_id)
    yield Query(dialect.upsert("sessions", ("uid", "client_id"), Session._fields), (uid, client_id, *session))
    return session


def revoke(_: Dialect, uid: str) -> Unit[None]:
    """End the tokens of all devices of a user: each has to log in again, and finds its `db_secret` then."""
    yield Query("UPDATE sessions SET issued_ms = ? WHERE uid = ?", (REVOKED, uid))


def forget(dialect: Dialect, uid: str, client_id: str, issued_ms: int | None = None) -> Unit[None]:
    """Log a device out; with `issued_ms` only if its login is still the one of that time."""
    sql = "DELETE FROM sessions WHERE uid = ? AND client_id = ?"
    if issued_ms is None:
        yield Query(sql, (uid, client_id))
    elif not (yield Query(f"{sql} AND issued_ms = ?", (uid, client_id, issued_ms))).changed:
        return
    yield from cursors.forget(dialect, uid, client_id)


class Codes(NamedTuple):
    """What is kept of the codes for one number; the columns of `login_codes`."""

    digest: bytes = b""
    sent_ms: int = 0
    day: int = 0
    day_count: int = 0
    wrong: int = 0
    locked_until_ms: int = 0
    used_by: str = ""


class NewCode(NamedTuple):
    """Whether a number may have another code, and what it had before."""

    result: LoginCode
    before: Codes


class Guess(NamedTuple):
    """A code that somebody tries.

    `is_super`: whether it is the super code; None where the server has none. `retried`: the same call may have been
    carried out already.
    """

    number: str
    digest: bytes
    is_super: bool | None
    client_id: str
    retried: bool = False


class Login(NamedTuple):
    """Who has logged in; `created`: the user is new. `session` is None when the guess was refused with `result`."""

    result: LoginCode
    uid: str = ""
    status: int = 0
    created: bool = False
    session: Session | None = None


def _codes(dialect: Dialect, number: str) -> Unit[Codes]:
    sql = f"SELECT {', '.join(Codes._fields)} FROM login_codes WHERE number = ?{dialect.locking}"
    rows = (yield Query(sql, (number,))).rows
    return Codes(*rows[0]) if rows else Codes()


def _keep(dialect: Dialect, number: str, codes: Codes) -> Unit[None]:
    yield Query(dialect.upsert("login_codes", ("number",), Codes._fields), (number, *codes))


def new_code(
    dialect: Dialect, number: str, digest: bytes, now: int, rules: CodeRules, retried: bool = False
) -> Unit[NewCode]:
    """Keep a code that is to be sent, if the number may have another one: SUCCESS or TOO_OFTEN.

    A retried call does not wait for `resend_ms`: what it would wait for may be its own first attempt.
    """
    # A row that is not there cannot be locked, and two processes would each send the number a first code.
    yield Query(
        dialect.insert_new("login_codes", ("number", *Codes._fields)), (number, *Codes()), unread=True
    )
    codes = yield from _codes(dialect, number)
    today = now // DAY_MS
    sent_today = codes.day_count if codes.day == today else 0
    too_soon = _within(rules.resend_ms, codes.sent_ms, now) and not retried
    if _locked(codes, now, rules) or too_soon or sent_today >= rules.per_day:
        return NewCode(LoginCode.TOO_OFTEN, codes)
    changed = codes._replace(digest=digest, sent_ms=now, day=today, day_count=sent_today + 1, used_by="")
    yield from _keep(dialect, number, changed)
    return NewCode(LoginCode.SUCCESS, codes)


def _within(span_ms: int, then: int, now: int) -> bool:
    """Whether the two are less than `span_ms` apart, in either order.

    What a clock that was far ahead has left behind counts for nothing, or a number would be locked out, and a code
    good, until that time comes; the clocks of two processes may differ by a little.
    """
    return abs(now - then) < span_ms


def _locked(codes: Codes, now: int, rules: CodeRules) -> bool:
    return now < codes.locked_until_ms and _within(rules.lock_ms, codes.locked_until_ms - rules.lock_ms, now)


def take_back(dialect: Dialect, number: str, digest: bytes, before: Codes, lost: bool) -> Unit[None]:
    """Undo what a code that could not be sent cost its number, unless another one has taken its place.

    `lost`: it was certainly not sent, and all is as before. Otherwise it stays valid, for it may arrive, and a next
    one waits for `resend_ms`; only the day is not charged with it.
    """
    codes = yield from _codes(dialect, number)
    if codes.digest != digest:
        return
    if lost:
        codes = before._replace(wrong=codes.wrong, locked_until_ms=codes.locked_until_ms)
        yield from _keep(dialect, number, codes)
    else:
        yield from _keep(dialect, number, codes._replace(day_count=codes.day_count - 1))


def use_code(dialect: Dialect, guess: Guess, now: int, rules: CodeRules) -> Unit[LoginCode]:
    """Check a guess and count it: SUCCESS, CODE_EXPIRED, WRONG_CODE or (locked) TOO_OFTEN.

    A right code is used up, but for the retried call of the device that used it. After `wrong_guesses` wrong ones the
    code is void and the number locked for a while.
    """
    codes = yield from _codes(dialect, guess.number)
    fresh = _within(rules.lifetime_ms, codes.sent_ms, now)
    if guess.retried and fresh and codes.used_by == guess.client_id and codes.digest == guess.digest:
        return LoginCode.SUCCESS
    if _locked(codes, now, rules):
        return LoginCode.TOO_OFTEN
    alive = fresh and codes.digest != b"" and not codes.used_by
    if not alive and guess.is_super is None:
        return LoginCode.CODE_EXPIRED  # nothing to guess, so nothing to count
    right = guess.is_super or (alive and codes.digest == guess.digest)
    if right:
        changed = (
            codes._replace(wrong=0) if guess.is_super else codes._replace(wrong=0, used_by=guess.client_id)
        )
        result = LoginCode.SUCCESS
    else:
        changed = codes._replace(wrong=codes.wrong + 1)
        if changed.wrong >= rules.wrong_guesses:
            changed = changed._replace(wrong=0, digest=b"", used_by="", locked_until_ms=now + rules.lock_ms)
        result = LoginCode.WRONG_CODE if alive else LoginCode.CODE_EXPIRED
    if changed != codes:
        yield from _keep(dialect, guess.number, changed)
    return result


def log_in(dialect: Dialect, guess: Guess, fresh: Session, now: int, rules: CodeRules) -> Unit[Login]:
    """Use a code, find or create its user and renew the session of the device, all or nothing.

    A blocked user gets NO_SESSION, and only for a right code: nobody else learns that they are.
    A retried call that was carried out already gives the device a session once more, and the same `created`.
    """
    result = yield from use_code(dialect, guess, now, rules)
    if result is not LoginCode.SUCCESS:
        return Login(result)
    uid, status, created = yield from users.get_or_create(dialect, guess.number, now)
    if status == UserStatus.BLOCKED:
        return Login(LoginCode.NO_SESSION, uid, status)
    if guess.retried and not created:
        created = yield from _came_with(uid, guess.client_id)
    session = yield from renew(dialect, uid, guess.client_id, fresh)
    return Login(result, uid, status, created, session)


def _came_with(uid: str, client_id: str) -> Unit[bool]:
    """Return whether the session of a device was made together with its user, who is as they were then."""
    sql = (
        "SELECT 1 FROM users u JOIN sessions s ON s.uid = u.uid "
        "WHERE u.uid = ? AND s.client_id = ? AND s.issued_ms = u.update_dt"
    )
    return bool((yield Query(sql, (uid, client_id))).rows)
