"""What users have reported to the administrators."""

from typing import NamedTuple

from fsharechat.store.unit import Dialect, Query, Unit, insert_many


class AbuseReport(NamedTuple):
    """`reporter` has reported the user `uid`, or a message of theirs. `body` is the message as it was then."""

    id: int
    reporter: str
    uid: str
    message_id: int
    reason: str
    body: bytes
    created_ms: int


def keep(_: Dialect, report: AbuseReport, most: int) -> Unit[bool]:
    """Keep a report. Return False if its reporter has `most` already. The same again changes nothing."""
    sql = "SELECT uid, message_id, reason FROM abuse_reports WHERE reporter = ?"
    rows = (yield Query(sql, (report.reporter,))).rows
    if (report.uid, report.message_id, report.reason) in [tuple(row) for row in rows]:
        return True
    if len(rows) >= most:
        return False
    yield from insert_many("abuse_reports", AbuseReport._fields, [report])
    return True


def page(
    _: Dialect, after: int, limit: int, user: str = "", newest_first: bool = False
) -> Unit[list[AbuseReport]]:
    """Return up to `limit` reports behind the id `after` (0: from the first), by id.

    `user`: only those by this user, or about this one.
    """
    wanted: list[str] = []
    values: list[str | int] = []
    if after:
        wanted.append(f"id {'<' if newest_first else '>'} ?")
        values.append(after)
    if user:
        wanted.append("(reporter = ? OR uid = ?)")
        values += [user, user]
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    order = "id DESC" if newest_first else "id"
    sql = f"SELECT {', '.join(AbuseReport._fields)} FROM abuse_reports {where} ORDER BY {order} LIMIT ?"
    return [AbuseReport(*row) for row in (yield Query(sql, (*values, limit))).rows]


def close(_: Dialect, id: int) -> Unit[bool]:
    """Delete a report that is dealt with. Return whether there was one."""
    return bool((yield Query("DELETE FROM abuse_reports WHERE id = ?", (id,))).changed)
