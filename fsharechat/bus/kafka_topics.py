"""The topics of the bus, made on start with the settings they need."""

import asyncio

import structlog
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
"""Events are of use for seconds; they are kept so long for whoever looks into a fault."""

ADMIN_SECONDS = 8.0
MAX_COPIES = 3

_SHORT_LIVED = {"cleanup.policy": "delete", "retention.ms": str(KEPT_MS), "max.message.bytes": str(16 << 20)}
_COMPACTED = {"cleanup.policy": "compact", "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}


async def create_topics(access: Access) -> None:
    """Create the topics that are missing, on as many brokers as there are, up to three. Raises BusError."""
    try:
        async with asyncio.timeout(ADMIN_SECONDS):
            admin = AIOKafkaAdminClient(**access.options, request_timeout_ms=int(ADMIN_SECONDS * 1000))
            try:
                await admin.start()
                await _create(admin)
            finally:
                await admin.close()
    except (KafkaError, OSError, TimeoutError) as error:
        raise await access.fault(error) from error


async def _create(admin: AIOKafkaAdminClient) -> None:
    brokers = len((await admin.describe_cluster())["brokers"])
    copies = max(1, min(MAX_COPIES, brokers))
    present = set(await admin.list_topics())
    wanted = (
        NewTopic(DELIVER, NODES, copies, topic_configs=_SHORT_LIVED),
        NewTopic(PRESENCE, PRESENCE_PARTITIONS, copies, topic_configs=_COMPACTED),
        NewTopic(INVALIDATE, 1, copies, topic_configs=_SHORT_LIVED),
    )
    missing = [topic for topic in wanted if topic.name not in present]
    if not missing:
        return
    answer = await admin.create_topics(missing)
    for name, number, *reason in answer.topic_errors:
        error = for_code(number)
        if number and error is not TopicAlreadyExistsError:
            raise BusError(f"topic {name} could not be made: {error.__name__} {reason[0] if reason else ''}")
        log.info("topic made", topic=name, copies=copies)
