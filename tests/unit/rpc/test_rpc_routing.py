"""Which process gets a call: the least loaded, one for the calls of a user that are under way, none that drains."""

import asyncio
from dataclasses import replace
from itertools import count

import pytest
from structlog.testing import capture_logs

from fsharechat.protocol.signals import Code, Signal
from fsharechat.rpc import Call, Reply, codec
from fsharechat.rpc.tcp import TcpRpc
from tests.unit.rpc.rpc_cluster import PATIENT, Cluster, until
from tests.unit.rpc.rpc_kit import Desk, call, echo, nobody_to_ask
from tests.unit.rpc.rpc_raw import RawCaller
from tools.testing.server import BOUND

DONE = Reply(Code.SUCCESS)


async def two_groups(cluster: Cluster) -> tuple[TcpRpc, list[TcpRpc], list[Desk]]:
    """Return a caller that has reached two group processes, these, and their desks."""
    groups, desks = [await cluster.group(), await cluster.group()], [cluster.desk(), cluster.desk()]
    for group, desk in zip(groups, desks, strict=True):
        await group.serve(desk)
    caller = await cluster.caller()
    await reached(caller, desks)
    return caller, groups, desks


async def reached(caller: TcpRpc, desks: list[Desk]) -> None:
    """Return when the caller spreads its calls over all the desks, which have none under way then."""
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    replies: list[asyncio.Future[Reply]] = []
    while not all(desk.calls for desk in desks):
        count = sum(len(desk.calls) for desk in desks)
        replies.append(caller.call(Call(1, "", "", b"")))
        await until(lambda count=count: sum(len(desk.calls) for desk in desks) > count)  # type: ignore[misc]
    for desk in desks:
        for n in range(len(desk.calls)):
            desk.answer(n, DONE)
    await asyncio.gather(*replies)
    for desk in desks:
        desk.calls.clear()
        desk.replies.clear()


def total(desks: list[Desk]) -> int:
    return sum(len(desk.calls) for desk in desks)


async def test_calls_of_different_users_are_spread_evenly(cluster: Cluster) -> None:
    caller, _, desks = await two_groups(cluster)
    for n in range(20):
        caller.call(call(uid=f"user {n}"))
    await until(lambda: total(desks) == 20)
    assert [len(desk.calls) for desk in desks] == [10, 10]


async def test_the_process_that_answers_gets_more(cluster: Cluster) -> None:
    caller, _, desks = await two_groups(cluster)
    asked = {f"user {n}": caller.call(call(uid=f"user {n}")) for n in range(10)}
    await until(lambda: total(desks) == 10)
    for n in range(5):
        desks[1].answer(n, DONE)
    await asyncio.gather(*(asked[one.uid] for one in desks[1].calls))
    for n in range(4):
        caller.call(call(uid=f"new {n}"))
    await until(lambda: total(desks) == 14)
    assert [len(desk.calls) for desk in desks] == [5, 9]


async def test_few_calls_are_spread_too(cluster: Cluster) -> None:
    caller, _, desks = await two_groups(cluster)
    for n in range(6):
        asked = caller.call(call(uid="ann"))
        await until(lambda n=n: total(desks) == n + 1)  # type: ignore[misc]
        for desk in desks:
            for i in range(len(desk.calls)):
                desk.answer(i, DONE)
        await asked
    assert [len(desk.calls) for desk in desks] == [3, 3]


async def test_calls_of_one_user_under_way_keep_to_one_process(cluster: Cluster) -> None:
    caller, _, desks = await two_groups(cluster)
    for n in range(8):
        caller.call(call(b"%d" % n, uid="ann"))
        caller.call(call(uid=f"other {n}"))
    await until(lambda: total(desks) == 16)
    anns = [[one.body for one in desk.calls if one.uid == "ann"] for desk in desks]
    assert sorted(anns) == [[], [b"%d" % n for n in range(8)]]


async def test_a_user_with_nothing_under_way_leaves_nothing_behind(cluster: Cluster) -> None:
    caller, _, desks = await two_groups(cluster)
    asked = caller.call(call(uid="ann"))
    await until(lambda: total(desks) == 1)
    assert list(caller.router.lanes) == ["ann"]
    for desk in desks:
        if desk.calls:
            desk.answer(0, DONE)
    await asked
    assert list(caller.router.lanes) == []


async def test_no_call_fails_or_is_repeated_while_processes_drain(cluster: Cluster) -> None:
    """Two processes take turns in draining, under load: each says so before it stops."""
    seen: list[Call] = []

    def handler(one: Call) -> asyncio.Future[Reply]:
        seen.append(one)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.002, reply.set_result, DONE)
        return reply

    groups = [await cluster.group(), await cluster.group()]
    for group in groups:
        await group.serve(handler)
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    running = True
    replies: list[Reply] = []

    async def talk(uid: str) -> None:
        n = 0
        while running:
            three = [caller.call(Call(18, uid, "phone", b"%d" % (n + i))) for i in range(3)]
            n += 3
            replies.extend(await asyncio.gather(*three))

    talkers = [asyncio.create_task(talk(f"user {n}")) for n in range(10)]
    for _ in range(4):
        for group in groups:
            count = len(seen)
            await until(lambda count=count: len(seen) > count + 50)  # type: ignore[misc]
            await asyncio.wait_for(group.unserve(), BOUND)
            await group.serve(handler)
            await until(lambda: caller.router.processes == 2)
    running = False
    await asyncio.gather(*talkers)
    assert set(replies) == {DONE}
    assert not any(one.retried for one in seen)
    for n in range(10):
        bodies = [int(one.body) for one in seen if one.uid == f"user {n}"]
        assert bodies == list(range(len(bodies)))


