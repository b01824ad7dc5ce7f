"""Kafka has lost its topics, or is not there when processes start: no restart is needed, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tools.chaos.world import ChaosWorld
from tools.testing.cluster import LiveCluster, MakeCluster, new_numbers
from tools.testing.devices import Handset, log_in
from tools.testing.kafka import lose_topics

pytestmark = pytest.mark.slow


@asynccontextmanager
async def pair(it: LiveCluster) -> AsyncIterator[tuple[Handset, Handset]]:
    """Two people, each on a connector of their own; what was logged meanwhile is no other test's concern."""
    ann, bob = [await log_in(it.at(n), number, "phone") for n, number in enumerate(new_numbers(2))]
    try:
        async with (
            Handset(ann, it.at(0), "tcp") as alice,
            Handset(bob, it.at(1), "ws") as ben,
        ):
            yield alice, ben
    finally:
        it.faults()


async def test_who_starts_after_the_topics_were_lost_knows_where_devices_are(cluster: MakeCluster) -> None:
    it = cluster(2, 1)
    async with pair(it) as (ann, bob):
        await it.until_known()
        await lose_topics(ChaosWorld(it.name).variables()["FSHARECHAT_BUS__URL"])
        await asyncio.to_thread(it.restart, "group-0")
        await it.until_known()
        assert await it.metric("devices_known", "group-0") == 2
        await ann.send(bob.user_id, "found")
        await bob.until_received(1)


async def test_processes_start_while_kafka_is_away(cluster: MakeCluster) -> None:
    it = cluster(2, 1)
    world = ChaosWorld(it.name)
    await world.stop_service("kafka")
    try:
        await asyncio.to_thread(it.restart, "group-0", "connector-0")
        async with pair(it) as (ann, bob):
            await ann.send(bob.user_id, "by the head check")
            await bob.until_received(1)
            await world.start_service("kafka")
            await it.until_known()
            assert await it.metric("devices_known", "group-0") == 2
            await bob.send(ann.user_id, "by an event")
            await ann.until_received(1)
    finally:
        await world.start_service("kafka")
