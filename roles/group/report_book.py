"""Reports on their way to the store: many of them in one unit of work."""

from collections.abc import Sequence

from fsharechat.store import reports
from fsharechat.store.reports import NewReport
from fsharechat.store.store import Store
from fsharechat.store.unit import MAX_ROWS
from roles.group.batches import Batches
from roles.group.outbox import Outbox

MAX_WAITING = 100_000
"""Rows of reports that may wait for the store."""


class ReportBook:
    """What a thousand members report at once costs the store a few statements, and those who are told one event."""

    def __init__(self, store: Store, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._reports: Batches[NewReport] = Batches(
            self._store_reports, lambda report: len(report.uids), batch=MAX_ROWS, room=MAX_WAITING
        )

    async def add(self, report: NewReport) -> None:
        """Store a report, then tell of it. Raises StoreError."""
        if report.uids:
            await self._reports.add(report)

    async def _store_reports(self, batch: Sequence[NewReport]) -> None:
        uids = [uid for report in batch for uid in report.uids]
        for kind, entries in (await self._store.write_heads(uids, reports.keep, batch)).items():
            self._outbox.report(kind, entries)
