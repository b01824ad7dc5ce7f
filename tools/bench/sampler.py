"""Runs fsharechat under a sampling profiler: `python -m tools.bench.sampler FILE ARGUMENTS...`.

SIGUSR1 starts the sampling, SIGUSR2 ends it and writes FILE, one line a stack: `thread;outer;...;inner count`, as
flame-graph tools read it. A thread takes the stacks of the others every 2 ms. It needs the interpreter lock for that,
and gets it only between two steps of Python code: time in C code counts for the Python function that called it, or
for the next one to run. Threads switch more often than usual, so that it waits only for a step. This makes the server
slower.
"""

import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from tools.bench import between_signals

_INTERVAL_SECONDS = 0.002
_SWITCH_SECONDS = 0.0001


class Sampler:
    """Counts the stacks of all threads but its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stacks: Counter[str] = Counter()
        self._on = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGUSR1."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._on.set()

    def end(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGUSR2."""
        self._stop.set()

    def _run(self) -> None:
        self._on.wait()
        own = threading.get_ident()
        while not self._stop.wait(_INTERVAL_SECONDS):
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident != own:
                    self._stacks[";".join((names.get(ident, "thread"), *stack_of(frame)))] += 1
        lines = (f"{stack} {count}\n" for stack, count in self._stacks.most_common())
        self._path.write_text("".join(lines))


def stack_of(frame: FrameType | None) -> list[str]:
    """Return the functions from the outermost to the one that runs, as `module.function`."""
    names: list[str] = []
    while frame is not None:
        names.append(f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return names[::-1]


def summary(lines: Iterable[str], top: int = 25) -> str:
    """Return a table for each thread: the functions with most samples, alone and with what they called.

    The busiest thread comes first. A thread that was always in the same function only waited.
    """
    own: dict[str, Counter[str]] = {}
    total: dict[str, Counter[str]] = {}
    for line in lines:
        stack, _, count = line.rpartition(" ")
        thread, *names = stack.split(";")
        own.setdefault(thread, Counter())[names[-1]] += int(count)
        for name in set(names):
            total.setdefault(thread, Counter())[name] += int(count)
    text: list[str] = []
    for thread, counts in sorted(own.items(), key=lambda item: -len(item[1])):
        if len(counts) == 1:
            continue
        samples = counts.total()
        text.append(f"thread {thread}: {samples} samples\n   self  total")
        text += (
            f"{count / samples:7.1%} {total[thread][name] / samples:6.1%}  {name}"
            for name, count in counts.most_common(top)
        )
    return "\n".join(text)


if __name__ == "__main__":
    between_signals.run(Sampler)
