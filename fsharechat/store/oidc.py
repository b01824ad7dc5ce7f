"""Logins by OpenID Connect: those under way, and which user an account belongs to (docs/decisions/oidc.md)."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import orjson

from fsharechat.oidc import OidcAccount, Phase, Polled
from fsharechat.protocol.signals import LoginCode, UserStatus
from fsharechat.store import address_limits, invitations, sessions, users, webhooks
from fsharechat.store.address_limits import AddressLimit, Counted
from fsharechat.store.sessions import LoginResult, LoginSession
from fsharechat.store.unit import Dialect, Query, Unit

MAX_UNDER_WAY = 10_000
"""The most logins under way at a time. New ones beyond that are refused."""

SWEPT = 20
"""The most expired logins that are removed with each new one."""


class OidcGuess(NamedTuple):
    """A login that a device finishes.

    `digest` is that of its secret. `account` comes from the provider when a terminal logs in. It is None for a
    browser: then the stored account counts. `link`: whether a verified address or number leads to the user who has
    it. `takes` says whether a number, an address or "" may make a user. `invitation`, `retried` and `address` are
    those of sessions.Guess.
    """

    digest: bytes
    client_id: str
    account: OidcAccount | None
    link: bool
    takes: Callable[[str], bool]
    invitation: bytes | None = None
    retried: bool = False
    address: str = ""


class OidcResult(NamedTuple):
    """As LoginResult. `taken`: the address or number of the account already belongs to a user."""

    done: LoginResult
    taken: bool = False


def begin(
    dialect: Dialect,
    digest: bytes,
    phase: Phase,
    expires_ms: int,
    now: int,
    address: str,
    limit: AddressLimit,
    retried: bool = False,
) -> Unit[tuple[bool, int]]:
    """Keep a new login. Return whether there is room, and how long the `address` must wait (ms) if it must."""
    if not retried:
        wait_ms = yield from address_limits.take(dialect, Counted.OIDC_LOGINS, address, now, limit)
        if wait_ms:
            return False, wait_ms
    old = "SELECT digest FROM oidc_logins WHERE expires_ms < ? ORDER BY expires_ms LIMIT ?"
    for (gone,) in (yield Query(old, (now, SWEPT))).rows:
        yield Query("DELETE FROM oidc_logins WHERE digest = ?", (gone,), unread=True)
    if (yield Query("SELECT COUNT(*) FROM oidc_logins")).rows[0][0] >= MAX_UNDER_WAY:
        return False, 0
    yield from _keep(dialect, digest, phase, "", expires_ms)
    return True, 0


def take(dialect: Dialect, digest: bytes, taker: str, now: int) -> Unit[bool]:
    """Take the login of a browser that came back, once. A retried call has the same `taker`, and takes it again."""
    found = yield from _find(dialect, digest, Phase.BROWSER, now)
    if found is None or found.used_by not in ("", taker):
        return False
    yield from _use(digest, taker)
    return True


def know(dialect: Dialect, digest: bytes, account: OidcAccount, expires_ms: int) -> Unit[None]:
    """Keep the account of a browser, under the digest of a new secret."""
    yield from _keep(dialect, digest, Phase.KNOWN, orjson.dumps(list(account)).decode(), expires_ms)


def poll(dialect: Dialect, digest: bytes, interval_ms: int, now: int) -> Unit[Polled]:
    """Return whether the provider may be asked about a terminal now. The next time is after `interval_ms`."""
    found = yield from _find(dialect, digest, Phase.DEVICE, now)
    if found is None:
        return Polled.NEVER
    if now < found.next_ms <= now + interval_ms:
        return Polled.LATER
    sql = "UPDATE oidc_logins SET next_ms = ? WHERE digest = ?"
    yield Query(sql, (now + interval_ms, digest), unread=True)
    return Polled.NOW


def log_in(
    dialect: Dialect, guess: OidcGuess, fresh: LoginSession, now: int, limit: AddressLimit
) -> Unit[OidcResult]:
    """Use up a login: find, bind or create its user, and renew the session of the device. All of it, or nothing.

    The results are those of sessions.log_in. CODE_EXPIRED: the login took too long, or was finished already.
    """
    if not guess.retried:
        wait_ms = yield from address_limits.take(dialect, Counted.LOGINS, guess.address, now, limit)
        if wait_ms:
            return OidcResult(LoginResult(LoginCode.TOO_OFTEN, wait_ms=wait_ms))
    phase = Phase.KNOWN if guess.account is None else Phase.DEVICE
    found = yield from _find(dialect, guess.digest, phase, now)
    again = found is not None and guess.retried and found.used_by == guess.client_id
    if found is None or (found.used_by and not again):
        return OidcResult(LoginResult(LoginCode.CODE_EXPIRED))
    account = guess.account or OidcAccount(*orjson.loads(found.account))
    entry = yield from _entry(dialect, account, guess, now)
    if isinstance(entry, OidcResult):
        return entry
    if entry.status == UserStatus.BLOCKED:
        return OidcResult(LoginResult(LoginCode.NO_SESSION, entry.uid, entry.status))
    yield from _use(guess.digest, guess.client_id)
    created = entry.created or (again and (yield from sessions.came_with(entry.uid, guess.client_id)))
    session = yield from sessions.renew(dialect, entry.uid, guess.client_id, fresh)
    yield from users.has_come(dialect, entry.uid, now)
    return OidcResult(LoginResult(LoginCode.SUCCESS, entry.uid, entry.status, created, session))


class BoundAccount(NamedTuple):
    """An account of a provider that leads to a user, since `bound_ms`. `account` is its digest."""

    account: bytes
    issuer: str
    subject: str
    bound_ms: int


def bound(_: Dialect, uid: str) -> Unit[list[BoundAccount]]:
    """Return the accounts of a user: one for each provider at most."""
    sql = "SELECT account, issuer, subject, bound_ms FROM oidc_accounts WHERE uid = ? ORDER BY bound_ms, account"
    return [BoundAccount(bytes(account), *more) for account, *more in (yield Query(sql, (uid,))).rows]


def unbind(_: Dialect, uid: str, account: bytes) -> Unit[None]:
    """Take an account from a user. It leads to nobody from then on; sessions go on."""
    yield Query("DELETE FROM oidc_accounts WHERE uid = ? AND account = ?", (uid, account), unread=True)


def forget(_: Dialect, uid: str) -> Unit[None]:
    """Remove the accounts of a user, so that they no longer lead to this user."""
    yield Query("DELETE FROM oidc_accounts WHERE uid = ?", (uid,))


class _Entry(NamedTuple):
    """The user of an account. `created`: the user is new."""

    uid: str
    status: int
    created: bool = False


def _entry(dialect: Dialect, account: OidcAccount, guess: OidcGuess, now: int) -> Unit[_Entry | OidcResult]:
    """Find, bind or create the user of an account. Return the user, or the refusal."""
    if known := (yield from _bound_to(account)):
        return known
    owner: _Entry | None = None
    numbers = [number for number in (account.email, account.number) if number]
    for number in numbers:
        owner = owner or (yield from _owner(number))
    if owner is not None:
        bound = "SELECT account FROM oidc_accounts WHERE uid = ? AND issuer = ?"
        others = (yield Query(bound, (owner.uid, account.issuer))).rows
        if not guess.link or others:
            return OidcResult(LoginResult(LoginCode.INVALID_NUMBER), taken=True)
        return (yield from _bind(dialect, account, owner, now)) or owner
    invited: str | None = None
    if not any(map(guess.takes, numbers or [""])):
        invited = yield from _invitation(dialect, numbers, guess, now)
        if invited is None:
            return OidcResult(LoginResult(LoginCode.INVALID_NUMBER))
    made = _Entry(users.new_uid(), int(UserStatus.NORMAL), created=True)
    if won := (yield from _bind(dialect, account, made, now)):  # the same account logs in elsewhere
        return won
    if not (yield from _create(dialect, account, made.uid, now)):
        yield from forget(dialect, made.uid)
        return OidcResult(LoginResult(LoginCode.INVALID_NUMBER), taken=True)
    if invited is not None:
        yield from invitations.take(dialect, invited)
    return made


def _bound_to(account: OidcAccount) -> Unit[_Entry | None]:
    sql = "SELECT u.uid, u.status FROM oidc_accounts a JOIN users u ON u.uid = a.uid WHERE a.account = ?"
    rows = (yield Query(sql, (_key(account),))).rows
    return _Entry(*rows[0]) if rows else None


def _owner(number: str) -> Unit[_Entry | None]:
    rows = (yield Query("SELECT uid, status FROM users WHERE number = ?", (number,))).rows
    return _Entry(*rows[0]) if rows else None


def _bind(dialect: Dialect, account: OidcAccount, owner: _Entry, now: int) -> Unit[_Entry | None]:
    """Bind an account to a user. If it was bound meanwhile, return that user."""
    columns = ("account", "issuer", "subject", "uid", "bound_ms")
    values = (_key(account), account.issuer, account.subject, owner.uid, now)
    yield Query(dialect.insert_new("oidc_accounts", columns), values, unread=True)
    uid = (yield Query("SELECT uid FROM oidc_accounts WHERE account = ?", (_key(account),))).rows[0][0]
    return None if uid == owner.uid else (yield from _bound_to(account))


def _create(dialect: Dialect, account: OidcAccount, uid: str, now: int) -> Unit[bool]:
    """Make the user of an account. Return False if somebody took the number meanwhile.

    Without a verified address or number the user has none, and no code logs it in.
    """
    number = account.email or account.number or uid
    yield from users.insert(dialect, uid, number, account.name or users.default_name(number), now)
    if number == uid:
        yield Query("UPDATE users SET mobile = '' WHERE uid = ?", (uid,), unread=True)
    made = bool((yield Query("SELECT uid FROM users WHERE uid = ?", (uid,))).rows)
    if made:
        yield from webhooks.note(dialect, webhooks.USER_REGISTERED, uid, now, {})
    return made


def _invitation(dialect: Dialect, numbers: list[str], guess: OidcGuess, now: int) -> Unit[str | None]:
    """Return the id of an invitation for the address, the number, or for anybody with its code."""
    for number in numbers:
        found = yield from sessions.invitation_for(dialect, number, guess.invitation, now)
        if found is not None:
            return found
    if not guess.invitation:
        return None
    return (yield from invitations.by_code(dialect, guess.invitation, now))


def _key(account: OidcAccount) -> bytes:
    return hashlib.sha256(f"{len(account.issuer)} {account.issuer} {account.subject}".encode()).digest()


class _Login(NamedTuple):
    account: str
    used_by: str
    next_ms: int


def _find(dialect: Dialect, digest: bytes, phase: Phase, now: int) -> Unit[_Login | None]:
    """Return a login that is still good, with its row locked."""
    sql = (
        "SELECT account, used_by, next_ms FROM oidc_logins "
        f"WHERE digest = ? AND phase = ? AND expires_ms > ?{dialect.locking}"
    )
    rows = (yield Query(sql, (digest, phase, now))).rows
    return _Login(*rows[0]) if rows else None


def _keep(dialect: Dialect, digest: bytes, phase: Phase, account: str, expires_ms: int) -> Unit[None]:
    columns = ("digest", "phase", "account", "expires_ms")
    values = (digest, int(phase), account, expires_ms)
    yield Query(dialect.insert_new("oidc_logins", columns), values, unread=True)


def _use(digest: bytes, by: str) -> Unit[None]:
    yield Query("UPDATE oidc_logins SET used_by = ? WHERE digest = ?", (by, digest), unread=True)
