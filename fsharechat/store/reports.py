"""How far users have fetched and read: one row for who is told, conversation and who tells (protocol.md section 8).

Each user has a sequence of their own for each kind of report. A row moves to its end when its date grows, so that a
device which has fetched up to some seq finds all that is news to it behind that seq.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.protocol.signals import ReportType
from fsharechat.store import heads
from fsharechat.store.heads import Heads
from fsharechat.store.messages import Entry
from fsharechat.store.unit import Dialect, Query, Row, Unit, chunks, flat

MAX_PULL_BYTES = 64 * 1024
MAX_PULL_REPORTS = MAX_PULL_BYTES // 24
"""The most that one answer weighs and holds."""

_FRAME = 24
"""Bytes that a MessageReport takes at most beside its two ids."""

_COLUMN = {ReportType.DELIVERED: "delivered_seq", ReportType.READ: "read_seq"}
_KEYS = ("uid", "kind", "conversation", "line", "target", "reporter")


class NewReport(NamedTuple):
    """`reporter` tells `uids` of having come to `date` (ms) in a conversation, which is `target` for all of them."""

    kind: ReportType
    conversation: int
    line: int
    target: str
    reporter: str
    date: int
    uids: Sequence[str]


class Pulled(NamedTuple):
    """Reports (reporter, date, target) oldest first, the last seq that they cover, and the user's last."""

    reports: list[Row]
    current: int
    head: int


def keep(dialect: Dialect, batch: Sequence[NewReport]) -> Unit[dict[ReportType, list[Entry]]]:
    """Keep what is news; return the last seq of each user who has any, by kind.

    A date that is not above the one that is known is no news. Takes a fixed number of statements, however many
    reports and users there are.
    """
    news = yield from _news(dialect, batch)
    rows: list[Row] = []
    told: dict[ReportType, list[Entry]] = {}
    for kind, column in _COLUMN.items():
        keys = [key for key in news if key[1] == kind]
        counts: dict[str, int] = {}
        for uid, *_ in keys:
            counts[uid] = counts.get(uid, 0) + 1
        if not counts:
            continue
        reached = yield from dialect.advance(counts, column)
        told[kind] = [Entry(uid, reached[uid]) for uid in counts]
        last = {uid: reached[uid] - count for uid, count in counts.items()}
        for key in keys:
            last[key[0]] += 1
            rows.append((*key, news[key], last[key[0]]))
    for part in chunks(rows):
        # The highest date, for another process may have stored a later one since this one has looked.
        sql = dialect.upsert("reports", _KEYS, ("date", "seq"), len(part), highest=("date",))
        yield Query(sql, flat(part))
    return told


def _news(dialect: Dialect, batch: Sequence[NewReport]) -> Unit[dict[Row, int]]:
    """Return the dates that are above those that are known, by row."""
    news: dict[Row, int] = {}
    for report in batch:
        for uid in report.uids:
            key = (uid, int(report.kind), report.conversation, report.line, report.target, report.reporter)
            news[key] = max(report.date, news.get(key, 0))
    for part in chunks(list(news)):
        sql = dialect.find_rows("reports", (*_KEYS, "date"), _KEYS, len(part))
        for *found, date in (yield Query(sql, flat(part))).rows:
            key = tuple(found)
            if news[key] <= date:
                del news[key]
    return news


_REPORTS = (
    "SELECT seq, reporter, date, target FROM reports "
    "WHERE uid = ? AND kind = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
)


def pull(dialect: Dialect, uid: str, kind: ReportType, after: int) -> Unit[Pulled]:
    """Return the reports of a kind with seq above `after`; one above the head is answered as 0.

    Over MAX_PULL_REPORTS and MAX_PULL_BYTES the oldest are kept.
    """
    reached = (yield from heads.heads(dialect, [uid])).get(uid, Heads())
    head = reached.read if kind == ReportType.READ else reached.delivered
    if after > head:
        after = 0
    rows = (yield Query(_REPORTS, (uid, kind, after, head, MAX_PULL_REPORTS))).rows
    size = 0
    found: list[Row] = []
    for seq, *report in rows:
        reporter, _, target = report
        size += _FRAME + len(reporter.encode()) + len(target.encode())
        if size > MAX_PULL_BYTES:
            break
        found.append(tuple(report))
        current = seq
    whole = len(found) == len(rows) < MAX_PULL_REPORTS
    return Pulled(found, head if whole else current, head)
