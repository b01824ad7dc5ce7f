"""Devices that are logged in, and the login codes."""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.clock import within
from fsharechat.protocol.signals import LoginCode, UserStatus
from fsharechat.store import address_limits, cursors, invitations, users
from fsharechat.store.address_limits import AddressLimit, Counted
from fsharechat.store.unit import Dialect, Query, Unit, select_in, upsert_many

DAY_MS = 86_400_000


REVOKED = 0
"""The `issued_ms` of a session whose token is no longer valid."""


class LoginSession(NamedTuple):
    """The secrets that prove the CONNECT of one device of one user.

    `imported`: the session is from the original, and so is its user token, until the next login. `agent` and `name`
    are what the login said of the device, for its user. `bot`: an administrator made it, and it does not expire.
    """

    secret: str
    db_secret: str
    issued_ms: int
    imported: bool = False
    agent: str = ""
    name: str = ""
    bot: bool = False

    def expired(self, oldest_ms: int) -> bool:
        """Return whether the login is older than the oldest that is still good (ms)."""
        return not self.bot and self.issued_ms < oldest_ms


class CodeRules(NamedTuple):
    """Limits of login codes (contract.md section 3), in milliseconds and pieces.

    For a number: how long a code is valid, the time between two codes, codes in a day, and wrong guesses until a code
    is void. For an address: requests for codes, logins, and wrong guesses.
    """

    lifetime_ms: int
    resend_ms: int
    per_day: int
    wrong_guesses: int
    address_codes: AddressLimit
    address_logins: AddressLimit
    address_guesses: AddressLimit


def find(_: Dialect, uid: str, client_id: str) -> Unit[tuple[LoginSession, int] | None]:
    """Return the session of a device and the status of its user."""
    rows = (
        yield Query(
            "SELECT s.secret, s.db_secret, s.issued_ms, s.imported, s.bot, u.status "
            "FROM sessions s JOIN users u ON u.uid = s.uid WHERE s.uid = ? AND s.client_id = ?",
            (uid, client_id),
        )
    ).rows
    if not rows:
        return None
    secret, db_secret, issued_ms, imported, bot, status = rows[0]
    return LoginSession(secret, db_secret, issued_ms, imported, bot=bool(bot)), status


def gone(_: Dialect, devices: Sequence[tuple[str, str]], oldest_ms: int = 0) -> Unit[list[tuple[str, str]]]:
    """Return the devices (uid and client id) whose login has ended, or whose user is blocked.

    A login from before `oldest_ms` has ended.
    """
    rows = yield from select_in(
        "SELECT s.uid, s.client_id FROM sessions s JOIN users u ON u.uid = s.uid "
        f"WHERE u.status <> {int(UserStatus.BLOCKED)} AND s.issued_ms <> {REVOKED} "
        f"AND (s.bot = 1 OR s.issued_ms >= {int(oldest_ms)}) AND s.uid IN ({{}})",
        list({uid for uid, _ in devices}),
    )
    allowed = {(uid, client_id) for uid, client_id in rows}
    return [device for device in devices if device not in allowed]


def renew(dialect: Dialect, uid: str, client_id: str, fresh: LoginSession) -> Unit[LoginSession]:
    """Keep a new secret for a device. Its `db_secret` stays the same, because it encrypts the device's data."""
    rows = (
        yield Query("SELECT db_secret FROM sessions WHERE uid = ? AND client_id = ?", (uid, client_id))
    ).rows
    session = fresh._replace(db_secret=rows[0][0]) if rows else fresh
    yield from cursors.begin(dialect, uid, client_id)
    yield Query(
        dialect.upsert("sessions", ("uid", "client_id"), LoginSession._fields), (uid, client_id, *session)
    )
    return session


def revoke(_: Dialect, uid: str) -> Unit[None]:
    """End the tokens of all devices of a user. Each must log in again, and then gets its old `db_secret`."""
    yield Query("UPDATE sessions SET issued_ms = ? WHERE uid = ?", (REVOKED, uid))


def forget(dialect: Dialect, uid: str, client_id: str, issued_ms: int | None = None) -> Unit[None]:
    """Log a device out. With `issued_ms`, only if its login is still the one from that time."""
    sql = "DELETE FROM sessions WHERE uid = ? AND client_id = ?"
    if issued_ms is None:
        yield Query(sql, (uid, client_id))
    elif not (yield Query(f"{sql} AND issued_ms = ?", (uid, client_id, issued_ms))).changed:
        return
    yield from cursors.forget(dialect, uid, client_id)
    yield Query("DELETE FROM device_seen WHERE uid = ? AND client_id = ?", (uid, client_id))


class Seen(NamedTuple):
    """A device was connected up to `seen_ms`."""

    uid: str
    client_id: str
    seen_ms: int


