"""A clock for a server under test, which can step."""

from pathlib import Path
from typing import Self

from fsharechat.clock import now_ms
from tools.testing.services import Services

NEAR_MS = 1_800_000
"""Half of an hour's step: so a time clearly belongs to one clock or the other, however busy the machine is."""


class SteppedClock:
    """A clock for a server: the machine's clock plus so many seconds."""

    def __init__(self, file: Path, library: str) -> None:
        self._file = file
        self._off_ms = 0.0
        self.environment = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.step(0)

    @classmethod
    def of(cls, services: Services, file: Path) -> Self:
        """Return a clock made with libfaketime, which is installed if possible."""
        return cls(file, services("faketime").variables("faketime")["FAKETIME_LIBRARY"])

    def step(self, seconds: float) -> None:
        """Set the clock. The server sees it at once."""
        self.set(f"{seconds:+g}")
        self._off_ms = seconds * 1000

    def set(self, text: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{text}\n")
        fresh.replace(self._file)

    def reads(self, ms: int) -> bool:
        """Return whether the clock shows about that time."""
        return abs(ms - self._off_ms - now_ms()) < NEAR_MS
