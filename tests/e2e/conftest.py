"""A server, in this process or in a cluster, and two users who chat while something happens to it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvloop
from playwright.async_api import Browser

from roles.connector import hub
from tests.e2e.deployment import Boot, ChatOfTwo, Deployment, Faults
from tests.e2e.in_cluster import CONTRACT_LIMITS, InCluster, Pair, connector, variables
from tests.e2e.in_process import Booted
from tests.e2e.web_people import Enter
from tools.testing.cluster import LiveCluster, MakeCluster, new_numbers
from tools.testing.server import Server
from tools.testing.web import Person, web_browser


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
def deployment() -> str:
    """What the server is: "one process", this one; or "cluster", connectors in that one. See BOTH."""
    return "one process"


@pytest.fixture(params=["tcp", "ws"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "SWEEP_SECONDS", 0.05)


@pytest.fixture(scope="module")
def pair(cluster: MakeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The cluster, and two connectors of it with the limits of the contract, which the first test starts."""
    it = cluster(2, 2)
    folder = tmp_path_factory.mktemp("connectors")
    servers = [connector(it, folder / name, CONTRACT_LIMITS) for name in ("tcp", "ws")]
    try:
        yield Pair(it, servers)
        for server in servers:
            asyncio.run(server.stop())
    finally:
        for server in servers:
            server.put_away()


@pytest.fixture
def joining(deployment: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings with which one more process joins the cluster; none where there is none."""
    if deployment != "cluster":
        return {}
    it: LiveCluster = request.getfixturevalue("cluster")(2, 2)
    return it.settings_of_one_more()


@pytest.fixture
def single(deployment: str, tmp_path: Path, request: pytest.FixtureRequest) -> Server:
    """A process to stop and start, which serves clients: a server, or a connector of a cluster."""
    if deployment != "cluster":
        return Server(tmp_path / "data")
    return connector(request.getfixturevalue("cluster")(2, 2), tmp_path / "data")


@pytest.fixture
async def boot(deployment: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Boot]:
    """Return what boots a server with some settings, by section."""
    async with AsyncExitStack() as stack:
        if deployment == "cluster":
            it, both = request.getfixturevalue("pair")
            await asyncio.gather(*(server.start() for server in both if not server.addresses))

            async def boot(**sections: dict[str, object]) -> Deployment:
                servers = both
                if sections:
                    settings = {**CONTRACT_LIMITS, **variables(sections)}
                    servers = [await stack.enter_async_context(connector(it, tmp_path / "own", settings))]
                return await stack.enter_async_context(InCluster.on(it, servers))

        else:
            faults = request.getfixturevalue("faults")
            sqlite_file: Callable[[str], Path] = request.getfixturevalue("sqlite_file")

            async def boot(**sections: dict[str, object]) -> Deployment:
                sqlite_file("data/fsharechat.db")
                return await stack.enter_async_context(Booted.run(tmp_path / "data", faults, sections))

        yield boot


@pytest.fixture
async def server(boot: Boot) -> Deployment:
    """A server with the default settings."""
    return await boot()


@pytest.fixture
async def chat(server: Deployment) -> AsyncIterator[ChatOfTwo]:
    async with ChatOfTwo.between(server) as chat:
        yield chat


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with web_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def enter(server: Server, browser: Browser) -> AsyncIterator[Enter]:
    """Let one more person log in; at the end no page may have had a fault."""
    people: list[Person] = []

    async def one(**options: Any) -> Person:
        person = await Person.open(browser, server.at.http, new_numbers(1)[0], **options)
        people.append(person)
        await person.log_in()
        return person

    yield one
    for person in people:
        await person.context.close()
    assert [fault for person in people for fault in person.faults] == []
