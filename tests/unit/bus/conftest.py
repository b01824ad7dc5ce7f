"""The kinds of bus that the suite runs over: Kafka joins by one more parameter."""

from collections.abc import AsyncIterator

import pytest

from fsharechat.bus.memory import MemoryBus
from fsharechat.bus.workers import MainBus, WorkerBus
from tests.unit.bus.bus_kit import Buses, linked


@pytest.fixture(params=["memory", "workers"])
async def buses(request: pytest.FixtureRequest) -> AsyncIterator[Buses]:
    if request.param == "memory":
        bus = MemoryBus()
        await bus.open()
        yield Buses(connector=bus, group=bus, other_group=bus)
        await bus.close()
        return
    main = MainBus()
    ours, theirs = await linked()
    main.attach(ours)
    worker = WorkerBus(theirs)
    yield Buses(connector=worker, group=main, other_group=main)
    await worker.close()
    await main.close()
    await ours.gone.wait()