def keep_seen(dialect: Dialect, batch: Sequence[Seen]) -> Unit[None]:
    """Keep when devices were connected last. An earlier time changes nothing."""
    newest = {(uid, client_id): seen_ms for uid, client_id, seen_ms in sorted(batch)}
    rows, columns = [(*key, seen_ms) for key, seen_ms in newest.items()], ("seen_ms",)
    yield from upsert_many(dialect, "device_seen", ("uid", "client_id"), columns, rows, highest=columns)


class KnownDevice(NamedTuple):
    """A device of a user. It was connected up to `seen_ms`, as far as is kept."""

    client_id: str
    agent: str
    name: str
    issued_ms: int
    seen_ms: int


def of_user(_: Dialect, uid: str, count: int, oldest_ms: int = 0) -> Unit[list[KnownDevice]]:
    """Return the devices of a user, the last login first, without logins from before `oldest_ms`."""
    sql = (
        "SELECT s.client_id, s.agent, s.name, s.issued_ms, COALESCE(d.seen_ms, 0) FROM sessions s "
        "LEFT JOIN device_seen d ON d.uid = s.uid AND d.client_id = s.client_id "
        f"WHERE s.uid = ? AND s.issued_ms <> {REVOKED} AND (s.bot = 1 OR s.issued_ms >= ?) "
        "ORDER BY s.issued_ms DESC, s.client_id LIMIT ?"
    )
    return [KnownDevice(*row) for row in (yield Query(sql, (uid, oldest_ms, count))).rows]


def end(dialect: Dialect, uid: str, client_id: str) -> Unit[bool]:
    """Log a device of a user out. Return whether it was logged in."""
    sql = "SELECT client_id FROM sessions WHERE uid = ? AND client_id = ? AND issued_ms <> ?"
    rows = (yield Query(sql, (uid, client_id, REVOKED))).rows
    if not rows or rows[0][0] != client_id:  # for MySQL "a " is "a"
        return False
    yield from forget(dialect, uid, client_id)
    return True


class LoginCodes(NamedTuple):
    """The kept facts about the codes of one number: the columns of `login_codes`."""

    digest: bytes = b""
    sent_ms: int = 0
    day: int = 0
    day_count: int = 0
    wrong: int = 0
    used_by: str = ""


class NewCode(NamedTuple):
    """The result for a new code: whether the number may have it, and its earlier row.

    `wait_ms`: how long the asking address must wait, if the address is the reason.
    """

    result: LoginCode
    before: LoginCodes
    wait_ms: int = 0


class Guess(NamedTuple):
    """A code that a user tries.

    `is_super`: whether it is the super code, None if the server has none. `retried`: the same call may have been
    carried out already. `address`: its origin; an empty one is not counted. `may_register`: whether it may make a new
    user. `invitation`: the digest of the code of an invitation, empty if it brings none; None if no invitation helps.
    """

    number: str
    digest: bytes
    is_super: bool | None
    client_id: str
    retried: bool = False
    address: str = ""
    may_register: bool = True
    invitation: bytes | None = None


class LoginResult(NamedTuple):
    """A login. `created`: the user is new. `session` is None if the guess was refused with `result`.

    `wait_ms`: how long the address must wait, if the address is the reason for a refusal.
    """

    result: LoginCode
    uid: str = ""
    status: int = 0
    created: bool = False
    session: LoginSession | None = None
    wait_ms: int = 0


def _codes(dialect: Dialect, number: str) -> Unit[LoginCodes]:
    sql = f"SELECT {', '.join(LoginCodes._fields)} FROM login_codes WHERE number = ?{dialect.locking}"
    rows = (yield Query(sql, (number,))).rows
    return LoginCodes(*rows[0]) if rows else LoginCodes()


def _keep(dialect: Dialect, number: str, codes: LoginCodes) -> Unit[None]:
    yield Query(dialect.upsert("login_codes", ("number",), LoginCodes._fields), (number, *codes))


