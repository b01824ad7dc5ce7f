"""A server in this process, and two users who chat while something happens to it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop
from in_process import Boot, Booted, Chat, Faults


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The server's own loop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def faults(caplog: pytest.LogCaptureFixture) -> Iterator[Faults]:
    """What the server logs; the test fails when that is an error, or what `logging` is told is a warning."""
    with Faults.watch() as faults:
        yield faults
    faults.check()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.fixture
async def boot(tmp_path: Path, faults: Faults) -> AsyncIterator[Boot]:
    """Return what boots a server with some settings, by section."""
    async with AsyncExitStack() as stack:

        async def boot(**sections: dict[str, object]) -> Booted:
            return await stack.enter_async_context(Booted.run(tmp_path / "data", faults, sections))

        yield boot


@pytest.fixture
async def server(boot: Boot) -> Booted:
    """A server with the default settings."""
    return await boot()


@pytest.fixture
async def chat(server: Booted) -> AsyncIterator[Chat]:
    async with Chat.between(server) as chat:
        yield chat
