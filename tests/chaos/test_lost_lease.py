"""A process that stood still until another had its node id goes on with another, and gives out no id of that one."""

import asyncio
from dataclasses import replace

import pytest

from fsharechat.client import ClientError, SentMessage
from fsharechat.client.transport import Body
from fsharechat.protocol.ids import node_of
from fsharechat.protocol.signals import SubSignal
from fsharechat.registry import Members
from fsharechat.registry.zookeeper import ZooKeeperRegistry
from tools.chaos.world import ChaosWorld
from tools.testing.cluster import LiveCluster, MakeCluster, new_numbers
from tools.testing.devices import FAST, Handset, log_in
from tools.testing.server import BOUND, until

pytestmark = pytest.mark.slow

NODE = 0
WAITING = 20
# Nobody gives up on the connector that stands still, and nobody goes elsewhere.
STUBBORN = replace(FAST, request_timeout=BOUND, send_timeout=BOUND, ping_interval=BOUND, ping_timeout=BOUND)


class Holders:
    """Who holds which node id, as the registry tells."""

    def __init__(self, world: ChaosWorld, role: str) -> None:
        self._world = world
        self._role = role
        self.registry = ZooKeeperRegistry(world.variables()["FSHARECHAT_REGISTRY__URL"])
        self.members: Members = {}

    async def __aenter__(self) -> "Holders":
        await self.registry.open()
        await self.registry.watch(self._role, self._note)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.registry.close()

    def _note(self, members: Members) -> None:
        self.members = members

    def holder(self, node: int) -> str:
        """Return the name of the process that holds an id, "" if none does."""
        address = self.members.get(node)
        for member in self._world.members(self._role):
            if address in member.addresses.values():
                return member.name
        return ""

    def id_of(self, name: str) -> int | None:
        """Return the id of a process, None if it has none."""
        return next((node for node in self.members if self.holder(node) == name), None)


class Recorder(Handset):
    """Notes the id of every message that it was told to be stored, also of a send that was tried again since."""

    ids_given: list[int]

    async def request(
        self, sub_signal: SubSignal, body: Body, *, within: float | None = None, turn: int | None = None
    ) -> Body:
        reply = await super().request(sub_signal, body, within=within, turn=turn)
        if sub_signal is SubSignal.MS and isinstance(reply, bytes):
            self.ids_given.append(int.from_bytes(reply[:8], "big"))
        return reply


async def test_who_wakes_without_its_lease_gives_out_no_id_of_it_and_goes_on_with_another(
    cluster: MakeCluster,
) -> None:
    it = cluster(2, 2)
    async with Holders(ChaosWorld(it.name), "connector") as connectors:
        sleeper, other = it.names("connector")
        await _number(it, connectors, sleeper, other)
        numbers = new_numbers(2)
        ann, bob = [
            await _device(it, number, name) for number, name in zip(numbers, (sleeper, other), strict=True)
        ]
        waiting: list[asyncio.Task[SentMessage]] = []
        try:
            it.stop(other)
            await ann.connect(patience=BOUND)
            assert node_of((await ann.send(bob.user_id, "before")).message_id) == NODE
            it.pause(sleeper)
            # What is in its socket when it wakes it reads at once.
            waiting += [asyncio.create_task(_say(ann, bob.user_id, f"waiting {n}")) for n in range(WAITING)]
            await until(lambda: not connectors.holder(NODE), "the id is still held")
            it.start(other)
            await until(lambda: connectors.holder(NODE) == other, lambda: f"{connectors.members}")
            await bob.connect(patience=BOUND)
            assert node_of((await bob.send(ann.user_id, "in its place")).message_id) == NODE
        finally:
            it.resume(sleeper)
            it.start(other)
        for n in range(WAITING):
            await bob.send(ann.user_id, f"since {n}")
        receipts = [await task for task in waiting]
        await until(lambda: connectors.id_of(sleeper) is not None, lambda: f"{connectors.members}")
        assert connectors.holder(NODE) == other
        new_id = connectors.id_of(sleeper)
        assert {node_of(id) for id in ann.ids_given[1:]} == {new_id}, "it gave out ids of another process's"
        everything = [receipt.message_id for receipt in receipts] + bob.ids_given + ann.ids_given[:1]
        assert len(set(everything)) == len(everything)
        await bob.until_received(1 + WAITING)
        await ann.until_received(1 + WAITING)
        assert len(await ann.whole_history(bob.user_id, 50)) == 1 + WAITING + 1 + WAITING
        await it.until_known()
        await ann.close()
        await bob.close()
    it.faults()  # what was logged meanwhile is no other test's concern


async def test_a_group_process_whose_id_is_taken_goes_on_with_another(cluster: MakeCluster) -> None:
    it = cluster(2, 2)
    async with Holders(ChaosWorld(it.name), "group") as groups:
        sleeper, other = it.names("group")
        await until(lambda: len(groups.members) == 2, lambda: f"{groups.members}")
        lost = groups.id_of(sleeper)
        assert lost is not None
        it.pause(sleeper)
        try:
            await until(lambda: lost not in groups.members, "the id is still held")
            lease = await groups.registry.lease("group", lost, "127.0.0.1:9")
        finally:
            it.resume(sleeper)
        await until(lambda: groups.id_of(sleeper) not in (None, lost), lambda: f"{groups.members}")
        await lease.release()
        it.stop(other)
        try:
            ann, bob = [
                await _device(it, number, name)
                for number, name in zip(new_numbers(2), it.names("connector"), strict=True)
            ]
            async with ann, bob:
                await ann.send(bob.user_id, "by the one that is left")
                await bob.until_received(1)
        finally:
            it.start(other)
    it.faults()


async def _number(it: LiveCluster, connectors: Holders, first: str, second: str) -> None:
    """Start the connectors anew, so that the first has the id NODE: which ones they had depends on earlier tests."""
    it.stop(first, second)
    await until(lambda: not connectors.members, lambda: f"{connectors.members}")
    for name in (first, second):
        it.start(name)
    await until(lambda: len(connectors.members) == 2, lambda: f"{connectors.members}")
    assert connectors.holder(NODE) == first, f"{connectors.members}"


async def _device(it: LiveCluster, number: str, connector: str) -> Recorder:
    at = it.at(it.names("connector").index(connector))
    device = Recorder(await log_in(at, number, connector), at, "tcp", options=STUBBORN)
    device.ids_given = []
    return device


async def _say(device: Handset, to: str, text: str) -> SentMessage:
    """Send until it is acknowledged."""
    while True:
        try:
            return await device.send(to, text, local_id=1 + hash(text) % (1 << 60))
        except ClientError:
            await asyncio.sleep(0.1)
