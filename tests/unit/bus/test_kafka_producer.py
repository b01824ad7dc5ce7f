"""A producer whose batch has failed, and its successor; on a fake of aiokafka's."""

import asyncio
from typing import Any, ClassVar

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
)

from fsharechat.bus import BusError, kafka_producer
from fsharechat.bus.kafka_access import Access
from fsharechat.bus.kafka_producer import Producer, Record

RECORD = Record("topic", 0, None, b"value")


class FakeProducer:
    """Takes what it is sent, or fails as told. It stands for the parts of aiokafka's that are used."""

    made: ClassVar[list["FakeProducer"]] = []
    start_error: ClassVar[BaseException | None] = None

    def __init__(self, **_: object) -> None:
        self.made.append(self)
        self.sent: list[asyncio.Future[Any]] = []
        self.error: BaseException | None = None
        self.stops = True
        self.stopped = False
        self._sender = self._message_accumulator = self.client = self
        self._batches: dict[object, list[object]] = {}
        self._pending_batches: list[object] = []

    async def start(self) -> None:
        if self.start_error is not None:
            raise self.start_error
        self.sender_task: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sender_task.add_done_callback(self._fail_all)

    def _fail_all(self, _: "asyncio.Future[None]") -> None:
        raise AttributeError("as aiokafka's own does")

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None, partition: int
    ) -> "asyncio.Future[Any]":
        if self.error is not None:
            raise self.error
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.sent.append(future)
        return future

    async def stop(self) -> None:
        if not self.stops:
            await asyncio.get_running_loop().create_future()
        self.stopped = True

    async def set_topics(self, _: list[str]) -> bool:
        return True

    async def close(self) -> None:
        """Be the sender, or the client."""
        self.stopped = True

    def fail_all(self, error: BaseException) -> None:
        for future in self.sent:
            if not future.done():
                future.set_exception(error)


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[FakeProducer]:
    monkeypatch.setattr(kafka_producer, "AIOKafkaProducer", FakeProducer)
    monkeypatch.setattr(kafka_producer, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(FakeProducer, "made", [])
    return FakeProducer.made


async def started() -> Producer:
    producer = Producer(Access("kafka:9092"))
    await producer.start()
    return producer


async def test_while_all_goes_well_there_is_one(made: list[FakeProducer]) -> None:
    producer = await started()
    for _ in range(3):
        (await producer.send(RECORD)).set_result(None)
    await producer.stop()
    assert [one.stopped for one in made] == [True]


@pytest.mark.parametrize("error", [OutOfOrderSequenceNumber(), LeaderNotAvailableError()], ids=repr)
async def test_after_a_failed_batch_a_new_one_takes_over(made: list[FakeProducer], error: KafkaError) -> None:
    producer = await started()
    lost = await producer.send(RECORD)
    lost.set_exception(error)
    await asyncio.wait([lost])
    await asyncio.sleep(0)
    (await producer.send(RECORD)).set_result(None)
    assert [len(one.sent) for one in made] == [1, 1]
    await producer.stop()
    assert [one.stopped for one in made] == [True, True]


async def test_many_failures_are_one_change(made: list[FakeProducer]) -> None:
    producer = await started()
    for lost in [await producer.send(RECORD) for _ in range(5)]:
        lost.set_exception(OutOfOrderSequenceNumber())
    await asyncio.gather(*(producer.send(RECORD) for _ in range(5)))
    assert [len(one.sent) for one in made] == [5, 5]
    await producer.stop()


async def test_the_end_of_aiokafkas_own_task_is_survived(made: list[FakeProducer]) -> None:
    producer = await started()
    made[0].error = AttributeError("a mistake in aiokafka")
    with pytest.raises(KafkaError, match="a mistake in aiokafka"):
        await producer.send(RECORD)
    await producer.send(RECORD)
    assert len(made[1].sent) == 1
    await producer.stop()


async def test_a_record_that_is_too_large_harms_no_other(made: list[FakeProducer]) -> None:
    producer = await started()
    made[0].error = MessageSizeTooLargeError()
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send(RECORD)
    made[0].error = None
    await producer.send(RECORD)
    assert len(made) == 1
    await producer.stop()


async def test_while_kafka_is_away_there_is_no_successor_yet(
    made: list[FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = await started()
    (await producer.send(RECORD)).set_exception(LeaderNotAvailableError())
    await asyncio.sleep(0)
    monkeypatch.setattr(FakeProducer, "start_error", KafkaConnectionError("refused"))
    for _ in range(2):
        with pytest.raises(KafkaError):
            await producer.send(RECORD)
    monkeypatch.setattr(FakeProducer, "start_error", None)
    await producer.send(RECORD)
    assert [len(one.sent) for one in made] == [1, 0, 0, 1]
    await producer.stop()


async def test_what_an_old_one_cannot_send_fails(
    made: list[FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "STOP_SECONDS", 0.01)
    producer = await started()
    made[0].stops = False
    stuck = await producer.send(RECORD)
    (await producer.send(RECORD)).set_exception(OutOfOrderSequenceNumber())
    await asyncio.sleep(0)
    await producer.send(RECORD)
    with pytest.raises(KafkaError):
        await stuck
    assert made[0].stopped
    await producer.stop()


async def test_a_kafka_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProducer, "start_error", KafkaConnectionError("refused"))
    with pytest.raises(BusError, match="kafka:9092"):
        await Producer(Access("kafka:9092")).start()
