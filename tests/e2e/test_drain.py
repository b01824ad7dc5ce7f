"""The end of a server that is told to stop, and the start of one that must not run."""

import asyncio
import signal
import sqlite3
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from fsharechat.client import Disconnected, Position, SentMessage
from fsharechat.store import fence
from tools.testing.cluster import new_numbers
from tools.testing.devices import FAST, Handset, log_in, text_of
from tools.testing.server import Server, run_command, until

pytestmark = pytest.mark.slow

UNANSWERED = 8
ONCE = replace(FAST, reconnect=False)


class Load:
    """Devices that send until the connection is gone, and what was acknowledged to each."""

    def __init__(self, devices: list[Handset], to: str) -> None:
        self.acknowledged: dict[str, SentMessage] = {}
        self._devices = devices
        self._to = to

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for device in self._devices:
                numbers = count()
                for _ in range(UNANSWERED):
                    tasks.create_task(self._send(device, numbers))

    async def _send(self, device: Handset, numbers: "count[int]") -> None:
        with suppress(Disconnected):
            for number in numbers:
                text = f"{device.credentials.client_id} {number}"
                self.acknowledged[text] = await device.send(self._to, text)


@pytest.mark.parametrize("deployment", ["one process", "cluster"])
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_under_load_loses_nothing_acknowledged(single: Server, by: signal.Signals) -> None:
    async with single as server:
        numbers = new_numbers(3)
        reader = await log_in(server.at, numbers.pop(), "reader")
        senders = [
            await log_in(server.at, number, transport)
            for number, transport in zip(numbers, ("tcp", "ws"), strict=True)
        ]
        async with AsyncExitStack() as stack:
            devices = [Handset(one, server.at, one.client_id, options=ONCE) for one in senders]
            for device in devices:
                await device.connect()
                stack.push_async_callback(device.close)
            load = Load(devices, reader.user_id)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(load.run())
                await until(lambda: len(load.acknowledged) > 500, "no load")
                await server.stop(by)
        assert "role did not drain in time" not in server.errors

        await server.start()
        async with Handset(reader, server.at, "tcp", position=Position(1, 0)) as device:
            stored = {
                text_of(message): message.message_id
                for sender in senders
                for message in await device.whole_history(sender.user_id, 200)
            }
            await device.until_received(len(stored) - 1)  # it says that it has the first one
        received = {text_of(message): message.message_id for message in device.received}
        acknowledged = {text: sent.message_id for text, sent in load.acknowledged.items()}
        assert received.items() <= stored.items()
        assert len(received) >= len(stored) - 1
        lost = acknowledged.items() - stored.items()
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged messages are lost"


async def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with Server(tmp_path / "data") as server:
        code, _, errors = await _run(server.data)
        assert code == 1
        assert f"process {server.pid} runs on this folder already" in errors.splitlines()[-1]
        assert str(server.data) in errors.splitlines()[-1]
        assert "Traceback" not in errors


@pytest.mark.parametrize("deployment", ["one process", "cluster"])
@pytest.mark.parametrize("key", ["CONNECTOR__TCP_PORT", "CONNECTOR__WS_PORT", "API__PORT"])
async def test_a_second_server_on_the_same_port_is_refused(
    single: Server, joining: dict[str, str], tmp_path: Path, key: str
) -> None:
    role = {"NODE__ROLES": "api" if key == "API__PORT" else "connector"} if joining else {}
    async with single as server:
        address = {"CONNECTOR__TCP_PORT": server.at.tcp, "CONNECTOR__WS_PORT": server.at.ws}
        port = address.get(key, server.at.http).strip("/").rpartition(":")[2]
        code, output, errors = await _run(tmp_path / "other", **{**joining, **role, key: port})
        assert code == 1
        section, name = key.lower().split("__")
        wanted = (
            f"fsharechat: [{section}] {name} = {port}: another process listens on 127.0.0.1:{port} already"
        )
        assert errors.splitlines()[-1] == wanted
        assert "ready" not in output
        assert "Traceback" not in errors


async def test_the_store_is_closed_to_older_versions(tmp_path: Path) -> None:
    data = tmp_path / "data"
    level = f"this version is of level {fence.LEVEL}"
    await asyncio.to_thread(run_command, data, "migrate")
    _, before, _ = await asyncio.to_thread(run_command, data, "check")
    assert f"it takes level 0 and above, {level}" in before
    code, output, _ = await asyncio.to_thread(run_command, data, "fence")
    assert (code, output) == (0, f"ok   fence: {data}/fsharechat.db takes level {fence.LEVEL} and above\n")
    _, after, _ = await asyncio.to_thread(run_command, data, "check")
    assert f"it takes level {fence.LEVEL} and above, {level}" in after
    async with Server(data):
        pass
    with sqlite3.connect(data / "fsharechat.db") as database:
        database.execute("UPDATE facts SET value = ? WHERE name = ?", (b"%d" % (fence.LEVEL + 1), fence.NAME))
    database.close()
    code, output, errors = await _run(data)
    assert (code, output) == (1, f"admin key: {data}/admin.key\n")
    assert errors.splitlines()[-1] == (
        f"fsharechat: [store] {data}/fsharechat.db: it takes level {fence.LEVEL + 1} and above, "
        f"and {level}: run a newer one"
    )


async def _run(data: Path, **settings: str) -> tuple[int, str, str]:
    """Run a server that is expected to give up."""
    ports = {
        "CONNECTOR__TCP_PORT": "0",
        "CONNECTOR__WS_PORT": "0",
        "API__PORT": "0",
        "MEDIA__LISTEN": "127.0.0.1:0",
        **settings,
    }
    return await asyncio.to_thread(run_command, data, "--dev", settings=ports)
