"""The threads in which SQLite reads."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from fsharechat.store.read_threads import ReadThreads

NAME = "test-reader"


@pytest.fixture
def threads() -> Iterator[ReadThreads]:
    made = ReadThreads(NAME, 2)
    yield made
    made.close()
    assert not any(thread.name.startswith(NAME) for thread in threading.enumerate())


def name() -> str:
    return threading.current_thread().name


def wanted() -> None:
    """Stand for `unwanted` where nobody cancels."""
    raise AssertionError("the work is wanted")


async def test_short_reads_follow_each_other_in_one_thread(threads: ReadThreads) -> None:
    done: list[int] = []

    def work(number: int) -> str:
        done.append(number)
        return name()

    found = await asyncio.gather(*(threads.run(lambda n=n: work(n), wanted) for n in range(50)))  # type: ignore[misc]
    assert set(found) == {f"{NAME}_0"}
    assert done == list(range(50))
    assert await threads.run(name, wanted) == f"{NAME}_0"


async def test_another_thread_helps_while_a_read_is_slow(threads: ReadThreads) -> None:
    goes_on = threading.Event()

    def slow() -> str:
        goes_on.wait()
        return name()

    def release() -> str:
        goes_on.set()
        return name()

    first, second = await asyncio.gather(threads.run(slow, wanted), threads.run(release, wanted))
    assert (first, second) == (f"{NAME}_0", f"{NAME}_1")
    assert await threads.run(name, wanted) in (f"{NAME}_0", f"{NAME}_1")


async def test_a_failure_is_that_of_its_caller_alone(threads: ReadThreads) -> None:
    def fail() -> str:
        raise ValueError("no")

    failed, found = await asyncio.gather(
        threads.run(fail, wanted), threads.run(name, wanted), return_exceptions=True
    )
    assert isinstance(failed, ValueError)
    assert found == f"{NAME}_0"


async def test_a_cancelled_caller_waits_for_the_end_of_its_read(threads: ReadThreads) -> None:
    began, goes_on, ends = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        goes_on.wait()
        ends.set()

    caller = asyncio.create_task(threads.run(work, goes_on.set))
    await asyncio.to_thread(began.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ends.is_set()


async def test_a_cancelled_read_that_waits_is_never_carried_out() -> None:
    threads = ReadThreads(NAME, 1)
    goes_on, done = threading.Event(), list[str]()
    slow = asyncio.create_task(threads.run(goes_on.wait, wanted))
    waiting = asyncio.create_task(threads.run(lambda: done.append(name()), wanted))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    goes_on.set()
    assert await slow
    threads.close()
    assert done == []


async def test_a_caller_that_is_cancelled_in_the_moment_of_the_end_goes_on(threads: ReadThreads) -> None:
    ended = threading.Event()
    caller = asyncio.create_task(threads.run(ended.set, lambda: None))
    await asyncio.sleep(0)
    ended.wait()  # its end waits for a turn of this loop
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await threads.run(name, wanted) == f"{NAME}_0"
