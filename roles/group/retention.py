"""Removes what is older than the settings say (docs/operations.md, "Retention").

Each unit of work removes few rows, and the pause after it is three times as long as the unit took. So a busy store is
left alone, and nobody waits for more than one unit. One process of a cluster does it at a time.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Concatenate

import structlog

from fsharechat.blobs import Blobs, BlobsError
from fsharechat.errors import StoreError
from fsharechat.protocol.ids import EPOCH_MS, compose
from fsharechat.protocol.signals import MediaType
from fsharechat.settings_schema import RetentionSettings
from fsharechat.store import retention
from fsharechat.store.retention import STEP, Looked
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, P, Unit
from fsharechat.tasks import repeat, spawn

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
"""The time between two looks whether a round is due, s."""

EVERY_MS = 3_600_000
"""The least time between the beginnings of two rounds, ms."""

PAUSE_SECONDS = 0.02
PAUSE_SHARE = 3.0
"""The pause after a unit: at least so many s, and so many times as long as the unit took."""

RECALLS_TIMES = 2
"""Recalls are kept so many times as long as messages: a device that was away may still have what was recalled."""

DAY_MS = 86_400_000

AGEING = (MediaType.GENERAL, MediaType.IMAGE, MediaType.VOICE, MediaType.VIDEO, MediaType.FILE)
"""Media that belong to messages. Portraits and favorites belong to users."""


class Retention:
    """Looks for old rows and files, and removes them. `removed` counts them by kind since the start.

    `now` is the time in ms.
    """

    def __init__(
        self,
        settings: RetentionSettings,
        store: Store,
        blobs: Blobs,
        now: Callable[[], int],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.removed: Counter[str] = Counter()
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._now = now
        self._pause = pause
        self._time = asyncio.get_running_loop().time
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._settings.on:
            self._task = spawn("retention", repeat(LOOK_SECONDS, self.look))

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def look(self) -> None:
        """Go round once, if no process has done so lately."""
        before = self.removed.copy()
        try:
            if not await self._store.write(retention.claim, self._now(), EVERY_MS):
                return
            await self.go_round()
        except (StoreError, BlobsError) as error:  # the next round goes on where this one ended
            log.warning("not removed by age", error=str(error))
        if self.removed != before:
            log.info("removed by age", **(self.removed - before))

    async def go_round(self) -> None:
        """Remove everything that is too old now. Raises StoreError and BlobsError."""
        settings = self._settings
        gone, fetched = self._id(settings.messages_days), self._id(settings.inboxes_days)
        if gone or fetched:
            async for uid in self._each(retention.old_inboxes, max(gone, fetched)):
                await self._all("inbox", retention.trim_inbox, uid, gone, fetched)
        if gone:
            recalled = self._id(settings.messages_days * RECALLS_TIMES)
            async for uid in self._each(retention.old_recalls, recalled):
                await self._all("recalls", retention.trim_recalls, uid, recalled)
            await self._all("messages", retention.remove_messages, gone)
        if settings.reports_days:
            below = self._now() - settings.reports_days * DAY_MS
            async for uid in self._each(retention.old_reports, below):
                await self._all("reports", retention.remove_reports, uid, below)
            async for group_id in self._each(retention.old_group_reads, below):
                await self._all("reports", retention.remove_group_reads, group_id, below)
        if settings.media_days:
            await self._media(self._now() - settings.media_days * DAY_MS)

    def _id(self, days: int) -> int:
        """Return the id below which messages are older than so many days; 0 for no days."""
        return compose(max(self._now() - days * DAY_MS, EPOCH_MS), 0, 0) if days else 0

    async def _each(
        self, look: Callable[[Dialect, str, int], Unit[Looked]], below: int
    ) -> AsyncIterator[str]:
        """Yield the users, or groups, that have something to remove."""
        last = ""
        while True:
            began = self._time()
            found, last = await self._store.read(look, last, below)
            await self._rest(began)
            for name in found:
                yield name
            if not last:
                return

    async def _all(
        self,
        kind: str,
        unit: Callable[Concatenate[Dialect, P], Unit[int]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run a unit until it finds no more."""
        count = STEP
        while count == STEP:
            began = self._time()
            count = await self._store.write(unit, *args, **kwargs)
            self.removed[kind] += count
            await self._rest(began)

    async def _media(self, below: int) -> None:
        for kind in AGEING:
            async for file in self._blobs.files(kind):
                if file.modified_ms < below:
                    began = self._time()
                    await self._blobs.remove(kind, file.name)
                    self.removed["media"] += 1
                    await self._rest(began)

    async def _rest(self, began: float) -> None:
        await self._pause(max(PAUSE_SECONDS, PAUSE_SHARE * (self._time() - began)))
