"""Reports on their way to the store, and the devices' cursors in them: many of both in one unit of work."""

import asyncio
from collections.abc import Sequence

import structlog

from fsharechat.errors import StoreError
from fsharechat.store import reports
from fsharechat.store.reports import NewReport, ReportCursor
from fsharechat.store.store import Store
from fsharechat.store.unit import MAX_ROWS
from roles.group.batches import Batches
from roles.group.outbox import Outbox

MAX_WAITING = 100_000
"""Rows of reports, and cursors, that may wait for the store."""

log = structlog.get_logger(__name__)


class ReportBook:
    """What a thousand members report at once costs the store a few statements, and those who are told one event."""

    def __init__(self, store: Store, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._reports: Batches[NewReport] = Batches(
            self._store_reports, lambda report: len(report.uids), batch=MAX_ROWS, room=MAX_WAITING
        )
        self._cursors: Batches[ReportCursor] = Batches(
            self._store_cursors, lambda _: 1, batch=MAX_ROWS, room=MAX_WAITING
        )

    async def add(self, report: NewReport) -> None:
        """Store a report, then tell of it. Raises StoreError."""
        if report.uids:
            await self._reports.add(report)

    def fetched(self, cursor: ReportCursor) -> None:
        """Keep a cursor in a while; if that fails the device is told once more of what it has."""
        try:
            self._cursors.add(cursor).add_done_callback(_log_failure)
        except StoreError as error:
            log.warning("a report cursor is not kept", error=str(error))

    async def _store_reports(self, batch: Sequence[NewReport]) -> None:
        uids = [uid for report in batch for uid in report.uids]
        for kind, entries in (await self._store.write_heads(uids, reports.keep, batch)).items():
            self._outbox.report(kind, entries)

    async def _store_cursors(self, batch: Sequence[ReportCursor]) -> None:
        await self._store.write(reports.fetched, batch)


def _log_failure(future: asyncio.Future[None]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.warning("a report cursor is not kept", error=str(error))