def new_code(
    dialect: Dialect,
    number: str,
    digest: bytes,
    now: int,
    rules: CodeRules,
    retried: bool = False,
    address: str = "",
    may_register: bool = True,
    invitation: bytes | None = None,
) -> Unit[NewCode]:
    """Keep a code for sending, if the number and the `address` may have another one: SUCCESS or TOO_OFTEN.

    A user who does not exist, may not register and is not invited gets INVALID_NUMBER. That counts for the address
    too. An `invitation` (see Guess) is not used up. A retried call does not wait for `resend_ms`, and is not counted
    again: the earlier code may be its own first try.
    """
    if not retried:
        wait_ms = yield from address_limits.take(dialect, Counted.CODES, address, now, rules.address_codes)
        if wait_ms:
            return NewCode(LoginCode.TOO_OFTEN, LoginCodes(), wait_ms)
    stranger = not may_register and not (yield from users.has_number(dialect, number))
    if stranger and (yield from invitation_for(dialect, number, invitation, now)) is None:
        return NewCode(LoginCode.INVALID_NUMBER, LoginCodes())
    # A missing row cannot be locked, and then two processes would both send a first code to the number.
    yield Query(
        dialect.insert_new("login_codes", ("number", *LoginCodes._fields)),
        (number, *LoginCodes()),
        unread=True,
    )
    codes = yield from _codes(dialect, number)
    today = now // DAY_MS
    sent_today = codes.day_count if codes.day == today else 0
    too_soon = within(rules.resend_ms, codes.sent_ms, now) and not retried
    if too_soon or sent_today >= rules.per_day:
        return NewCode(LoginCode.TOO_OFTEN, codes)
    yield from _keep(dialect, number, LoginCodes(digest, now, today, sent_today + 1))
    return NewCode(LoginCode.SUCCESS, codes)


def give_code(dialect: Dialect, number: str, digest: bytes, now: int) -> Unit[None]:
    """Keep a code that an administrator hands out. It takes the place of an earlier one, and counts for no limit."""
    codes = yield from _codes(dialect, number)
    yield from _keep(dialect, number, codes._replace(digest=digest, sent_ms=now, wrong=0, used_by=""))


def take_back(dialect: Dialect, number: str, digest: bytes, before: LoginCodes, lost: bool) -> Unit[None]:
    """Take back the count of a code that could not be sent, unless another code has replaced it.

    `lost`: it was certainly not sent, and everything becomes as before. Else the code stays valid, because it may
    arrive, and the next one waits for `resend_ms`; it just does not count for the day.
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

    A right code can be used once; only a retried call of the same device may use it again. After `wrong_guesses`
    wrong guesses the code is void, and its number may get a new one as usual: so nobody can lock others out by
    guessing. Guesses also count for the address from which they come.
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
    if alive or guess.is_super is not None:  # else there is nothing to guess, and nothing to count
        limit = rules.address_guesses
        yield from address_limits.take(dialect, Counted.WRONG_CODES, guess.address, now, limit)
    return LoginCode.WRONG_CODE if alive else LoginCode.CODE_EXPIRED


def log_in(
    dialect: Dialect, guess: Guess, fresh: LoginSession, now: int, rules: CodeRules
) -> Unit[LoginResult]:
    """Use a code, find or create its user and renew the session of the device, all or nothing.

    A blocked user gets NO_SESSION, but only for a right code: nobody else learns of the block. A retried call that
    was carried out already gives the device a session again, with the same `created`. An address that has guessed or
    logged in too often gets TOO_OFTEN. A user who does not exist, may not register and is not invited gets
    INVALID_NUMBER. An invitation counts the user whom it makes.
    """
    wait_ms = yield from address_limits.wait(
        dialect, Counted.WRONG_CODES, guess.address, now, rules.address_guesses
    )
    if not wait_ms and not guess.retried:
        limit = rules.address_logins
        wait_ms = yield from address_limits.take(dialect, Counted.LOGINS, guess.address, now, limit)
    if wait_ms:
        return LoginResult(LoginCode.TOO_OFTEN, wait_ms=wait_ms)
    result = yield from use_code(dialect, guess, now, rules)
    if result is not LoginCode.SUCCESS:
        return LoginResult(result)
    invited: str | None = None
    if not guess.may_register and not (yield from users.has_number(dialect, guess.number)):
        invited = yield from invitation_for(dialect, guess.number, guess.invitation, now)
        if invited is None:
            return LoginResult(LoginCode.INVALID_NUMBER)
    uid, status, created = yield from users.get_or_create(dialect, guess.number, now)
    if invited is not None and created:
        yield from invitations.take(dialect, invited)
    if status == UserStatus.BLOCKED:
        return LoginResult(LoginCode.NO_SESSION, uid, status)
    if guess.retried and not created:
        created = yield from came_with(uid, guess.client_id)
    session = yield from renew(dialect, uid, guess.client_id, fresh)
    yield from users.has_come(dialect, uid, now)
    return LoginResult(result, uid, status, created, session)


def invitation_for(dialect: Dialect, number: str, invitation: bytes | None, now: int) -> Unit[str | None]:
    """Return the id of an invitation that lets a number register, see Guess."""
    if invitation is None:
        return None
    return (yield from invitations.find(dialect, number, invitation, now))


def came_with(uid: str, client_id: str) -> Unit[bool]:
    """Return whether the session of a device was made together with its user, and the user has not changed since."""
    sql = (
        "SELECT 1 FROM users u JOIN sessions s ON s.uid = u.uid "
        "WHERE u.uid = ? AND s.client_id = ? AND s.issued_ms = u.update_dt"
    )
    return bool((yield Query(sql, (uid, client_id))).rows)
