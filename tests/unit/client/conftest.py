from collections.abc import AsyncIterator

import pytest

from fsharechat.client import Client, Options
from tests.unit.client.chat_kit import FakeChatServer, FakeScreen
from tests.unit.client.fake_peer import CREDENTIALS, FakePeer


@pytest.fixture
async def peer() -> AsyncIterator[FakePeer]:
    async with FakePeer() as fake:
        yield fake


@pytest.fixture(params=["tcp", "ws"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(peer: FakePeer) -> FakeChatServer:
    server = FakeChatServer()
    peer.rule = server.rule
    return server


@pytest.fixture
async def screen(peer: FakePeer, server: FakeChatServer) -> AsyncIterator[FakeScreen]:
    async with Client(CREDENTIALS, tcp=peer.tcp, options=Options.fast(), on_message=lambda m: None) as client:
        yield FakeScreen(client)
