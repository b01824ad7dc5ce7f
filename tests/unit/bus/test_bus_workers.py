"""The bus of one machine, beyond what every bus does: links that end, and workers that do not read."""

import asyncio
import socket

import pytest

from fsharechat.bus import Deliver, Presence
from fsharechat.bus.workers import MainBus, WorkerBus
from fsharechat.link import MAX_BODY, FrameKind, FrameLink
from fsharechat.store.messages import Entry
from tests.unit.bus.bus_kit import Events, Heard, linked, note, online
from tools.testing.server import until


async def test_a_worker_that_does_not_read_loses_events_and_takes_no_memory() -> None:
    main = MainBus()
    ours = FrameLink(max_unread=1 << 20)
    end, theirs = socket.socketpair()
    await asyncio.get_running_loop().create_unix_connection(lambda: ours, sock=end)
    main.attach(ours)
    with theirs:
        theirs.sendall(b"\0\0\0\1" + bytes((FrameKind.SERVE, 5)))
        await until(lambda: 5 in main._links)
        large = [Deliver(bytes(100_000), [Entry("ann", 1)], "bob", "")]
        for _ in range(100):
            main.deliver(5, large)
        assert 70 < main.lost < 100
        assert ours._transport is not None
        assert ours._transport.get_write_buffer_size() < 2 << 20
    await ours.gone.wait()


async def test_events_after_some_were_lost_arrive() -> None:
    main = MainBus()
    ours, theirs = await linked()
    main.attach(ours)
    worker, events = WorkerBus(theirs), Events()
    await worker.serve_node(5, events)
    ours._max_unread = -1
    main.deliver(5, [note("lost")])
    ours._max_unread = 1 << 20
    main.deliver(5, [note("kept")])
    assert await events.take(1) == [note("kept")]
    assert main.lost == 1
    await worker.close()
    await ours.gone.wait()


async def test_what_a_worker_announced_is_forgotten_when_it_ends() -> None:
    main = MainBus()
    heard: Heard[Presence] = Heard()
    await main.watch_presence(heard)
    ends = []
    for node in (5, 6):
        ours, theirs = await linked()
        main.attach(ours)
        worker = WorkerBus(theirs)
        await worker.serve_node(node, Events())
        worker.announce(Presence("", "", node, 1))
        worker.announce(online(f"phone{node}", node, 1))
        ends.append((ours, worker))
    await heard.take(4)
    ours, worker = ends[0]
    await worker.close()
    await ours.gone.wait()
    later: Heard[Presence] = Heard()
    await main.watch_presence(later)
    assert {(await later.next()).node for _ in range(later.waiting)} == {6}
    main.deliver(5, [note("to nobody")])
    await ends[1][1].close()
    await ends[1][0].gone.wait()


async def test_an_old_link_of_a_node_takes_nothing_from_the_new_one() -> None:
    main = MainBus()
    old_end, old = await linked()
    new_end, new = await linked()
    main.attach(old_end)
    main.attach(new_end)
    before = WorkerBus(old)
    await before.serve_node(5, Events())
    events = Events()
    await WorkerBus(new).serve_node(5, events)
    await before.leave_node(5)
    await before.serve_node(6, Events())  # after it the main process has heard that 5 was left
    main.deliver(5, [note("first")])
    assert await events.take(1) == [note("first")]
    old.close()
    await old_end.gone.wait()
    main.deliver(5, [note("to the new one")])
    assert await events.take(1) == [note("to the new one")]
    new.close()
    await new_end.gone.wait()


async def test_a_worker_is_told_that_the_main_process_is_gone() -> None:
    ours, theirs = await linked()
    worker = WorkerBus(theirs)
    assert worker.away == ""
    ours.drop()
    await theirs.gone.wait()
    assert worker.away
    await worker.serve_node(5, Events())  # does not wait for an answer


async def test_a_main_process_that_does_not_read_ends_the_worker() -> None:
    ours, theirs = await linked()
    worker = WorkerBus(theirs)
    theirs._max_unread = -1
    worker.announce(online("phone", 5, 1))
    await ours.gone.wait()


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\1" + bytes((99, 5)),
        b"\0\0\0\1" + bytes((FrameKind.ONLINE,)) + b"\xff",
        b"\0\0\0\1" + bytes((FrameKind.OFFLINE,)) + b"\xff",
        (MAX_BODY + 1).to_bytes(4, "big") + bytes((FrameKind.ONLINE,)),
    ],
    ids=["unknown kind", "no presence", "no key", "too large"],
)
async def test_a_broken_frame_ends_the_link(data: bytes) -> None:
    main, ours = MainBus(), FrameLink()
    end, theirs = socket.socketpair()
    await asyncio.get_running_loop().create_unix_connection(lambda: ours, sock=end)
    main.attach(ours)
    with theirs:
        theirs.sendall(data)
        async with asyncio.timeout(60):
            await ours.gone.wait()
