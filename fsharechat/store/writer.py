"""The group commit: what waits while one transaction runs goes into the next one, and is told when it is durable."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from fsharechat.errors import StoreBusy, StoreError
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.unit import T, Unit

log = structlog.get_logger(__name__)

MAX_BATCH = 1000
"""Messages, and small units, of one transaction: more would gain nothing and make the first of them wait."""

MAX_BATCH_BYTES = 4 << 20
"""Bodies of one transaction: MySQL takes statements of 16 MiB, in which a body is written as twice as many digits."""

MAX_BATCH_ENTRIES = 10_000
"""Inbox entries that the large messages of one transaction make, and its units: the small messages wait for these."""

LARGE = 200
"""A message to more receivers than this waits in a lane of its own, and lets small ones pass."""

MAX_WAITING_ENTRIES = 500_000
"""Inbox entries that large messages may be waiting to make, and heads that units may be waiting to advance.

MySQL takes some ten seconds for so many."""

Done = Callable[[Stored | StoreError], None]


@dataclass(slots=True)
class StoreStats:
    """What the writer did since the start: for the metrics."""

    batches: int = 0
    messages: int = 0
    units: int = 0
    failed: int = 0


@dataclass(slots=True)
class Work:
    """A unit that waits to be run, who waits for it, and the users whose heads it will advance, if they are many."""

    start: Callable[[], Unit[Any]]
    future: asyncio.Future[Any]
    heads_of: Sequence[str] = ()


@dataclass(slots=True)
class Batch:
    """What one transaction does, and after it what came of each part."""

    works: list[Work]
    messages: list[NewMessage]
    dones: list[Done]
    results: list[Any | Exception] = field(default_factory=list)
    stored: list[Stored | StoreError] = field(default_factory=list)

    def heads_to_lock(self) -> list[str]:
        """Return, in order, the users whose heads are to be locked before all else.

        Without units that have said so there are none: the messages alone lock theirs in order by one statement.
        """
        uids = {uid for work in self.works for uid in work.heads_of}
        if uids:
            for message in self.messages:
                uids.add(message.sender)
                uids.update(message.receivers)
        return sorted(uids)

    def fail(self, error: Exception) -> None:
        """Let every part fail: nothing of the batch is known to be stored."""
        failure = error if isinstance(error, StoreError) else StoreError(str(error))
        self.results = [failure] * len(self.works)
        self.stored = [failure] * len(self.messages)


class _Large(NamedTuple):
    """A message in the lane of the large ones; `behind`: how many small ones had been queued before it."""

    message: NewMessage
    done: Done
    behind: int


class GroupCommit:
    """Queues work on the loop and hands it to an engine, one batch at a time.

    Messages of one sender are stored in the order of the calls; else a message to a small circle passes those to
    thousands, of which a transaction takes only a few.

    `run` starts a batch without blocking; the engine calls `finish` on the loop when it has come to an end.
    """

    def __init__(self, max_queue: int, run: Callable[[Batch], None]) -> None:
        self.stats = StoreStats()
        self._max_queue = max_queue
        self._run = run
        self._works: list[Work] = []
        self._crowds: deque[Work] = deque()
        """The units that have said whose heads they advance; the others pass them."""
        self._crowds_heads = 0
        self._messages: list[NewMessage] = []
        self._dones: list[Done] = []
        self._queued = self._taken = 0
        """How many messages have come into the lane of the small ones, and have left it."""
        self._large: deque[_Large] = deque()
        self._large_senders: Counter[str] = Counter()
        self._entries = 0
        """What the messages in the lane of the large ones will make."""
        self._running = False
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def write(self, start: Callable[[], Unit[T]], heads_of: Sequence[str] = ()) -> asyncio.Future[T]:
        """Queue a unit. Raises StoreBusy."""
        self._check_room()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        work = Work(start, future, heads_of)
        if heads_of:
            heads = self._crowds_heads + len(heads_of)
            if heads > MAX_WAITING_ENTRIES and self._crowds:
                raise StoreBusy(f"units that advance {self._crowds_heads} heads wait for the store")
            self._crowds_heads = heads
            self._crowds.append(work)
        else:
            self._works.append(work)
        self._wake()
        return future

    def append(self, message: NewMessage, done: Done) -> None:
        """Queue a message. Raises StoreBusy."""
        self._check_room()
        if len(message.receivers) > LARGE or message.sender in self._large_senders:
            self._append_large(message, done)
        else:
            self._messages.append(message)
            self._dones.append(done)
            self._queued += 1
        self._wake()

    def _append_large(self, message: NewMessage, done: Done) -> None:
        entries = self._entries + len(message.receivers)
        if entries > MAX_WAITING_ENTRIES:
            raise StoreBusy(f"{self._entries} inbox entries wait for the store")
        self._entries = entries
        self._large_senders[message.sender] += 1
        self._large.append(_Large(message, done, self._queued))

    async def close(self) -> None:
        """Take no more, and return when what was taken has come to an end."""
        self._closing = True
        await self._idle.wait()

    def finish(self, batch: Batch) -> None:
        """Tell the callers of a batch, once its `results` and `stored` are known."""
        self._next_batch()  # first, so that the engine works meanwhile
        self.stats.batches += 1
        self.stats.units += len(batch.works)
        self.stats.messages += len(batch.messages)
        for work, result in zip(batch.works, batch.results, strict=True):
            if work.future.done():  # its caller was cancelled
                continue
            if isinstance(result, Exception):
                work.future.set_exception(result)
            else:
                work.future.set_result(result)
        for done, stored in zip(batch.dones, batch.stored, strict=True):
            if isinstance(stored, StoreError):
                self.stats.failed += 1
            try:
                done(stored)
            except Exception:  # the others of the batch must be told all the same
                log.exception("a listener for a stored message failed")

    def _check_room(self) -> None:
        if self._closing:
            raise StoreError("the store is closed")
        waiting = len(self._messages) + len(self._large) + len(self._works) + len(self._crowds)
        if waiting >= self._max_queue:
            raise StoreBusy(f"{waiting} writes wait for the store")

    def _wake(self) -> None:
        if not self._running:
            self._running = True
            self._idle.clear()
            # What else this turn of the loop brings goes into the same transaction.
            asyncio.get_running_loop().call_soon(self._next_batch)

    def _next_batch(self) -> None:
        if not self._messages and not self._large and not self._works and not self._crowds:
            self._running = False
            self._idle.set()
            return
        works = self._next_works()
        count, size = self._next_count()
        batch = Batch(works, self._messages[:count], self._dones[:count])
        del self._messages[:count], self._dones[:count]
        self._taken += count
        self._take_large(batch, size)
        self._run(batch)

    def _next_works(self) -> list[Work]:
        """Take what a batch carries out of the waiting units: of those that advance many heads one at least."""
        works = self._works[:MAX_BATCH]
        del self._works[:MAX_BATCH]
        heads = 0
        while self._crowds:
            work = self._crowds[0]
            heads += len(work.heads_of)
            if heads > MAX_BATCH_ENTRIES and heads > len(work.heads_of):
                break
            works.append(self._crowds.popleft())
            self._crowds_heads -= len(work.heads_of)
        return works

    def _next_count(self) -> tuple[int, int]:
        """Return how many of the waiting small messages make the next batch, and the bytes of their bodies."""
        size = 0
        for count, message in enumerate(self._messages):
            if count == MAX_BATCH or (size + len(message.body) > MAX_BATCH_BYTES and count):
                return count, size
            size += len(message.body)
        return len(self._messages), size

    def _take_large(self, batch: Batch, size: int) -> None:
        """Add what a batch takes of the large messages; one at least, so that they get on."""
        entries = 0
        while self._large and self._large[0].behind <= self._taken:
            message = self._large[0].message
            entries += len(message.receivers)
            size += len(message.body)
            if entries > len(message.receivers) and (entries > MAX_BATCH_ENTRIES or size > MAX_BATCH_BYTES):
                return
            _, done, _ = self._large.popleft()
            self._entries -= len(message.receivers)
            self._large_senders[message.sender] -= 1
            if not self._large_senders[message.sender]:
                del self._large_senders[message.sender]
            batch.messages.append(message)
            batch.dones.append(done)
