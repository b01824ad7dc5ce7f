"""The topics of the bus. They are made with the right settings, at the start and whenever Kafka has lost them."""

import asyncio
from collections.abc import Collection

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from fsharechat.bus import BusError
from fsharechat.bus.kafka_access import Access
from fsharechat.protocol.ids import NODES

log = structlog.get_logger(__name__)

DELIVER = "fsharechat.deliver"
PRESENCE = "fsharechat.presence"
INVALIDATE = "fsharechat.invalidate"

PRESENCE_PARTITIONS = 16
KEPT_MS = 600_000
"""How long events are kept, ms. They are useful for seconds only; the rest is for finding faults."""

PARTITIONS = {DELIVER: NODES, PRESENCE: PRESENCE_PARTITIONS, INVALIDATE: 1}
"""The most copies of each topic."""

ADMIN_SECONDS = 8.0
PAUSE_SECONDS = 0.1
MAX_COPIES = 3
SAFE_COPIES = 2
"""How many of three copies must have a record before it counts as sent: so it survives the loss of a disk."""

_SHORT_LIVED = {"cleanup.policy": "delete", "retention.ms": str(KEPT_MS), "max.message.bytes": str(16 << 20)}
_COMPACTED = {"cleanup.policy": "compact", "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}


async def look_for_topics(access: Access) -> list[str]:
    """Return which topics are missing, and make none. Raises BusError."""
    try:
        async with asyncio.timeout(ADMIN_SECONDS):
            admin = AIOKafkaAdminClient(**access.options, request_timeout_ms=int(ADMIN_SECONDS * 1000))
            try:
                await admin.start()
                return sorted(PARTITIONS.keys() - set(await admin.list_topics()))
            finally:
                await admin.close()
    except (KafkaError, OSError, TimeoutError) as error:
        raise await access.fault(error) from error


async def provide_topics(access: Access) -> None:
    """Create the topics that are missing, and return when every partition is served. Raises BusError."""
    try:
        async with asyncio.timeout(ADMIN_SECONDS):
            admin = AIOKafkaAdminClient(**access.options, request_timeout_ms=int(ADMIN_SECONDS * 1000))
            try:
                await admin.start()
                await _create(admin)
                await _until_led(admin)
            finally:
                await admin.close()
            await _until_served(access)
    except (KafkaError, OSError, TimeoutError) as error:
        raise await access.fault(error) from error


def missing_topics(brokers: int, present: Collection[str]) -> list[NewTopic]:
    """Return the topics to create, with a copy on each broker, up to three."""
    copies = max(1, min(MAX_COPIES, brokers))
    safe = {"min.insync.replicas": str(SAFE_COPIES)} if copies == MAX_COPIES else {}
    return [
        NewTopic(name, count, copies, topic_configs=(_COMPACTED if name == PRESENCE else _SHORT_LIVED) | safe)
        for name, count in PARTITIONS.items()
        if name not in present
    ]


async def _create(admin: AIOKafkaAdminClient) -> None:
    brokers = len((await admin.describe_cluster())["brokers"])
    missing = missing_topics(brokers, await admin.list_topics())
    if not missing:
        return
    answer = await admin.create_topics(missing)
    for name, number, *reason in answer.topic_errors:
        error = for_code(number)
        if error is TopicAlreadyExistsError:  # another process was faster
            continue
        if number:
            raise BusError(f"topic {name} could not be made: {error.__name__} {reason[0] if reason else ''}")
        log.info("topic made", topic=name, copies=missing[0].replication_factor)


async def _until_led(admin: AIOKafkaAdminClient) -> None:
    """Wait until each partition has a leader: partitions of a new topic may have none yet."""
    while True:
        found = await admin.describe_topics(list(PARTITIONS))
        led = {
            topic["topic"]: sum(part["leader"] >= 0 for part in topic["partitions"])
            for topic in found
            if not topic["error_code"]
        }
        if all(led.get(name, 0) >= count for name, count in PARTITIONS.items()):
            return
        await asyncio.sleep(PAUSE_SECONDS)


async def _until_served(access: Access) -> None:
    """Wait until the leaders know that they lead: a consumer that asks earlier logs an error."""
    consumer = AIOKafkaConsumer(**access.options, group_id=None, enable_auto_commit=False)
    try:
        await consumer.start()
        await consumer.end_offsets(
            [TopicPartition(name, part) for name, count in PARTITIONS.items() for part in range(count)]
        )
    finally:
        await consumer.stop()
