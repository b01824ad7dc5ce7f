"""Decides whose turn it is to read: a store has few readers, and the reads of one user never take all of them.

There are two lanes, each with its own readers. Reads that take longer the more is stored, such as a search, have the
lane LONG. So CONNECT and pulls find their readers free. In each lane the server's own reads go first, then one read
of each user in turn.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from fsharechat.errors import StoreBusy, StoreError
from fsharechat.metrics import Histogram, Labelled

OWN = ""
"""The owner of the server's own reads: for CONNECT, heads and caches."""

READS_OF_ONE = 2
"""How many reads of one user run at a time."""

WAITING_OF_ONE = 256
"""How many reads of one user may wait: a connection may have 64 requests under way, and a user several devices."""


class ReadLane(Enum):
    SHORT = "short"
    LONG = "long"


class Share(NamedTuple):
    """The share of a lane."""

    readers: int
    reserved: int
    """How many of the readers take only the server's own reads."""
    seconds: float
    """The longest time of a read, s. Then it is stopped and fails."""


class ReadTooLong(StoreError):
    """A read took too long."""


class _Queue:
    def __init__(self, share: Share) -> None:
        self.share = share
        self.free = share.readers
        self.own: deque[asyncio.Future[None]] = deque()
        self.users: dict[str, deque[asyncio.Future[None]]] = {}
        """Waiting reads by user, in the order of their turns."""


class Readers:
    """Admits reads. A caller admitted by `enter` must call `leave`."""

    def __init__(self, shares: Mapping[ReadLane, Share], max_reads: int) -> None:
        """`max_reads` is how many reads may be under way or wait."""
        self._queues = {lane: _Queue(share) for lane, share in shares.items()}
        self._max_reads = max_reads
        self._reads = 0
        self._running: Counter[str] = Counter()
        self.times = Histogram()
        """How long reads took, with the wait for their turn, s."""

    def all(self) -> Labelled:
        """Return how many readers each lane has."""
        return [((lane.value,), queue.share.readers) for lane, queue in self._queues.items()]

    def busy(self) -> Labelled:
        """Return how many readers of each lane read."""
        return [((lane.value,), queue.share.readers - queue.free) for lane, queue in self._queues.items()]

    def waiting(self) -> Labelled:
        """Return how many reads wait in each lane."""
        return [
            ((lane.value,), len(queue.own) + sum(map(len, queue.users.values())))
            for lane, queue in self._queues.items()
        ]

    async def enter(self, lane: ReadLane, owner: str) -> None:
        """Wait for a reader. Raises StoreBusy if too many reads wait, in all or of this user."""
        queue = self._queues[lane]
        if self._reads >= self._max_reads:
            raise StoreBusy(f"{self._reads} reads wait for the store")
        if self._may(queue, owner):
            self._start(queue, owner)
            return
        line = queue.own if owner == OWN else queue.users.get(owner, ())
        if owner != OWN and len(line) >= WAITING_OF_ONE:
            raise StoreBusy(f"{len(line)} reads of one user wait for the store")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (queue.own if owner == OWN else queue.users.setdefault(owner, deque())).append(turn)
        self._reads += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(queue, owner, turn)
            else:
                self.leave(lane, owner)  # it was its turn at that moment
            raise

    def leave(self, lane: ReadLane, owner: str) -> None:
        """Let the next one read."""
        self._reads -= 1
        self._queues[lane].free += 1
        if owner != OWN:
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
        for queue in self._queues.values():  # a read of this user may have waited in the other lane
            self._admit(queue)

    def _may(self, queue: _Queue, owner: str) -> bool:
        if owner == OWN:
            return queue.free > 0
        return queue.free > queue.share.reserved and self._running[owner] < READS_OF_ONE

    def _start(self, queue: _Queue, owner: str) -> None:
        self._reads += 1
        queue.free -= 1
        if owner != OWN:
            self._running[owner] += 1

    def _admit(self, queue: _Queue) -> None:
        while queue.own and queue.free:
            self._let_in(queue, OWN, queue.own.popleft())
        while (user := self._next(queue)) is not None:
            line = queue.users.pop(user)
            self._let_in(queue, user, line.popleft())
            if line:
                queue.users[user] = line  # behind all others

    def _let_in(self, queue: _Queue, owner: str, turn: asyncio.Future[None]) -> None:
        self._reads -= 1
        if not turn.cancelled():  # the waiting caller may have just been cancelled
            self._start(queue, owner)
            turn.set_result(None)

    def _next(self, queue: _Queue) -> str | None:
        """Return the user whose turn it is. Skipped users have reads under way, so they are few."""
        if queue.free <= queue.share.reserved:
            return None
        return next((user for user in queue.users if self._running[user] < READS_OF_ONE), None)

    def _forget(self, queue: _Queue, owner: str, turn: asyncio.Future[None]) -> None:
        line = queue.own if owner == OWN else queue.users.get(owner)
        if not line or turn not in line:
            return
        line.remove(turn)
        self._reads -= 1
        if owner != OWN and not line:
            del queue.users[owner]
