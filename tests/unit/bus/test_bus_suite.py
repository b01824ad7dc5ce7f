"""What every kind of bus does."""

from fsharechat.bus import Deliver, Notify, Presence, Push, Resync
from fsharechat.store.messages import Entry
from tests.unit.bus.bus_kit import Buses, Events, Heard, Keys, note, offline, online


async def test_events_arrive_at_their_node_in_order_and_unchanged(buses: Buses) -> None:
    events = Events()
    await buses.connector.serve_node(5, events)
    deliver = Deliver(b"\x00\xffbody", [Entry("ann", 1 << 40), Entry("bob", 2)], "ann", "phone", 1 << 62)
    push = Push(b"\x00body", ["ann", "飞享"])
    notify = Notify(20, b"\x80", "ann", "phone")
    buses.group.deliver(5, [deliver, push])
    buses.group.deliver(5, [notify, Resync()])
    heard = await events.take(4)
    assert heard == [deliver, push, notify, Resync()]
    assert [type(event) for event in heard] == [Deliver, Push, Notify, Resync]


async def test_events_of_one_node_are_not_heard_at_another(buses: Buses) -> None:
    five, six = Events(), Events()
    await buses.connector.serve_node(5, five)
    await buses.connector.serve_node(6, six)
    for n in range(3):
        buses.group.deliver(5, [note(f"five {n}")])
        buses.group.deliver(6, [note(f"six {n}")])
    assert await five.take(3) == [note(f"five {n}") for n in range(3)]
    assert await six.take(3) == [note(f"six {n}") for n in range(3)]


async def test_events_of_a_node_that_was_left_are_not_heard(buses: Buses) -> None:
    five, six = Events(), Events()
    await buses.connector.serve_node(5, five)
    await buses.connector.leave_node(5)
    await buses.connector.serve_node(6, six)
    await buses.connector.leave_node(7)  # that it never served
    buses.group.deliver(5, [note("for whoever has it now")])
    buses.group.deliver(6, [note("kept")])
    assert await six.take(1) == [note("kept")]
    await buses.connector.serve_node(5, five)
    buses.group.deliver(5, [note("back")])
    assert await five.take(1) == [note("back")]


async def test_events_for_a_node_that_nobody_serves_harm_nobody(buses: Buses) -> None:
    events = Events()
    await buses.connector.serve_node(5, events)
    buses.group.deliver(6, [note("lost")])
    buses.group.deliver(5, [note("kept")])
    assert await events.take(1) == [note("kept")]


async def test_a_message_for_thousands_arrives_whole(buses: Buses) -> None:
    events = Events()
    await buses.connector.serve_node(5, events)
    crowd = Deliver(bytes(100_000), [Entry(f"member{n}", n) for n in range(5000)], "ann", "")
    buses.group.deliver(5, [crowd])
    assert await events.take(1) == [crowd]


async def test_every_group_process_hears_where_devices_are(buses: Buses) -> None:
    one: Heard[Presence] = Heard()
    other: Heard[Presence] = Heard()
    await buses.group.watch_presence(one)
    await buses.other_group.watch_presence(other)
    news = [online("phone", 5, 1), online("tablet", 6, 1), offline("phone", 5)]
    for presence in news:
        buses.connector.announce(presence)
    for heard in (one, other):
        told = await heard.take(3)
        phone = [p for p in told if p.client_id == "phone"]
        assert [(p.node, p.online) for p in phone] == [(5, True), (5, False)]
        assert [p for p in told if p.client_id == "tablet"] == [news[1]]


async def test_who_comes_later_knows_at_once_who_is_online(buses: Buses) -> None:
    early: Heard[Presence] = Heard()
    await buses.group.watch_presence(early)
    buses.connector.announce(online("gone", 5, 1))
    buses.connector.announce(offline("gone", 5))
    buses.connector.announce(online("moved", 5, 1))
    buses.connector.announce(online("moved", 6, 2))
    buses.connector.announce(offline("moved", 5))  # the end of the first connection, told late
    await early.take(5)
    late: Heard[Presence] = Heard()
    await buses.other_group.watch_presence(late)
    known: dict[str, Presence] = {}
    while late.waiting:  # all of it was heard before watch_presence returned
        presence = await late.next()
        before = known.get(presence.client_id)
        if presence.online:
            known[presence.client_id] = presence
        elif before is not None and before.node == presence.node:
            del known[presence.client_id]
    assert list(known.values()) == [online("moved", 6, 2)]


async def test_every_group_process_hears_what_changed_the_own_one_too(buses: Buses) -> None:
    one, other = Keys(), Keys()
    await buses.group.watch_invalidations(one)
    await buses.other_group.watch_invalidations(other)
    buses.group.invalidate(key for key in ("ann", "飞享"))
    buses.group.invalidate(["cid"])
    assert await one.take(3) == ["ann", "飞享", "cid"]
    assert await other.take(3) == ["ann", "飞享", "cid"]
