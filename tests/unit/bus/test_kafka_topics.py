"""The settings that topics are made with, by the number of brokers."""

import pytest

from fsharechat.bus.kafka_topics import PARTITIONS, PRESENCE, missing_topics


@pytest.mark.parametrize(
    ("brokers", "copies", "safe"), [(1, 1, None), (2, 2, None), (3, 3, "2"), (9, 3, "2")]
)
def test_with_three_brokers_two_must_have_a_record(brokers: int, copies: int, safe: str | None) -> None:
    topics = missing_topics(brokers, ())
    assert {topic.name: topic.num_partitions for topic in topics} == PARTITIONS
    for topic in topics:
        assert topic.replication_factor == copies
        assert topic.topic_configs.get("min.insync.replicas") == safe
        assert topic.topic_configs["cleanup.policy"] == ("compact" if topic.name == PRESENCE else "delete")


def test_only_what_is_missing_is_made() -> None:
    assert [topic.name for topic in missing_topics(1, PARTITIONS.keys() - {PRESENCE})] == [PRESENCE]
    assert missing_topics(1, PARTITIONS.keys()) == []
