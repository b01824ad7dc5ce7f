"""The version before this one and this one in one cluster: a rolling upgrade while people chat.

Both ways round: connectors of this version come before the first group process of it, and one of the version before
stays until all group processes are of this one. In between a group process of the version before works on tables that
this one has migrated.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.cluster.circle import make_circle, two_strangers_talk
from tests.cluster.rolling import RollingChat, get_through, make_pair
from tools.services.places import ROOT
from tools.testing.cluster import LiveCluster
from tools.testing.previous import previous_version

pytestmark = pytest.mark.slow

PAIRS = 4
PACE_SECONDS = 0.05
"""From an answer to the next text of a task: processes that start need some of a small machine, too."""
STEPS = ("connector-0", "group-0", "group-1", "connector-1", "api")
"""In this order the processes are replaced, those of a role one after the other.

After the first and the third each pair of versions has been together.
"""


@pytest.fixture
def mixed() -> Iterator[LiveCluster]:
    """A cluster of the version before: two connectors, two group processes and two api processes."""
    tree = previous_version()
    cluster = LiveCluster(f"test-cluster-{os.getpid()}-mixed")
    try:
        cluster.up(2, 2, tree=tree)
        assert set(cluster.trees().values()) == {tree}
        yield cluster
    finally:
        cluster.down()


async def test_a_rolling_upgrade_under_load_loses_nothing_and_shows_nobody_what_is_not_for_them(
    mixed: LiveCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    async with AsyncExitStack() as stack:
        pairs = [await make_pair(mixed, number, stack, PACE_SECONDS) for number in range(PAIRS)]
        circle = await make_circle(mixed, stack)
        all_of_them: list[RollingChat] = [*pairs, circle]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as chats:
            for chat in all_of_them:
                chats.create_task(chat.chat(stop))
            for name in STEPS:
                await get_through(all_of_them)
                await asyncio.to_thread(mixed.replace, name)
                assert {mixed.trees()[one] for one in mixed.names() if one.startswith(name)} == {ROOT}
                await two_strangers_talk(mixed)
            await get_through(all_of_them)
            stop.set()
        for pair in pairs:
            await pair.check()
        await circle.check()
        await mixed.until_known()
    assert mixed.faults() == []
    assert [name for name in mixed.names() if "another release" in mixed.log(name)] == []
    assert set(mixed.trees().values()) == {ROOT}
    with capsys.disabled():
        total = sum(len(chat.acknowledged) for chat in all_of_them)
        print(f"\n{len(mixed.names())} processes upgraded under load: {total} messages")
