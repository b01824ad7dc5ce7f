"""The threads in which SQLite reads.

As a rule one of them reads at a time, and goes on to the next read by itself. Python runs one thread at a time, and
each row that a statement gives is a chance to change over. So threads that read at the same time slow down each other
and the event loop: a rush of connects took twice the CPU time. Another thread helps when a read has waited.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")

HELP_SECONDS = 0.02
"""Another thread helps when a read has waited so long, s: the one before it is slow."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[], Any]
    done: asyncio.Future[Any]
    since: float
    over: bool = False
    ended: asyncio.Future[None] | None = None
    """Is done when the work has ended. It is there if nobody wants the result any more."""


class ReadThreads:
    """Up to `count` threads. Each begins when it is needed first."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._jobs: deque[_Job] = deque()
        self._awake = 0
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._looks = False

    async def run(self, work: Callable[[], T], unwanted: Callable[[], None]) -> T:
        """Carry out `work` in a thread, and return its result or raise its error.

        If the caller is cancelled, `unwanted` is called, so that the work ends soon. The caller waits for that end.
        """
        loop = asyncio.get_running_loop()
        job = _Job(work, loop.create_future(), monotonic())
        self._jobs.append(job)
        if not self._awake:
            self._wake_one()
        else:
            self._look_later()
        try:
            result: T = await job.done
        except asyncio.CancelledError:
            if not job.over and not self._forget(job):
                unwanted()
                job.ended = loop.create_future()
                await job.ended
            raise
        return result

    def close(self) -> None:
        """End the threads when they have no work any more. It blocks until then."""
        for _ in self._threads:
            self._wake.put(False)
        for thread in self._threads:
            thread.join()

    def _forget(self, job: _Job) -> bool:
        """Take back work. Return False if a thread has begun with it."""
        try:
            self._jobs.remove(job)
        except ValueError:
            return False
        return True

    def _wake_one(self) -> None:
        if self._awake == self._count:
            return
        if self._awake == len(self._threads):
            name = f"{self._name}_{self._awake}"
            loop = asyncio.get_running_loop()
            thread = threading.Thread(target=self._carry_out, args=(loop,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._awake += 1
        self._wake.put(True)

    def _look_later(self) -> None:
        if not self._looks and self._awake < self._count:
            self._looks = True
            asyncio.get_running_loop().call_later(HELP_SECONDS, self._look)

    def _look(self) -> None:
        self._looks = False
        waiting = list(self._jobs)  # a thread may take one at any time
        if waiting:
            if waiting[0].since <= monotonic() - HELP_SECONDS:
                self._wake_one()
            self._look_later()

    def _ended(self, job: _Job, result: Any, error: Exception | None, last: bool) -> None:
        """Tell the caller. `last`: the thread has found no more work, and sleeps."""
        job.over = True
        if job.ended is not None and not job.ended.done():
            job.ended.set_result(None)
        if not job.done.done():
            if error is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(result)
        if last:
            self._sleeps()

    def _sleeps(self) -> None:
        self._awake -= 1
        if self._jobs and not self._awake:
            self._wake_one()

    # In the threads

    def _carry_out(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._wake.get():
            job = self._next()
            if job is None:  # another thread was faster
                loop.call_soon_threadsafe(self._sleeps)
            while job is not None:
                job = self._do(job, loop)

    def _do(self, job: _Job, loop: asyncio.AbstractEventLoop) -> _Job | None:
        """Carry out work, and return the next."""
        result, error = None, None
        try:
            result = job.work()
        except Exception as raised:  # noqa: BLE001 - its caller gets it
            error = raised
        following = self._next()
        loop.call_soon_threadsafe(self._ended, job, result, error, following is None)
        return following

    def _next(self) -> _Job | None:
        try:
            return self._jobs.popleft()
        except IndexError:
            return None
