"""The marks of devices (what each demonstrably has of its user's logs) on their way to the store, many at a time.

Until when devices were connected goes there too.
"""

from collections.abc import Callable
from itertools import islice
from typing import Protocol

import structlog

from fsharechat.clock import now_ms
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Method, Rpc
from fsharechat.rpc.payloads import Marks
from fsharechat.store.cursors import Log

log = structlog.get_logger(__name__)

BATCH = 1000
"""How many devices' marks one call keeps."""

KEEP_SECONDS = 5.0
"""How often the marks of online devices are kept, s. Those of a device that has left are kept at once."""

MAX_LEFT = 100_000
"""How many devices that have left wait for a store that is away. Others get entries again that they have."""


class Marked(Protocol):
    """A device that is online."""

    uid: str
    client_id: str

    def marks(self) -> Marks:
        """Return the marks of the device."""


class MarkKeeper:
    def __init__(self, rpc: Rpc, time: Callable[[], float]) -> None:
        self._rpc = rpc
        self._time = time
        self._moved: dict[Marked, None] = {}
        self._left: dict[tuple[str, str], Marks] = {}
        self._seen: dict[tuple[str, str], int] = {}
        """Until when (ms) devices that have left were connected."""
        self._keep_at = self._retry_at = 0.0

    def moved(self, device: Marked) -> None:
        """Keep the marks of a device soon."""
        self._moved[device] = None

    def left(self, device: Marked) -> None:
        """Keep the marks of a device that is gone."""
        if self._moved.pop(device, self) is None:
            self._put_back(device.uid, device.client_id, device.marks())

    def seen(self, uid: str, client_id: str) -> None:
        """Keep that a device was connected until now."""
        self._seen[uid, client_id] = now_ms()
        if len(self._seen) > MAX_LEFT:
            del self._seen[next(iter(self._seen))]

    def forget(self, uid: str, client_id: str) -> None:
        """Forget a device that logs out."""
        self._left.pop((uid, client_id), None)
        self._seen.pop((uid, client_id), None)

    def known(self, uid: str, client_id: str, kept: Marks) -> Marks:
        """Return the marks of a device that comes back: those from the store, or those still to be kept."""
        waiting = self._left.get((uid, client_id))
        return kept if waiting is None else highest(kept, waiting)

    async def keep(self, *, all: bool = False) -> None:
        """Keep the marks that are due, or all."""
        now = self._time()
        if now < self._retry_at and not all:
            return
        if all or now >= self._keep_at:
            self._keep_at = now + KEEP_SECONDS
            moved, self._moved = self._moved, {}
            for device in moved:
                self._put_back(device.uid, device.client_id, device.marks())
        for _ in range(0, len(self._left), BATCH):
            if not await self._keep_some():
                self._retry_at = now + KEEP_SECONDS
                return
        for _ in range(0, len(self._seen), BATCH):
            if not await self._keep_seen():
                self._retry_at = now + KEEP_SECONDS
                return

    async def _keep_seen(self) -> bool:
        batch = dict(islice(self._seen.items(), BATCH))
        reply = await self._rpc.ask(Method.SEEN, [(*key, seen_ms) for key, seen_ms in batch.items()])
        if reply.code not in (Code.SUCCESS, Code.NOT_IMPLEMENTED):  # by a group process of an earlier version
            log.warning("times of devices not kept", code=reply.code, devices=len(batch))
            return False
        for key, seen_ms in batch.items():
            if self._seen.get(key) == seen_ms:
                del self._seen[key]
        return True

    async def _keep_some(self) -> bool:
        batch = [(key, self._left[key]) for key in list(self._left)[:BATCH]]
        rows = [
            (*key, log_, seq, marks.handed if log_ == Log.INBOX else 0)
            for key, marks in batch
            for log_, seq in zip(Log, marks, strict=False)
        ]
        reply = await self._rpc.ask(Method.MARKS, rows)
        if reply.code != Code.SUCCESS:
            log.warning("marks of devices not kept", code=reply.code, devices=len(batch))
            return False
        for key, marks in batch:
            if self._left.get(key) is marks:
                del self._left[key]
        return True

    def _put_back(self, uid: str, client_id: str, marks: Marks) -> None:
        key = (uid, client_id)
        before = self._left.pop(key, None)
        self._left[key] = marks if before is None else highest(before, marks)
        if len(self._left) > MAX_LEFT:
            del self._left[next(iter(self._left))]


def highest(first: Marks, second: Marks) -> Marks:
    return Marks(*map(max, first, second))
