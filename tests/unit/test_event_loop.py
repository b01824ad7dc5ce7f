"""The event loop and its signals, with uvloop and without."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import uvloop

from fsharechat import event_loop
from fsharechat.event_loop import STOP, Signals
from tools.testing.server import BOUND


@pytest.fixture
def _another_thread_gets_signals() -> Iterator[None]:
    """Let no signal interrupt this thread, as on Windows: another one gets them."""
    ends = threading.Event()
    other = threading.Thread(target=ends.wait)
    other.start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    yield
    ends.set()
    other.join()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _without_handlers() -> asyncio.AbstractEventLoop:
    """Return a loop like that of Windows."""

    def refuse(*_: object) -> None:
        raise NotImplementedError

    loop = asyncio.SelectorEventLoop()
    loop.add_signal_handler = refuse  # type: ignore[assignment,method-assign]
    return loop


@pytest.mark.usefixtures("_another_thread_gets_signals")
def test_a_signal_that_another_thread_gets_wakes_a_loop_that_has_nothing_to_do() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        late = threading.Event()

        def too_late() -> None:  # the loop has no timer that would wake it
            late.set()
            loop.call_soon_threadsafe(stop.set)

        with Signals() as signals:
            signals.on(STOP, stop.set)
            watchdog = threading.Timer(BOUND, too_late)
            watchdog.start()
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            await stop.wait()
            watchdog.cancel()
        assert not late.is_set()

    before = signal.getsignal(signal.SIGTERM)
    with asyncio.Runner(loop_factory=_without_handlers) as runner:
        runner.run(work())
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize("make", [uvloop.new_event_loop, asyncio.SelectorEventLoop, _without_handlers])
def test_a_signal_calls_a_function(make: type[asyncio.AbstractEventLoop]) -> None:
    async def work() -> None:
        called = asyncio.Event()
        with Signals() as signals:
            signals.on(("SIGUSR1", "SIGNOTHERE"), called.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            async with asyncio.timeout(BOUND):
                await called.wait()

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(work())


def test_the_loop_is_uvloops_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = event_loop.new_event_loop()
    loop.close()
    assert isinstance(loop, uvloop.Loop)
    monkeypatch.setattr(event_loop, "uvloop", None)
    loop = event_loop.new_event_loop()
    loop.close()
    assert isinstance(loop, asyncio.SelectorEventLoop)


def test_signals_that_a_system_lacks_are_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    set_: list[int] = []
    monkeypatch.setattr(
        event_loop,
        "signal",
        SimpleNamespace(SIGINT=2, SIG_IGN=1, signal=lambda number, _: set_.append(number)),
    )
    event_loop.ignore(("SIGHUP", "SIGINT"))
    assert set_ == [2]
