"""The bus on real Kafka that comes back without its topics, or is not there yet."""

import asyncio
import logging

import pytest

from fsharechat import urls
from fsharechat.bus import Event, Notify, Presence, Push
from fsharechat.bus.kafka import KafkaBus
from fsharechat.settings_schema import KAFKA_PORT
from tools.testing.kafka import lose_topics
from tools.testing.server import BOUND, until
from tools.testing.services import Services

pytestmark = pytest.mark.slow

NODE = 5
ROUNDS = 5


def made(services: Services) -> KafkaBus:
    return KafkaBus(urls.parse(services("kafka").url("kafka"), "kafka", KAFKA_PORT))


def note(number: int) -> Notify:
    return Notify(20, str(number).encode(), "ann")


async def test_topics_that_were_lost_are_made_again(services: Services) -> None:
    sender, receiver = made(services), made(services)
    events: list[Event] = []
    places: list[Presence] = []
    whole: list[int] = []
    for bus in (sender, receiver):
        await bus.open()
    try:
        await receiver.serve_node(NODE, events.extend)
        await receiver.watch_presence(places.append, lambda: whole.append(len(places)))
        for n in range(50):  # so that the position is beyond the end of a new topic, and also before it
            sender.deliver(NODE, [note(n)])
        await until(lambda: note(49) in events, "nothing arrives")
        await lose_topics(services.url("kafka"))
        here = Presence("ann", f"phone {id(places)}", NODE, 1)
        sender.announce(here)  # of this nothing may be lost
        await until(lambda: here in places, "presence does not arrive")
        events.clear()
        number = 100
        while not events:  # some are lost until the new topic is read
            sender.deliver(NODE, [note(number)])
            number += 1
            await asyncio.sleep(0.1)
            assert number < 100 + 10 * BOUND, "events do not arrive"
        assert sender.away == receiver.away == ""
    finally:
        for bus in (sender, receiver):
            await bus.close()


async def test_a_bus_opens_while_kafka_is_away_and_begins_when_it_is_back(services: Services) -> None:
    services("kafka")
    services.stop("kafka")
    try:
        bus = made_while_away(services)
        events: list[Event] = []
        places: list[Presence] = []
        whole: list[int] = []
        async with asyncio.timeout(BOUND):
            await bus.open()
            assert "no broker answers" in bus.away
            await bus.serve_node(NODE, events.extend)
            await bus.watch_presence(places.append, lambda: whole.append(len(places)))
            await bus.watch_invalidations(lambda _: None)
        assert whole == []
        here = Presence("ann", f"phone {id(places)}", NODE, 1)
        bus.announce(here)
        bus.deliver(NODE, [Push(b"is typing", ["ann"])])
    finally:
        await asyncio.to_thread(services.start, "kafka")
    try:
        await until(lambda: bus.away == "", "it is not back")
        await until(lambda: bool(whole) and here in places, "presence does not arrive")
        number = 0
        while not events:
            bus.deliver(NODE, [note(number)])
            number += 1
            await asyncio.sleep(0.1)
            assert number < 10 * BOUND, "events do not arrive"
        assert all(isinstance(event, Notify) for event in events), "what is of no use later came later"
    finally:
        await bus.close()


def made_while_away(services: Services) -> KafkaBus:
    return KafkaBus(urls.parse(services.url("kafka"), "kafka", KAFKA_PORT))


async def test_topics_that_were_just_made_are_used_without_a_word(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    services("kafka")
    for _ in range(ROUNDS):
        await lose_topics(services.url("kafka"))
        caplog.clear()
        caplog.set_level(logging.WARNING, "aiokafka")
        buses = [made(services) for _ in range(4)]
        try:
            await asyncio.gather(*(bus.open() for bus in buses))
            for node, bus in enumerate(buses):
                await bus.serve_node(node, lambda _: None)
                await bus.watch_presence(lambda _: None)
                await bus.watch_invalidations(lambda _: None)
        finally:
            for bus in buses:
                await bus.close()
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
