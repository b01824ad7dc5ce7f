"""The kinds of bus that the suite runs over: Kafka joins by one more parameter."""

from collections.abc import AsyncIterator

import pytest

from fsharechat.bus.memory import MemoryBus
from tests.unit.bus.bus_kit import Buses


@pytest.fixture(params=["memory"])
async def buses() -> AsyncIterator[Buses]:
    bus = MemoryBus()
    await bus.open()
    yield Buses(connector=bus, group=bus, other_group=bus)
    await bus.close()
