"""The event loop of the server, and what it does at signals, on every system."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self

try:
    import uvloop
except ModuleNotFoundError:  # there is none for Windows
    uvloop = None  # type: ignore[assignment]

STOP = ("SIGINT", "SIGTERM", "SIGBREAK")
"""What asks a server to end. SIGBREAK is Ctrl-Break on Windows. There SIGTERM ends a process unasked."""
RELOAD = ("SIGHUP",)

_WAKE_BYTES = 4096


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop, or one of asyncio where uvloop is missing.

    That one waits by selectors on every system: asyncio's own choice for Windows cannot watch a listening socket.
    """
    return uvloop.new_event_loop() if uvloop is not None else asyncio.SelectorEventLoop()


def ignore(names: tuple[str, ...]) -> None:
    """Ignore signals, as far as the system has them."""
    for number in _numbers(names):
        signal.signal(number, signal.SIG_IGN)


class Signals:
    """What the running loop does at signals. Use it as a context manager, in the main thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stack = ExitStack()
        self._wakes = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def on(self, names: tuple[str, ...], call: Callable[[], object]) -> None:
        """Have the loop call a function at each of these signals, as far as the system has them."""
        for number in _numbers(names):
            try:
                self._loop.add_signal_handler(number, call)
            except NotImplementedError:  # on Windows
                self._handle(number, call)

    def _handle(self, number: int, call: Callable[[], object]) -> None:
        if not self._wakes:
            self._wake_at_signals()
        before = signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(call))
        self._stack.callback(signal.signal, number, signal.SIG_DFL if before is None else before)

    def _wake_at_signals(self) -> None:
        """Wake the loop at each signal. Another thread of the process may get it, and the loop would wait on."""
        self._wakes = True
        woken, wakes = socket.socketpair()
        for one in (woken, wakes):
            one.setblocking(False)
            self._stack.callback(one.close)
        before = signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        self._stack.callback(signal.set_wakeup_fd, before)
        self._loop.add_reader(woken, woken.recv, _WAKE_BYTES)
        self._stack.callback(self._loop.remove_reader, woken)


def _numbers(names: tuple[str, ...]) -> Iterator[int]:
    for name in names:
        if (number := getattr(signal, name, None)) is not None:
            yield number
