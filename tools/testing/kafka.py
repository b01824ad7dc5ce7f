"""What may happen to a Kafka of the tests."""

from aiokafka.admin import AIOKafkaAdminClient

from fsharechat import urls
from fsharechat.bus.kafka_topics import PARTITIONS
from fsharechat.settings_schema import KAFKA_PORT


async def lose_topics(url: str) -> None:
    """Have the Kafka at a `[bus] url` forget all topics, as one whose disk is new."""
    admin = AIOKafkaAdminClient(bootstrap_servers=urls.parse(url, "kafka", KAFKA_PORT).addresses)
    await admin.start()
    try:
        while present := PARTITIONS.keys() & set(await admin.list_topics()):
            await admin.delete_topics(list(present))
    finally:
        await admin.close()
