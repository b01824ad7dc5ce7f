"""Small writes of many callers, stored together. Writes that come during one batch go into the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from fsharechat.errors import StoreBusy, StoreError

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Batches(Generic[T]):
    """Gives added items to `write`, one batch at a time, in order.

    `weigh` gives the weight of an item. A batch weighs up to `batch`, or is one heavier item. The waiting items weigh
    at most `room`, plus the last item.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[None]],
        weigh: Callable[[T], int],
        *,
        batch: int,
        room: int,
    ) -> None:
        self._write = write
        self._weigh = weigh
        self._batch = batch
        self._room = room
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._weight = 0
        self._writing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, item: T) -> asyncio.Future[None]:
        """Return a future that is done when the item is stored, or fails with StoreError. Raises StoreBusy."""
        if self._weight >= self._room:
            raise StoreBusy(f"{len(self._waiting)} small writes wait for the store")
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((item, future))
        self._weight += self._weigh(item)
        if self._writing is None:
            self._writing = self._loop.create_task(self._write_all())
        return future

    async def _write_all(self) -> None:
        while self._waiting:
            taken = self._take()
            error: StoreError | None = None
            try:
                await self._write([item for item, _ in taken])
            except StoreError as failure:
                error = failure
            except Exception as failure:
                log.exception("a batch of small writes failed", items=len(taken))
                error = StoreError(str(failure))
            for _, future in taken:
                if future.done():  # its caller was cancelled
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
        self._writing = None

    def _take(self) -> list[tuple[T, asyncio.Future[None]]]:
        weight = 0
        for count, (item, _) in enumerate(self._waiting):
            weight += self._weigh(item)
            if weight > self._batch and count:
                weight -= self._weigh(item)
                break
        else:
            count = len(self._waiting)
        self._weight -= weight
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken
