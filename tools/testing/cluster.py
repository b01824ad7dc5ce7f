"""A cluster for tests, by `scripts/cluster`: the fixture `cluster`.

    async def test_it(cluster: MakeCluster) -> None:
        it = cluster(2, 2)
        ... Device(credentials, it.at(0), "tcp") ... Device(credentials, it.at(1), "ws")

It runs on services of its own, so that it shares no database, no topics and no registry with other tests, and stays
up for the whole test session. With TEST_CLUSTER_SET=NAME in the environment that cluster is used and left running.
"""

import asyncio
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import aiohttp
import pytest

from fsharechat.client import send_code
from tools.services.places import ROOT
from tools.testing.command import UNAVAILABLE, CommandSet, check
from tools.testing.server import BOUND, ServerAddresses, until

API_KEY = "key-of-the-tests-back-office"
SETTINGS = {
    "FSHARECHAT_LIMITS__REQUESTS": "0",
    "FSHARECHAT_LIMITS__FOLLOW_UPS": "0",
    "FSHARECHAT_LOG__FORMAT": "json",
    "FSHARECHAT_API__KEY": API_KEY,
}
"""No rate limit, logs that tests can read, and a back office."""

_OF_A_SESSION = re.compile(r"test-cluster-(\d+)(-tls|-mixed|-own|-machines)?")


class LiveCluster(CommandSet):
    """One cluster. Its methods are the commands of `scripts/cluster`. They wait until the command is done."""

    module = "tools.cluster"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._unavailable = ""
        self._info: dict[str, Any] = {}
        self._seen: dict[str, int] = {}

    def up(
        self,
        connectors: int,
        groups: int,
        apis: int = 2,
        media: int = 0,
        settings: Mapping[str, str] | None = None,
        tree: Path = ROOT,
        kurento: str = "",
    ) -> Self:
        """Run so many processes, all of them ready. The test is skipped if the services cannot run here.

        `settings` are FSHARECHAT_ variables for those that are started new, `tree` is the source tree that these run,
        `kurento` is what media processes use.
        """
        if self._unavailable:
            pytest.skip(self._unavailable)
        counts = [str(connectors), str(groups), "--api", str(apis), "--media", str(media)]
        options = ["--dev", "--tree", str(tree), "--kurento", kurento]
        done = self.run("up", *counts, *options, environment={**SETTINGS, **(settings or {})})
        if done.returncode == UNAVAILABLE:
            self._unavailable = done.stderr.strip()
            pytest.skip(self._unavailable)
        check(done)
        self._info = self.info()
        return self

    def at(self, number: int = 0) -> ServerAddresses:
        """The addresses of one connector, and of the api process with the same number (modulo all)."""
        http = self._info["http"]
        return ServerAddresses(self._info["tcp"][number], self._info["ws"][number], http[number % len(http)])

    def anywhere(self, first: int) -> ServerAddresses:
        """The addresses of all connectors, beginning with one, for clients that go to the next after a loss."""
        order = [(first + n) % len(self._info["tcp"]) for n in range(len(self._info["tcp"]))]
        tcp, ws = (",".join(self._info[kind][number] for number in order) for kind in ("tcp", "ws"))
        return ServerAddresses(tcp, ws, self.at(order[0]).http)

    def info(self) -> dict[str, Any]:
        """The present output of `scripts/cluster env --json`."""
        return dict(json.loads(self.do("env", "--json")))

    def names(self, role: str = "") -> list[str]:
        """The names of the processes, or of those of a role."""
        return [name for name, one in self._info["members"].items() if role in ("", one["role"])]

    def states(self) -> dict[str, str]:
        """The state of each process: "ready", "starting", "paused", "died", "stopped", "not answering"."""
        return {name: one["state"] for name, one in self.info()["members"].items()}

    def pids(self) -> dict[str, int | None]:
        """The process ids of running processes."""
        return {name: one["pid"] for name, one in self.info()["members"].items()}

    def trees(self) -> dict[str, Path]:
        """The source tree that each process runs."""
        return {name: Path(one["tree"]) for name, one in self.info()["members"].items()}

    def log(self, name: str) -> str:
        """The whole output of a process since the cluster was started."""
        return Path(self._info["members"][name]["log"]).read_text(errors="replace")

    async def metric(self, name: str, of: str) -> float:
        """A metric of one process, by its name without the prefix."""
        return await metric_at(self.metrics_page(of), name)

    def metrics_page(self, of: str) -> str:
        """The address of the metrics of one process."""
        return str(self._info["members"][of]["addresses"]["metrics"])

    def settings_of_one_more(self) -> dict[str, str]:
        """The settings with which one more process joins, on free ports, as variables without their prefix."""
        named = {key.removeprefix("FSHARECHAT_"): value for key, value in self._info["variables"].items()}
        return {**named, "CONNECTOR__TCP_PORT": "0", "CONNECTOR__WS_PORT": "0"}

    async def until_known(self) -> None:
        """Wait until every group process knows exactly the online devices."""
        groups, connectors = self.names("group"), self.names("connector")
        counts: list[float] = []

        async def agreed() -> bool:
            online = sum([await self.metric("devices_online", one) for one in connectors])
            counts[:] = [online, *[await self.metric("devices_known", one) for one in groups]]
            return len(set(counts)) == 1

        deadline = time.monotonic() + BOUND
        while not await agreed():
            assert time.monotonic() < deadline, f"devices online, and known to each group process: {counts}"
            await asyncio.sleep(0.02)

    def faults(self) -> list[str]:
        """The errors and tracebacks in the logs since the last call."""
        found = []
        for name in self.names():
            text = self.log(name)
            new, self._seen[name] = text[self._seen.get(name, 0) :], len(text)
            found += [f"{name}: {line}" for line in new.splitlines() if _is_fault(line)]
        return found

    async def code_for(self, number: str) -> str:
        """Ask for a login code like a user, and take it from the logs."""
        await send_code(self.at().http, number)
        codes: list[str] = []

        def found() -> bool:
            lines = [line for name in self.names("group") for line in self.log(name).splitlines()]
            events = (json.loads(line) for line in lines if '"login code"' in line)
            codes[:] = [event["code"] for event in events if event["number"] == number]
            return bool(codes)

        await until(found, f"no code for {number} in the logs")
        return codes[-1]

    def replace(self, name: str, tree: Path = ROOT) -> None:
        """Stop a process, and start it from a source tree; it runs this tree from now on."""
        self.do("restart", name, "--tree", str(tree))

    def pause(self, *names: str) -> None:
        """Stop them for a while (SIGSTOP)."""
        self.do("pause", *names)

    def resume(self, *names: str) -> None:
        self.do("resume", *names)


