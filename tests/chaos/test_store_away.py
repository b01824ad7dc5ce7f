"""One group process cannot reach the store that the others reach: nobody waits for it, and it returns by itself."""

import asyncio
from pathlib import Path

import pytest

from fsharechat import urls
from fsharechat.settings_schema import MYSQL_PORT
from tools.services.service import free_port
from tools.testing.cluster import MakeCluster, new_numbers
from tools.testing.devices import Handset, log_in
from tools.testing.server import Server, until
from tools.wire.proxy import Proxy

pytestmark = pytest.mark.slow

MESSAGES = 40


async def test_a_group_process_without_its_store_leaves_the_rotation_and_returns(
    cluster: MakeCluster, tmp_path: Path
) -> None:
    it = cluster(2, 1)
    settings = it.settings_of_one_more()
    database = urls.parse(settings["STORE__URL"], "mysql", MYSQL_PORT)
    wire = Proxy(database.addresses)
    behind = settings["STORE__URL"].replace(database.addresses, await wire.open())
    port = free_port()
    own = {"NODE__ROLES": "group", "STORE__URL": behind, "RPC__PORT": str(port), "METRICS__PORT": "0"}
    ann, bob = [await log_in(it.at(n), number, "phone") for n, number in enumerate(new_numbers(2))]

    def said(what: str) -> int:
        """How often a connector has said something of the process behind the wire."""
        lines = it.log("connector-0").splitlines()
        return sum(f'"127.0.0.1:{port}"' in line and f"group process {what}" in line for line in lines)

    async with (
        Server(tmp_path / "lonely", {**settings, **own}) as lonely,
        Handset(ann, it.at(0), "tcp") as alice,
        Handset(bob, it.at(1), "tcp") as ben,
    ):
        await until(lambda: said("reached") == 1, "the connector has not reached it")
        wire.stop()
        try:
            await until(lambda: said("drains") == 1, lambda: f"it stays in the rotation\n{lonely.errors}")
            assert "the store is away" in lonely.errors
            for n in range(MESSAGES):  # each is acknowledged by the other one, at the first try
                await alice.send(ben.user_id, f"meanwhile {n}")
            await ben.until_received(MESSAGES)
        finally:
            wire.go()
        await until(lambda: said("reached") == 2, lambda: f"it does not return\n{lonely.errors}")
        await asyncio.to_thread(it.stop, "group-0")
        try:
            await alice.send(ben.user_id, "by the one that has returned")
            await ben.until_received(MESSAGES + 1)
        finally:
            await asyncio.to_thread(it.start, "group-0")
    await wire.close()
    it.faults()