async def test_behind_a_process_that_drains_a_user_waits_for_its_answers(cluster: Cluster) -> None:
    caller, groups, desks = await two_groups(cluster)
    first = caller.call(call(b"first"))
    await until(lambda: total(desks) == 1)
    here, there = (0, 1) if desks[0].calls else (1, 0)
    drained = asyncio.create_task(groups[here].unserve())
    await until(lambda: caller.router.processes == 1)
    second, third = caller.call(call(b"second")), caller.call(call(b"third"))
    other = caller.call(call(b"other", uid="bob"))
    await desks[there].arrived(1)
    assert [one.body for one in desks[there].calls] == [b"other"]
    assert not drained.done()
    desks[here].answer(0, DONE)
    assert await first == DONE
    await desks[there].arrived(3)
    assert [one.body for one in desks[there].calls] == [b"other", b"second", b"third"]
    await asyncio.wait_for(drained, BOUND)
    for n in range(3):
        desks[there].answer(n, DONE)
    assert list(await asyncio.gather(second, third, other)) == [DONE] * 3
    assert len(desks[here].calls) == 1


async def test_a_call_that_is_cancelled_while_it_waits_is_not_made(cluster: Cluster) -> None:
    caller, groups, desks = await two_groups(cluster)
    caller.call(call(b"first"))
    await until(lambda: total(desks) == 1)
    here, there = (0, 1) if desks[0].calls else (1, 0)
    drained = asyncio.create_task(groups[here].unserve())
    await until(lambda: caller.router.processes == 1)
    second = caller.call(call(b"second"))
    caller.call(call(b"third"))
    second.cancel()
    desks[here].answer(0, DONE)
    await asyncio.wait_for(drained, BOUND)
    await desks[there].arrived(1)
    assert [one.body for one in desks[there].calls] == [b"third"]


async def test_a_process_that_left_the_registry_gets_no_new_call_but_its_answers_count(
    cluster: Cluster,
) -> None:
    caller, groups, desks = await two_groups(cluster)
    asked = [caller.call(call(uid=f"user {n}")) for n in range(4)]
    await until(lambda: total(desks) == 4)
    await cluster.leases[groups[0].address].release()
    assert caller.router.processes == 1
    asked += [caller.call(call(uid=f"new {n}")) for n in range(4)]
    await desks[1].arrived(6)
    assert len(desks[0].calls) == 2
    for desk in desks:
        for n in range(len(desk.calls)):
            desk.answer(n, DONE)
    assert await asyncio.gather(*asked) == [DONE] * 8
    await until(lambda: groups[0].server.connections == 0)


async def test_a_caller_hears_when_it_may_call_and_when_not(cluster: Cluster) -> None:
    group = await cluster.group()
    raw = await RawCaller.connect(group.address)
    await raw.shake_hands(serving=False)
    raw.writer.write(codec.encode_probe(codec.Probe.PING))
    assert (await raw.frame()).signal == Signal.PING  # and nothing before it
    await group.serve(echo)
    assert await raw.notice() == codec.ServiceNotice.SERVING
    await drain(group, raw)


async def drain(group: TcpRpc, raw: RawCaller) -> None:
    """Have a process drain whose only caller has a call on its way, and hears of it after that."""
    drained = asyncio.create_task(group.unserve())
    assert await raw.notice() == codec.ServiceNotice.DRAINING
    raw.call(1, b"on its way")
    assert codec.decode_reply((await raw.frame()).body) == Reply(Code.SUCCESS, b"on its way")
    assert not drained.done()
    raw.writer.write(codec.encode_notice(codec.ServiceNotice.DRAIN_HEARD))
    await asyncio.wait_for(drained, BOUND)
    raw.close()


