"""Devices that are logged in, and the login codes that let them."""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.clock import within
from fsharechat.protocol.signals import LoginCode, UserStatus
from fsharechat.store import address_limits, cursors, users
from fsharechat.store.address_limits import AddressLimit, Counted
from fsharechat.store.unit import Dialect, Query, Unit, select_in

DAY_MS = 86_400_000


REVOKED = 0
"""The `issued_ms` of a session whose token is good no more."""


class Session(NamedTuple):
    """What proves the CONNECT of one device of one user.

    `imported`: it comes from the original, and so does its user token, until the next login.
    """

    secret: str
    db_secret: str
    issued_ms: int
    imported: bool = False


class CodeRules(NamedTuple):
    """Limits of login codes (contract.md section 3), in milliseconds and pieces.

    Of a number: how long a code lives, the time between two of them, codes in a day, and wrong guesses until a code
    is void. Of an address: codes that it asks for, logins, and wrong guesses.
    """

    lifetime_ms: int
    resend_ms: int
    per_day: int
    wrong_guesses: int
    address_codes: AddressLimit
    address_logins: AddressLimit
    address_guesses: AddressLimit


def find(_: Dialect, uid: str, client_id: str) -> Unit[tuple[Session, int] | None]:
    """Return the session of a device and the status of its user."""
    rows = (
        yield Query(
            "SELECT s.secret, s.db_secret, s.issued_ms, s.imported, u.status "
            "FROM sessions s JOIN users u ON u.uid = s.uid WHERE s.uid = ? AND s.client_id = ?",
            (uid, client_id),
        )
    ).rows
    if not rows:
        return None
    *session, status = rows[0]
    return Session(*session), status


def gone(_: Dialect, devices: Sequence[tuple[str, str]]) -> Unit[list[tuple[str, str]]]:
    """Return those of the devices (uid and client id) whose login is over, or whose user is blocked."""
    rows = yield from select_in(
        "SELECT s.uid, s.client_id FROM sessions s JOIN users u ON u.uid = s.uid "
        f"WHERE u.status <> {int(UserStatus.BLOCKED)} AND s.issued_ms <> {REVOKED} AND s.uid IN ({{}})",
        list({uid for uid, _ in devices}),
    )
    allowed = {(uid, client_id) for uid, client_id in rows}
    return [device for device in devices if device not in allowed]


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
    used_by: str = ""


class NewCode(NamedTuple):
    """Whether a number may have another code, and what it had before.

    `wait_ms`: for how long the address that asks may not, where it is for its sake.
    """

    result: LoginCode
    before: Codes
    wait_ms: int = 0


class Guess(NamedTuple):
    """A code that somebody tries.

    `is_super`: whether it is the super code; None where the server has none. `retried`: the same call may have been
    carried out already. `address`: where it comes from; empty: it is not counted. `may_register`: whether it may make
    a new user.
    """

    number: str
    digest: bytes
    is_super: bool | None
    client_id: str
    retried: bool = False
    address: str = ""
    may_register: bool = True


class Login(NamedTuple):
    """Who has logged in; `created`: the user is new. `session` is None when the guess was refused with `result`.

    `wait_ms`: for how long its address may not log in, where it was refused for its address's sake.
    """

    result: LoginCode
    uid: str = ""
    status: int = 0
    created: bool = False
    session: Session | None = None
    wait_ms: int = 0


def _codes(dialect: Dialect, number: str) -> Unit[Codes]:
    sql = f"SELECT {', '.join(Codes._fields)} FROM login_codes WHERE number = ?{dialect.locking}"
    rows = (yield Query(sql, (number,))).rows
    return Codes(*rows[0]) if rows else Codes()


def _keep(dialect: Dialect, number: str, codes: Codes) -> Unit[None]:
    yield Query(dialect.upsert("login_codes", ("number",), Codes._fields), (number, *codes))


