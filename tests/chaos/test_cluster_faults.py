"""A minute of faults in a cluster under load; `scripts/chaos` is the same for longer."""

import sys
from pathlib import Path

import pytest

from tests.cluster_kit import MakeCluster

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from faults.run import Run, storm

pytestmark = pytest.mark.slow

# With this seed a connector is killed and one paused, and MySQL, ZooKeeper and Kafka are restarted.
MINUTE = Run(seconds=60.0, seed=8358)


async def test_faults_lose_and_double_nothing(
    cluster: MakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    it = cluster(2, 2)
    said: list[str] = []
    outcome = await storm(it.name, MINUTE, said.append)
    it.faults()  # what was logged meanwhile is no other test's concern
    with capsys.disabled():
        print(f"\n{outcome.table}")
    assert outcome.wrong == []
