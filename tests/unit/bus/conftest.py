"""The kinds of bus that the suite runs over: Kafka joins by one more parameter."""

import asyncio
import socket

from collections.abc import AsyncIterator

import pytest

from fsharechat.bus.memory import MemoryBus
from fsharechat.bus.workers import MainBus, WorkerBus
from fsharechat.link import FrameLink
from tests.unit.bus.bus_kit import Buses


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


async def linked() -> tuple[FrameLink, FrameLink]:
    """Return the two ends of a link."""
    links = FrameLink(), FrameLink()
    loop = asyncio.get_running_loop()
    for link, end in zip(links, socket.socketpair(), strict=True):
        await loop.create_unix_connection(lambda link=link: link, sock=end)
    return links