class MakeCluster(Protocol):
    """Sets the size of the test session's cluster, and returns it."""

    def __call__(
        self, connectors: int, groups: int, apis: int = 2, media: int = 0, *, kurento: str = ""
    ) -> LiveCluster: ...


@pytest.fixture(scope="session")
def cluster() -> Iterator[MakeCluster]:
    if name := os.environ.get("TEST_CLUSTER_SET"):
        yield LiveCluster(name).up
        return
    take_down_old_clusters()
    own = LiveCluster(f"test-cluster-{os.getpid()}")
    try:
        yield own.up
    finally:
        own.down()


@pytest.fixture
def own_cluster() -> Iterator[MakeCluster]:
    """A cluster for one test, removed afterwards: for data that other tests must not find."""
    own = LiveCluster(f"test-cluster-{os.getpid()}-own")
    try:
        yield own.up
    finally:
        own.down()


async def metric_at(url: str, name: str) -> float:
    """A metric of the process whose page is at `url`, by its name without the common prefix."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()
    found = re.search(rf"^fsharechat_{name}(?:_total)? (\S+)$", text, re.MULTILINE)
    assert found, f"there is no metric {name} at {url}"
    return float(found[1])


def new_numbers(count: int) -> list[str]:
    """New numbers, with which nobody has logged in: a cluster may know those of earlier tests."""
    return [f"19{secrets.randbelow(10**9):09}" for _ in range(count)]


def _is_fault(line: str) -> bool:
    return '"level":"error"' in line or line.startswith("Traceback")


def take_down_old_clusters() -> None:
    """Take down the clusters of test sessions that ended without doing so."""
    for folder in (ROOT / ".cache" / "cluster").glob("test-cluster-*"):
        owner = _OF_A_SESSION.fullmatch(folder.name)
        if owner is not None and not Path(f"/proc/{owner[1]}").exists():
            LiveCluster(folder.name).down()
