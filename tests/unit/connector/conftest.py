import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from fsharechat.registry.memory import MemoryLease, MemoryRegistry
from fsharechat.settings import Settings
from roles.connector.hub import Hub
from tests.unit.connector.connector_fakes import Connector, FakeClock, Make, RecordingBus, ScriptedRpc


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop, but for a module that says in LOOPS on which it is to be tried."""
    module = item.getparent(pytest.Module)
    assert module is not None
    loops: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = getattr(
        module.obj, "LOOPS", {"asyncio": asyncio.new_event_loop}
    )
    return loops


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Return what makes a hub, without the tasks beside it, with settings by section."""
    made: list[Connector] = []

    def make(**sections: dict[str, object]) -> Connector:
        rpc, bus, clock = ScriptedRpc(), RecordingBus(), FakeClock()
        lease = MemoryLease(MemoryRegistry(), "connector", 1)
        hub = Hub(Settings.model_validate(sections), lease, rpc, bus, 10_000, clock)
        made.append(Connector(hub, rpc, bus, clock, bus.presences))
        return made[-1]

    yield make
    for connector in made:
        connector.hub.flow.inflight = 0
        await connector.hub.stop()


@pytest.fixture
async def connector(make: Make) -> Connector:
    """A hub with the default settings."""
    return make()
