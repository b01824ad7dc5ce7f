"""An embedded media server on a port of its own, and a call in it."""

from collections.abc import AsyncIterator

import pytest

from roles.media import sfu as sfu_module
from roles.media.sfu import Limits, Sfu
from roles.media.udp import UdpPort
from tests.unit.media.media_kit import Call, Told

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
