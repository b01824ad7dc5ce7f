"""Real services for tests, by `scripts/services`: the fixture `services`.

    def test_it(services: Services) -> None:
        url = services("mariadb", "kafka").url("mariadb")

They run in a set of this test session, which is taken down at its end. With TEST_SERVICES_SET=NAME in the environment
that set is used and left running, which saves the start when tests are run again and again.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNAVAILABLE = 3
"""The exit code of `scripts/services` when something is missing and cannot be installed."""
_OF_A_SESSION = re.compile(r"test-(?:[a-z]+-)*(\d+)")
_UP_SECONDS = 1800
_SECONDS = 300


def run(*arguments: str, seconds: float = _SECONDS) -> subprocess.CompletedProcess[str]:
    """Run `scripts/services`, whatever comes of it, with the interpreter of the tests."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "tools.services", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


class Services:
    """The services of one set. Each call of it makes sure that some of them run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._unavailable: dict[str, str] = {}

    def __call__(self, *names: str) -> Self:
        """Have these services running and ready; the test is skipped if one of them cannot be had here."""
        for name in names:
            if name in self._unavailable:
                pytest.skip(self._unavailable[name])
        done = run("up", *names, "--set", self.name, seconds=_UP_SECONDS)
        if done.returncode == UNAVAILABLE:
            self._unavailable |= dict.fromkeys(names, done.stderr.strip())
            pytest.skip(done.stderr.strip())
        _check(done)
        return self

    def url(self, name: str) -> str:
        """The url of a service, as the settings take it."""
        return next(iter(self.variables(name).values()))

    def variables(self, *names: str) -> dict[str, str]:
        """The environment variables that lead a server to these services, or to all."""
        return dict(json.loads(self._do("env", "--json", *names)))

    def port(self, name: str) -> int:
        """The port for clients of a service, or of one process of it."""
        return int(self.process(name)["ports"]["clients"])

    def process(self, name: str) -> dict[str, Any]:
        """What `scripts/services status --json` says of a process: state, pid, ports, log."""
        status = json.loads(run("status", "--json", "--set", self.name).stdout)
        return next(one for service in status.values() for one in service["processes"] if one["name"] == name)

    def start(self, *names: str) -> None:
        self._do("start", *names)

    def stop(self, *names: str) -> None:
        self._do("stop", *names)

    def kill(self, *names: str) -> None:
        """End them by SIGKILL."""
        self._do("kill", *names)

    def restart(self, *names: str) -> None:
        self._do("restart", *names)

    def down(self) -> None:
        """Stop all of them, and remove their data."""
        self._do("down")

    def _do(self, command: str, *arguments: str) -> str:
        return _check(run(command, *arguments, "--set", self.name))


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    if name := os.environ.get("TEST_SERVICES_SET"):
        yield Services(name)
        return
    take_down_orphans()
    own = Services(f"test-{os.getpid()}")
    try:
        yield own
    finally:
        own.down()


def take_down_orphans() -> None:
    """Take down the sets of test sessions that ended without doing it themselves."""
    for folder in (ROOT / ".cache" / "services").glob("test-*"):
        owner = _OF_A_SESSION.fullmatch(folder.name)
        if owner is not None and not Path(f"/proc/{owner[1]}").exists():
            _check(run("down", "--set", folder.name))


def _check(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        pytest.fail(f"{' '.join(done.args[3:])}: exit code {done.returncode}\n{done.stderr}", pytrace=False)
    return done.stdout
