"""Delivery and read reports (contract.md section 8).

A report to one user, or to some, has one row for each receiver, conversation and reporter. A read in a group has one
row for all members (group_reads.py).

Each user has a sequence for each kind of report. When the date of a row grows, the row moves to the end. So a device
that has fetched up to some seq finds all its news after that seq. The seq of a delivery report is one higher than the
last. The seq of a read report is a version in ms, because the reads in the user's groups are among them, and these
may become visible late.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from fsharechat.protocol.signals import ConversationType, ReportType
from fsharechat.store import group_reads, groups, heads
from fsharechat.store.group_reads import GroupRead, Seat
from fsharechat.store.heads import Heads
from fsharechat.store.messages import Entry
from fsharechat.store.unit import Dialect, Query, Row, Unit, find_many, upsert_many

MAX_PULL_BYTES = 64 * 1024
MAX_PULL_REPORTS = MAX_PULL_BYTES // 24
"""The largest size and number of reports in one answer. Reports of one seq stay together, and may exceed it."""

_FRAME = 24
"""The largest size of a MessageReport without its two ids, bytes."""

LOOKS = 5
"""How often a pull looks for more, each time for twice as much of each group, until an answer is full."""

DELIVERED_SEQ, READ_DT = "delivered_seq", "read_seq"
_KEYS = ("uid", "kind", "conversation", "line", "target", "reporter")


class NewReport(NamedTuple):
    """`reporter` tells `uids` that it has come to `date` (ms) in a conversation, which all of them call `target`."""

    kind: ReportType
    conversation: int
    line: int
    target: str
    reporter: str
    date: int
    uids: Sequence[str]


class KeptReports(NamedTuple):
    """The last seq of each receiver, by kind, and the reads in groups that were news.

    `version` is the version of these reads, 0 if there are none.
    """

    told: dict[ReportType, list[Entry]]
    reads: list[GroupRead]
    version: int


class PulledReports(NamedTuple):
    """Reports (reporter, date, target), oldest first, the last seq that they cover, and the user's last seq."""

    reports: list[Row]
    current: int
    head: int


class _FoundReport(NamedTuple):
    """A report, or a read in a group, for a user."""

    seq: int
    reporter: str
    date: int
    target: str
    conversation: int
    line: int


def keep(
    dialect: Dialect, batch: Sequence[NewReport], reads: Sequence[GroupRead] = (), newest: int = 0
) -> Unit[KeptReports]:
    """Keep reports that are news. Their version is above `newest`, the last one of this process, whatever the clock
    does.

    A date that is not above the known one is no news. The number of statements does not depend on the number of
    reports and users.
    """
    news = yield from _news(dialect, batch)
    read_in_groups = yield from group_reads.news(dialect, reads)
    told: dict[ReportType, list[Entry]] = {}
    rows = yield from _in_order(dialect, [key for key in news if key[1] == ReportType.DELIVERED], told)
    version = 0
    readings = [key for key in news if key[1] == ReportType.READ]
    if readings or read_in_groups:
        version = max((yield from dialect.clock()), newest + 1)
        rows += yield from _by_version(dialect, readings, version, told)
    kept = [(*key, news[key], seq) for key, seq in rows]
    # The highest date stays: another process may have stored a later one since this one looked.
    yield from upsert_many(dialect, "reports", _KEYS, ("date", "seq"), kept, highest=("date",))
    yield from group_reads.keep(dialect, read_in_groups, version)
    return KeptReports(told, read_in_groups, version)


def _news(dialect: Dialect, batch: Sequence[NewReport]) -> Unit[dict[Row, int]]:
    """Return the dates that are above the known ones, by row."""
    news: dict[Row, int] = {}
    for report in batch:
        for uid in report.uids:
            key = (uid, int(report.kind), report.conversation, report.line, report.target, report.reporter)
            news[key] = max(report.date, news.get(key, 0))
    for key, date in (yield from _dates(dialect, list(news))).items():
        if news[key] <= date:
            del news[key]
    return news


