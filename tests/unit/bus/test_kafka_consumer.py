"""What the bus reads of Kafka, over a fake of its consumer: what is wrong with one record, or for a moment."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from fsharechat import urls
from fsharechat.bus import Presence, codec, kafka
from fsharechat.bus.kafka import KafkaBus
from fsharechat.bus.kafka_topics import PRESENCE


class FakeRecord(NamedTuple):
    topic: str
    key: bytes
    value: bytes | None


class Topic:
    """The presence topic, whose records are all in its first partition, and what reading it fails with, in turn."""

    def __init__(self) -> None:
        self.records: list[FakeRecord] = []
        self.failures: list[Exception] = []
        self.open = 0

    def add(self, presence: Presence, version: int = codec.SPOKEN.newest) -> None:
        value = codec.encode_presence(presence, version)
        self.records.append(FakeRecord(PRESENCE, codec.presence_key(presence), value))


class FakeConsumer:
    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._read = 0

    async def start(self) -> None:
        self._topic.open += 1

    async def stop(self) -> None:
        self._topic.open -= 1

    def assign(self, _: list[TopicPartition]) -> None: ...

    async def seek_to_beginning(self, *_: TopicPartition) -> None: ...

    async def position(self, place: TopicPartition) -> int:
        return self._read if place.partition == 0 else 0

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: len(self._topic.records) if place.partition == 0 else 0 for place in places}

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[FakeRecord]]:
        if self._topic.failures:
            raise self._topic.failures.pop(0)
        new = self._topic.records[self._read :]
        self._read += len(new)
        return {TopicPartition(PRESENCE, 0): new}


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    made = Topic()

    def consumer(**_: Any) -> FakeConsumer:
        return FakeConsumer(made)

    monkeypatch.setattr(kafka, "AIOKafkaConsumer", consumer)
    monkeypatch.setattr(kafka, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(KafkaBus, "_take_while", _wait)  # only what was there before is read here
    return made


async def _wait(*_: object) -> None:
    await asyncio.get_running_loop().create_future()


@pytest.fixture
async def bus(topic: Topic) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(urls.parse("kafka://127.0.0.1:1", "kafka", 9092))
    yield bus
    await bus.close()
    assert topic.open == 0, "each is stopped in the end"


PHONES = [Presence("ann", "phone", 1, 10), Presence("ben", "phone", 2, 20)]


async def test_a_record_that_cannot_be_taken_costs_no_other(topic: Topic, bus: KafkaBus) -> None:
    heard: list[Presence] = []

    def hear(presence: Presence) -> None:
        if presence.uid == "ann":
            raise LookupError("a mistake of ours")
        heard.append(presence)

    for presence in PHONES:
        topic.add(presence)
    with capture_logs() as logs:
        await bus.watch_presence(hear)
    assert heard == PHONES[1:]
    assert [line["event"] for line in logs] == ["a record could not be taken"]


async def test_a_kafka_that_goes_while_it_is_read_is_read_again(topic: Topic, bus: KafkaBus) -> None:
    """A group process that starts meanwhile waits for it, as it does when Kafka is away from the beginning."""
    for presence in PHONES:
        topic.add(presence)
    topic.failures.append(KafkaConnectionError("it is gone"))
    heard: list[Presence] = []
    with capture_logs() as logs:
        await bus.watch_presence(heard.append)
    assert heard == PHONES
    assert [line["event"] for line in logs] == ["waiting for kafka"]
    assert topic.open == 1, "the one that failed is stopped"


async def test_what_a_later_release_has_said_is_passed_over_with_one_line(
    topic: Topic, bus: KafkaBus
) -> None:
    known, *later = PHONES
    topic.add(known)
    for presence in later * 3:
        topic.add(presence, 9)
    heard: list[Presence] = []
    with capture_logs() as logs:
        await bus.watch_presence(heard.append)
    assert heard == [known]
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("events of another release are refused", f"it is of version 9 of the bus, we speak {codec.SPOKEN}")
    ]
