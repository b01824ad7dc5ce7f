"""A port for several processes."""

import asyncio
import socket

import pytest

from fsharechat.errors import StartError
from fsharechat.workers import ports
from fsharechat.workers.ports import SharedPort


def listening(port: int, shared: bool) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), reuse_port=shared)


async def test_several_listen_on_a_reserved_port_and_nobody_is_refused() -> None:
    port = SharedPort()
    await port.reserve("tcp_port", "127.0.0.1", 0)
    assert port.number == port.name[1] > 0
    with listening(port.number, True) as one, listening(port.number, True) as other:
        for _ in range(20):  # the port that is only reserved gets none of them
            socket.create_connection(port.name, timeout=60).close()
        taken = 0
        for listener in (one, other):
            listener.setblocking(False)
            while True:
                try:
                    listener.accept()[0].close()
                except BlockingIOError:
                    break
                taken += 1
        assert taken == 20
    port.close()


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "of another server with workers"])
async def test_a_port_with_a_listener_is_not_taken(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PATIENCE_SECONDS", 0.0)
    with listening(0, shared) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"\[connector\] ws_port = {number}: another process listens"):
            await SharedPort().reserve("ws_port", "127.0.0.1", number)


async def test_a_port_that_is_just_being_left_is_waited_for() -> None:
    port, left = SharedPort(), listening(0, True)
    number = left.getsockname()[1]
    asyncio.get_running_loop().call_later(0.01, left.close)
    await port.reserve("ws_port", "127.0.0.1", number)
    assert port.number == number
    port.close()


async def test_a_server_alone_does_not_get_a_port_of_workers() -> None:
    port = SharedPort()
    await port.reserve("tcp_port", "127.0.0.1", 0)
    with listening(port.number, True), pytest.raises(OSError, match="in use"):
        listening(port.number, False)
    port.close()


async def test_all_addresses_of_a_name_have_the_same_port() -> None:
    port = SharedPort()
    await port.reserve("tcp_port", "localhost", 0)
    assert {one.getsockname()[1] for one in port._sockets} == {port.number}
    port.close()
