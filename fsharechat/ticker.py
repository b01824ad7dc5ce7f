"""Tells on a terminal how far a long work is."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

TELL_SECONDS = 5.0
"""The time between two lines about how far it is, s."""


class Ticker:
    """Says how far a long work is, every few seconds, on a stream that is not its result."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._told = self._began = clock()

    def due(self) -> float:
        """Return how many seconds the work has taken if a line is due, else 0."""
        now = self._clock()
        if now - self._told < TELL_SECONDS:
            return 0.0
        self._told = now
        return now - self._began

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
