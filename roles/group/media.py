"""Uploads of clients: their addresses, GMURL (contract.md sections 7 and 8), and their limits."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import orjson
import structlog

from fsharechat.blobs import Blobs, BlobsError, KeyRefused, StoredFile, Upload, UploadPart
from fsharechat.blobs.keys import uploader_of
from fsharechat.errors import Refusal, StoreError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, MediaType, SubSignal
from fsharechat.rpc import Call, Method, Reply
from fsharechat.settings import Settings
from fsharechat.store import uploads
from fsharechat.store.store import Store
from fsharechat.tasks import repeat, spawn
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
SWEEP_SECONDS = 3600.0
"""How often the parts of files that nobody finishes are removed, s."""
SOON_SECONDS = 60.0
"""Most files are there so many seconds after their address was given out. Later ones are seen after it expires."""

MARGIN_MS = 60_000
"""How far the clock of the S3 server may be behind, ms."""

MOST = 50_000
"""How many addresses are remembered. Files at others are not counted."""

AT_ONCE = 16

_Object = tuple[MediaType, str]


class _Issued:
    """An object: the time (ms) of the last counted upload, and the time when its last address expires."""

    __slots__ = ("counted_ms", "until")

    def __init__(self, counted_ms: int, until: float) -> None:
        self.counted_ms = counted_ms
        self.until = until


class UploadSizes:
    """Counts how much users put on an S3 server: a presigned PUT takes any size, and does not pass this process.

    Each address that this process gave out is checked twice: soon, and after it has expired.
    Addresses are kept in memory, so uploads to those of an ended process are not counted.
    """

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        url_seconds: float,
        now: Callable[[], int],
        time: Callable[[], float],
    ) -> None:
        """`now` gives the time in ms, `time` the time of the loop in seconds."""
        self._store = store
        self._blobs = blobs
        self._last_seconds = url_seconds + SOON_SECONDS
        self._now = now
        self._time = time
        self._issued: dict[_Object, _Issued] = {}
        self._soon: deque[tuple[float, _Object]] = deque()
        self._last: deque[tuple[float, _Object]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._full = False
        self._behind = False

    def start(self) -> None:
        self._tasks = [
            spawn("sizes of uploads", repeat(LOOK_SECONDS, self.look)),
            spawn("unfinished uploads", repeat(SWEEP_SECONDS, self.sweep)),
        ]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def sweep(self) -> None:
        """Remove the parts of files that nobody finishes."""
        try:
            await self._blobs.sweep()
        except BlobsError as error:  # they are there the next time
            log.warning("unfinished uploads not removed yet", error=str(error))

    def issued(self, kind: MediaType, upload: Upload) -> None:
        """Remember to check the upload at an address."""
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
        """Count the uploads at the addresses that are due."""
        try:
            await self._look(self._soon)
            for where in await self._look(self._last):
                known = self._issued.get(where)
                if known is not None and known.until <= self._time():
                    del self._issued[where]
        except (BlobsError, StoreError) as error:  # due addresses stay due
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
        """Count one object. Raises BlobsError and StoreError; earlier counts are not repeated."""
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


async def upload_url(
    settings: Settings,
    store: Store,
    clock: ServerClock,
    blobs: Blobs,
    upload_sizes: UploadSizes,
    call: Call,
    request: pb.GetMinioUploadUrlRequest,
) -> pb.GetMinioUploadUrlResult:
    size = request.size
    try:
        kind = MediaType(request.type)
    except ValueError:
        raise Refusal(Code.INVALID_PARAMETER) from None
    if size < 0:
        raise Refusal(Code.INVALID_PARAMETER)
    with _refusals(call.uid):
        if size and await blobs.is_begun(kind, request.key, call.uid, size):
            return _answer(await blobs.next_part(kind, request.key, call.uid, size))
        upload = await blobs.upload_url(kind, request.key, call.uid)
    limits, folder = settings.limits, uploader_of(upload.name)
    bytes_per_day = (
        limits.upload_bytes_per_day if upload.name else 0
    )  # else they are counted when they arrive
    if limits.uploads_per_day or bytes_per_day:
        granted = await store.write(
            uploads.grant,
            call.uid,
            clock.now(),
            limits.uploads_per_day,
            call.retried,
            folder,
            bytes_per_day,
        )
        if granted and size and bytes_per_day:  # of a file in parts the size is known before
            granted = await store.write(uploads.take_bytes, folder, size, clock.now(), bytes_per_day)
        if not granted:
            log.info("no more uploads today", uid=call.uid)
            raise Refusal(Code.TOO_OFTEN)
    if size:
        with _refusals(call.uid):
            return _answer(await blobs.next_part(kind, request.key, call.uid, size))
    if bytes_per_day:
        upload_sizes.issued(kind, upload)
    return _answer(UploadPart(upload, 0, 0))


@contextmanager
def _refusals(uid: str) -> Iterator[None]:
    """Answer for what the media store raises."""
    try:
        yield
    except KeyRefused:
        raise Refusal(Code.INVALID_PARAMETER) from None
    except BlobsError as error:
        log.warning("no url for an upload", uid=uid, error=str(error))
        raise Refusal(Code.SERVER_ERROR) from error


def _answer(part: UploadPart) -> pb.GetMinioUploadUrlResult:
    upload = part.upload
    answer = pb.GetMinioUploadUrlResult(
        domain=upload.domain, url=upload.url, server=upload.server, port=upload.port
    )
    if part.offset or part.length:  # a file in parts
        answer.offset, answer.length = part.offset, part.length
    return answer


async def upload(settings: Settings, store: Store, clock: ServerClock, call: Call) -> Reply:
    """Count a file that an api process is about to take, or take back the count of one that it did not keep."""
    folder, size = orjson.loads(call.body)
    per_day = settings.limits.upload_bytes_per_day
    if per_day and not await store.write(uploads.take_bytes, folder, size, clock.now(), per_day):
        log.info("no more bytes today", folder=folder, size=size)
        return Reply(Code.TOO_OFTEN)
    return Reply(Code.SUCCESS)


HANDLERS = Handlers(
    requests={
        SubSignal.GMURL: upload_url,
    },
    raw={
        Method.UPLOAD: upload,
    },
)
