"""Real services for tests, by `scripts/services`: the fixture `services`.

    def test_it(services: Services) -> None:
        url = services("mariadb", "kafka").url("mariadb")

They run in a set of this test session, which is taken down at its end. With TEST_SERVICES_SET=NAME in the environment
that set is used and left running, which saves the start when tests are run again and again.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from fsharechat.settings_schema import BlobsSettings
from tools.services.places import ROOT
from tools.testing.command import UNAVAILABLE, CommandSet, check

_OF_A_SESSION = re.compile(r"test-(?:[a-z]+-)*(\d+)")


class Services(CommandSet):
    """The services of one set. A call starts some of them, if they do not run yet."""

    module = "tools.services"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._unavailable: dict[str, str] = {}
        self._media: dict[str, BlobsSettings] = {}

    def __call__(self, *names: str) -> Self:
        """Return with these services running and ready. The test is skipped if one of them cannot run here."""
        for name in names:
            if name in self._unavailable:
                pytest.skip(self._unavailable[name])
        done = self.run("up", *names)
        if done.returncode == UNAVAILABLE:
            self._unavailable |= dict.fromkeys(names, done.stderr.strip())
            pytest.skip(done.stderr.strip())
        check(done)
        return self

    def url(self, name: str) -> str:
        """The url of a service, in the form for the settings."""
        return next(iter(self.variables(name).values()))

    def variables(self, *names: str) -> dict[str, str]:
        """The environment variables that lead a server to these services, or to all."""
        return dict(json.loads(self.do("env", "--json", *names)))

    def media(self, name: str) -> BlobsSettings:
        """The settings that lead to an S3 server, which the first call starts. The others run no command."""
        if name not in self._media:
            variables = self(name).variables(name)
            keys = {key.removeprefix("FSHARECHAT_BLOBS__").lower(): value for key, value in variables.items()}
            self._media[name] = BlobsSettings.model_validate(keys)
        return self._media[name]

    def port(self, name: str) -> int:
        """The port for clients of a service, or of one process of it."""
        return int(self.process(name)["ports"]["clients"])

    def process(self, name: str) -> dict[str, Any]:
        """The entry of a process in `scripts/services status --json`: state, pid, ports, log."""
        status = json.loads(self.run("status", "--json").stdout)
        return next(one for service in status.values() for one in service["processes"] if one["name"] == name)


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
    """Take down the sets of test sessions that ended without doing so."""
    for folder in (ROOT / ".cache" / "services").glob("test-*"):
        owner = _OF_A_SESSION.fullmatch(folder.name)
        if owner is not None and not Path(f"/proc/{owner[1]}").exists():
            Services(folder.name).down()
