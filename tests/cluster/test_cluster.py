"""What a cluster promises of its parts: an id has one holder, a device is in one place."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from fsharechat.client import ConnectionLost, Disconnected
from fsharechat.registry import Members
from fsharechat.registry.zookeeper import ZooKeeperRegistry
from tools.testing.cluster import LiveCluster, MakeCluster, new_numbers
from tools.testing.devices import FAST, Handset, log_in
from tools.testing.server import BOUND, run_command

pytestmark = pytest.mark.slow

ONCE = replace(FAST, reconnect=False)


@pytest.mark.parametrize(("role", "purpose"), [("connector", "tcp"), ("group", "rpc")])
async def test_a_node_id_has_one_holder(
    cluster: MakeCluster, tmp_path: Path, role: str, purpose: str
) -> None:
    it = cluster(2, 2)
    members: list[Members] = []
    registry = ZooKeeperRegistry(it.info()["variables"]["FSHARECHAT_REGISTRY__URL"])
    await registry.open()
    try:
        await registry.watch(role, members.append)
        await registry.lease(role, 40, "127.0.0.1:9")
        code, output, errors = await asyncio.to_thread(
            run_command, tmp_path / "data", "--roles", role, settings=_like(it, NODE__ID="40")
        )
    finally:
        await registry.close()
    assert code == 1, errors
    assert "ready" not in output
    (said,) = [line for line in errors.splitlines() if line.startswith("fsharechat: ")]
    assert said.startswith(f"fsharechat: [node] id: node id 40 of a {role} is held by 127.0.0.1:9 (process ")
    info = it.info()["members"]
    assert {info[name]["addresses"][purpose] for name in it.names(role)} <= set(members[0].values())
    assert it.states() == dict.fromkeys(it.names(), "ready")


@pytest.mark.parametrize(("first_by", "then_by"), [("tcp", "ws"), ("ws", "tcp")])
async def test_a_device_that_connects_elsewhere_leaves_where_it_was(
    cluster: MakeCluster, first_by: str, then_by: str
) -> None:
    it = cluster(2, 2)
    ann, ben = new_numbers(2)
    mine, other = await log_in(it.at(0), ann, "phone"), await log_in(it.at(1), ben, "phone")
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(Handset(other, it.at(0), "tcp"))
        stack.enter_context(pytest.raises(Disconnected))  # which is what becomes of the first place
        before = await stack.enter_async_context(Handset(mine, it.at(0), first_by, options=ONCE))
        await _online(it, 2, 0)
        await it.until_known()
        await sender.send(mine.user_id, "before")
        await before.until_received(1)
        async with Handset(mine, it.at(1), then_by, position=before.position) as now:
            await before.until_seen(ConnectionLost)
            await _online(it, 1, 1)
            await it.until_known()
            await sender.send(mine.user_id, "after")
            await now.until_received(1)
            assert now.texts_of(other.user_id) == ["after"]
        assert before.texts_of(other.user_id) == ["before"]
    await it.until_known()
    reasons = [
        line for line in it.log("connector-0").splitlines() if mine.user_id in line and "closed" in line
    ]
    assert "the device has connected to another node" in reasons[-1]


async def test_commands_of_scripts_cluster(cluster: MakeCluster) -> None:
    it = cluster(2, 2)
    everything = it.names()
    assert it.states() == dict.fromkeys(everything, "ready")

    it.pause("group-0")
    assert it.states()["group-0"] == "paused"
    it.resume("group-0")
    assert it.states()["group-0"] == "ready"

    before = it.pids()
    it.kill("connector-1")
    it.stop("api-1")
    assert it.states() == {name: _after(name, ("connector-1", "api-1")) for name in everything}
    it.start("all")
    assert it.states() == dict.fromkeys(everything, "ready")
    after = it.pids()
    assert {name for name in everything if before[name] != after[name]} == {"connector-1", "api-1"}

    cluster(1, 1, apis=1)
    assert it.states() == dict.fromkeys(("group-0", "connector-0", "api-0"), "ready")
    cluster(2, 2)
    assert it.states() == dict.fromkeys(everything, "ready")
    mine = await log_in(it.at(1), new_numbers(1)[0], "phone")
    async with Handset(mine, it.at(1), "tcp"):
        await it.until_known()


async def _online(it: LiveCluster, *wanted: int) -> None:
    """Wait until so many devices are at each connector: those of an earlier test may still be on their way out."""
    deadline = time.monotonic() + BOUND
    while (found := [await it.metric("devices_online", one) for one in it.names("connector")]) != [*wanted]:
        assert time.monotonic() < deadline, f"devices at each connector: {found}, not {wanted}"


def _after(name: str, stopped: tuple[str, ...]) -> str:
    return "stopped" if name in stopped else "ready"


def _like(it: LiveCluster, **more: str) -> dict[str, str]:
    """The settings of one more process of the cluster, without their prefix."""
    return {**it.settings_of_one_more(), "REGISTRY__SESSION_SECONDS": "4", **more}
