"""The group commit: work that waits during one transaction goes into the next. Callers hear when it is durable."""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple, Protocol

import structlog

from fsharechat.errors import StoreBusy, StoreError
from fsharechat.metrics import SIZES, Histogram
from fsharechat.protocol.ids import age
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.unit import T, Unit

log = structlog.get_logger(__name__)

MAX_BATCH = 1000
"""The most messages and small units of one transaction. More gain nothing, and the first would wait longer."""

MAX_BATCH_BYTES = 4 << 20
"""The most bytes of bodies in one transaction. MySQL takes 16 MiB, and a body is written as two digits a byte."""

MAX_BATCH_ENTRIES = 2_500
"""The most inbox entries that a transaction of several large messages makes, or heads that several large units
advance. Others wait for that transaction (SQLite: 10 ms, MariaDB: 60 ms).
"""

ALONE_ENTRIES = 5_000
"""The most inbox entries that a transaction of several large messages makes while nobody else writes. Messages to the
same members change the same pages of the database, so they cost less together (SQLite: a fifth, of all that a message
costs).
"""

LARGE = 200
"""A message to more receivers than this waits in a lane of its own, and small ones pass it. The same holds for a unit
that advances more heads.
"""

LARGE_SHARE = 1 / 3
"""The share of the writer's time for large messages and units, while others write."""

COMPANY_SECONDS = 1.0
"""How long the writer is kept free for small work after the last of it, s. Then large work gets all of the time."""

MAX_LATE = 100
"""The most messages of one transaction that wait because their receivers must first be given earlier entries."""

MAX_WAITING_ENTRIES = 500_000
"""How many inbox entries of large messages may wait, and how many heads of units.

MySQL needs about ten seconds for so many.
"""

MAX_WAITS = 2000
WAITS_SECONDS = 60.0
"""How many of the last transactions the percentiles of the metrics look at, and of how long, s."""

Done = Callable[[Stored | StoreError], None]


@dataclass(slots=True)
class StoreStats:
    """The work of the writer since the start, for the metrics."""

    batches: int = 0
    messages: int = 0
    units: int = 0
    failed: int = 0
    commits: Histogram = field(default_factory=Histogram)
    """How long transactions took, from the moment when the engine got them until their callers are told, s."""
    sizes: Histogram = field(default_factory=lambda: Histogram(SIZES))
    """How many messages those with messages had."""
    ages: Histogram = field(default_factory=Histogram)
    """How old messages were when they were durable, s: from the id on that their connector gave to their frame. Those
    of a transaction count by its first one: that costs the hot path less, and it had waited longest.
    """
    waits: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MAX_WAITS))
    """Of the last transactions with small messages: when it ended, and how long its first message took, s."""

    def wait(self, share: float, now: float) -> float:
        """Return within what time this share of the first messages of the last minute were durable, s; 0: none."""
        waits = sorted(wait for at, wait in self.waits if at > now - WAITS_SECONDS)
        return waits[min(len(waits) - 1, int(share * len(waits)))] if waits else 0.0


@dataclass(slots=True)
class Work:
    """A unit that waits to be run, the future of its caller, and, if the caller has named them, the users whose heads
    it advances and the groups that it changes.
    """

    start: Callable[[], Unit[Any]]
    future: asyncio.Future[Any]
    heads_of: Sequence[str] = ()
    groups: Sequence[str] = ()
    rows: int = 0
    """How many rows it will write, if that is more than its heads."""

    @property
    def weight(self) -> int:
        return max(self.rows, len(self.heads_of))


class Locks(NamedTuple):
    """The locks that a transaction takes first: groups, then heads, also of awake members of the groups in `logs`."""

    groups: list[str]
    uids: list[str]
    logs: list[str]


