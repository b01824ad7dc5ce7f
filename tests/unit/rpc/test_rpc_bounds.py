"""How much is under way at a time, and how large it is."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Reply
from fsharechat.rpc.deadlines import CROWDED_SECONDS
from fsharechat.rpc.link import RpcLimits, RpcLink
from fsharechat.rpc.local import LocalRpc
from fsharechat.rpc.tcp import TcpRpc
from tests.unit.rpc.rpc_cluster import BY_HAND, PATIENT, Cluster, until
from tests.unit.rpc.rpc_kit import Desk, call, echo
from tests.unit.rpc.rpc_raw import RawCallees, RawCaller
from tools.testing.server import BOUND

DONE = Reply(Code.SUCCESS)
REFUSED = Reply(Code.SERVER_ERROR)


async def one_group(cluster: Cluster) -> tuple[TcpRpc, Desk]:
    desk = cluster.desk()
    await (await cluster.group()).serve(desk)
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    return caller, desk


@pytest.mark.parametrize(
    "limits",
    [replace(PATIENT, under_way_peer=5), replace(PATIENT, under_way=5), replace(PATIENT, under_way_bytes=50)],
    ids=["of a connection", "in all", "bytes"],
)
async def test_too_many_calls_are_refused_at_once(cluster: Cluster, limits: RpcLimits) -> None:
    cluster.limits = limits
    caller, desk = await one_group(cluster)
    asked = [caller.call(call(b"0123456789", uid=f"user {n}")) for n in range(5)]
    for uid in ("user 0", "new"):
        refused = caller.call(call(b"0123456789", uid=uid))
        assert refused.done()
        assert refused.result() == REFUSED
    await desk.arrived(5)
    for n in range(5):
        desk.answer(n, DONE)
    assert await asyncio.gather(*asked) == [DONE] * 5
    later = caller.call(call(b"0123456789", uid="new"))
    await desk.arrived(6)
    desk.answer(5, DONE)
    assert await later == DONE
    assert caller.router.refused == 2


async def test_a_full_process_leaves_calls_to_another(cluster: Cluster) -> None:
    cluster.limits = replace(PATIENT, under_way_peer=3)
    desks = [cluster.desk(), cluster.desk()]
    for desk in desks:
        await (await cluster.group()).serve(desk)
    caller = await cluster.caller()
    await until(lambda: caller.router.processes == 2)
    for n in range(3):
        caller.call(call(b"%d" % n, uid="ann"))
    for n in range(3):
        assert not caller.call(call(uid=f"user {n}")).done()
    assert caller.call(call(uid="one more")).done()
    await until(lambda: [len(desk.calls) for desk in desks] == [3, 3])


async def test_what_a_process_does_not_read_is_bounded(cluster: Cluster) -> None:
    cluster.limits = replace(PATIENT, write_buffer=256 << 10)
    cluster.timeout = 1.0
    async with RawCallees() as callees:
        await cluster.announce(callees.address)
        caller = await cluster.caller()
        await callees.shaken()  # and no word is read from here on
        await asyncio.wait_for(caller.wait_ready(), BOUND)
        asked: list[asyncio.Future[Reply]] = []
        async with asyncio.timeout(BOUND):
            while not (asked and asked[-1].done()):
                asked.append(caller.call(call(bytes(64 << 10), uid="ann")))
                await asyncio.sleep(0)
        assert asked[-1].result() == REFUSED
    assert len(asked) < 1000


async def test_what_one_turn_of_the_loop_sends_is_bounded(cluster: Cluster) -> None:
    cluster.limits = replace(PATIENT, write_buffer=256 << 10)
    await (await cluster.group()).serve(echo)
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    asked = [caller.call(call(bytes(64 << 10), uid="ann")) for _ in range(20)]
    replies = await asyncio.gather(*asked)
    assert replies[0].code == Code.SUCCESS
    assert replies[-1] == REFUSED
    assert (await caller.call(call(uid="ann"))).code == Code.SUCCESS


async def test_a_caller_that_does_not_read_its_replies_is_cut(cluster: Cluster) -> None:
    cluster.limits = replace(PATIENT, write_buffer=64 << 10, reply_buffer=2 << 20)
    group = await cluster.group()
    await group.serve(lambda one: echo(Call(0, "", "", bytes(1 << 20))))
    raw = await RawCaller.connect(group.address)
    await raw.shake_hands()
    with capture_logs() as logs:
        for n in range(50):
            raw.call(n)
        await until(lambda: group.server.connections == 0)
    assert [line["reason"] for line in logs] == ["it does not read its replies"]
    raw.close()


async def test_a_caller_that_stands_still_is_cut(cluster: Cluster) -> None:
    cluster.limits = replace(BY_HAND, write_buffer=64 << 10)
    answered = asyncio.Event()

    def answer(_: Call) -> asyncio.Future[Reply]:
        answered.set()
        return echo(Call(0, "", "", bytes(4 << 20)))

    group = await cluster.group()
    await group.serve(answer)
    raw = await RawCaller.connect(group.address)
    await raw.shake_hands()
    raw.call(1)
    await asyncio.wait_for(answered.wait(), BOUND)
    for _ in range(BY_HAND.idle_ticks + 1):
        assert group.server.connections == 1
        group.tick()
    await until(lambda: group.server.connections == 0)
    raw.close()


async def test_a_caller_has_only_so_many_calls_under_way(cluster: Cluster) -> None:
    cluster.limits = replace(BY_HAND, under_way_peer=10)
    desk = cluster.desk()
    group = await cluster.group()
    await group.serve(desk)
    raw = await RawCaller.connect(group.address)
    await raw.shake_hands()
    body = bytes(512 << 10)  # so large that they do not come together
    for n in range(60):
        raw.call(n, body)
    await desk.arrived(11)
    for _ in range(1000):  # in so many turns of the loop, which both ends share, all of it could come
        await asyncio.sleep(0)
    for _ in range(2 * BY_HAND.idle_ticks):
        group.tick()
    await asyncio.sleep(0)
    assert len(desk.calls) < 30
    assert group.server.connections == 1  # that it is not read is no silence of its
    for n in range(60):
        await desk.arrived(n + 1)
        desk.answer(n, DONE)
    raw.close()


async def test_a_reply_that_the_caller_would_not_take_becomes_code_4(cluster: Cluster) -> None:
    group = await cluster.group()
    await group.serve(lambda one: echo(one._replace(body=bytes(8 << 20))))
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    assert await caller.call(call()) == REFUSED
    assert caller.router.retried == 0


async def test_a_call_that_the_process_would_not_take_is_invalid(cluster: Cluster) -> None:
    await (await cluster.group()).serve(echo)
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    assert await caller.call(call(bytes(8 << 20))) == Reply(Code.INVALID_DATA)
    assert await caller.call(call(uid="u" * 70_000)) == Reply(Code.INVALID_DATA)
    assert await caller.call(call(b"fine")) == Reply(Code.SUCCESS, b"fine")
    assert list(caller.router.lanes) == []


async def test_numbers_of_calls_go_round_without_meeting(cluster: Cluster) -> None:
    cluster.timeout = 100.0
    desk = cluster.desk()
    await (await cluster.group()).serve(lambda one: desk(one) if one.uid == "slow" else echo(one))
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    slow = caller.call(call(b"slow", uid="slow"))
    for _ in range(14):
        replies = await asyncio.gather(*(caller.call(call(b"%d" % n, uid="")) for n in range(5000)))
        assert all(reply.payload == b"%d" % n for n, reply in enumerate(replies))
    desk.answer(0, Reply(Code.SUCCESS, b"the slow one's"))
    assert (await slow).payload == b"the slow one's"


async def test_calls_within_the_process_are_bounded_too() -> None:
    rpc = LocalRpc(100.0, limit=8)
    await rpc.open()
    desk = Desk()
    await rpc.serve(desk)
    asked = [rpc.call(call()) for _ in range(8)]
    assert rpc.call(call()).result() == REFUSED
    assert len(desk.calls) == 8
    await asyncio.sleep(CROWDED_SECONDS * 3)
    assert rpc.call(call()).result() == REFUSED
    for n in range(8):
        desk.answer(n, DONE)
    assert await asyncio.gather(*asked) == [DONE] * 8
    await until(lambda: rpc.taking)
    rpc.call(call())
    assert len(desk.calls) == 9
    await rpc.close()


class RecordingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))


async def test_what_one_turn_of_the_loop_sends_is_one_write() -> None:
    link, transport = RpcLink(PATIENT), RecordingTransport()
    link.connection_made(transport)
    for data in (b"one ", b"two ", b"three"):
        link.send(data)
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [b"one two three"]
    link.send(b"four")
    await asyncio.sleep(0)
    assert transport.written == [b"one two three", b"four"]
