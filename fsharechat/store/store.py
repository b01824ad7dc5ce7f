"""The store as the roles see it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate

from fsharechat.errors import StoreBusy, StoreError
from fsharechat.renewal import Renewable
from fsharechat.store import group_log
from fsharechat.store.group_log import FarBehind, Given
from fsharechat.store.migrate import OnStep
from fsharechat.store.readers import OWN, Lane, Readers, Share
from fsharechat.store.state import State
from fsharechat.store.unit import Dialect, P, T, Unit
from fsharechat.store.writer import LARGE, Batch, GroupCommit, StoreStats

MAX_WAKING = 400
"""Transactions that give one user, or those of one unit, what they have not been given: a million entries."""


class Store(Renewable, ABC):
    """Owns the truth: runs units of work and appends messages, many in one transaction."""

    dialect: Dialect

    def __init__(self, max_queue: int, shares: Mapping[Lane, Share]) -> None:
        self._commits = GroupCommit(max_queue, self._start_batch)
        self.append = self._commits.append
        self._shares = shares
        self._readers = Readers(shares, max_queue)
        self._closing = False
        self._away = ""
        self._on_reach: list[Callable[[], None]] = []

    @property
    def away(self) -> str:
        """Why the database cannot be used, "" while it can. Meanwhile all that needs it fails at once."""
        return self._away

    def on_reach(self, tell: Callable[[], None]) -> None:
        """Have `tell` called on the loop whenever `away` has come or gone."""
        self._on_reach.append(tell)

    def _set_away(self, reason: str) -> None:
        self._away = reason
        for tell in self._on_reach:
            tell()

    @property
    def stats(self) -> StoreStats:
        return self._commits.stats

    @abstractmethod
    async def look(self) -> State:
        """Look what is there, and change nothing. It need not be open. Raises StoreError."""

    @abstractmethod
    async def migrate(self, on_step: OnStep) -> None:
        """Bring the schema up to date, and no more. `on_step` is called after each step of a database that was there.

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
        """Finish what was taken and let go. What comes later gets StoreError."""

    @abstractmethod
    async def probe(self) -> None:
        """Write something, as durably as a message. Raises StoreError."""

    async def read(
        self, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit that only reads, for the server itself: what is short, and goes before all users' reads.

        Raises StoreError, also when it takes too long.
        """
        return await self._in_turn(Lane.SHORT, OWN, lambda: unit(self.dialect, *args, **kwargs))

    async def read_for(
        self, uid: str, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit that only reads for a user, of whose reads few run at a time. Raises what `read` does."""
        return await self._in_turn(Lane.SHORT, uid, lambda: unit(self.dialect, *args, **kwargs))

    async def search_for(
        self, uid: str, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit that only reads, as `read_for` does, and may take longer the more is stored."""
        return await self._in_turn(Lane.LONG, uid, lambda: unit(self.dialect, *args, **kwargs))

    async def _in_turn(self, lane: Lane, owner: str, start: Callable[[], Unit[T]]) -> T:
        self._check_open()
        await self._readers.enter(lane, owner)
        try:
            self._check_open()
            return await self._read(lane, start)
        finally:
            self._readers.leave(lane, owner)

    def _check_open(self) -> None:
        if self._closing:
            raise StoreError("the store is closed")

    @abstractmethod
    async def _read(self, lane: Lane, start: Callable[[], Unit[T]]) -> T:
        """Run a unit with one of the readers of a lane, of which there is one; it is free again on return."""

    async def write(
        self, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a transaction, which it may share with others; return when it is durable.

        An exception of the unit undoes that unit alone and is raised here. Raises StoreError.
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

        Where several processes write, that these are known beforehand keeps their transactions from waiting for each
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
        """Put members of a group (MAX_SLEEPERS at most) to sleep, in the lane of the crowds, however few they are.

        Returns who fell asleep; None while processes that wake nobody may write (group_log.put_to_sleep). Raises
        StoreError.
        """
        rows = max(2 * len(uids), LARGE + 1)  # of the members, and of their heads
        return await self._commits.write(
            lambda: group_log.put_to_sleep(self.dialect, group_id, uids), uids, (group_id,), rows
        )

    async def wake(self, uid: str, most: int = MAX_WAKING) -> Given | None:
        """Give a user what is in the logs of all groups where they are asleep (group_log.py), and wake them.

        `most`: how many transactions it may take. Returns what it gave; `more` of it: somebody has to go on. None:
        nothing was to be given. Raises StoreError.
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
        """Run a unit; where it has to wait for what users are to be given first, do that and run it again."""
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
        """Begin to carry out a batch, without blocking; GroupCommit.finish is to be called with it on the loop."""
