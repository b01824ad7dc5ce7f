"""A minute of faults in a cluster under load, and some of those that refuse nothing and only stand still.

`scripts/chaos` is the same for longer.
"""

import pytest

from tools.chaos.run import Run, storm
from tools.testing.cluster import MakeCluster

pytestmark = pytest.mark.slow

ABRUPT = ("kill connector", "kill group", "kill api", "pause", "cut", "kafka", "zookeeper", "mariadb")
SILENT = ("pair", "drop", "freeze kafka", "freeze mariadb", "drop mariadb")
# With this seed a connector is killed and one paused, and MySQL, ZooKeeper and Kafka are restarted.
MINUTE = Run(seconds=60.0, seed=8358, only=ABRUPT)
# And with this one packets to Kafka are dropped while a group process is killed, MySQL stands still, and packets of
# a connector or a group process are dropped.
STILL = Run(seconds=30.0, clients=40, rate=30.0, seed=328, only=SILENT)


@pytest.mark.parametrize("run", [MINUTE, STILL], ids=["abrupt", "silent"])
async def test_faults_lose_and_double_nothing(
    cluster: MakeCluster, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    it = cluster(2, 2)
    said: list[str] = []
    outcome = await storm(it.name, run, said.append)
    it.faults()  # what was logged meanwhile is no other test's concern
    with capsys.disabled():
        print(f"\n{outcome.table}")
    assert outcome.wrong == []