def _dates(dialect: Dialect, keys: Sequence[Row]) -> Unit[dict[Row, int]]:
    """Return the known dates, by row."""
    rows = yield from find_many(dialect, "reports", (*_KEYS, "date"), _KEYS, keys)
    return {tuple(key): date for *key, date in rows}


def _in_order(
    dialect: Dialect, keys: Sequence[Row], told: dict[ReportType, list[Entry]]
) -> Unit[list[tuple[Row, int]]]:
    """Give delivery reports the next seqs of their users."""
    counts: dict[str, int] = {}
    for uid, *_ in keys:
        counts[uid] = counts.get(uid, 0) + 1
    if not counts:
        return []
    reached = yield from dialect.advance(counts, DELIVERED_SEQ)
    told[ReportType.DELIVERED] = [Entry(uid, reached[uid]) for uid in counts]
    last = {uid: reached[uid] - count for uid, count in counts.items()}
    rows = []
    for key in keys:
        last[key[0]] += 1
        rows.append((key, last[key[0]]))
    return rows


def _by_version(
    dialect: Dialect, keys: Sequence[Row], version: int, told: dict[ReportType, list[Entry]]
) -> Unit[list[tuple[Row, int]]]:
    """Give read reports a version above all earlier ones of the receiver: one version for all reports to one user."""
    uids = list(dict.fromkeys(uid for uid, *_ in keys))
    if not uids:
        return []
    reached = yield from dialect.raise_heads(READ_DT, uids, version)
    told[ReportType.READ] = [Entry(uid, reached[uid]) for uid in uids]
    return [(key, reached[key[0]]) for key in keys]


_REPORTS = (
    "SELECT seq, reporter, date, target, conversation, line FROM reports "
    "WHERE uid = ? AND kind = ? AND seq > ? AND seq <= ? ORDER BY seq"
)


def pull(dialect: Dialect, uid: str, kind: ReportType, after: int) -> Unit[PulledReports]:
    """Return the reports of a kind with seq above `after`. An impossible `after` counts as 0.

    Beyond MAX_PULL_REPORTS and MAX_PULL_BYTES newer ones are left out.
    """
    reached = (yield from heads.own(dialect, [uid])).get(uid, Heads())
    if kind == ReportType.READ:
        return (yield from _pull_read(dialect, uid, after, reached.read))
    if after > reached.delivered:
        after = 0
    rows = (yield Query(f"{_REPORTS} LIMIT ?", (uid, kind, after, reached.delivered, MAX_PULL_REPORTS))).rows
    upto = rows[-1][0] if len(rows) == MAX_PULL_REPORTS else reached.delivered
    return _fitting([_FoundReport(*row) for row in rows], upto, reached.delivered)


