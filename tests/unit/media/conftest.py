"""Media servers on ports of their own, and a call in each."""

from collections.abc import AsyncIterator

import pytest

from fsharechat.mediaserver import MediaServer
from roles.media import kurento_client
from roles.media import sfu as sfu_module
from roles.media.kurento import KurentoServer
from roles.media.sfu import Limits, Sfu
from roles.media.udp import UdpPort
from tests.unit.media.media_kit import Call, Told
from tools.testing.fake_kurento import FakeKurento
from tools.testing.server import until

HOST = "127.0.0.1"


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
async def sfu(told: Told, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sfu]:
    monkeypatch.setattr(sfu_module, "TICK_SECONDS", 0.02)  # feedback comes soon
    async with Sfu(UdpPort(HOST, 0), HOST, limits, told) as opened:
        yield opened


@pytest.fixture
async def call(sfu: Sfu) -> AsyncIterator[Call]:
    made = Call(sfu)
    yield made
    made.close()


@pytest.fixture
async def fake(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeKurento]:
    monkeypatch.setattr(kurento_client, "RECONNECT_SECONDS", 0.02)
    async with FakeKurento() as running:
        yield running


@pytest.fixture
async def kurento(fake: FakeKurento, told: Told, limits: Limits) -> AsyncIterator[KurentoServer]:
    server = KurentoServer([fake.url], limits, told)
    await server.open()
    await until(lambda: not server.away, lambda: server.away)
    yield server
    await server.close()


@pytest.fixture(params=["embedded", "kurento"])
def server(request: pytest.FixtureRequest) -> MediaServer:
    """Each backend in turn."""
    found: MediaServer = request.getfixturevalue({"embedded": "sfu", "kurento": "kurento"}[request.param])
    return found


@pytest.fixture
async def either(server: MediaServer, told: Told) -> AsyncIterator[Call]:
    """A call on each backend in turn."""
    made = Call(server, told)
    yield made
    made.close()
