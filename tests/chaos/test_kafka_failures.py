"""The bus on real Kafka when aiokafka, or what listens, fails in the middle: events go on."""

import asyncio
import gc
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition

from fsharechat import urls
from fsharechat.bus import Event, Notify, Presence
from fsharechat.bus.kafka import KafkaBus
from fsharechat.bus.kafka_topics import DELIVER, PRESENCE, PRESENCE_PARTITIONS
from fsharechat.settings_schema import KAFKA_PORT
from tools.testing.server import BOUND
from tools.testing.services import Services

pytestmark = pytest.mark.slow

NODE = 5


def lose_count(bus: KafkaBus, place: TopicPartition) -> None:
    """Have aiokafka count a record that Kafka never gets, as when it gives a batch up."""
    current = bus._producer._current
    assert current is not None
    current._txn_manager.increment_sequence_number(place, 1)


async def test_events_and_presence_go_on_when_the_sequence_is_broken(services: Services) -> None:
    url = urls.parse(services("kafka").url("kafka"), "kafka", KAFKA_PORT)
    sender, receiver = KafkaBus(url), KafkaBus(url)
    events: asyncio.Queue[Event] = asyncio.Queue()
    places: asyncio.Queue[Presence] = asyncio.Queue()

    def take(some: Sequence[Event]) -> None:
        for event in some:
            events.put_nowait(event)

    for bus in (sender, receiver):
        await bus.open()
    try:
        async with asyncio.timeout(BOUND):
            await receiver.serve_node(NODE, take)
            await receiver.watch_presence(places.put_nowait)
            while not places.empty():
                places.get_nowait()
            sender.deliver(NODE, [note(0)])
            assert await events.get() == note(0)
            lose_count(sender, TopicPartition(DELIVER, NODE))
            number = 1
            while events.empty():  # some are lost before the failure is known
                sender.deliver(NODE, [note(number)])
                number += 1
                await asyncio.sleep(0.1)
            for partition in range(PRESENCE_PARTITIONS):
                lose_count(sender, TopicPartition(PRESENCE, partition))
            here = Presence("ann", "phone", NODE, 1)
            sender.announce(here)  # of this nothing may be lost
            assert await places.get() == here
    finally:
        for bus in (sender, receiver):
            await bus.close()


async def test_events_go_on_when_the_task_of_the_producer_has_ended(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(
        logging.CRITICAL, "aiokafka"
    )  # a kept line would keep the futures that are looked for below
    url = urls.parse(services("kafka").url("kafka"), "kafka", KAFKA_PORT)
    bus = KafkaBus(url)
    events: asyncio.Queue[Event] = asyncio.Queue()
    said: list[dict[str, Any]] = []

    def take(some: Sequence[Event]) -> None:
        for event in some:
            events.put_nowait(event)

    def fail(**_: object) -> None:
        raise AttributeError("a mistake")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    await bus.open()
    try:
        async with asyncio.timeout(BOUND):
            await bus.serve_node(NODE, take)
            current = bus._producer._current
            assert current is not None
            current._message_accumulator.drain_by_nodes = fail
            number = 0
            while events.empty():  # some are lost before the end is known
                bus.deliver(NODE, [note(number)])
                number += 1
                await asyncio.sleep(0.1)
            assert bus._producer._current is not current
    finally:
        await bus.close()
    del current
    gc.collect()  # what nobody looked at is told now
    assert said == []


async def test_events_go_on_when_their_consumer_failed(services: Services) -> None:
    url = urls.parse(services("kafka").url("kafka"), "kafka", KAFKA_PORT)
    bus = KafkaBus(url)
    events: asyncio.Queue[Event] = asyncio.Queue()
    failures = 0

    def fail_once(some: Sequence[Event]) -> None:
        nonlocal failures
        if not failures:
            failures += 1
            raise AttributeError("a mistake")
        for event in some:
            events.put_nowait(event)

    await bus.open()
    try:
        async with asyncio.timeout(BOUND):
            await bus.serve_node(NODE, fail_once)
            number = 0
            while events.empty():  # some are lost until the new consumer is there
                bus.deliver(NODE, [note(number)])
                number += 1
                await asyncio.sleep(0.1)
        assert failures == 1
    finally:
        await bus.close()


def note(number: int) -> Notify:
    return Notify(20, str(number).encode(), "ann")
