"""The bus on Kafka while a cluster is renewed: it writes what all who listen can read."""

import pytest

from fsharechat import urls
from fsharechat.bus import BusAway, Notify, Presence, Push, PushTo, codec
from fsharechat.bus import events_pb2 as pb
from fsharechat.bus.kafka import KafkaBus
from fsharechat.versions import Range


@pytest.mark.parametrize(("readers", "written"), [(4, 4), (3, 3), (2, 2), (9, 4), (1, 2)])
async def test_what_is_written_is_of_the_version_that_all_read(
    monkeypatch: pytest.MonkeyPatch, readers: int, written: int
) -> None:
    monkeypatch.setattr(codec, "SPOKEN", Range(2, 4))
    bus = KafkaBus(urls.parse("kafka://127.0.0.1:1", "kafka", 9092))
    bus.write_for(readers)
    bus.deliver(5, [Notify(20, b"body", "ann")])
    bus.invalidate(["ann"])
    bus.announce(Presence("ann", "phone", 5, 1))
    event, changed = bus._queue.get_nowait(), bus._queue.get_nowait()
    [presence] = bus._presence.values()
    assert pb.Record.FromString(event.value or b"").version == written
    assert pb.Changed.FromString(changed.value or b"").version == written
    assert pb.Presence.FromString(presence.value or b"").version == written


async def test_one_device_is_reached_once_all_read_of_it() -> None:
    bus = KafkaBus(urls.parse("kafka://127.0.0.1:1", "kafka", 9092))
    reaches = []
    for readers in (1, 2):
        bus.write_for(readers)
        reaches.append(bus.reaches_one_device)
    assert reaches == [False, True]


async def test_while_kafka_is_away_nothing_is_kept_that_is_useful_only_at_once() -> None:
    bus = KafkaBus(urls.parse("kafka://127.0.0.1:1", "kafka", 9092))
    bus._note_away(BusAway("made up"))
    bus.deliver(5, [Push(b"is typing", ["ann"]), PushTo(b"a call is over", "ben", "ann", "phone")])
    assert bus._queue.empty()
    bus.deliver(5, [Push(b"is typing", ["ann"]), Notify(20, b"body", "ann")])
    assert codec.decode_events(bus._queue.get_nowait().value or b"") == [Notify(20, b"body", "ann")]


async def test_the_newest_version_is_written_again_once_all_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "SPOKEN", Range(1, 2))
    bus = KafkaBus(urls.parse("kafka://127.0.0.1:1", "kafka", 9092))
    versions = []
    for readers in (2, 1, 2):
        bus.write_for(readers)
        bus.invalidate(["ann"])
        versions.append(pb.Changed.FromString(bus._queue.get_nowait().value or b"").version)
    assert versions == [2, 1, 2]
