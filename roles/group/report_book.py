"""Reports on their way to the store, many in one unit of work, and the news of them for users who are online."""

import asyncio
from collections.abc import Collection, Container, Sequence, Set
from typing import NamedTuple

from fsharechat.protocol.signals import ReportType
from fsharechat.store import reports
from fsharechat.store.group_reads import GroupRead
from fsharechat.store.messages import Entry
from fsharechat.store.reports import NewReport
from fsharechat.store.store import Store
from roles.group.batches import Batches
from roles.group.outbox import EventOutbox

MAX_BATCH = 500
"""The most reports, or single receivers, of one unit. The reports to one user make one answer, see reports.pull."""

MAX_WAITING = 100_000
"""The most rows of reports that may wait for the store."""

TOLD_TOGETHER = 100
TOLD_PER_SECOND = 500
"""How many members of one group are told at once of reads by others, and how many in a second.

Each of them then asks for the reads, and the pulls of other users wait for those questions. Reads that come while
members are being told wait for the next round: 3,000 online members are told every 6 s.
"""


class ReadInGroup(NamedTuple):
    """A read, the members of its group, and the members who must not be told."""

    read: GroupRead
    members: Collection[str]
    silent: Set[str]


class ReportBook:
    """Stores reports and tells of them. A thousand at once cost a few statements, and one event for each receiver."""

    def __init__(self, store: Store, outbox: EventOutbox) -> None:
        self._store = store
        self._outbox = outbox
        self._reports: Batches[NewReport | ReadInGroup] = Batches(
            self._store_reports, _weight, batch=MAX_BATCH, room=MAX_WAITING
        )
        self._newest = 0
        """The last version that this process gave out."""
        self._groups = GroupNews(outbox)

    async def add(self, report: NewReport | ReadInGroup) -> None:
        """Store a report, then tell of it. Raises StoreError."""
        await self._reports.add(report)

    def stop(self) -> None:
        """Tell nobody any more. The head check of the connectors finds the stored reports."""
        self._groups.stop()

    async def _store_reports(self, batch: Sequence[NewReport | ReadInGroup]) -> None:
        to_users = [report for report in batch if isinstance(report, NewReport)]
        in_groups = [report for report in batch if isinstance(report, ReadInGroup)]
        reads = [report.read for report in in_groups]
        uids = [uid for report in to_users for uid in report.uids]
        kept = await self._store.write_heads(uids, reports.keep, to_users, reads, self._newest)
        self._newest = max(self._newest, kept.version)
        for kind, entries in kept.told.items():
            self._outbox.report(kind, entries)
        news = {read[:3] for read in kept.reads}
        self._groups.add([report for report in in_groups if report.read[:3] in news], kept.version)


def _weight(report: NewReport | ReadInGroup) -> int:
    return len(report.uids) if isinstance(report, NewReport) else 1


class _Waiting(NamedTuple):
    """The members who must not be told of a read, and its version."""

    version: int
    reporter: str
    silent: Container[str]


class GroupNews:
    """Tells online members of groups that others have read: at once at first, then no faster than they can ask."""

    def __init__(self, outbox: EventOutbox) -> None:
        self._outbox = outbox
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, dict[str, _Waiting]] = {}
        """The reads that members must still be told of, by group and reporter, the oldest version first."""
        self._members: dict[str, Collection[str]] = {}
        """The members of the groups for which reads wait."""
        self._rests: dict[str, asyncio.TimerHandle] = {}
        """The groups whose members are being told, or have just been."""

    def add(self, reads: Sequence[ReadInGroup], version: int) -> None:
        """Tell of the reads stored with a version, now or later."""
        for read, members, silent in reads:
            waiting = self._waiting.setdefault(read.group_id, {})
            before = waiting.get(read.reporter)
            # The newest `silent` counts: whom the reporter has blacklisted since is not told of waiting reads either.
            waiting[read.reporter] = _Waiting(before.version if before else version, read.reporter, silent)
            self._members[read.group_id] = members
        for group_id in {report.read.group_id for report in reads}:
            if group_id not in self._rests:
                self._tell(group_id)

    def stop(self) -> None:
        for timer in self._rests.values():
            timer.cancel()

    def _tell(self, group_id: str) -> None:
        reads = list(self._waiting.pop(group_id).values())
        members = self._outbox.online(self._members.pop(group_id))
        entries = [Entry(uid, first) for uid in members if (first := _first(reads, uid))]
        self._tell_some(group_id, entries)

    def _tell_some(self, group_id: str, entries: Sequence[Entry]) -> None:
        part, rest = entries[:TOLD_TOGETHER], entries[TOLD_TOGETHER:]
        if part:
            self._outbox.report(ReportType.READ, part)
            delay = len(part) / TOLD_PER_SECOND
            self._rests[group_id] = self._loop.call_later(delay, self._go_on, group_id, rest)

    def _go_on(self, group_id: str, rest: Sequence[Entry]) -> None:
        del self._rests[group_id]
        if rest:
            self._tell_some(group_id, rest)
        elif group_id in self._waiting:
            self._tell(group_id)


def _first(reads: Sequence[_Waiting], uid: str) -> int:
    """Return the lowest version that a member must be told of, 0 if there is none."""
    for version, reporter, silent in reads:
        if uid != reporter and uid not in silent:
            return version
    return 0
