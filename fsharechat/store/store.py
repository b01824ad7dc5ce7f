"""The interface of the store for the roles."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Concatenate

from fsharechat.errors import StoreBusy, StoreError
from fsharechat.metrics import Metrics
from fsharechat.renewal import Renewable
from fsharechat.store import group_log
from fsharechat.store.group_log import FarBehind, Given
from fsharechat.store.migrate import OnStep
from fsharechat.store.readers import OWN, Readers, ReadLane, Share
from fsharechat.store.state import StoreState
from fsharechat.store.unit import Dialect, P, T, Unit
from fsharechat.store.writer import LARGE, Batch, GroupCommit, StoreStats

MAX_WAKING = 400
"""How many transactions may give entries to one user, or to the users of one unit: a million entries."""


class Store(Renewable, ABC):
    """Owns the data: runs units of work and appends messages, many in one transaction."""

    dialect: Dialect

    def __init__(self, max_queue: int, shares: Mapping[ReadLane, Share]) -> None:
        self._commits = GroupCommit(max_queue, self._start_batch)
        self.append = self._commits.append
        self._shares = shares
        self._readers = Readers(shares, max_queue)
        self._closing = False
        self._away = ""
        self._on_reach: list[Callable[[], None]] = []

    @property
    def away(self) -> str:
        """Why the database cannot be used, "" while it can. Meanwhile all work that needs it fails at once."""
        return self._away

    def on_reach(self, tell: Callable[[], None]) -> None:
        """Call `tell` on the loop whenever `away` begins or ends."""
        self._on_reach.append(tell)

    def _set_away(self, reason: str) -> None:
        self._away = reason
        for tell in self._on_reach:
            tell()

    @property
    def stats(self) -> StoreStats:
        return self._commits.stats

    def publish(self, metrics: Metrics) -> None:
        """Publish the work of the writer and of the readers."""
        stats, readers = self.stats, self._readers
        time = asyncio.get_running_loop().time
        metrics.gauge("store_queue", "Messages and units that wait for the writer.", lambda: self.waiting)
        metrics.gauge(
            "store_wait_p50_ms", "Median time to a durable message.", lambda: 1000 * stats.wait(0.5, time())
        )
        metrics.gauge(
            "store_wait_p99_ms",
            "99th percentile of the time to a durable message.",
            lambda: 1000 * stats.wait(0.99, time()),
        )
        metrics.counter("store_batches", "Transactions of the store's writer.", lambda: stats.batches)
        metrics.counter("store_messages", "Messages given to the store.", lambda: stats.messages)
        metrics.counter("store_units", "Other writes given to the store.", lambda: stats.units)
        metrics.counter("store_failed", "Messages that the store could not keep.", lambda: stats.failed)
        metrics.histogram("store_commit_seconds", "Transactions of the writer.", stats.commits)
        metrics.histogram("store_commit_messages", "Messages of a transaction that has some.", stats.sizes)
        metrics.histogram("commit_seconds", "From the frame of a message until it is durable.", stats.ages)
        metrics.histogram("store_read_seconds", "Reads, with the wait for a reader.", readers.times)
        metrics.gauge("store_reads_waiting", "Reads that wait for a reader.", readers.waiting, ("lane",))
        metrics.gauge("store_readers_busy", "Readers that read.", readers.busy, ("lane",))
        metrics.gauge("store_readers", "Readers that there are.", readers.all, ("lane",))

    @property
    def waiting(self) -> int:
        """How many messages and units of work wait for the writer."""
        return self._commits.waiting

    @abstractmethod
    async def look(self) -> StoreState:
        """Return the state of the database, and change nothing. The store need not be open. Raises StoreError."""

    @abstractmethod
    async def migrate(self, on_step: OnStep) -> None:
        """Only bring the schema up to date. `on_step` is called after each step of an existing database.

        Raises StoreError.
        """

    @abstractmethod
    async def open(self) -> None:
        """Bring the schema up to date and be ready. Raises StoreError."""

    async def begin_import(self) -> None:
        """Do without what would slow down a long import (imports.py), until `end_import`. Raises StoreError."""

    async def end_import(self) -> None:
        """Have everything again that users need. It takes as long as that takes. Raises StoreError."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the accepted work and close. Later work gets StoreError."""

    @abstractmethod
    async def probe(self) -> None:
        """Write something, as durably as a message. Raises StoreError."""

    async def read(
        self, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a short unit that only reads, for the server itself. It goes before all reads of users.

        Raises StoreError, also if it takes too long.
        """
        return await self._in_turn(ReadLane.SHORT, OWN, lambda: unit(self.dialect, *args, **kwargs))

    async def read_for(
        self, uid: str, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit that only reads, for a user. Few of one user run at a time. Raises the errors of `read`."""
        return await self._in_turn(ReadLane.SHORT, uid, lambda: unit(self.dialect, *args, **kwargs))

    async def search_for(
        self, uid: str, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like `read_for`, for units that take longer the more is stored."""
        return await self._in_turn(ReadLane.LONG, uid, lambda: unit(self.dialect, *args, **kwargs))

    async def _in_turn(self, lane: ReadLane, owner: str, start: Callable[[], Unit[T]]) -> T:
        self._check_open()
        begun = monotonic()
        await self._readers.enter(lane, owner)
        try:
            self._check_open()
            return await self._read(lane, start)
        finally:
            self._readers.leave(lane, owner)
            self._readers.times.observe(monotonic() - begun)

    def _check_open(self) -> None:
        if self._closing:
            raise StoreError("the store is closed")

    @abstractmethod
    async def _read(self, lane: ReadLane, start: Callable[[], Unit[T]]) -> T:
        """Run a unit with a reader of a lane. On return the reader is free again."""

    async def write(
        self, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a transaction, which may be shared with other units. Return when it is durable.

        An exception of the unit undoes only that unit, and is raised here. Raises StoreError.
        """
        return await self._write((), (), 0, lambda: unit(self.dialect, *args, **kwargs))

    async def write_heads(
        self,
        uids: Sequence[str],
        unit: Callable[Concatenate[Dialect, P], Unit[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a unit that advances the heads of many users, as `write` does.

        If several processes write, knowing these users beforehand keeps their transactions from waiting for each
        other in a circle.
        """
        return await self._write(uids, (), 0, lambda: unit(self.dialect, *args, **kwargs))

    async def write_group(
        self,
        id: str,
        uids: Sequence[str],
        unit: Callable[Concatenate[Dialect, P], Unit[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a unit that changes a group, and advances the heads of users, as `write_heads` does."""
        return await self._write(uids, (id,), 0, lambda: unit(self.dialect, *args, **kwargs))

    async def put_to_sleep(self, group_id: str, uids: Sequence[str]) -> list[str] | None:
        """Put members of a group (at most MAX_SLEEPERS) to sleep, always in the lane of the crowds.

        Returns those who fell asleep, None while older processes may write (group_log.put_to_sleep). Raises
        StoreError.
        """
        rows = max(2 * len(uids), LARGE + 1)  # of the members, and of their heads
        return await self._commits.write(
            lambda: group_log.put_to_sleep(self.dialect, group_id, uids), uids, (group_id,), rows
        )

    async def wake(self, uid: str, most: int = MAX_WAKING) -> Given | None:
        """Give a user the entries from the logs of all groups where they are asleep (group_log.py), and wake them.

        `most`: how many transactions it may take. Returns what it gave; its `more` says that another call must go on.
        Returns None if there was nothing to give. Raises StoreError.
        """
        total = 0
        last = None
        for _ in range(most):
            groups, entries = await self.read(group_log.asleep, uid)
            rows = min(entries, group_log.MAX_GIVEN)
            given = await self._commits.write(
                lambda: group_log.wake(self.dialect, uid), (uid,), () if entries > rows else groups, rows
            )
            total += given.entries
            if given.entries:
                last = given
            if not given.more:
                break
        else:
            return Given(total, last.seq if last else 0, last.message_id if last else 0, more=True)
        return last and last._replace(entries=total, more=False)

    async def _write(
        self, uids: Sequence[str], ids: Sequence[str], rows: int, start: Callable[[], Unit[T]]
    ) -> T:
        """Run a unit. If users must be given entries first, do that and run the unit again."""
        for _ in range(MAX_WAKING):
            try:
                return await self._commits.write(start, uids, ids, rows)
            except FarBehind as error:
                await self._give(error.uids)
        raise StoreBusy("too much is to be given to users first")

    async def _give(self, uids: Sequence[str]) -> None:
        for _ in range(MAX_WAKING):
            given = await self._commits.write(
                lambda: group_log.give(self.dialect, uids), uids, (), group_log.MAX_GIVEN
            )
            if not any(one.more for one in given.values()):
                return

    @abstractmethod
    def _start_batch(self, batch: Batch) -> None:
        """Begin to carry out a batch, without blocking. Then call GroupCommit.finish with it on the loop."""
