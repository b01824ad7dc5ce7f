"""What becomes of calls when processes die, stand still and come back."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from fsharechat.metrics import Metrics
from fsharechat.protocol.signals import Code, Signal
from fsharechat.rpc import Call, Reply, codec
from fsharechat.rpc.tcp import TcpRpc
from tests.unit.rpc.rpc_cluster import BY_HAND, PATIENT, Cluster, asked_and_answered, until
from tests.unit.rpc.rpc_kit import Desk, call, echo
from tests.unit.rpc.rpc_raw import RawCallees, RawCaller
from tools.testing.server import BOUND
from tools.wire.proxy import Proxy

DONE = Reply(Code.SUCCESS)


async def wired_groups(cluster: Cluster, count: int) -> tuple[TcpRpc, list[Desk], list[Proxy]]:
    """Return a caller, the desks of the group processes it has reached, and the wires to them."""
    desks, wires = [], []
    for _ in range(count):
        group, wire = await cluster.wired_group()
        desk = cluster.desk()
        await group.serve(desk)
        desks.append(desk)
        wires.append(wire)
    caller = await cluster.caller()
    await until(lambda: caller.router.processes == count)
    return caller, desks, wires


async def test_calls_of_a_killed_process_go_to_another_in_order(cluster: Cluster) -> None:
    caller, desks, wires = await wired_groups(cluster, 2)
    asked = [caller.call(call(b"%d" % n, uid=f"user {n % 4}")) for n in range(20)]
    await until(lambda: sum(len(desk.calls) for desk in desks) == 20)
    lost = list(desks[0].calls)
    before = len(desks[1].calls)
    assert lost
    with capture_logs() as logs:
        wires[0].cut()
        await desks[1].arrived(20)
    again = desks[1].calls[before:]
    assert [one._replace(retried=False) for one in again] == sorted(
        lost, key=lambda one: [first.uid for first in lost].index(one.uid)
    )
    assert all(one.retried for one in again)
    assert not any(one.retried for one in lost + desks[1].calls[:before])
    for n in range(20):
        desks[1].answer(n, Reply(Code.SUCCESS, desks[1].calls[n].body))
    replies = await asyncio.gather(*asked)
    assert [reply.payload for reply in replies] == [b"%d" % n for n in range(20)]
    told = [line["calls"] for line in logs if line["event"] == "group process lost" and line["calls"]]
    assert told == [len(lost)]
    assert caller.router.retried == len(lost)


async def test_later_calls_of_a_user_follow_those_that_moved(cluster: Cluster) -> None:
    caller, desks, wires = await wired_groups(cluster, 2)
    caller.call(call(b"first"))
    await until(lambda: sum(len(desk.calls) for desk in desks) == 1)
    here, there = (0, 1) if desks[0].calls else (1, 0)
    wires[here].cut()
    caller.call(call(b"second"))
    await desks[there].arrived(2)
    caller.call(call(b"third"))
    await desks[there].arrived(3)
    assert [one.body for one in desks[there].calls] == [b"first", b"second", b"third"]


async def test_with_no_other_process_calls_wait_for_it_to_come_back(cluster: Cluster) -> None:
    caller, [desk], [wire] = await wired_groups(cluster, 1)
    asked = [caller.call(call(b"%d" % n)) for n in range(3)]
    await desk.arrived(3)
    wire.cut()
    await until(lambda: caller.router.processes == 0)
    assert await caller.call(call(b"new")) == Reply(Code.SERVER_ERROR)
    assert not any(one.done() for one in asked)
    wire.go()
    await desk.arrived(6)
    assert [one.body for one in desk.calls[3:]] == [b"0", b"1", b"2"]
    for n in range(3, 6):
        desk.answer(n, DONE)
    assert await asyncio.gather(*asked) == [DONE] * 3


async def test_with_no_other_process_calls_end_at_their_deadline(cluster: Cluster) -> None:
    cluster.timeout = 0.5
    caller, [desk], [wire] = await wired_groups(cluster, 1)
    asked = [caller.call(call(b"%d" % n)) for n in range(3)]
    await desk.arrived(3)
    wire.cut()
    replies = await asyncio.wait_for(asyncio.gather(*asked), BOUND)
    assert replies == [Reply(Code.TIMEOUT)] * 3
    assert list(caller.router.lanes) == []


async def test_a_call_over_which_two_processes_break_is_given_up(cluster: Cluster) -> None:
    caller, desks, wires = await wired_groups(cluster, 4)
    asked = caller.call(call(b"poison"))
    for tries in (1, 2):
        await until(lambda tries=tries: sum(len(desk.calls) for desk in desks) == tries)  # type: ignore[misc]
        [has_it] = [n for n, desk in enumerate(desks) if desk.calls and not wires[n].refusing]
        wires[has_it].cut()
    assert await asyncio.wait_for(asked, BOUND) == Reply(Code.SERVER_ERROR)
    assert sum(len(desk.calls) for desk in desks) == 2
    metrics = Metrics()
    caller.publish(metrics)
    counted = metrics.values()
    assert [counted[f"rpc_{what}"] for what in ("retried", "given_up", "refused", "timed_out")] == [
        1,
        1,
        1,
        0,
    ]


async def test_a_process_that_stands_still_is_left(cluster: Cluster) -> None:
    cluster.limits = BY_HAND
    caller, desks, wires = await wired_groups(cluster, 2)
    asked = [caller.call(call(b"%d" % n, uid=f"user {n}")) for n in range(10)]
    await until(lambda: sum(len(desk.calls) for desk in desks) == 10)
    wires[0].stop()
    for _ in range(BY_HAND.silent_ticks + 1):
        await asked_and_answered(caller, wires[1:])
    await desks[1].arrived(10)
    assert sum(one.retried for one in desks[1].calls) == 5
    for n in range(10):
        desks[1].answer(n, DONE)
    assert await asyncio.wait_for(asyncio.gather(*asked), BOUND) == [DONE] * 10
    wires[0].go()
    await until(lambda: caller.router.processes == 2)


async def test_a_process_with_nothing_to_answer_is_not_taken_for_dead(cluster: Cluster) -> None:
    cluster.limits = BY_HAND
    caller, [desk], wires = await wired_groups(cluster, 1)
    asked = caller.call(call())
    await desk.arrived(1)
    before = wires[0].connections
    for _ in range(3 * BY_HAND.silent_ticks):
        await asked_and_answered(caller, wires)
    desk.answer(0, DONE)
    assert await asked == DONE
    assert wires[0].connections == before


async def test_a_process_that_comes_back_at_its_address_is_found(cluster: Cluster) -> None:
    group = await cluster.group()
    await group.serve(echo)
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    for n in range(3):
        port = int(group.address.rpartition(":")[2])
        await group.close()
        await until(lambda: caller.router.processes == 0)
        group = await cluster.group(port)
        await group.serve(echo)
        await asyncio.wait_for(caller.wait_ready(), BOUND)
        assert (await caller.call(call(b"%d" % n))).payload == b"%d" % n


async def test_a_caller_that_closes_loses_nobody(cluster: Cluster) -> None:
    caller, _, _ = await wired_groups(cluster, 1)
    with capture_logs() as logs:
        await caller.close()
    assert logs == []
    assert await caller.call(call()) == Reply(Code.SERVER_ERROR)


async def test_a_member_that_is_no_address_is_told_and_does_no_harm(cluster: Cluster) -> None:
    nonsense = ("nonsense", "127.0.0.1:", "127.0.0.1:99999", ":")
    for address in nonsense:
        await cluster.announce(address)
    await (await cluster.group()).serve(echo)
    with capture_logs() as logs:
        caller = await cluster.caller()
        await asyncio.wait_for(caller.wait_ready(), BOUND)
        await until(lambda: {line["address"] for line in logs} >= set(nonsense))
    assert {line["event"] for line in logs} == {"group process not reached", "group process reached"}
    assert (await caller.call(call(b"fine"))).payload == b"fine"


async def test_a_process_that_answers_pings_alone_is_left_after_the_deadline(cluster: Cluster) -> None:
    cluster.timeout = 0.1
    cluster.limits = replace(PATIENT, late_seconds=0.1, silent_ticks=1_000_000)
    async with RawCallees() as callees:
        await cluster.announce(callees.address)
        caller = await cluster.caller()
        raw = await callees.shaken()
        await asyncio.wait_for(caller.wait_ready(), BOUND)
        asked = caller.call(call())
        async with asyncio.timeout(BOUND):
            await raw.answer_pings()
        assert asked.result() == Reply(Code.TIMEOUT)
        assert list(caller.router.lanes) == []
        await callees.shaken()


async def test_calls_from_before_this_process_stood_still_are_not_carried_out(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.limits = BY_HAND
    desk = cluster.desk()
    group = await cluster.group()
    await group.serve(desk)
    raw = await RawCaller.connect(group.address)
    await raw.shake_hands()
    raw.call(1)
    # As if the whole process stood still before the loop gets to read it.
    monkeypatch.setattr(group.server, "_ticked", group.server._ticked - 2 * BY_HAND.silent_seconds)
    await raw.closed()
    assert desk.calls == []


async def test_the_time_that_is_left_goes_with_the_call(cluster: Cluster) -> None:
    cluster.timeout = 1000.0
    ended: list[float] = []
    loop = asyncio.get_running_loop()

    async def wait(_: Call) -> Reply:
        start = loop.time()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(loop.time() - start)
        return Reply(Code.TIMEOUT)

    group = await cluster.group()
    await group.serve(lambda one: loop.create_task(wait(one)))
    raw = await RawCaller.connect(group.address)
    await raw.shake_hands()
    raw.call(1, milliseconds=100)
    frame = await raw.frame()
    assert codec.decode_reply(frame.body) == Reply(Code.TIMEOUT)
    assert 0.09 < ended[0] < cluster.timeout / 2
    raw.close()


async def test_a_retried_call_has_only_the_time_that_is_left(cluster: Cluster) -> None:
    cluster.timeout = 1000.0
    async with RawCallees() as callees:
        await cluster.announce(callees.address)
        caller = await cluster.caller()
        left = []
        raw = await callees.shaken()
        await asyncio.wait_for(caller.wait_ready(), BOUND)
        caller.call(call())
        for _ in range(2):
            while (frame := await raw.frame()).signal != Signal.PUBLISH:
                pass
            left.append(codec.decode_call(frame.body)[1])
            raw.close()
            raw = await callees.shaken()
        assert left[0] == cluster.timeout * 1000
        assert 0 < left[1] < left[0]


async def test_a_caller_that_cancels_harms_nobody(cluster: Cluster) -> None:
    caller, [desk], _ = await wired_groups(cluster, 1)
    gone = caller.call(call(b"gone"))
    stays = caller.call(call(b"stays"))
    await desk.arrived(2)
    gone.cancel()
    desk.answer(0, DONE)
    desk.answer(1, DONE)
    assert await stays == DONE
    await until(lambda: not caller.router.lanes)


async def test_a_handler_that_fails_costs_that_call_alone(cluster: Cluster) -> None:
    def handler(one: Call) -> asyncio.Future[Reply]:
        if one.body == b"raise":
            raise RuntimeError("a mistake")
        reply = echo(one)
        if one.body == b"fail":
            reply = asyncio.get_running_loop().create_future()
            reply.set_exception(RuntimeError("a mistake"))
        elif one.body == b"cancel":
            reply = asyncio.get_running_loop().create_future()
            reply.cancel()
        return reply

    await (await cluster.group()).serve(handler)
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    with capture_logs() as logs:
        bodies = (b"raise", b"fail", b"cancel", b"fine")
        replies = await asyncio.gather(*(caller.call(call(body)) for body in bodies))
    codes = [Code.SERVER_ERROR, Code.SERVER_ERROR, Code.TIMEOUT, Code.SUCCESS]
    assert [reply.code for reply in replies] == codes
    assert [line["event"] for line in logs] == ["a call failed"] * 2
    assert caller.router.retried == 0
