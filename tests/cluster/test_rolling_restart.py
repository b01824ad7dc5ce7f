"""Every process of a cluster is stopped and started, one after the other, while people chat."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.cluster.rolling import get_through, make_pair
from tools.testing.cluster import MakeCluster

pytestmark = pytest.mark.slow

PAIRS = 8


async def test_a_rolling_restart_under_load_loses_and_fails_nothing(
    cluster: MakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    it = cluster(2, 2)
    it.faults()
    async with AsyncExitStack() as stack:
        pairs = [await make_pair(it, number, stack) for number in range(PAIRS)]
        before = it.pids()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as chats:
            for pair in pairs:
                chats.create_task(pair.chat(stop))
            for name in it.names():
                await get_through(pairs)
                await asyncio.to_thread(it.restart, name)
            await get_through(pairs)
            stop.set()
        for pair in pairs:
            await pair.check()
        await it.until_known()
        resent = sum(pair.sender.asked.total() - len(pair.sender.asked) for pair in pairs)
    after = it.pids()
    assert all(after[name] != before[name] for name in before)
    assert it.faults() == []
    with capsys.disabled():
        total = sum(len(pair.acknowledged) for pair in pairs)
        print(f"\n{len(after)} processes restarted under load: {total} messages, {resent} of them sent again")
