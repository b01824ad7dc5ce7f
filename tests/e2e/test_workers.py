"""One server of several processes that share the clients' ports: `fsharechat --workers 2`."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fsharechat.protocol.signals import SubSignal
from tools.testing.cluster import new_numbers
from tools.testing.devices import log_in
from tools.testing.server import Server, run_command, until
from tools.testing.workers import is_worker, peers_of, workers_of
from tools.wire.clients import TcpWire, WebWire

pytestmark = pytest.mark.slow

Wire = TcpWire | WebWire
ACCEPTED = SubSignal.CONNECTION_ACCEPTED
SETTINGS = {"NODE__WORKERS": "2", "METRICS__PORT": "0"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path / "data", SETTINGS) as server:
        yield server


@pytest.fixture
async def wires() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def opened(server: Server, transport: str, worker: int, wires: AsyncExitStack) -> Wire:
    """Open connections until that worker has one, and return it."""
    for _ in range(200):
        wire = await (TcpWire.open(server.at.tcp) if transport == "tcp" else WebWire.open(server.at.ws))
        wires.push_async_callback(wire.close)
        if await holder(server, wire) == worker:
            return wire
    raise AssertionError("one worker gets no connections")


async def holder(server: Server, wire: Wire) -> int:
    """Wait until a worker has accepted a connection, and return that worker."""
    found: list[int] = []

    def accepted() -> bool:
        found[:] = [
            worker
            for worker in workers_of(server.pid)
            if wire.name in peers_of(worker, server.at.tcp, server.at.ws)
        ]
        return bool(found)

    await until(accepted, "nobody takes the connection")
    return found[0]


async def test_people_of_different_workers_chat(server: Server, wires: AsyncExitStack) -> None:
    workers = workers_of(server.pid)
    assert len(workers) == 2
    people = [await log_in(server.at, number, "phone") for number in new_numbers(2)]
    for transports in (("tcp", "ws"), ("ws", "tcp")):
        ann, bob = [
            await opened(server, transport, worker, wires)
            for transport, worker in zip(transports, workers, strict=True)
        ]
        for wire, who in ((ann, people[0]), (bob, people[1])):
            assert await wire.connect(who) == ACCEPTED
        for sender, receiver, to in ((ann, bob, people[1]), (bob, ann, people[0])):
            _, before = await receiver.pull(0)
            assert await sender.send_text(to.user_id, f"over {transports}")
            head = await receiver.next_mn()
            while head <= before:
                head = await receiver.next_mn()
            assert (await receiver.pull(before))[0] == [f"over {transports}"]


@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_a_device_that_comes_to_another_worker_leaves_the_first(
    transport: str, server: Server, wires: AsyncExitStack
) -> None:
    first_worker, second_worker = workers_of(server.pid)
    who = await log_in(server.at, new_numbers(1)[0], "phone")
    first = await opened(server, transport, first_worker, wires)
    assert await first.connect(who) == ACCEPTED
    second = await opened(server, transport, second_worker, wires)
    assert await second.connect(who) == ACCEPTED
    await first.until_closed()
    assert await second.send_text(who.user_id, "I am here")


async def test_no_worker_outlives_the_main_process(server: Server) -> None:
    workers = workers_of(server.pid)
    await server.kill()
    await until(lambda: not any(map(is_worker, workers)), "a worker lives on")
    await server.start()  # nothing holds the ports or the folder
    assert len(workers_of(server.pid)) == 2


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_drains_the_workers(by: signal.Signals, server: Server, wires: AsyncExitStack) -> None:
    workers = workers_of(server.pid)
    who = await log_in(server.at, new_numbers(1)[0], "phone")
    wire = await opened(server, "tcp", workers[0], wires)
    assert await wire.connect(who) == ACCEPTED
    for worker in workers:  # systemd and terminals send it to all
        os.kill(worker, by)
    assert await wire.send_text(who.user_id, "it serves on, until the main process says so")
    await server.stop(by)
    await wire.until_closed()
    assert not any(map(is_worker, workers))
    assert {line.get("worker") for line in server.logged("stopped")} == {None, 0, 1}
    assert server.logged("a worker has ended, and is started again") == []


async def test_a_reload_reaches_the_workers(server: Server) -> None:
    server.signal(signal.SIGHUP)
    await until(
        lambda: {line.get("worker") for line in server.logged("settings read again")} == {None, 0, 1},
        "a worker did not hear of it",
    )


async def test_the_status_shows_each_worker_as_soon_as_the_server_is_ready(server: Server) -> None:
    code, output, errors = await asyncio.to_thread(
        run_command, server.data, "--url", server.at.http, "--json", command="status"
    )
    assert code == 0, errors
    found = json.loads(output)
    roles = {int(str(view["name"]).rpartition("/")[2]): view["roles"] for view in found["processes"]}
    main = ["group", "api", "media"]
    assert roles == {server.pid: main, **{worker: ["connector"] for worker in workers_of(server.pid)}}
    assert all(view["serves"] for view in found["processes"])
    assert not [text for text in found["warnings"] if "no process has the role" in text]


async def test_a_port_that_another_server_has_is_not_shared_with_it(server: Server, tmp_path: Path) -> None:
    port = server.at.tcp.rpartition(":")[2]
    other = {**SETTINGS, "CONNECTOR__TCP_PORT": port, "CONNECTOR__WS_PORT": "0", "API__PORT": "0"}
    code, _, errors = await asyncio.to_thread(
        run_command, tmp_path / "other", "--dev", settings={**other, "MEDIA__LISTEN": "127.0.0.1:0"}
    )
    assert code == 1
    assert f"[connector] tcp_port = {port}: another process listens on" in errors
