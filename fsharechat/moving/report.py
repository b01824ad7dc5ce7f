"""What an import tells: how far it is, what could not be decided, and the counts at the end."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TextIO

from fsharechat.store.imports import ImportFinding, ImportProgress
from fsharechat.ticker import Ticker

MAX_SHOWN = 200
"""Findings of one kind that are told one by one."""


class ImportReport:
    """What an import finds, told at once: a run that is killed has told what it found until then."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._counts: Counter[str] = Counter()

    def add(self, findings: Iterable[ImportFinding]) -> None:
        """Tell of the first findings of each kind, and count the others."""
        for kind, what in findings:
            self._counts[kind] += 1
            if self._counts[kind] <= MAX_SHOWN:
                self.say(f"{kind}: {what}")
            elif self._counts[kind] == MAX_SHOWN + 1:
                self.say(f"{kind}: …, from here on they are counted")

    def totals(self, totals: Mapping[str, ImportProgress]) -> None:
        """Tell how many rows of each kind were read, and how many findings there were of each."""
        for name, total in totals.items():
            self.say(f"{name}: {total.read:,} read, {total.put:,} taken, {total.left_out:,} left out")
        for kind, count in sorted(self._counts.items()):
            self.say(f"{kind} ({count:,})")

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class ProgressTicker(Ticker):
    """Says how many rows are read."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self._rows = 0

    def moved(self, what: str, rows: int, read: int, total: int) -> None:
        """Take note of `rows` more rows; so many of about `total` in a table are read."""
        self._rows += rows
        if seconds := self.due():
            rate = self._rows / seconds
            of = f" of about {max(total, read):,}" if total else ""
            self.say(f"{what}: {read:,}{of} rows; {rate:,.0f} rows a second in all")
