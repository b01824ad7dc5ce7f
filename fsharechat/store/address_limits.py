"""Limits for addresses, counted in the database, so that all processes share them."""

from enum import IntEnum
from typing import NamedTuple

from fsharechat.store.unit import Dialect, Query, Unit

SWEPT = 2
"""How many outdated rows are removed for each new one, so that the table holds only rows in use."""


class Counted(IntEnum):
    """The kinds of events. Each is counted for itself."""

    CODES = 1
    """Requests for login codes."""
    LOGINS = 2
    """Logins, right and wrong."""
    WRONG_CODES = 3
    WRONG_KEYS = 4
    """Wrong keys for the back office."""
    SIGN_INS = 5
    """Tries of administrators to log in, by their address."""
    SIGN_IN_NAMES = 6
    """Tries of administrators to log in, by their name in place of the address."""
    OIDC_LOGINS = 7
    """Logins by OpenID Connect that were begun."""


class AddressLimit(NamedTuple):
    """`most` at once, and as many again over `span_ms`. 0: no limit."""

    most: int
    span_ms: int

    @property
    def step_ms(self) -> int:
        """The time after which there is room for one more, ms."""
        return max(1, self.span_ms // self.most)


def take(dialect: Dialect, what: Counted, address: str, now: int, limit: AddressLimit) -> Unit[int]:
    """Count one more event of an address and return 0. Without room, count nothing and return the wait in ms.

    `now` is in ms. An empty address has no limit.
    """
    if not address or not limit.most:
        return 0
    found = yield from _level(dialect, what, address, now, limit)
    if found is None:
        columns = ("kind", "address", "empty_ms")
        yield Query(dialect.insert_new("address_limits", columns), (what, address, 0), unread=True)
        yield from _sweep(now)
        found = (yield from _level(dialect, what, address, now, limit)) or 0  # a missing row cannot be locked
    if short := _short(found, limit):
        return short
    sql = "UPDATE address_limits SET empty_ms = ? WHERE kind = ? AND address = ?"
    yield Query(sql, (now + found + limit.step_ms, what, address))
    return 0


def wait(dialect: Dialect, what: Counted, address: str, now: int, limit: AddressLimit) -> Unit[int]:
    """Return how long an address must wait for room for one more, ms. Count nothing."""
    if not address or not limit.most:
        return 0
    return _short((yield from _level(dialect, what, address, now, limit)) or 0, limit)


def _short(level: int, limit: AddressLimit) -> int:
    return max(0, level + limit.step_ms - limit.step_ms * limit.most)


def _level(dialect: Dialect, what: Counted, address: str, now: int, limit: AddressLimit) -> Unit[int | None]:
    """Return in how many ms all counted events are forgotten, None if nothing was counted yet.

    The clocks of two processes may differ a little. But a row from a clock that was far ahead does not count: else
    the address would be locked out until that time comes.
    """
    sql = f"SELECT empty_ms FROM address_limits WHERE kind = ? AND address = ?{dialect.locking}"
    rows = (yield Query(sql, (what, address))).rows
    if not rows:
        return None
    level: int = max(rows[0][0] - now, 0)
    full = limit.step_ms * limit.most
    return min(level, full) if level <= 2 * full else 0


def _sweep(now: int) -> Unit[None]:
    old = "SELECT kind, address FROM address_limits WHERE empty_ms > 0 AND empty_ms < ? ORDER BY empty_ms LIMIT ?"
    for row in (yield Query(old, (now, SWEPT))).rows:
        sql = "DELETE FROM address_limits WHERE kind = ? AND address = ? AND empty_ms < ?"
        yield Query(sql, (*row, now), unread=True)
