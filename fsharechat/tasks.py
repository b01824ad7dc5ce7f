"""Background tasks. They run until they are cancelled, and an unexpected end is logged."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

log = structlog.get_logger(__name__)


def spawn(what: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task. `what` names it in the log. If it ends with an exception, that is logged as an error."""
    task = asyncio.get_running_loop().create_task(work, name=what)
    task.add_done_callback(_report_end)
    return task


class TaskSet:
    """The tasks of one owner, which end by themselves or all together."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, what: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task, as the function of this name does."""
        task = spawn(what, work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def cancel(self) -> None:
        """Cancel all of them, and return when they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def pause(wake: asyncio.Event, seconds: float) -> None:
    """Wait until `wake` is set, at most so many seconds. Then clear it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
    wake.clear()


async def repeat(seconds: float, turn: Callable[[], Awaitable[None]], *, at_once: bool = False) -> None:
    """Await `turn` again and again, with a pause of so many seconds. A failure ends only that turn.

    The pause comes first, unless `at_once`.
    """
    if not at_once:
        await asyncio.sleep(seconds)
    while True:
        try:
            await turn()
        except Exception:
            task = asyncio.current_task()
            log.exception("failed, and goes on", task=task and task.get_name())
        await asyncio.sleep(seconds)


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("a task ended", task=task.get_name(), exc_info=error)
