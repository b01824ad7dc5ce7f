"""The kinds of registry that the suite runs over: ZooKeeper joins by one more parameter."""

from collections.abc import AsyncIterator

import pytest

from fsharechat.registry import Registry
from fsharechat.registry.memory import MemoryRegistry


@pytest.fixture(params=["memory"])
async def registry() -> AsyncIterator[Registry]:
    opened = MemoryRegistry()
    await opened.open()
    yield opened
    await opened.close()
