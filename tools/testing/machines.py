"""A cluster on several machines for tests, by `scripts/cluster machines`: the fixture `machines`."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tools.cluster.machines import Machines
from tools.services import process
from tools.services.places import ROOT
from tools.testing.cluster import SETTINGS, LiveCluster, take_down_old_clusters
from tools.testing.command import UNAVAILABLE, check
from tools.testing.server import BOUND

COUNT = 3
LOOK_SECONDS = 0.5
"""How often it is seen whether the machines are well, s. Each look asks their services."""


class LiveMachines(LiveCluster):
    """Three machines, with a load balancer in front. A name may be that of a machine, or of a process on one."""

    names_of_machines = tuple(f"machine-{number}" for number in range(1, COUNT + 1))

    def bring_up(self, network: int, settings: Mapping[str, str] | None = None, tree: Path = ROOT) -> None:
        """Run them, all ready, in a network of that number. The test is skipped if there can be no machines here.

        `settings` are FSHARECHAT_ variables, `tree` is the source tree that all of them run.
        """
        arguments = [str(COUNT), "--dev", "--network", str(network), "--tree", str(tree)]
        done = self.run("machines", *arguments, environment={**SETTINGS, **(settings or {})})
        if done.returncode == UNAVAILABLE:
            pytest.skip(done.stderr.strip())
        check(done)
        self._info = self.info()

    def replace(self, name: str, tree: Path = ROOT) -> None:
        """Restart the roles of a machine from a source tree; it runs this tree from now on. Its services go on."""
        super().replace(name, tree)
        self._info = self.info()

    def terminate(self, name: str) -> None:
        """End a process by SIGTERM, also while a command waits until it is ready."""
        it = Machines.load(self.name)
        assert it is not None
        (one,) = it.parted([name])[1]
        identity = one.running
        assert identity is not None, f"{name} has ended by itself"
        process.terminate(identity, one.stop_seconds)

    async def until_well(self) -> None:
        """Wait until all processes are ready, and all machines are whole."""
        it = Machines.load(self.name)
        assert it is not None
        deadline = time.monotonic() + 3 * BOUND
        while unwell := await asyncio.to_thread(it.unwell):
            assert time.monotonic() < deadline, f"the machines are not well: {unwell}"
            await asyncio.sleep(LOOK_SECONDS)

    def cut(self, name: str) -> None:
        """Cut a machine off from everybody."""
        self.do("cut", name)

    def cut_from_others(self, name: str) -> None:
        """Cut a machine off from the other ones. Clients still reach it."""
        self.do("cut", "--others", name)

    def mend(self, name: str) -> None:
        self.do("mend", name)

    def fill(self, name: str) -> None:
        """Leave no byte free on the disk of a machine."""
        self.do("fill", name)

    def empty(self, name: str) -> None:
        self.do("empty", name)


@pytest.fixture
def machines() -> Iterator[LiveMachines]:
    """Three machines that are not there yet: `bring_up` makes them."""
    take_down_old_clusters()
    it = LiveMachines(f"test-cluster-{os.getpid()}-machines")
    try:
        yield it
    finally:
        it.down()
