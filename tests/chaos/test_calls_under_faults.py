"""A call in a group loses its media process, its Kurento, or the group process that looks after it.

Participants are told, the next call works, and chat loses nothing. `scripts/chaos` is the same for longer.
"""

from collections.abc import Iterator

import pytest

from tools.chaos import world
from tools.chaos.kurento import KurentoDaemon
from tools.chaos.run import Run, RunOutcome, storm
from tools.testing.cluster import LiveCluster, MakeCluster

pytestmark = pytest.mark.slow

# Each of the kinds once.
FEW = Run(seconds=24.0, clients=40, rate=30.0, every=12.0, seed=1, raw=2, raw_rate=4.0, group=12)
EMBEDDED = FEW._replace(only=("kill media", "kill leader"))
KURENTO = FEW._replace(seconds=14.0, only=("kill kurento",))


@pytest.fixture
def kurento() -> Iterator[KurentoDaemon]:
    started = world.start_kurento("test")
    yield started
    started.stop(world.quiet)


async def struck(
    it: LiveCluster, run: Run, capsys: pytest.CaptureFixture[str], kurento: KurentoDaemon | None = None
) -> RunOutcome:
    said: list[str] = []
    outcome = await storm(it.name, run, said.append, kurento)
    it.faults()  # what was logged meanwhile is no other test's concern
    with capsys.disabled():
        print(f"\n{outcome.table}")
    assert outcome.wrong == []
    return outcome


async def test_a_media_process_and_a_leader_that_die_in_a_call(
    cluster: MakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = await struck(cluster(2, 2, media=2), EMBEDDED, capsys)
    assert outcome.table.count(", in a call") == 1
    assert outcome.table.count(", which looks after a call") == 1
    assert outcome.calls_ended


async def test_a_kurento_that_dies_in_a_call(
    cluster: MakeCluster, kurento: KurentoDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    it = cluster(2, 2, media=1, kurento=kurento.url)
    outcome = await struck(it, KURENTO, capsys, kurento)
    assert outcome.calls_ended
