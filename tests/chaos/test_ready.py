"""What /monitor/ready of each process says while a service is away, and that it is 200 again by itself after it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from fsharechat import __version__
from tools.chaos.world import ChaosWorld
from tools.testing.cluster import LiveCluster, MakeCluster
from tools.testing.server import BOUND

pytestmark = pytest.mark.slow

Said = dict[str, Any]
PAUSE_SECONDS = 0.05


async def _ask(it: LiveCluster, name: str, what: str) -> tuple[int, Said]:
    page = it.metrics_page(name).removesuffix("/metrics")
    async with aiohttp.ClientSession() as session, session.get(f"{page}/monitor/{what}") as answer:
        return answer.status, await answer.json()


async def _until(it: LiveCluster, holds: Callable[[str, int, Said], bool]) -> None:
    """Wait until it holds of what every process says: its name, the status, and the parts."""
    deadline = time.monotonic() + BOUND
    while True:
        said = {name: await _ask(it, name, "ready") for name in it.names()}
        if all(holds(name, status, found["parts"]) for name, (status, found) in said.items()):
            return
        assert time.monotonic() < deadline, f"{said}"
        for name in it.names():
            assert await _ask(it, name, "alive") == (200, {"code": 200, "version": __version__})
        await asyncio.sleep(PAUSE_SECONDS)


def _all_is_well(_: str, status: int, parts: Said) -> bool:
    return status == 200 and set(parts.values()) == {"ok"}


async def test_kafka_away_is_told_and_takes_nobody_out(cluster: MakeCluster) -> None:
    it = cluster(2, 1)
    world = ChaosWorld(it.name)
    await _until(it, _all_is_well)
    await world.stop_service("kafka")
    try:
        await _until(
            it, lambda _, status, parts: status == 200 and parts["bus"].startswith("degraded: 127.0.0.1:")
        )
    finally:
        await world.start_service("kafka")
    await _until(it, _all_is_well)
    it.faults()


async def test_without_the_store_nobody_is_ready(cluster: MakeCluster) -> None:
    it = cluster(2, 1)
    world = ChaosWorld(it.name)
    await _until(it, _all_is_well)
    await world.stop_service("mariadb")

    def not_ready(name: str, status: int, parts: Said) -> bool:
        if name.startswith("group"):
            return status == 503 and parts["store"] != "ok"
        return status == 503 and parts["group"] == "no group process takes calls"

    try:
        await _until(it, not_ready)
    finally:
        await world.start_service("mariadb")
    await _until(it, _all_is_well)
    it.faults()


async def test_without_the_registry_those_with_a_node_id_are_ready_until_they_lose_it(
    cluster: MakeCluster,
) -> None:
    it = cluster(2, 1)
    world = ChaosWorld(it.name)
    await _until(it, _all_is_well)
    await world.stop_service("zookeeper")

    def lost(name: str, status: int, parts: Said) -> bool:
        role = name.partition("-")[0]
        told = parts["registry"].startswith("degraded: ZooKeeper cannot be reached")
        return told and status == 503 and (role == "api" or parts[f"{role}'s node id"].endswith("is lost"))

    try:
        await _until(it, lost)
    finally:
        await world.start_service("zookeeper")
    await _until(it, _all_is_well)
    it.faults()
