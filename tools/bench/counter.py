"""Runs fsharechat and counts the calls of Python functions: `python -m tools.bench.counter FILE ARGUMENTS...`.

SIGUSR1 begins, SIGUSR2 ends it and writes FILE, one line a function: `module.function count`. Unlike times, counts do
not depend on other work of the machine. A generator or coroutine counts once more each time it goes on. Of functions
in C only conversions are counted, by the module that calls them: `convert.FromString|module count`.
"""

import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType

from tools.bench import between_signals

CONVERT = "convert."
CONVERSIONS = frozenset(
    ("FromString", "ParseFromString", "MergeFromString", "SerializeToString", "CopyFrom", "loads", "dumps")
)


class CallCounter:
    """Counts in all threads that begin after it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts: Counter[tuple[str, CodeType]] = Counter()
        self._conversions: Counter[tuple[str, str]] = Counter()
        self._on = False

    def start(self) -> None:
        threading.setprofile(self._look)
        sys.setprofile(self._look)

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGUSR1."""
        self._on = True

    def end(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGUSR2."""
        self._on = False
        lines = (
            f"{module}.{code.co_qualname} {count}\n" for (module, code), count in self._counts.most_common()
        )
        conversions = (
            f"{CONVERT}{name}|{module} {count}\n" for (name, module), count in self._conversions.items()
        )
        part = self._path.with_name(f"{self._path.name}.part")
        part.write_text("".join((*lines, *conversions)))
        part.replace(self._path)

    def _look(self, frame: FrameType, event: str, called: object) -> None:
        if not self._on:
            return
        if event == "call":
            self._counts[frame.f_globals.get("__name__", "?"), frame.f_code] += 1
        elif event == "c_call" and (name := getattr(called, "__name__", "")) in CONVERSIONS:
            self._conversions[name, frame.f_globals.get("__name__", "?")] += 1


def calls_table(lines: Iterable[str], messages: int, least: float = 0.05) -> str:
    """Return the functions that are called at least `least` times for each message, and the sum of the calls."""
    rows: list[tuple[float, str]] = []
    for line in lines:
        name, _, count = line.rpartition(" ")
        if not name.startswith(CONVERT) and (calls := int(count) / messages) >= least:
            rows.append((calls, name))
    modules = {name.split(".<locals>")[0].rpartition(".")[0] for _, name in rows}
    total = (
        f"{sum(calls for calls, _ in rows):.1f} calls in {len(modules)} modules and classes for each message"
    )
    return "\n".join([total, *(f"{calls:7.2f}  {name}" for calls, name in rows)])


def conversions(lines: Iterable[str], messages: int) -> dict[str, float]:
    """Return how often each conversion is made for a message, by `function module`."""
    found = {}
    for line in lines:
        name, _, count = line.rpartition(" ")
        if name.startswith(CONVERT):
            found[name.removeprefix(CONVERT).replace("|", " ")] = int(count) / messages
    return found


if __name__ == "__main__":
    between_signals.run(CallCounter)
