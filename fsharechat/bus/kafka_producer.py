"""A producer that is replaced when Kafka no longer accepts its records."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from fsharechat.bus.kafka_access import Access
from fsharechat.bus.kafka_topics import PARTITIONS

log = structlog.get_logger(__name__)

START_SECONDS = 5.0
STOP_SECONDS = 5.0
PAUSE_SECONDS = 1.0
"""How long a producer is kept at least, s."""

REQUEST_SECONDS = 10.0
MAX_REQUEST_BYTES = 16 << 20


class Record(NamedTuple):
    """One record on its way."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None


class Producer:
    """An idempotent producer (aiokafka's), and its successor when it has failed.

    aiokafka (0.14) counts the records of a batch that it gives up; Kafka does not. From then on Kafka refuses all
    records for that partition, for ever (OutOfOrderSequenceNumber). aiokafka gives up a batch when the partition has
    no leader, as after each restart of Kafka. So after each failed batch a new producer takes over.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._current: AIOKafkaProducer | None = None
        self._since = 0.0
        self._failed = "it was not made yet"
        self._renewing = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect to Kafka now. Without this call the first use does it. Raises BusError."""
        try:
            self._current, self._failed = await self._made(), ""
        except (KafkaError, OSError, TimeoutError) as error:
            raise self._access.unreached(error) from error

    async def stop(self) -> None:
        """Send the accepted records, within a bound, and close."""
        if self._current is not None:
            self._end(self._current)
        if self._ending:
            await asyncio.wait(self._ending)

    async def reach(self) -> frozenset[str]:
        """Return the topics of the bus that exist, as a broker says now. Raises BusError."""
        try:
            if self._current is None:
                await self._renew()
            assert self._current is not None
            async with asyncio.timeout(START_SECONDS):
                if not await self._current.client.force_metadata_update():
                    raise KafkaConnectionError
                return frozenset(PARTITIONS.keys() & self._current.client.cluster.topics())
        except (KafkaError, OSError, TimeoutError) as error:
            raise self._access.unreached(error) from error

    async def send(self, record: Record) -> "asyncio.Future[Any]":
        """Take a record. The future is done when Kafka has it, or fails. Raises KafkaError.

        Waits, at most REQUEST_SECONDS, while a whole request of records waits already.
        """
        if self._failed:
            await self._renew()
        producer = self._current
        assert producer is not None
        try:
            sent: asyncio.Future[Any] = await producer.send(
                record.topic, record.value, key=record.key, partition=record.partition
            )
        except (KafkaTimeoutError, MessageSizeTooLargeError):  # the record was not taken
            raise
        except Exception as error:  # any error that ended aiokafka's own task is raised here
            self._note(producer, error)
            raise error if isinstance(error, KafkaError) else KafkaError(repr(error)) from error
        sent.add_done_callback(lambda done: self._look_at(producer, done))
        return sent

    def _look_at(self, producer: AIOKafkaProducer, sent: "asyncio.Future[Any]") -> None:
        if not sent.cancelled() and (error := sent.exception()) is not None:
            self._note(producer, error)

    def _note(self, producer: AIOKafkaProducer, error: BaseException) -> None:
        if producer is self._current and not self._failed:
            self._failed = str(error) or type(error).__name__
            log.debug("a new kafka producer takes over", error=self._failed)

    async def _renew(self) -> None:
        """Make a new producer. Raises KafkaError if there is none yet."""
        async with self._renewing:
            if not self._failed:
                return
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(0.0, self._since + PAUSE_SECONDS - loop.time()))
            self._since = loop.time()
            try:
                new = await self._made()
            except (OSError, TimeoutError) as error:
                raise KafkaError(f"{self._access.servers}: {error or 'no answer'}") from error
            old, self._current, self._failed = self._current, new, ""
            if old is not None:
                self._end(old)

    def _end(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.get_running_loop().create_task(_end(producer))
        self._ending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a kafka producer did not end well", exc_info=error)

    async def _made(self) -> AIOKafkaProducer:
        """Return a new producer. Raises KafkaError, OSError or TimeoutError."""
        producer = AIOKafkaProducer(
            **self._access.options,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_request_size=MAX_REQUEST_BYTES,
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await producer.start()
                await producer.client.set_topics(list(PARTITIONS))
        except BaseException:
            await producer.stop()
            raise
        _have_its_end_told(producer, lambda error: self._note(producer, error))
        self._since = asyncio.get_running_loop().time()
        return producer


async def _end(producer: AIOKafkaProducer) -> None:
    """Send waiting records, within a bound, and close. Unsent records fail."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await producer.stop()
        return
    except (KafkaError, TimeoutError) as error:
        log.warning("a kafka producer ends with events unsent", error=str(error) or "no answer")
    # Else it would go on trying for ever, and callers would wait for ever.
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await producer._sender.close()
            await producer.client.close()
    except (KafkaError, TimeoutError) as error:
        log.warning("a kafka producer does not end", error=str(error) or "no answer")
    _fail_all(producer, KafkaError("the producer has ended"))


def _have_its_end_told(producer: AIOKafkaProducer, tell: Callable[[BaseException], None]) -> None:
    """Fail the waiting records and call `tell` when aiokafka's own task ends with an exception.

    It replaces aiokafka's own callback (0.14), which raises in a producer without transactions.
    """
    sender = producer._sender

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _fail_all(producer, error)
            tell(error)

    sender.sender_task.remove_done_callback(sender._fail_all)
    sender.sender_task.add_done_callback(ended)


def _fail_all(producer: AIOKafkaProducer, error: BaseException) -> None:
    """Fail every waiting record, and take no later one."""
    batches = producer._message_accumulator
    batches.fail_all(error)
    for batch in (*itertools.chain.from_iterable(batches._batches.values()), *batches._pending_batches):
        batch._drain_waiter.exception()  # retrieved: else asyncio complains of each one that nobody awaited