@dataclass(slots=True)
class Batch:
    """The work of one transaction, and after it the result of each part."""

    works: list[Work]
    messages: list[NewMessage]
    dones: list[Done]
    results: list[Any | Exception] = field(default_factory=list)
    stored: list[Stored | StoreError] = field(default_factory=list)
    late: set[int] = field(default_factory=set)
    """The ids of messages that must be tried again (messages.append_some)."""
    since: float = 0.0
    """When the first of its small messages was queued; 0: it has none."""

    def locks(self) -> Locks:
        """Return the groups and users whose rows must be locked before all other work.

        Only units that named them need such locks, and units beside messages to groups with a log. Messages alone
        lock their rows in order.
        """
        groups = {id for work in self.works for id in work.groups}
        uids = {uid for work in self.works for uid in work.heads_of}
        logs: set[str] = set()
        if self.works:
            logs = {one.audience.group for one in self.messages if one.audience and one.audience.logged}
        if uids or groups or logs:
            for message in self.messages:
                uids.add(message.sender)
                uids.update(message.receivers)
        return Locks(sorted(groups | logs), sorted(uids), sorted(logs))

    def fail(self, error: Exception) -> None:
        """Fail every part: nothing of the batch is known to be stored."""
        failure = error if isinstance(error, StoreError) else StoreError(str(error))
        self.results = [failure] * len(self.works)
        self.stored = [failure] * len(self.messages)