async def test_draining_does_not_wait_for_a_caller_that_stands_still(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.limits = replace(PATIENT, silent_ticks=15)
    group = await cluster.group()
    monkeypatch.setattr(
        group.server, "check_clock", lambda: None
    )  # a busy machine may stand still for longer
    await group.serve(echo)
    raw = await RawCaller.connect(group.address)
    await raw.shake_hands()
    with capture_logs() as logs:
        await asyncio.wait_for(group.unserve(), BOUND)
        await raw.closed()
    assert ["drains" in line["reason"] for line in logs] == [True]


async def test_what_waits_is_refused_as_a_new_call_is_when_the_last_process_leaves(cluster: Cluster) -> None:
    caller, groups, desks = await two_groups(cluster)
    first = caller.call(call(b"first"))
    await until(lambda: total(desks) == 1)
    here, there = (0, 1) if desks[0].calls else (1, 0)
    drained = asyncio.create_task(groups[here].unserve())
    await until(lambda: caller.router.processes == 1)
    second = caller.call(call(b"second"))
    await groups[there].unserve()
    await until(lambda: caller.router.processes == 0)
    assert not second.done()
    desks[here].answer(0, DONE)
    assert await first == DONE
    assert await second == Reply(Code.SERVER_ERROR)
    await asyncio.wait_for(drained, BOUND)
    assert list(caller.router.lanes) == []


async def test_a_process_that_serves_again_before_it_was_heard_is_called(cluster: Cluster) -> None:
    group = await cluster.group()
    await group.serve(echo)
    raw = await RawCaller.connect(group.address)
    await raw.shake_hands()
    draining = asyncio.create_task(group.unserve())
    assert await raw.notice() == codec.ServiceNotice.DRAINING
    draining.cancel()
    await asyncio.wait({draining})
    await group.serve(echo)
    assert await raw.notice() == codec.ServiceNotice.SERVING
    raw.writer.write(codec.encode_notice(codec.ServiceNotice.DRAIN_HEARD))
    raw.call(2, b"again")
    assert codec.decode_reply((await raw.frame()).body) == Reply(Code.SUCCESS, b"again")
    await drain(group, raw)


# The group role in the same process


async def test_a_process_with_a_group_role_asks_itself(cluster: Cluster) -> None:
    other, here = cluster.desk(), cluster.desk()
    remote = await cluster.group()
    await remote.serve(other)
    home = await cluster.group()
    await home.serve(here)
    await until(lambda: home.router.processes == 1)
    for n in range(5):
        home.call(call(uid=f"user {n}"))
    assert len(here.calls) == 5  # at once, as plain function calls
    assert other.calls == []


async def test_a_process_whose_group_role_drains_asks_others_in_order(cluster: Cluster) -> None:
    other, here = cluster.desk(), cluster.desk()
    remote = await cluster.group()
    await remote.serve(other)
    home = await cluster.group()
    await home.serve(here)
    await until(lambda: home.router.processes == 1)
    first = home.call(call(b"first"))
    drained = asyncio.create_task(home.unserve())
    await asyncio.sleep(0)
    home.call(call(b"second"))
    home.call(call(b"other", uid="bob"))
    await other.arrived(1)
    assert [one.body for one in other.calls] == [b"other"]
    here.answer(0, DONE)
    assert await first == DONE
    await asyncio.wait_for(drained, BOUND)
    await other.arrived(2)
    assert [one.body for one in other.calls] == [b"other", b"second"]
    assert len(here.calls) == 1
    await home.serve(here)
    home.call(call(b"third"))  # behind the second, which is still under way elsewhere
    home.call(call(b"new", uid="eve"))
    await other.arrived(3)
    assert [one.body for one in here.calls] == [b"first", b"new"]


async def test_a_process_whose_group_role_has_too_much_asks_others(cluster: Cluster) -> None:
    other, here = cluster.desk(), cluster.desk()
    remote = await cluster.group()
    await remote.serve(other)
    cluster.local_limit = 8
    home = await cluster.group()
    await home.serve(here)
    await until(lambda: home.router.processes == 1)
    first = [home.call(call(b"1", uid=f"user {n}")) for n in range(8)]
    assert len(here.calls) == 8
    home.call(call(b"2", uid="user 0"))
    home.call(call(b"1", uid="user 8"))
    await other.arrived(1)
    assert [one.uid for one in other.calls] == ["user 8"]  # user 0 waits for what is under way here
    for n in range(8):
        here.answer(n, DONE)
    await asyncio.gather(*first)
    await other.arrived(2)
    assert other.calls[1].uid == "user 0"

    users = count()

    def asked_at_home() -> bool:
        home.call(call(uid=f"new {next(users)}"))
        return len(here.calls) > 8

    await until(asked_at_home)


async def test_nobody_is_asked_after_the_last_left(cluster: Cluster) -> None:
    caller, groups, _ = await two_groups(cluster)
    for group in groups:
        await group.unserve()
    await nobody_to_ask(caller)
    assert await caller.call(call()) == Reply(Code.SERVER_ERROR)


async def test_a_call_to_all_reaches_each_process_once_and_the_callers_own(cluster: Cluster) -> None:
    caller, groups, desks = await two_groups(cluster)
    for asking in (caller, groups[0]):
        if asking is not caller:
            await until(lambda: groups[0].router.processes == 1)
        replies = asking.call_all(Call(1, "", "", b"status"))
        assert len(replies) == 2
        await until(lambda: total(desks) == 2)
        assert [len(desk.calls) for desk in desks] == [1, 1]
        for number, desk in enumerate(desks):
            desk.answer(0, Reply(Code.SUCCESS, b"%d" % number))
        assert {(await reply).payload for reply in replies} == {b"0", b"1"}
        for desk in desks:
            desk.calls.clear()
            desk.replies.clear()
