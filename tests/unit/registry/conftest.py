"""The kinds of registry that the suite runs over."""

from collections.abc import AsyncIterator

import pytest

from fsharechat.registry import Registry, zookeeper
from fsharechat.registry.memory import MemoryRegistry
from fsharechat.registry.workers import MainRegistry
from fsharechat.registry.zookeeper import ZooKeeperRegistry
from tools.testing.zookeeper import OwnZooKeeper


@pytest.fixture(params=["memory", "main process", pytest.param("zookeeper", marks=pytest.mark.slow)])
async def registry(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Registry]:
    opened: Registry = MainRegistry() if request.param == "main process" else MemoryRegistry()
    if request.param == "zookeeper":
        monkeypatch.setattr(zookeeper, "REREAD_SECONDS", 3600.0)  # so that only a watch can tell
        server: OwnZooKeeper = request.getfixturevalue("zookeeper")
        opened = ZooKeeperRegistry(f"{server.url}/suite/{request.node.originalname}")
    await opened.open()
    yield opened
    await opened.close()