def _pull_read(dialect: Dialect, uid: str, after: int, own: int) -> Unit[PulledReports]:
    """Return the read reports above `after`: reports to the user, up to `own`, and reads in the user's groups."""
    seats = yield from group_reads.seats(dialect, uid, after)
    head = max(own, *(seat.newest for seat in seats)) if seats else own
    if not head:
        return PulledReports([], 0, 0)
    if after > head:
        # The user may have left the group with the newest read. A seq beyond the time comes from another
        # installation.
        if after <= (yield from dialect.clock()):
            return PulledReports([], after, after)
        return (yield from _pull_read(dialect, uid, 0, own))
    found: list[_FoundReport] = []
    upto = after
    for look in range(LOOKS):
        begin = upto
        count = (MAX_PULL_REPORTS // (len(seats) + 1) + 1) << look
        upto = yield from group_reads.reach(dialect, seats, begin, head, count)
        upto = yield from _reach(dialect, uid, begin, upto, count)
        rows = (yield Query(_REPORTS, (uid, ReportType.READ, begin, upto))).rows
        found += yield from _to_user(dialect, uid, [_FoundReport(*row) for row in rows])
        found += yield from _in_groups(dialect, uid, seats, begin, upto)
        if upto >= head or _weight(found) > MAX_PULL_BYTES:
            break
    return _fitting(_latest(found), upto, head)


def _reach(_: Dialect, uid: str, after: int, upto: int, count: int) -> Unit[int]:
    """Return a version, at most `upto`, with not many more than `count` reports to this user alone up to it."""
    sql = "SELECT seq FROM reports WHERE uid = ? AND kind = ? AND seq > ? ORDER BY seq LIMIT 1 OFFSET ?"
    rows = (yield Query(sql, (uid, ReportType.READ, after, count - 1))).rows
    return min(upto, rows[0][0]) if rows else upto


def _to_user(dialect: Dialect, uid: str, found: Sequence[_FoundReport]) -> Unit[list[_FoundReport]]:
    """Leave out reports to the user in groups that the user has left.

    Other reports get the date that the reporter has told all members, if it is later.
    """
    in_groups = [row for row in found if row.conversation == ConversationType.GROUP]
    if not in_groups:
        return list(found)
    joined = yield from groups.joined(dialect, list({row.target for row in in_groups}), uid)
    keys = [(row.target, row.line, row.reporter) for row in in_groups]
    known = yield from group_reads.dates_for(dialect, uid, joined, keys)
    return [
        row._replace(date=max(row.date, known.get((row.target, row.line, row.reporter), 0)))
        if row.conversation == ConversationType.GROUP
        else row
        for row in found
        if row.conversation != ConversationType.GROUP or row.target in joined
    ]


def _in_groups(
    dialect: Dialect, uid: str, seats: Sequence[Seat], after: int, upto: int
) -> Unit[list[_FoundReport]]:
    """Return reads in groups. They get the date that the reporter has told this user alone, if it is later."""
    if not seats:
        return []
    group = ConversationType.GROUP
    rows = yield from group_reads.told(dialect, uid, seats, after, upto)
    sql = "SELECT 1 FROM reports WHERE uid = ? AND kind = ? AND conversation = ? LIMIT 1"
    known: dict[Row, int] = {}
    if (yield Query(sql, (uid, ReportType.READ, group))).rows:
        keys = [(uid, int(ReportType.READ), int(group), r.line, r.group_id, r.reporter) for r in rows]
        known = {key[3:]: date for key, date in (yield from _dates(dialect, keys)).items()}
    return [
        _FoundReport(
            r.version,
            r.reporter,
            max(r.date, known.get((r.line, r.group_id, r.reporter), 0)),
            r.group_id,
            group,
            r.line,
        )
        for r in rows
    ]


def _latest(found: Iterable[_FoundReport]) -> list[_FoundReport]:
    """Return the reports in order: for each reporter and conversation the last one, with the latest date.

    Lines do not count: a report on the wire has none.
    """
    latest: dict[Row, _FoundReport] = {}
    for row in sorted(found):
        key = (row.conversation, row.target, row.reporter)
        before = latest.pop(key, row)
        latest[key] = row._replace(date=max(row.date, before.date))
    return list(latest.values())


def _weight(found: Iterable[_FoundReport]) -> int:
    return sum(_FRAME + len(row.reporter.encode()) + len(row.target.encode()) for row in found)


def _fitting(found: Sequence[_FoundReport], upto: int, head: int) -> PulledReports:
    """Return the oldest reports up to a seq, as many as fit into an answer. Reports of one seq stay together."""
    size = last = 0
    kept: list[Row] = []
    for seq, together in groupby(found, attrgetter("seq")):
        part = list(together)
        size += _weight(part)
        rows = [(row.reporter, row.date, row.target) for row in part]
        if kept and (size > MAX_PULL_BYTES or len(kept) + len(rows) > MAX_PULL_REPORTS):
            return PulledReports(kept, last, head)
        kept += rows
        last = seq
    return PulledReports(kept, upto, head)
