"""The faults of the network reach the connections that they are meant for, and no other that has a port in common."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tools.chaos.packets import Ends, PacketFilter, can_drop
from tools.chaos.world import connections_of
from tools.testing.server import BOUND

pytestmark = pytest.mark.slow

Both = tuple[socket.socket, socket.socket]


@pytest.fixture
def connections() -> Iterator[list[Both]]:
    """Two connections that have the client's port in common, each with its client's and its server's end."""
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(2)]
        both: list[Both] = []
        port = 0
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("127.0.0.1", port))
            port = client.getsockname()[1]
        for client in clients:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                client.connect(listener.getsockname())
                both.append((client, stack.enter_context(listener.accept()[0])))
        for one in (end for ends in both for end in ends):
            one.settimeout(BOUND)
        yield both


def ends_of(client: socket.socket) -> Ends:
    return Ends(client.getsockname()[1], client.getpeername()[1])


def test_packets_of_one_connection_are_dropped(connections: list[Both]) -> None:
    if not can_drop():
        pytest.skip("nft does not work here (it takes root)")
    assert {ends_of(client) for client, _ in connections} <= connections_of(os.getpid())
    (lost, deaf), (heard, hearing) = connections
    packets = PacketFilter(f"test_{os.getpid()}")
    packets.open()
    try:
        packets.drop([ends_of(lost)])
        for number in b"12":
            lost.send(bytes([number]))
            deaf.send(bytes([number]))
            heard.send(bytes([number]))
            assert hearing.recv(1) == bytes([number])
        for one in (lost, deaf):
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.recv(1)
    finally:
        packets.close()
    for one in (lost, deaf):
        one.settimeout(BOUND)
        assert one.recv(1) == b"1"
