"""The bus on Kafka: three topics (docs/decisions/who-owns-what.md).

`fsharechat.deliver` has a partition for each node, and carries events for the devices of connectors.
`fsharechat.presence`, compacted, has the place of each device. `fsharechat.invalidate` has the keys that the caches
of group processes must drop.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from fsharechat.bus import Bus, BusAway, BusError, Event, Presence, Push, PushTo, codec
from fsharechat.bus.codec import RecordError, VersionError
from fsharechat.bus.kafka_access import NO_TLS, Access
from fsharechat.bus.kafka_producer import MAX_REQUEST_BYTES, Producer, Record
from fsharechat.bus.kafka_topics import (
    DELIVER,
    INVALIDATE,
    PARTITIONS,
    PRESENCE,
    PRESENCE_PARTITIONS,
    look_for_topics,
    provide_topics,
)
from fsharechat.clock import now_ms
from fsharechat.metrics import Histogram, Metrics
from fsharechat.settings_types import ServiceTls
from fsharechat.tasks import TaskSet
from fsharechat.urls import ServiceUrl

log = structlog.get_logger(__name__)

QUEUE = 20_000
"""How many records may wait for Kafka. Beyond, the newest are dropped, and the head check makes up for them."""

PRESENCE_BATCH = 500
CLOSE_SECONDS = 5.0
START_SECONDS = 5.0
PAUSE_SECONDS = 1.0
"""The pause between attempts to reach a Kafka that is away, s."""
MOST_REFUSED = 20
"""How many kinds of records of other releases are logged."""
WATCH_SECONDS = 2.0
"""The time between checks whether Kafka is there, s."""


class KafkaBus(Bus):
    def __init__(self, url: ServiceUrl, tls: ServiceTls = NO_TLS, sasl: str = "scram-sha-512") -> None:
        """`sasl` is how the user of the url logs in, a value of [bus] sasl."""
        self._access = Access.of(url, tls, sasl)
        self._queue: asyncio.Queue[Record] = asyncio.Queue(QUEUE)
        self._producer = Producer(self._access)
        self._version = codec.SPOKEN.newest
        # Presence is not dropped: nobody would send it again. For one device only the last news wait.
        self._presence: dict[bytes, Record] = {}
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        self._told.set()
        self._on_keys: list[Callable[[Iterable[str]], None]] = []
        self._tasks = TaskSet()
        self._nodes: dict[int, asyncio.Task[None]] = {}
        self._unsent = 0
        self._reason = ""
        self._away = ""
        self._gone = asyncio.Event()
        """Set while it is away."""
        self._refused: set[tuple[str, str]] = set()
        self._topics_made = 0
        """How often lost topics have been made again."""
        self.dropped = 0
        self._lost = 0
        """How many records Kafka did not take."""
        self._sent = self._received = 0
        self._lag = Histogram()

    @property
    def away(self) -> str:
        return self._away

    async def look(self) -> str:
        missing = await look_for_topics(self._access)
        return f"no topics {', '.join(missing)} yet: they are made at the start" if missing else ""

    async def open(self) -> None:
        try:
            await provide_topics(self._access)
            await self._producer.start()
        except BusAway as error:
            self._note_away(error)
        self._tasks.spawn("events to kafka", self._send_forever())
        self._tasks.spawn("presence to kafka", self._send_presence_forever())
        self._tasks.spawn("watch of kafka", self._watch_forever())

    def renew(self) -> float | None:
        return self._access.renew()

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._queue.join()
                await self._told.wait()
        except TimeoutError:
            log.warning("events not sent before the end", records=self._queue.qsize())
        await self._tasks.cancel()
        await self._producer.stop()

    @property
    def reaches_one_device(self) -> bool:
        return self._version >= codec.ONE_DEVICE

    def publish(self, metrics: Metrics) -> None:
        metrics.gauge("bus_queue", "Records that wait for Kafka.", self._queue.qsize)
        metrics.gauge(
            "bus_presence_queue", "News of devices that wait for Kafka.", lambda: len(self._presence)
        )
        metrics.counter("bus_sent", "Records given to Kafka.", lambda: self._sent)
        metrics.counter("bus_received", "Records that came from Kafka.", lambda: self._received)
        metrics.counter("bus_lost", "Records that Kafka did not take.", lambda: self._lost + self.dropped)
        metrics.histogram("bus_lag_seconds", "How old events are that come from Kafka.", self._lag)

    def write_for(self, version: int) -> None:
        version = min(max(version, codec.SPOKEN.oldest), codec.SPOKEN.newest)
        if version != self._version:
            log.info("events are written in another version", version=version, before=self._version)
            self._version = version

    def deliver(self, node: int, events: Sequence[Event]) -> None:
        if self._away:  # records that are useful only at once are not kept for later
            events = [event for event in events if type(event) not in (Push, PushTo)]
            if not events:
                return
        self._put(Record(DELIVER, node, None, codec.encode_events(events, self._version)))

    async def serve_node(self, node: int, on_events: Callable[[Sequence[Event]], None]) -> None:
        self._nodes[node] = await self._consume(
            [TopicPartition(DELIVER, node)], lambda record: self._take_events(record, on_events)
        )

    def _take_events(
        self, record: ConsumerRecord[bytes, bytes], on_events: Callable[[Sequence[Event]], None]
    ) -> None:
        self._lag.observe(max(0, now_ms() - record.timestamp) / 1000)  # by two clocks, and to a millisecond
        on_events(codec.decode_events(record.value))

    async def leave_node(self, node: int) -> None:
        consumer = self._nodes.pop(node, None)
        if consumer is not None:
            consumer.cancel()
            await asyncio.wait((consumer,))

    def announce(self, presence: Presence) -> None:
        # The device decides the partition, so its news stay in order, whichever node sends them.
        device = f"{presence.uid}\0{presence.client_id}".encode()
        partition = zlib.crc32(device) % PRESENCE_PARTITIONS
        key, value = codec.presence_key(presence), codec.encode_presence(presence, self._version)
        self._presence.pop(key, None)  # the newest goes last
        self._presence[key] = Record(PRESENCE, partition, key, value)
        self._told.clear()
        self._news.set()

    async def watch_presence(
        self, on_presence: Callable[[Presence], None], on_whole: Callable[[], None] | None = None
    ) -> None:
        await self._consume(
            [TopicPartition(PRESENCE, number) for number in range(PRESENCE_PARTITIONS)],
            lambda record: on_presence(codec.decode_presence(record.key, record.value)),
            from_beginning=True,
            on_started=on_whole,
        )

    def invalidate(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self._drop_cached(keys)  # here at once: the caller may read again before Kafka delivers it
        self._put(Record(INVALIDATE, 0, None, codec.encode_keys(keys, self._version)))

    async def watch_invalidations(self, on_keys: Callable[[Iterable[str]], None]) -> None:
        self._on_keys.append(on_keys)
        if len(self._on_keys) == 1:
            await self._consume(
                [TopicPartition(INVALIDATE, 0)],
                lambda record: self._drop_cached(codec.decode_keys(record.value)),
            )

    def _drop_cached(self, keys: Sequence[str]) -> None:
        for on_keys in self._on_keys:
            on_keys(keys)

    # Sending

    def _put(self, record: Record) -> None:
        try:
            self._queue.put_nowait(record)
        except asyncio.QueueFull:
            self.dropped += 1

    async def _send_forever(self) -> None:
        while True:
            record = await self._queue.get()
            try:
                (await self._producer.send(record)).add_done_callback(self._look_at)
                self._sent += 1
            except KafkaError as error:
                self._note_unsent(error)
            finally:
                self._queue.task_done()

    async def _send_presence_forever(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            told = False
            while self._presence:
                batch = list(self._presence.values())[:PRESENCE_BATCH]
                results = await asyncio.gather(*map(self._send_and_wait, batch), return_exceptions=True)
                failed = [result for result in results if isinstance(result, BaseException)]
                for record, result in zip(batch, results, strict=True):
                    if (
                        not isinstance(result, BaseException)
                        and self._presence.get(record.key or b"") is record
                    ):
                        del self._presence[record.key or b""]
                if failed:
                    if not told:
                        told = True
                        log.warning(
                            "presence not sent, trying again", records=len(failed), error=str(failed[0])
                        )
                    await asyncio.sleep(PAUSE_SECONDS)
            self._told.set()

    async def _send_and_wait(self, record: Record) -> None:
        await (await self._producer.send(record))

    def _look_at(self, sent: "asyncio.Future[Any]") -> None:
        if not sent.cancelled() and (error := sent.exception()):
            self._note_unsent(error)

    def _note_unsent(self, error: BaseException) -> None:
        self._unsent += 1
        self._lost += 1
        self._reason = str(error) or type(error).__name__

    async def _watch_forever(self) -> None:
        """Log once that Kafka is away and once that it is back, whatever is tried in between, and log lost events.

        Topics that Kafka has lost meanwhile are made again.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        dropped = 0
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self._look()
            except BusError as error:
                if not self._away:
                    since = loop.time()
                    self._note_away(error)
                continue
            if self._away:
                log.info("kafka is back", seconds=round(loop.time() - since, 1))
                self._away = ""
                self._gone.clear()
            if self._unsent:
                log.warning("events not sent", count=self._unsent, error=self._reason)
                self._unsent = 0
            if self.dropped > dropped:
                log.warning("events dropped: too many waited for kafka", count=self.dropped - dropped)
                dropped = self.dropped

    async def _look(self) -> None:
        """Check that Kafka is there with all topics. Make missing topics. Raises BusError."""
        lost = PARTITIONS.keys() - await self._producer.reach()
        if lost:
            await provide_topics(self._access)
            self._topics_made += 1
            log.warning("topics were missing", topics=sorted(lost))

    def _note_away(self, error: BusError) -> None:
        self._away = str(error)
        self._gone.set()
        log.warning(
            "kafka is away; devices get news late",
            servers=self._access.servers,
            reason=self._away,
        )

    # Receiving

    async def _consume(
        self,
        partitions: list[TopicPartition],
        take: Callable[[ConsumerRecord[bytes, bytes]], None],
        from_beginning: bool = False,
        on_started: Callable[[], None] | None = None,
    ) -> asyncio.Task[None]:
        """Give the records of partitions to `take`, from now on; with `from_beginning` the existing ones first.

        While Kafka is away it returns at once, and begins when Kafka is back. `on_started` is called at the
        beginning.
        """
        started = asyncio.Event()

        def begun() -> None:
            started.set()
            if on_started is not None:
                on_started()

        work = self._take_forever(partitions, take, from_beginning, begun)
        task = self._tasks.spawn(f"records of {partitions[0].topic}", work)
        waits = [asyncio.ensure_future(event.wait()) for event in (started, self._gone)]
        try:
            await asyncio.wait([task, *waits], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return task

    async def _take_forever(
        self,
        partitions: list[TopicPartition],
        take: Callable[[ConsumerRecord[bytes, bytes]], None],
        from_beginning: bool,
        on_started: Callable[[], None],
    ) -> None:
        while True:
            made = self._topics_made
            consumer = await self._started_consumer(partitions, take, from_beginning)
            on_started()
            try:
                await self._take_while(made, consumer, partitions, take)
            finally:
                await consumer.stop()

    async def _take_while(
        self,
        topics_made: int,
        consumer: AIOKafkaConsumer,
        partitions: list[TopicPartition],
        take: Callable[[ConsumerRecord[bytes, bytes]], None],
    ) -> None:
        """Take records until the consumer has failed, or topics were made again and its position means nothing."""
        told = False
        while topics_made == self._topics_made:
            try:
                await self._take_some(consumer, take)
                told = False
            except KafkaError as error:
                if not told:
                    told = True
                    log.warning("events not received", topic=partitions[0].topic, error=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                log.exception("a kafka consumer failed; a new one takes over", topic=partitions[0].topic)
                await asyncio.sleep(PAUSE_SECONDS)
                return

    async def _started_consumer(
        self,
        partitions: list[TopicPartition],
        take: Callable[[ConsumerRecord[bytes, bytes]], None],
        from_beginning: bool,
    ) -> AIOKafkaConsumer:
        """Return a consumer that stands at the end. With `from_beginning` it has taken all earlier records."""
        told = bool(self._away)
        while True:
            stands = False
            made = self._topics_made
            consumer = AIOKafkaConsumer(
                **self._access.options,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest" if from_beginning else "latest",
                max_partition_fetch_bytes=MAX_REQUEST_BYTES,
                fetch_max_wait_ms=250,
            )
            try:
                async with asyncio.timeout(START_SECONDS * 2):
                    await consumer.start()
                    consumer.assign(partitions)
                    if from_beginning:
                        await consumer.seek_to_beginning(*partitions)
                    else:
                        await consumer.seek_to_end(*partitions)
                    for place in partitions:
                        await consumer.position(place)  # so that all records from here on are seen
                if from_beginning:
                    ends = await consumer.end_offsets(partitions)
                    while any([await consumer.position(place) < end for place, end in ends.items()]):
                        await self._take_some(consumer, take)
                        if made != self._topics_made:
                            raise KafkaError("the topic was made again")
                stands = True
                return consumer
            except (KafkaError, TimeoutError) as error:
                if not told:
                    told = True
                    log.warning(
                        "waiting for kafka", topic=partitions[0].topic, error=str(error) or "no answer"
                    )
            finally:
                if not stands:
                    await consumer.stop()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _take_some(
        self, consumer: AIOKafkaConsumer, take: Callable[[ConsumerRecord[bytes, bytes]], None]
    ) -> None:
        """Take received records. A record that fails is skipped, and not tried again.

        It would fail again, because its handler depends on nothing that changes, and all later records would wait.
        Events are hints (fsharechat/bus): the loss of each kind is made up for in another way (docs/architecture.md,
        Heads).
        """
        for records in (await consumer.getmany(timeout_ms=500)).values():
            self._received += len(records)
            for record in records:
                try:
                    take(record)
                except VersionError as error:
                    self._refuse(record.topic, str(error))
                except RecordError as error:
                    log.error("a record of another program", topic=record.topic, error=str(error))
                except Exception:
                    log.exception("a record could not be taken", topic=record.topic)

    def _refuse(self, topic: str, reason: str) -> None:
        """Log that records of another release are refused, once for each kind."""
        if (topic, reason) not in self._refused and len(self._refused) < MOST_REFUSED:
            self._refused.add((topic, reason))
            log.warning("events of another release are refused", topic=topic, reason=reason)