def new_code(
    dialect: Dialect,
    number: str,
    digest: bytes,
    now: int,
    rules: CodeRules,
    retried: bool = False,
    address: str = "",
    may_register: bool = True,
) -> Unit[NewCode]:
    """Keep a code that is to be sent, if the number and the `address` may have another one: SUCCESS or TOO_OFTEN.

    Whoever is no user and may not register gets none: INVALID_NUMBER. It counts for the address all the same.

    A retried call does not wait for `resend_ms`, and is not counted again: what it would wait for may be its own
    first attempt.
    """
    if not retried:
        wait_ms = yield from address_limits.take(dialect, Counted.CODES, address, now, rules.address_codes)
        if wait_ms:
            return NewCode(LoginCode.TOO_OFTEN, Codes(), wait_ms)
    if not may_register and not (yield from users.has_number(dialect, number)):
        return NewCode(LoginCode.INVALID_NUMBER, Codes())
    # A row that is not there cannot be locked, and two processes would each send the number a first code.
    yield Query(
        dialect.insert_new("login_codes", ("number", *Codes._fields)), (number, *Codes()), unread=True
    )
    codes = yield from _codes(dialect, number)
    today = now // DAY_MS
    sent_today = codes.day_count if codes.day == today else 0
    too_soon = within(rules.resend_ms, codes.sent_ms, now) and not retried
    if too_soon or sent_today >= rules.per_day:
        return NewCode(LoginCode.TOO_OFTEN, codes)
    yield from _keep(dialect, number, Codes(digest, now, today, sent_today + 1))
    return NewCode(LoginCode.SUCCESS, codes)


def take_back(dialect: Dialect, number: str, digest: bytes, before: Codes, lost: bool) -> Unit[None]:
    """Undo what a code that could not be sent cost its number, unless another one has taken its place.

    `lost`: it was certainly not sent, and all is as before. Otherwise it stays valid, for it may arrive, and a next
    one waits for `resend_ms`; only the day is not charged with it.
    """
    codes = yield from _codes(dialect, number)
    if codes.digest != digest:
        return
    if lost:
        yield from _keep(dialect, number, before._replace(wrong=before.wrong + codes.wrong))
    else:
        yield from _keep(dialect, number, codes._replace(day_count=codes.day_count - 1))


def use_code(dialect: Dialect, guess: Guess, now: int, rules: CodeRules) -> Unit[LoginCode]:
    """Check a guess and count it: SUCCESS, CODE_EXPIRED or WRONG_CODE.

    A right code is used up, but for the retried call of the device that used it. After `wrong_guesses` wrong ones the
    code is void, and its number may have a new one as ever: nobody can keep others out by guessing. Beyond that a
    guess costs the address that it comes from.
    """
    codes = yield from _codes(dialect, guess.number)
    fresh = within(rules.lifetime_ms, codes.sent_ms, now)
    if guess.retried and fresh and codes.used_by == guess.client_id and codes.digest == guess.digest:
        return LoginCode.SUCCESS
    if guess.is_super:
        return LoginCode.SUCCESS
    alive = fresh and codes.digest != b"" and not codes.used_by and codes.wrong < rules.wrong_guesses
    if alive and codes.digest == guess.digest:
        yield from _keep(dialect, guess.number, codes._replace(used_by=guess.client_id))
        return LoginCode.SUCCESS
    if alive:
        yield from _keep(dialect, guess.number, codes._replace(wrong=codes.wrong + 1))
    if alive or guess.is_super is not None:  # else there is nothing to guess, so nothing to count
        limit = rules.address_guesses
        yield from address_limits.take(dialect, Counted.WRONG_CODES, guess.address, now, limit)
    return LoginCode.WRONG_CODE if alive else LoginCode.CODE_EXPIRED


def log_in(dialect: Dialect, guess: Guess, fresh: Session, now: int, rules: CodeRules) -> Unit[Login]:
    """Use a code, find or create its user and renew the session of the device, all or nothing.

    A blocked user gets NO_SESSION, and only for a right code: nobody else learns that they are.
    A retried call that was carried out already gives the device a session once more, and the same `created`.
    An address that has guessed or logged in too often gets TOO_OFTEN. Whoever is no user and may not register gets
    INVALID_NUMBER.
    """
    wait_ms = yield from address_limits.wait(
        dialect, Counted.WRONG_CODES, guess.address, now, rules.address_guesses
    )
    if not wait_ms and not guess.retried:
        limit = rules.address_logins
        wait_ms = yield from address_limits.take(dialect, Counted.LOGINS, guess.address, now, limit)
    if wait_ms:
        return Login(LoginCode.TOO_OFTEN, wait_ms=wait_ms)
    result = yield from use_code(dialect, guess, now, rules)
    if result is not LoginCode.SUCCESS:
        return Login(result)
    if not guess.may_register and not (yield from users.has_number(dialect, guess.number)):
        return Login(LoginCode.INVALID_NUMBER)
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
