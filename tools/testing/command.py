"""Commands of scripts/ for tests, each on its own set."""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import ClassVar

import pytest

from tools.services.places import ROOT

UNAVAILABLE = 3
"""The exit code if something is missing and cannot be installed."""
UP_SECONDS = 1800
"""The time limit of a first start, s: it installs programs."""
OTHER_SECONDS = 600


def check(done: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a command. If it failed, the test fails."""
    if done.returncode:
        pytest.fail(f"{' '.join(done.args[3:])}: exit code {done.returncode}\n{done.stderr}", pytrace=False)
    return done.stdout


class CommandSet:
    """The processes that a command of scripts/ has started under a name. The methods wait for their command."""

    module: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self, *names: str) -> None:
        self.do("start", *names)

    def stop(self, *names: str) -> None:
        self.do("stop", *names)

    def kill(self, *names: str) -> None:
        """End them by SIGKILL."""
        self.do("kill", *names)

    def restart(self, *names: str) -> None:
        """Stop and start them. Those of a cluster restart one after the other, each when the last one is ready."""
        self.do("restart", *names)

    def down(self) -> None:
        """Stop everything, and remove the data."""
        self.do("down")

    def do(self, command: str, *arguments: str) -> str:
        """Run one of its commands and return its output."""
        return check(self.run(command, *arguments))

    def run(
        self, command: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its commands, with the interpreter of the tests. It may fail.

        It does not get the settings of this process.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FSHARECHAT_")}
        return subprocess.run(
            [sys.executable, "-P", "-m", self.module, command, *arguments, "--set", self.name],
            env={**inherited, **(environment or {}), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS if command in ("up", "machines") else OTHER_SECONDS,
        )
