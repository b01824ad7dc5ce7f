"""Several addresses: a client goes on to the next one when a server is lost or does not answer."""

import pytest

from fsharechat.client import Client, Disconnected, Options
from tests.unit.client.fake_peer import CREDENTIALS, FRIEND, FakePeer
from tools.testing.server import Where

FAST = Options.fast()


def both(transport: str, first: FakePeer, second: FakePeer) -> Where:
    if transport == "tcp":
        return Where(tcp=[first.tcp, second.tcp])
    return Where(ws=[first.ws, second.ws])


async def test_the_first_address_is_used_and_the_next_one_when_it_is_lost(transport: str) -> None:
    async with FakePeer() as first, FakePeer() as second:
        at = both(transport, first, second)
        async with Client(CREDENTIALS, options=FAST, **at) as client:
            assert (len(first.sessions), len(second.sessions)) == (1, 0)
            first.session.drop()
            await second.until(lambda: bool(second.sessions))
            await client.send(FRIEND, "over the second")
            assert len(first.sessions) == 1
            second.session.drop()
            await first.until(lambda: len(first.sessions) == 2)
            await client.send(FRIEND, "over the first again")


async def test_an_address_that_takes_no_connections_is_passed_over(peer: FakePeer, transport: str) -> None:
    async with FakePeer() as gone:
        at = both(transport, gone, peer)
    client = Client(CREDENTIALS, options=FAST, **at)
    with pytest.raises(Disconnected):  # the first attempt is one address
        await client.connect()
    again = Client(CREDENTIALS, options=FAST, **at)
    await again.connect(patience=5)
    await again.send(FRIEND, "over the second")
    await again.close()


@pytest.mark.parametrize("addresses", [[], ["127.0.0.1:1", "nowhere"]])
def test_every_address_is_looked_at_when_the_client_is_made(addresses: list[str]) -> None:
    with pytest.raises(ValueError, match=r"at least one address|must be host:port"):
        Client(CREDENTIALS, tcp=addresses)


@pytest.mark.parametrize("address", ["foo", "http://127.0.0.1:1", "ws://:1"])
def test_an_address_of_a_web_socket_is_looked_at_too(address: str) -> None:
    with pytest.raises(ValueError, match="must be ws://host:port or wss://host:port, such as"):
        Client(CREDENTIALS, ws=address)
