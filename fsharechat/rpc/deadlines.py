"""Deadlines of many calls, without a timer for each."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from fsharechat.rpc import Reply

F = TypeVar("F", bound="asyncio.Future[Reply]")

CROWDED_SECONDS = 0.05
"""How often the calls are counted while there are too many, s."""


class Deadlines(Generic[F]):
    """The calls under way. Calls that are not done in time are given up, at most one sweep too late.

    Most calls are done before the next sweep, so they cost only a place in a list.
    """

    def __init__(self, give_up: Callable[[F], None], sweep_seconds: float, limit: int) -> None:
        """`give_up` is called with a future whose deadline has passed; it must complete the future.

        `limit` is the number of calls under way from which on it is crowded.
        """
        self.crowded = False
        """Whether too many calls are under way to make more."""
        self._give_up = give_up
        self._seconds = sweep_seconds
        self._limit = limit
        self._new: list[tuple[float, str, F]] = []
        self._old: list[tuple[float, str, F]] = []
        self._count_at = max(limit // 4, 1)
        self._sweeper: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(self._seconds, self._sweep)

    def stop(self) -> None:
        if self._sweeper:
            self._sweeper.cancel()

    def watch(self, deadline: float, uid: str, future: F) -> None:
        """Give up the future at `deadline`, a time of the loop."""
        self._new.append((deadline, uid, future))
        # Counting from time to time is enough, and the cost of a call does not grow with their number.
        if len(self._new) >= self._count_at:
            self._count()

    def under_way(self) -> list[tuple[str, F]]:
        """Return the users and the futures of the calls that are not done, oldest first."""
        self._count()
        return [(uid, future) for _, uid, future in self._old]

    def _count(self) -> None:
        self._old += self._new
        self._new.clear()
        self._old = [entry for entry in self._old if not entry[2].done()]
        crowded = len(self._old) >= self._limit
        if crowded and not self.crowded and self._sweeper:
            self._sweeper.cancel()
            self._sweeper = self._loop.call_later(CROWDED_SECONDS, self._sweep)
        self.crowded = crowded

    def _sweep(self) -> None:
        self._count()
        now = self._loop.time()
        late = [entry[2] for entry in self._old if entry[0] <= now]
        if late:
            self._old = [entry for entry in self._old if entry[0] > now]
        self._sweeper = self._loop.call_later(CROWDED_SECONDS if self.crowded else self._seconds, self._sweep)
        for future in late:
            self._give_up(future)
