"""Outbox: to each node what concerns it, in one record for each turn of the loop."""

import asyncio
from collections.abc import Sequence

import pytest

from fsharechat.bus import Deliver, Event, Notify, Presence, Push, PushTo
from fsharechat.bus.memory import MemoryBus
from fsharechat.store.messages import Entry
from roles.group.outbox import EventOutbox
from roles.group.presence import PresenceTable

WHERE = {"ann": (1, 2), "bob": (2,), "cid": (2,)}


class Sorting:
    """An outbox and what the nodes 1 to 3 get of it."""

    def __init__(self) -> None:
        presence = PresenceTable()
        for uid, nodes in WHERE.items():
            for node in nodes:
                presence.update(Presence(uid, f"device at {node}", node, 1))
        self.bus = MemoryBus()
        self.outbox = EventOutbox(self.bus, presence)
        self.records: dict[int, list[Sequence[Event]]] = {1: [], 2: [], 3: []}


@pytest.fixture
async def sorting() -> Sorting:
    ready = Sorting()
    for node, records in ready.records.items():
        await ready.bus.serve_node(node, records.append)
    return ready


async def turn() -> None:
    await asyncio.sleep(0)


async def test_a_node_gets_the_entries_of_its_users(sorting: Sorting) -> None:
    entries = [Entry("ann", 5), Entry("bob", 6), Entry("cid", 7), Entry("offline", 8)]
    sorting.outbox.deliver(77, b"body", entries, "ann", "phone")
    await turn()
    assert sorting.records == {
        1: [[Deliver(b"body", entries[:1], "ann", "phone", 77)]],
        2: [[Deliver(b"body", entries[:3], "ann", "phone", 77)]],
        3: [],
    }


async def test_a_push_goes_to_who_is_online(sorting: Sorting) -> None:
    sorting.outbox.push(b"body", ["ann", "cid", "offline"])
    await turn()
    assert sorting.records == {1: [[Push(b"body", ["ann"])]], 2: [[Push(b"body", ["ann", "cid"])]], 3: []}


async def test_a_push_to_one_device_goes_where_it_is(sorting: Sorting) -> None:
    sorting.outbox.push_to(b"body", "ben", "ann", "device at 2")
    sorting.outbox.push_to(b"body", "ben", "ann", "device that is offline")
    sorting.outbox.push_to(b"body", "ben", "offline", "device at 2")
    await turn()
    assert sorting.records == {1: [], 2: [[PushTo(b"body", "ben", "ann", "device at 2")]], 3: []}


async def test_a_push_to_the_other_devices_leaves_out_some(sorting: Sorting) -> None:
    sorting.outbox.push_to_others(b"body", "ben", "ann", ["device at 2"])
    await turn()
    assert sorting.records == {1: [[PushTo(b"body", "ben", "ann", "device at 1")]], 2: [], 3: []}


async def test_a_notification_goes_to_every_node_of_its_user(sorting: Sorting) -> None:
    sorting.outbox.notify(20, b"body", "ann", except_client="phone")
    sorting.outbox.notify(20, b"body", "offline")
    await turn()
    told = [[Notify(20, b"body", "ann", "phone")]]
    assert sorting.records == {1: told, 2: told, 3: []}


async def test_one_turn_of_the_loop_is_one_record_for_each_node_in_order(sorting: Sorting) -> None:
    for seq in range(3):
        sorting.outbox.deliver(seq, b"%d" % seq, [Entry("ann", seq)], "bob", "")
    sorting.outbox.notify(20, b"", "bob")
    assert sorting.records == {1: [], 2: [], 3: []}
    await turn()
    assert [len(records) for records in sorting.records.values()] == [1, 1, 0]
    delivered = [Deliver(b"%d" % seq, [Entry("ann", seq)], "bob", "", seq) for seq in range(3)]
    assert sorting.records[1] == [delivered]
    assert sorting.records[2] == [[*delivered, Notify(20, b"", "bob")]]


async def test_the_next_turn_is_another_record(sorting: Sorting) -> None:
    for _ in range(2):
        sorting.outbox.push(b"body", ["bob"])
        await turn()
    assert [len(record) for record in sorting.records[2]] == [1, 1]
