"""The heads of each user's logs, and the versions of the user's lists: one row for each user, plus reads in groups.

A device compares these with its own (contract.md section 4), and so does the connector for it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.store import group_reads
from fsharechat.store.unit import Dialect, Query, Unit, marks, select_in


class Heads(NamedTuple):
    """The last seq of the inbox, the versions (ms) of three lists, and the last seqs of reports and recalls.

    `read` is the version (ms) of the last read report.
    """

    seq: int = 0
    friends: int = 0
    requests: int = 0
    settings: int = 0
    delivered: int = 0
    read: int = 0
    recalled: int = 0


_COLUMNS = "seq, friends_dt, requests_dt, settings_dt, delivered_seq, read_seq, recalled_seq"

FRIENDS = "friends_dt"
REQUESTS = "requests_dt"
SETTINGS = "settings_dt"


def heads(dialect: Dialect, uids: Sequence[str]) -> Unit[dict[str, Heads]]:
    """Return the heads of those users who have any."""
    return (yield from looked_at(dialect, uids))[0]


def looked_at(dialect: Dialect, uids: Sequence[str]) -> Unit[tuple[dict[str, Heads], list[str]]]:
    """Return the heads of users, and the users who are asleep in some group: their inboxes lack entries."""
    sql = f"SELECT uid, asleep, {_COLUMNS} FROM heads WHERE uid IN ({{}})"
    rows = yield from select_in(sql, uids)
    found = {uid: Heads(*values) for uid, _, *values in rows}
    for uid, read in (yield from group_reads.newest(dialect, uids)).items():
        before = found.get(uid, Heads())
        found[uid] = before._replace(read=max(before.read, read))
    return found, [uid for uid, asleep, *_ in rows if asleep]


def own(_: Dialect, uids: Sequence[str]) -> Unit[dict[str, Heads]]:
    """Return the heads without the reads in groups."""
    rows = yield from select_in(f"SELECT uid, {_COLUMNS} FROM heads WHERE uid IN ({{}})", uids)
    return {uid: Heads(*values) for uid, *values in rows}


def next_version(dialect: Dialect, column: str, uids: Sequence[str], now: int) -> Unit[int]:
    """Return a version above all earlier ones of these (few) users in that list, and set it for them.

    It is the time `now` in ms, or later if two changes fall into one millisecond. The changed entry gets it as its
    update_dt. So a device that asks for entries newer than its version misses none.
    """
    version = max((yield from dialect.raise_heads(column, uids, now)).values())
    if len(uids) > 1:
        where = f"uid IN ({marks(len(uids))})"
        yield Query(f"UPDATE heads SET {column} = ? WHERE {where}", (version, *uids))
    return version