class Clock(Protocol):
    """The part of an event loop that tells the time (s) and wakes callers."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> object: ...


class _Large(NamedTuple):
    """A message in the lane of large ones. `behind`: how many small ones were queued before it."""

    message: NewMessage
    done: Done
    behind: int
    weight: int


class GroupCommit:
    """Queues work on the loop and gives it to an engine, one batch at a time.

    Messages of one sender are stored in the order of the calls. Otherwise a message to few receivers passes messages
    to thousands. Large messages have their own transactions, a few in each, and only a share of the time: after such
    a transaction the writer is kept for small work for twice as long as it took, even if it is idle. Else a user who
    sends one message after the other would wait for a large one each time.

    `run` starts a batch without blocking. The engine calls `finish` on the loop when the batch has ended. `clock` is
    the running loop unless one is given.
    """

    def __init__(self, max_queue: int, run: Callable[[Batch], None], clock: Clock | None = None) -> None:
        self.stats = StoreStats()
        self._max_queue = max_queue
        self._run = run
        self._clock = clock
        self._works: list[Work] = []
        self._crowds: deque[Work] = deque()
        """Units that advance the heads of many users. Other units pass them."""
        self._crowds_heads = 0
        self._messages: list[NewMessage] = []
        self._bytes = 0
        """The size of their bodies, bytes."""
        self._dones: list[Done] = []
        self._since = 0.0
        """When the first of the small messages was queued."""
        self._queued = self._taken = 0
        """How many messages have entered the lane of small ones, and how many have left it."""
        self._large: deque[_Large] = deque()
        self._late: deque[_Large] = deque()
        """Messages that are tried again, before the large ones."""
        self._large_senders: Counter[str] = Counter()
        self._entries = 0
        """How many entries the messages in the lane of large ones will make."""
        self._waiting = 0
        """How many messages and units no batch has taken yet."""
        self._running = False
        self._runs_large = False
        self._began = 0.0
        self._run_at = 0.0
        """When the engine got the batch that runs, s of a clock that never steps."""
        self._large_from = 0.0
        """When large messages and units may go on, while others write."""
        self._others_at = -math.inf
        """When small work was last written."""
        self._alarm = False
        """Whether a timer is set for large ones that wait for their time."""
        self._crowds_next = True
        """Whether the next turn belongs to large messages or to large units."""
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def write(
        self,
        start: Callable[[], Unit[T]],
        heads_of: Sequence[str] = (),
        groups: Sequence[str] = (),
        rows: int = 0,
    ) -> asyncio.Future[T]:
        """Queue a unit (see Work). Raises StoreBusy."""
        if self._closing or self._waiting >= self._max_queue:
            raise self._no_room()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        work = Work(start, future, heads_of, groups, rows)
        if work.weight > LARGE:
            heads = self._crowds_heads + work.weight
            if heads > MAX_WAITING_ENTRIES and self._crowds:
                raise StoreBusy(f"units that advance {self._crowds_heads} heads wait for the store")
            self._crowds_heads = heads
            self._crowds.append(work)
        else:
            self._works.append(work)
        self._waiting += 1
        if not self._running:
            self._wake()
        return future

    def append(self, message: NewMessage, done: Done) -> None:
        """Store a message and its inbox entries with the next batch, in the order of the calls.

        `done` is called on the loop when the message is durable, with its place, or with the error. Raises StoreBusy
        if too much waits already.
        """
        if self._closing or self._waiting >= self._max_queue:
            raise self._no_room()
        if (message.expected or len(message.receivers)) > LARGE or message.sender in self._large_senders:
            self._append_large(message, done)
        else:
            if not self._messages:
                self._since = self._time()
            self._messages.append(message)
            self._dones.append(done)
            self._bytes += len(message.body)
            self._queued += 1
        self._waiting += 1
        if not self._running:
            self._wake()

    def _append_large(self, message: NewMessage, done: Done) -> None:
        weight = message.weight
        entries = self._entries + weight
        if entries > MAX_WAITING_ENTRIES:
            raise StoreBusy(f"{self._entries} inbox entries wait for the store")
        self._entries = entries
        self._large_senders[message.sender] += 1
        self._large.append(_Large(message, done, self._queued, weight))

    def _try_again(self, batch: Batch) -> None:
        """Take the late messages from a batch, and queue them before all large ones.

        Later messages of their senders stand behind them, so the order of the calls is kept. Late ones that wait
        already come from other senders, or were behind these.
        """
        tried = list(zip(batch.messages, batch.dones, batch.stored, strict=True))
        late = [
            (message, done)
            for message, done, stored in tried
            if message.id in batch.late and isinstance(stored, Stored)
        ]
        kept = [one for one in tried if one[0].id not in batch.late or not isinstance(one[2], Stored)]
        batch.messages = [message for message, _, _ in kept]
        batch.dones = [done for _, done, _ in kept]
        batch.stored = [stored for _, _, stored in kept]
        senders = {message.sender for message, _ in late}
        waiting = list(zip(self._messages, self._dones, strict=True))
        if any(message.sender in senders for message, _ in waiting):
            late += [(message, done) for message, done in waiting if message.sender in senders]
            stay = [(message, done) for message, done in waiting if message.sender not in senders]
            self._messages, self._dones = [message for message, _ in stay], [done for _, done in stay]
            self._bytes = sum(len(message.body) for message in self._messages)
            self._taken += len(waiting) - len(stay)
            self._waiting -= len(waiting) - len(stay)
        for message, done in reversed(late):
            self._late.appendleft(_Large(message, done, 0, message.weight))
            self._entries += message.weight
            self._large_senders[message.sender] += 1
        self._waiting += len(late)

    @property
    def waiting(self) -> int:
        """How many messages and units no transaction has taken yet."""
        return self._waiting

    async def close(self) -> None:
        """Take no more work, and return when the accepted work has ended."""
        self._closing = True
        if not self._idle.is_set() and not self._running:
            self._wake()  # large ones need not wait for their time any more
        await self._idle.wait()

    def finish(self, batch: Batch) -> None:
        """Tell the callers of a batch, when its `results` and `stored` are known."""
        if self._runs_large:
            now = self._time()
            self._large_from = now + (now - self._began) * (1 / LARGE_SHARE - 1)
        taken = monotonic() - self._run_at
        if batch.late:
            self._try_again(batch)
        self._next_batch()  # first, so that the engine works meanwhile
        self.stats.commits.observe(taken)
        if batch.messages:
            count = len(batch.messages)
            self.stats.sizes.observe(count)
            self.stats.ages.observe(age(batch.messages[0].id), count)
        if batch.since:
            now = self._time()
            self.stats.waits.append((now, now - batch.since))
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
            except Exception:  # the other callers of the batch must still be told
                log.exception("a listener for a stored message failed")

    def _no_room(self) -> StoreError:
        """Return the error for refused work."""
        if self._closing:
            return StoreError("the store is closed")
        return StoreBusy(f"{self._waiting} writes wait for the store")

    def _wake(self) -> None:
        self._running = True
        self._idle.clear()
        # More work of this turn of the loop goes into the same transaction.
        asyncio.get_running_loop().call_soon(self._next_batch)

    def _next_batch(self) -> None:
        others = bool(self._messages or self._works)
        if not others and not self._large and not self._late and not self._crowds:
            self._running = False
            self._idle.set()
            return
        now = self._began = self._time()
        if others:
            self._others_at = now
        waits = 0.0 if self._closing else min(self._large_from, self._others_at + COMPANY_SECONDS) - now
        alone = now >= self._others_at + COMPANY_SECONDS
        batch = self._next_large(ALONE_ENTRIES if alone else MAX_BATCH_ENTRIES) if waits <= 0 else None
        self._runs_large = batch is not None
        if batch is None and not others:
            self._running = False
            self._go_on_in(waits)
            return
        batch = batch or self._next_small()
        self._waiting -= len(batch.messages) + len(batch.works)
        self._run_at = monotonic()
        self._run(batch)

    def _go_on_in(self, seconds: float) -> None:
        if not self._alarm:
            self._alarm = True
            (self._clock or asyncio.get_running_loop()).call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._alarm = False
        if (self._large or self._late or self._crowds) and not self._running:
            self._wake()

    def _time(self) -> float:
        return (self._clock or asyncio.get_running_loop()).time()

    def _next_small(self) -> Batch:
        works = self._next_works()
        if len(self._messages) <= MAX_BATCH and self._bytes <= MAX_BATCH_BYTES:
            batch = Batch(works, self._messages, self._dones)
            self._messages, self._dones, self._bytes = [], [], 0
        else:
            count = self._next_count()
            batch = Batch(works, self._messages[:count], self._dones[:count])
            del self._messages[:count], self._dones[:count]
            self._bytes -= sum(len(message.body) for message in batch.messages)
        self._taken += len(batch.messages)
        if batch.messages:
            batch.since = self._since
        return batch

    def _next_works(self) -> list[Work]:
        """Take the small units of a batch."""
        count = heads = 0
        for work in self._works[:MAX_BATCH]:
            heads += work.weight
            if heads > MAX_BATCH_ENTRIES:
                break
            count += 1
        works = self._works[:count]
        del self._works[:count]
        return works

    def _next_large(self, most_entries: int) -> Batch | None:
        """Return large messages or units, in turns if both wait, None if there are none, or none may go yet.

        Several messages make up to `most_entries` inbox entries.
        """
        messages = bool(self._late) or (bool(self._large) and self._large[0].behind <= self._taken)
        if not messages and not self._crowds:
            return None
        batch = Batch([], [], [])
        if self._crowds and (self._crowds_next or not messages):
            self._take_crowds(batch)
        else:
            self._take_large(batch, most_entries)
        self._crowds_next = not batch.works
        return batch

    def _take_crowds(self, batch: Batch) -> None:
        """Add units that advance many heads, at least one, so that they make progress."""
        heads = 0
        while self._crowds:
            work = self._crowds[0]
            heads += work.weight
            if heads > MAX_BATCH_ENTRIES and batch.works:
                return
            batch.works.append(self._crowds.popleft())
            self._crowds_heads -= work.weight

    def _next_count(self) -> int:
        """Return how many of the waiting small messages go into the next batch."""
        size = 0
        for count, message in enumerate(self._messages):
            if count == MAX_BATCH or (size + len(message.body) > MAX_BATCH_BYTES and count):
                return count
            size += len(message.body)
        return len(self._messages)

    def _take_large(self, batch: Batch, most_entries: int) -> None:
        """Add large messages, or a few late ones, at least one, so that they make progress."""
        lane, most = (self._late, MAX_LATE) if self._late else (self._large, MAX_BATCH)
        entries = size = 0
        while lane and lane[0].behind <= self._taken:
            message, _, _, weight = lane[0]
            entries += weight
            size += len(message.body)
            count = len(batch.messages)
            if count and (count >= most or entries > most_entries or size > MAX_BATCH_BYTES):
                return
            _, done, _, _ = lane.popleft()
            self._entries -= weight
            self._large_senders[message.sender] -= 1
            if not self._large_senders[message.sender]:
                del self._large_senders[message.sender]
            batch.messages.append(message)
            batch.dones.append(done)
