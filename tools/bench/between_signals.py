"""Runs fsharechat while something looks at it, from SIGUSR1 to SIGUSR2."""

import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Protocol


class Looker(Protocol):
    """Looks at the process that it is in."""

    def start(self) -> None:
        """Get ready, before fsharechat runs."""

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGUSR1."""

    def end(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGUSR2: write down what was seen."""


def run(make: Callable[[Path], Looker]) -> None:
    """Run fsharechat with the arguments of this process; the first of them is the file that the looker writes."""
    looker = make(Path(sys.argv[1]))
    sys.argv = ["fsharechat", *sys.argv[2:]]
    signal.signal(signal.SIGUSR1, looker.begin)
    signal.signal(signal.SIGUSR2, looker.end)
    looker.start()
    runpy.run_module("fsharechat", run_name="__main__", alter_sys=True)
