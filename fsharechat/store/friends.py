"""Friends and friend requests (contract.md section 8)."""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.clock import within
from fsharechat.protocol import sizes
from fsharechat.protocol.signals import FriendState, RequestStatus
from fsharechat.store.unit import Dialect, Query, Row, Unit, select_in


class FriendRequest(NamedTuple):
    """A row of friend_requests. `sent_ms` and `handled_ms` show whether it is open, `update_dt` whether it is new."""

    from_uid: str
    to_uid: str
    reason: str
    status: int
    sent_ms: int
    handled_ms: int
    update_dt: int
    from_read: bool
    to_read: bool


class Tie(NamedTuple):
    """The relation of one user to another. `beneath` is the FriendState that comes back when a blacklisting ends."""

    state: int = FriendState.DELETED
    beneath: int = FriendState.DELETED
    alias: str = ""

    @property
    def is_friend(self) -> bool:
        return FriendState.FRIEND in (self.state, self.beneath)

    @property
    def is_blacklisted(self) -> bool:
        return self.state == FriendState.BLACKLISTED

    def no_friend(self) -> "Tie":
        return self._replace(
            state=self.state if self.is_blacklisted else FriendState.DELETED, beneath=FriendState.DELETED
        )

    def blacklisted(self, on: bool) -> "Tie":
        if on == self.is_blacklisted:
            return self
        if on:
            return self._replace(state=FriendState.BLACKLISTED, beneath=self.state)
        return self._replace(state=self.beneath, beneath=FriendState.DELETED)


MAX_REQUESTS = 2000
"""The most requests in one answer."""

MAX_ENTRIES = 10_000
"""The most friends in one answer."""

_REQUEST_KEYS = FriendRequest._fields[:2]
_REQUEST_COLUMNS = FriendRequest._fields[2:]
_SELECT_REQUEST = f"SELECT {', '.join(FriendRequest._fields)} FROM friend_requests"


def request(dialect: Dialect, from_uid: str, to_uid: str) -> Unit[FriendRequest | None]:
    """Return the last request from one user to another, locked for a change."""
    sql = f"{_SELECT_REQUEST} WHERE from_uid = ? AND to_uid = ?{dialect.locking}"
    rows = (yield Query(sql, (from_uid, to_uid))).rows
    found = FriendRequest(*rows[0]) if rows else None
    return found if found and found[:2] == (from_uid, to_uid) else None  # MySQL takes "a " for "a"


def put_request(dialect: Dialect, changed: FriendRequest) -> Unit[None]:
    """Keep a request. It replaces an earlier one between the two."""
    yield Query(dialect.upsert("friend_requests", _REQUEST_KEYS, _REQUEST_COLUMNS), changed)


def requests(_: Dialect, uid: str, after: int) -> Unit[list[FriendRequest]]:
    """Return the requests from and to a user that changed after the version `after`, oldest change first.

    If there are more than MAX_REQUESTS, or more than fit into an answer, the newest are returned.
    """
    where = "(from_uid = ? OR to_uid = ?) AND update_dt > ?"
    sql = f"{_SELECT_REQUEST} WHERE {where} ORDER BY update_dt DESC LIMIT ?"
    rows = [FriendRequest(*row) for row in (yield Query(sql, (uid, uid, after, MAX_REQUESTS))).rows]
    sized = (
        (row, sizes.FRIEND_REQUEST + sizes.sent_size(row.from_uid, row.to_uid, row.reason)) for row in rows
    )
    return list(sizes.fitting(sized))[::-1]


def mark_read(_: Dialect, uid: str, upto: int, now: int) -> Unit[None]:
    """Note that a user has seen the requests up to the version `upto`."""
    for side in ("to", "from"):
        sql = (
            f"UPDATE friend_requests SET {side}_read = 1, update_dt = ? "
            f"WHERE {side}_uid = ? AND {side}_read = 0 AND update_dt <= ?"
        )
        yield Query(sql, (now, uid, upto))


def tie(dialect: Dialect, uid: str, other: str) -> Unit[Tie]:
    """Return the relation of `other` to a user, locked for a change."""
    sql = f"SELECT friend_uid, state, beneath, alias FROM friends WHERE uid = ? AND friend_uid = ?{dialect.locking}"
    rows = (yield Query(sql, (uid, other))).rows
    return Tie(*rows[0][1:]) if rows and rows[0][0] == other else Tie()  # MySQL takes "a " for "a"


def put_tie(dialect: Dialect, uid: str, other: str, now_is: Tie, version: int) -> Unit[None]:
    """Keep a new relation of `other` to a user."""
    upsert = dialect.upsert("friends", ("uid", "friend_uid"), (*Tie._fields, "update_dt"))
    yield Query(upsert, (uid, other, *now_is, version))


def befriend(dialect: Dialect, one: str, other: str, now: int) -> Unit[None]:
    """Make two users friends of each other. An existing alias stays."""
    for uid, friend_uid in sorted(((one, other), (other, one))):
        before = yield from tie(dialect, uid, friend_uid)
        yield from put_tie(dialect, uid, friend_uid, before._replace(state=FriendState.FRIEND), now)


def blacklist_size(_: Dialect, uid: str) -> Unit[int]:
    """Return how many users a user has blacklisted."""
    sql = "SELECT COUNT(*) FROM friends WHERE uid = ? AND state = ?"
    return int((yield Query(sql, (uid, FriendState.BLACKLISTED))).rows[0][0])


def blacklisters(_: Dialect, uids: Sequence[str], uid: str) -> Unit[set[str]]:
    """Return those of the users who have blacklisted `uid`."""
    sql = "SELECT uid FROM friends WHERE friend_uid = ? AND state = ? AND uid IN ({})"
    return {row[0] for row in (yield from select_in(sql, uids, uid, FriendState.BLACKLISTED))}


def changed(_: Dialect, uid: str, after: int) -> Unit[list[Row]]:
    """Return (friend uid, state, update_dt, alias) of the friends that changed after the version `after`.

    From version 0 the list has only existing relations: some clients take every entry for a friend. The oldest change
    comes first. If there are more than MAX_ENTRIES, or more than fit into an answer, the device asks again.
    """
    something = "" if after > 0 else f"AND state <> {int(FriendState.DELETED)} "
    sql = (
        "SELECT friend_uid, state, update_dt, alias FROM friends "
        f"WHERE uid = ? AND update_dt > ? {something}ORDER BY update_dt, friend_uid LIMIT ?"
    )
    rows = (yield Query(sql, (uid, after, MAX_ENTRIES))).rows
    return list(sizes.fitting((row, sizes.FRIEND + sizes.sent_size(row[0], row[3])) for row in rows))


def friend_count(_: Dialect, uid: str) -> Unit[int]:
    """Return how many friends a user has, blacklisted ones too."""
    sql = "SELECT COUNT(*) FROM friends WHERE uid = ? AND (state = ? OR (state = ? AND beneath = ?))"
    states = (FriendState.FRIEND, FriendState.BLACKLISTED, FriendState.FRIEND)
    return int((yield Query(sql, (uid, *states))).rows[0][0])


OPEN_MS = 7 * 86_400_000
"""How long a request can be answered, ms. In that time a second one is refused."""

BLOCKED_MS = 30 * 86_400_000
"""How long further requests are refused after a rejection, ms."""


def is_open(found: FriendRequest, now: int) -> bool:
    return found.status == RequestStatus.SENT and within(OPEN_MS, found.sent_ms, now)


def is_blocked(found: FriendRequest, now: int) -> bool:
    return found.status == RequestStatus.REJECTED and within(BLOCKED_MS, found.handled_ms, now)
