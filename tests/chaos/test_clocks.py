"""Two connectors, and the clock of one steps by an hour both ways under load."""

from pathlib import Path

import pytest

from tests.chaos.crowds import addresses_of, talking
from tools.testing.cluster import MakeCluster
from tools.testing.server import Server
from tools.testing.services import Services
from tools.testing.stepped_clock import SteppedClock

pytestmark = pytest.mark.slow

HOUR = 3600
MESSAGES = 200


async def test_a_clock_that_steps_an_hour_both_ways_loses_and_disorders_nothing(
    own_cluster: MakeCluster, services: Services, tmp_path: Path
) -> None:
    it = own_cluster(2, 2)
    clock = SteppedClock.of(services, tmp_path / "clock")
    own = {"NODE__ROLES": "connector", "METRICS__PORT": "0"}
    late = Server(tmp_path / "late", {**it.settings_of_one_more(), **own}, it.at(0).http, clock.environment)
    async with late, talking(addresses_of(it.at(0), late.at)) as crowd:
        for seconds in (-HOUR, HOUR, 0):
            clock.step(seconds)
            await crowd.until_said(MESSAGES)
