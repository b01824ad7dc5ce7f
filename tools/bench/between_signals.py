"""Runs fsharechat under a looker, which looks at it from SIGUSR1 to SIGUSR2."""

import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Protocol


class Looker(Protocol):
    """Looks at its own process."""

    def start(self) -> None:
        """Get ready, before fsharechat runs."""

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGUSR1."""

    def end(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGUSR2: write the results."""


def run(make: Callable[[Path], Looker]) -> None:
    """Run fsharechat with the arguments of this process. The first one is the file for the results."""
    looker = make(Path(sys.argv[1]))
    sys.argv = ["fsharechat", *sys.argv[2:]]
    signal.signal(signal.SIGUSR1, looker.begin)
    signal.signal(signal.SIGUSR2, looker.end)
    looker.start()
    runpy.run_module("fsharechat", run_name="__main__", alter_sys=True)
