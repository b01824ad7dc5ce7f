"""A service of the cluster is away under load: what goes on meanwhile, and that all heals by itself."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from fsharechat.client import RequestError, private, text
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from tests.chaos.crowds import addresses_of, talking
from tools.chaos.swarm import Swarm
from tools.chaos.verdict import RunVerdict, judge
from tools.chaos.world import ChaosWorld
from tools.services import process
from tools.testing.cluster import LiveCluster, MakeCluster, new_numbers
from tools.testing.devices import FAST, Handset, log_in
from tools.testing.server import BOUND, until

pytestmark = pytest.mark.slow

CLIENTS = 40
RATE = 60.0
KAFKA_SECONDS = float(os.environ.get("TEST_KAFKA_SECONDS", "25"))
MYSQL_SECONDS = 10.0
SHORT_SECONDS = 2.0
LONGEST_SHORT_SECONDS = 4.0
"""A lease of 10 s stands longer than this without ZooKeeper."""
TRIES = 10
MOST_LINES = 20
"""What a process says of one outage of Kafka."""
QUICK = 1.0
"""Seconds in which no head check brings a message, but an event does."""
Sending = Callable[[int], Awaitable[None]]


@asynccontextmanager
async def under_load(it: LiveCluster) -> AsyncIterator[tuple[ChaosWorld, Swarm]]:
    """A swarm that sends; at the end all of it must have arrived, once and in order, and no process been replaced."""
    world = ChaosWorld(it.name)
    swarm = Swarm(world.addresses())
    verdict = RunVerdict()
    try:
        await swarm.log_in(CLIENTS)
        swarm.start(RATE)
        await _acknowledged(swarm, CLIENTS)
        yield world, swarm
        settled = await swarm.stop(BOUND)
        assert settled, (
            f"{swarm.ledger.unacknowledged()} not acknowledged, {len(swarm.ledger.missing())} lost"
        )
        await judge(swarm, [], verdict)
        assert verdict.wrong + await world.health() + world.complaints() == []
    finally:
        await swarm.close()
        it.faults()  # what was logged meanwhile is no other test's concern


async def _acknowledged(swarm: Swarm, more: int) -> None:
    """Wait until so many messages that are sent from now on are acknowledged."""
    begin = time.monotonic()

    def count() -> int:
        swarm.check()
        messages = swarm.ledger.messages.values()
        return sum(sent.started > begin and sent.acknowledged is not None for sent in messages)

    await until(lambda: count() >= more, lambda: f"{count()} of {more} acknowledged")


async def _arrived(swarm: Swarm) -> None:
    """Wait until all that is acknowledged by now has arrived."""
    waiting = swarm.ledger.missing()
    await until(
        lambda: all(sent.arrived for sent in waiting),
        lambda: f"{sum(sent.arrived is None for sent in waiting)} of {len(waiting)} have not arrived",
    )


async def _quick_again(swarm: Swarm) -> None:
    """Wait until messages arrive as events bring them: a whole round to everybody."""
    wanted = set(range(CLIENTS))

    def slow() -> set[int]:
        recent = [sent for sent in swarm.ledger.messages.values() if sent.started > begin]
        return wanted - {
            to for sent in recent for to, came in sent.came.items() if came - sent.started < QUICK
        }

    begin = time.monotonic()
    await until(lambda: not slow(), lambda: f"messages to {sorted(slow())} come by the head check only")


async def _says(it: LiveCluster, name: str, begun: int, what: str) -> None:
    """Wait until a process has said so since its log had so many characters."""
    await until(lambda: what in it.log(name)[begun:], f"{name}: {what!r} is not in its log")


async def test_without_kafka_all_is_accepted_and_the_head_check_brings_it(cluster: MakeCluster) -> None:
    it = cluster(2, 2)
    users_of_kafka = it.names("group") + it.names("connector")
    begun = {name: len(it.log(name)) for name in users_of_kafka}
    async with (
        under_load(it) as (world, swarm),
        talking(addresses_of(it.at(0), it.at(1)), users=2, rate=20.0) as crowd,
    ):
        refused = len(swarm.ledger.refused)
        await world.stop_service("kafka")
        try:
            await crowd.until_said(CLIENTS)
            end = time.monotonic() + KAFKA_SECONDS
            while time.monotonic() < end:
                await _acknowledged(swarm, CLIENTS)
            await _arrived(swarm)
            # Nobody says anything any more by which a connector would see that something is behind.
            assert await crowd.stop(BOUND), crowd.outstanding()
        finally:
            await world.start_service("kafka")
        assert len(swarm.ledger.refused) == refused
        assert not crowd.book.refused
        await _quick_again(swarm)
        for name in users_of_kafka:
            await _says(it, name, begun[name], "kafka is back")
            said = it.log(name)[begun[name] :]
            assert (said.count("kafka is away"), said.count("kafka is back")) == (1, 1)
            lines = [line for line in said.splitlines() if "kafka" in line.lower()]
            assert len(lines) <= MOST_LINES, f"{name}: {len(lines)} lines of Kafka, {lines[:20]}"


async def test_without_mysql_requests_get_a_code_and_nothing_is_half_done(cluster: MakeCluster) -> None:
    it = cluster(2, 2)
    numbers = new_numbers(2)
    ann = Handset(
        await log_in(it.at(0), numbers[0], "ann"),
        it.at(0),
        "tcp",
        options=replace(FAST, request_timeout=BOUND),
    )
    bob = Handset(await log_in(it.at(1), numbers[1], "bob"), it.at(1), "ws")
    async with under_load(it) as (world, swarm), ann, bob:
        await ann.send(bob.user_id, "before")
        await world.stop_service("mariadb")
        try:
            end = time.monotonic() + MYSQL_SECONDS
            tries = 0
            while time.monotonic() < end:
                tries += 1
                message = pb.Message(
                    conversation=private(bob.user_id),
                    from_user=ann.user_id,
                    content=text(f"meanwhile {tries}"),
                    local_message_id=tries,
                )
                for sub_signal, body in (
                    (SubSignal.MS, message),
                    (SubSignal.MP, pb.PullMessageRequest(id=0, type=0)),
                    (
                        SubSignal.LRM,
                        pb.LoadRemoteMessages(conversation=private(bob.user_id), before_uid=0, count=9),
                    ),
                    (SubSignal.FP, pb.Version(version=0)),
                ):
                    with pytest.raises(RequestError) as refusal:
                        await ann.request(sub_signal, body)
                    assert refusal.value.code == Code.SERVER_ERROR
        finally:
            await world.start_service("mariadb")
        await ann.send(bob.user_id, "after")
        await bob.until_received(2)
        assert bob.texts_of(ann.user_id) == ["before", "after"]
        inbox = await bob.pull(0)
        assert inbox.current == inbox.head == len(inbox.message) == 2
        assert [message.content.searchable_content for message in await ann.history(bob.user_id)] == [
            "after",
            "before",
        ]
        await _acknowledged(swarm, CLIENTS)


async def test_a_short_silence_of_zookeeper_is_not_noticed(cluster: MakeCluster) -> None:
    it = cluster(2, 2)
    async with under_load(it) as (world, swarm):
        for _ in range(TRIES):
            begun = {name: len(it.log(name)) for name in it.names()}
            resent = len(swarm.ledger.resent) + len(swarm.ledger.refused)
            if await _silence(world) <= LONGEST_SHORT_SECONDS:
                break
            # The machine was too busy for a short one: what it did to them is no fault. Until they are over it:
            await until(lambda: swarm.connected() == CLIENTS, lambda: f"{swarm.connected()} are connected")
            await _acknowledged(swarm, CLIENTS)
        else:
            pytest.fail(f"this machine is too busy for a short silence of ZooKeeper, {TRIES} times")
        await _acknowledged(swarm, CLIENTS)
        assert len(swarm.ledger.resent) + len(swarm.ledger.refused) == resent
        assert [
            name for name in it.names() if "lease of the node id is lost" in it.log(name)[begun[name] :]
        ] == []


async def _silence(world: ChaosWorld) -> float:
    """Have ZooKeeper stand still for a short while; return how long it was."""
    identity = world.service("zookeeper").daemons[0].running
    assert identity is not None
    begun = time.monotonic()
    process.pause(identity)
    try:
        await asyncio.sleep(SHORT_SECONDS)
    finally:
        process.resume(identity)
    return time.monotonic() - begun


async def test_without_zookeeper_for_long_nobody_works_until_it_is_back(cluster: MakeCluster) -> None:
    it = cluster(2, 2)
    async with under_load(it) as (world, swarm):
        await world.stop_service("zookeeper")
        try:
            await until(lambda: not swarm.connected(), lambda: f"{swarm.connected()} are connected")
            acknowledged = len(swarm.ledger.messages) - swarm.ledger.unacknowledged()
            for name in it.names("connector"):
                assert await it.metric("devices_online", name) == 0
            assert len(swarm.ledger.messages) - swarm.ledger.unacknowledged() == acknowledged
            assert not swarm.connected()
        finally:
            await world.start_service("zookeeper")
        await until(lambda: swarm.connected() == CLIENTS, lambda: f"{swarm.connected()} are connected")
        await _acknowledged(swarm, CLIENTS)
        await _quick_again(swarm)
