"""Reads in groups: one row for each group and reporter, however many members are told (contract.md section 8).

The reader of a row checks who may be told of it: users who were members when it was written, are still members, and
are not blacklisted by the reporter. Rows have versions (ms), made in the transaction that writes them. Transactions
overtake each other, so a row may become visible after rows with higher versions.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.protocol.signals import ConversationType, FriendState, MemberType, ReportType
from fsharechat.store.friends import blacklisters
from fsharechat.store.unit import Dialect, Query, Row, Unit, find_many, flat, select_in, upsert_many


class GroupRead(NamedTuple):
    """`reporter` has read up to `date` (ms) in a group. Users who became members after `members_dt` are not told."""

    group_id: str
    line: int
    reporter: str
    date: int
    members_dt: int
    """The version of the members (ms) in which the reporter is a member."""


class Seat(NamedTuple):
    """A group of a user, the time (ms) since when they are in it, and the version of its newest row for them."""

    group_id: str
    joined_ms: int
    newest: int


class ToldRead(NamedTuple):
    """A row that a user is told of."""

    version: int
    reporter: str
    date: int
    group_id: str
    line: int


_KEYS = ("group_id", "line", "reporter")
_COLUMNS = ("date", "version", "members_dt")

# The newest row of the group of `m` for the member `m`. The search begins at the end of an index, and skips the few
# rows that are the member's own, or by users who have blacklisted the member.
_NEWEST = (
    "(SELECT r.version FROM group_reads r WHERE r.group_id = m.group_id AND r.reporter <> m.uid "
    "AND NOT EXISTS (SELECT 1 FROM friends f "
    f"WHERE f.uid = r.reporter AND f.friend_uid = m.uid AND f.state = {int(FriendState.BLACKLISTED)}) "
    "ORDER BY r.version DESC LIMIT 1)"
)
_MEMBER = f"m.type <> {int(MemberType.REMOVED)}"

_TERMS = 100
"""How many groups one statement of `reach` takes. SQLite takes 500 parts of a compound SELECT."""


def news(dialect: Dialect, batch: Sequence[GroupRead]) -> Unit[list[GroupRead]]:
    """Return the reads whose date is above the known one: one for each group, line and reporter."""
    found: dict[Row, GroupRead] = {}
    for read in batch:
        before = found.get(read[:3], read)
        found[read[:3]] = read._replace(
            date=max(read.date, before.date), members_dt=max(read.members_dt, before.members_dt)
        )
    for key, date in (yield from dates(dialect, list(found))).items():
        if found[key].date <= date:
            del found[key]
    return list(found.values())


def dates(dialect: Dialect, keys: Sequence[Row]) -> Unit[dict[Row, int]]:
    """Return the known dates, by (group, line, reporter)."""
    rows = yield from _find(dialect, keys)
    return {tuple(key): date for *key, date, _ in rows}


def dates_for(
    dialect: Dialect, uid: str, joined: dict[str, int], keys: Sequence[Row]
) -> Unit[dict[Row, int]]:
    """Return the known dates that a user is told; `joined` has the times (ms) when the user joined groups."""
    rows = yield from _find(dialect, keys)
    silent = yield from blacklisters(dialect, list({row[2] for row in rows}), uid)
    return {
        tuple(key): date
        for *key, date, members_dt in rows
        if key[2] not in silent and joined.get(key[0], members_dt + 1) <= members_dt
    }


def _find(dialect: Dialect, keys: Sequence[Row]) -> Unit[list[Row]]:
    """Return (group, line, reporter, date, members_dt) of rows."""
    return (yield from find_many(dialect, "group_reads", (*_KEYS, "date", "members_dt"), _KEYS, keys))


def keep(dialect: Dialect, batch: Sequence[GroupRead], version: int) -> Unit[None]:
    """Write new reads, with one version for all of them.

    The highest values stay: another process may have stored a later read since this one looked.
    """
    rows = [(*read[:3], read.date, version, read.members_dt) for read in sorted(batch)]
    yield from upsert_many(dialect, "group_reads", _KEYS, _COLUMNS, rows, highest=_COLUMNS)


def newest(_: Dialect, uids: Sequence[str]) -> Unit[dict[str, int]]:
    """Return the highest version in the groups of each user, for users with such a group.

    The row may be older than the membership of the user, who is not told of it then.
    """
    sql = f"SELECT m.uid, MAX({_NEWEST}) FROM group_members m WHERE m.uid IN ({{}}) AND {_MEMBER} GROUP BY m.uid"
    return {uid: version for uid, version in (yield from select_in(sql, uids)) if version is not None}


def seats(_: Dialect, uid: str, after: int) -> Unit[list[Seat]]:
    """Return the groups of a user with a version above `after`."""
    every = f"SELECT m.group_id, m.joined_ms, {_NEWEST} AS newest FROM group_members m WHERE m.uid = ? AND {_MEMBER}"
    sql = f"SELECT group_id, joined_ms, newest FROM ({every}) g WHERE newest > ?"
    return [Seat(*row) for row in (yield Query(sql, (uid, after))).rows]


def reach(_: Dialect, seats: Sequence[Seat], after: int, upto: int, count: int) -> Unit[int]:
    """Return a version, at most `upto`, such that no group has many more than `count` rows from `after` to it.

    Rows of one version stay together.
    """
    after_some = "WHERE group_id = ? AND version > ? ORDER BY version LIMIT 1 OFFSET ?"
    one = f"SELECT * FROM (SELECT version FROM group_reads {after_some})"
    for start in range(0, len(seats), _TERMS):
        part = seats[start : start + _TERMS]
        terms = " UNION ALL ".join(f"{one} t{n}" for n in range(len(part)))
        params = flat((seat.group_id, after, count - 1) for seat in part)
        found = (yield Query(f"SELECT MIN(version) FROM ({terms}) a", params)).rows[0][0]
        upto = min(upto, found or upto)
    return upto


def told(dialect: Dialect, uid: str, seats: Sequence[Seat], after: int, upto: int) -> Unit[list[ToldRead]]:
    """Return the rows of some groups that a user is told, with versions above `after` and up to `upto`, unordered."""
    joined = {seat.group_id: seat.joined_ms for seat in seats}
    sql = (
        "SELECT version, reporter, date, group_id, line, members_dt FROM group_reads "
        "WHERE version > ? AND version <= ? AND reporter <> ? AND group_id IN ({})"
    )
    rows = yield from select_in(sql, list(joined), after, upto, uid)
    found = [ToldRead(*row) for *row, members_dt in rows if joined[row[3]] <= members_dt]
    silent = yield from blacklisters(dialect, list({row.reporter for row in found}), uid)
    return [row for row in found if row.reporter not in silent]


def readers(dialect: Dialect, uid: str, group_id: str, line: int, joined_ms: int) -> Unit[dict[str, int]]:
    """Return how far (ms) others have told a member that they have read, by uid."""
    sql = (
        "SELECT reporter, date, members_dt FROM group_reads WHERE group_id = ? AND line = ? AND reporter <> ?"
    )
    rows = (yield Query(sql, (group_id, line, uid))).rows
    found = {reporter: date for reporter, date, members_dt in rows if joined_ms <= members_dt}
    sql = (
        "SELECT reporter, date FROM reports WHERE uid = ? AND kind = ? AND conversation = ? AND line = ? "
        "AND target = ?"
    )
    about = (uid, ReportType.READ, ConversationType.GROUP, line, group_id)
    for reporter, date in (yield Query(sql, about)).rows:  # of those who have named this user
        found[reporter] = max(date, found.get(reporter, 0))
    silent = yield from blacklisters(dialect, list(found), uid)
    return {reporter: date for reporter, date in found.items() if reporter not in silent}
