"""How much users put on an S3 server: a presigned PUT takes any size and passes nobody here, so it is looked at."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice

import structlog

from fsharechat.blobs import Blobs, BlobsError, StoredFile, Upload
from fsharechat.blobs.keys import uploader_of
from fsharechat.errors import StoreError
from fsharechat.protocol.signals import MediaType
from fsharechat.store import uploads
from fsharechat.store.store import Store
from fsharechat.tasks import repeat, spawn

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
SOON_SECONDS = 60.0
"""Most files are there so long after their address was given out. What is put later is seen when it has expired."""

MARGIN_MS = 60_000
"""The clock of the S3 server may be so far behind."""

MOST = 50_000
"""Addresses that are kept in mind; files at others are not counted."""

AT_ONCE = 16

_Object = tuple[MediaType, str]


class _Issued:
    """Of an object: when (ms) what was counted last came, and when its last address has expired."""

    __slots__ = ("counted_ms", "until")

    def __init__(self, counted_ms: int, until: float) -> None:
        self.counted_ms = counted_ms
        self.until = until


class UploadSizes:
    """Looks twice at each address that this process gave out: soon, and when it has expired.

    It is kept in memory, so what was put at the addresses of a process that has ended is not counted.
    """

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        url_seconds: float,
        now: Callable[[], int],
        time: Callable[[], float],
    ) -> None:
        """`now` is the time in ms, `time` that of the loop in seconds."""
        self._store = store
        self._blobs = blobs
        self._last_seconds = url_seconds + SOON_SECONDS
        self._now = now
        self._time = time
        self._issued: dict[_Object, _Issued] = {}
        self._soon: deque[tuple[float, _Object]] = deque()
        self._last: deque[tuple[float, _Object]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._full = False
        self._behind = False

    def start(self) -> None:
        self._task = spawn("sizes of uploads", repeat(LOOK_SECONDS, self.look))

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def issued(self, kind: MediaType, upload: Upload) -> None:
        """Keep in mind to look what is put at an address."""
        if len(self._last) >= MOST:
            if not self._full:
                self._full = True
                log.warning("uploads not counted: too many addresses at a time", addresses=len(self._last))
            return
        self._full = False
        where, time = (kind, upload.name), self._time()
        known = self._issued.setdefault(where, _Issued(self._now() - MARGIN_MS, 0.0))
        known.until = time + self._last_seconds
        self._soon.append((time + SOON_SECONDS, where))
        self._last.append((known.until, where))

    async def look(self) -> None:
        """Count what has come at the addresses whose time it is."""
        try:
            await self._look(self._soon)
            for where in await self._look(self._last):
                known = self._issued.get(where)
                if known is not None and known.until <= self._time():
                    del self._issued[where]
        except (BlobsError, StoreError) as error:  # what is due stays so
            if not self._behind:
                log.warning("uploads not counted yet", error=str(error))
            self._behind = True
        else:
            self._behind = False

    async def _look(self, due: deque[tuple[float, _Object]]) -> list[_Object]:
        looked: list[_Object] = []
        while due and due[0][0] <= self._time():
            batch = [where for time, where in islice(due, AT_ONCE) if time <= self._time()]
            await self._count(set(batch))
            for _ in batch:
                due.popleft()
            looked += batch
        return looked

    async def _count(self, objects: set[_Object]) -> None:
        """Raises BlobsError and StoreError; what was counted before it is not counted again."""
        places = [where for where in objects if where in self._issued]
        looks = await asyncio.gather(*(self._blobs.kept(*where) for where in places), return_exceptions=True)
        for where, kept in zip(places, looks, strict=True):
            known = self._issued[where]
            if isinstance(kept, StoredFile) and kept.modified_ms > known.counted_ms:
                await self._store.write(uploads.add_bytes, uploader_of(where[1]), kept.size, self._now())
                known.counted_ms = kept.modified_ms
        for kept in looks:
            if isinstance(kept, BaseException):
                raise kept
