"""What runs beside the sessions: limits of connections, the sweep, the head check, draining."""

import asyncio
import gc
from contextlib import suppress

import orjson
import pytest
from structlog.testing import capture_logs

from fsharechat.bus import Deliver, Reported
from fsharechat.clock import now_ms
from fsharechat.protocol.signals import Code, Signal, SubSignal
from fsharechat.rpc import Call, Method, Reply
from fsharechat.store.messages import Entry
from roles.connector import heads as heads_module
from roles.connector import hub as hub_module
from roles.connector.cursor import OUTLIVED_SECONDS
from tests.unit.connector.connector_fakes import Connector, Make, SentFrame, body_of, connect, turn, welcome
from tools.testing.server import BOUND, until


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads_module, "FRESH_SECONDS", 0.08)
    monkeypatch.setattr(heads_module, "AHEAD_SECONDS", 0.02, raising=False)
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.01)


async def running(connector: Connector) -> Connector:
    """Start the tasks beside the sessions, on the real clock."""
    connector.clock.runs = True
    await connector.hub.start()
    return connector


async def test_those_who_are_silent_are_dropped_by_their_own_time(connector: Connector) -> None:
    phone, web = await connector.device(), await connector.device(client_id="web")
    phone.send(Signal.PING, b'{"interval": 200000}')
    connector.clock.now += 91
    await connector.hub.sweep()
    assert web.transport.closed
    assert not phone.transport.closed
    connector.clock.now += 170
    await connector.hub.sweep()
    assert phone.transport.closed
    assert connector.hub.table.users == {}


async def test_the_sweep_holds_on_to_nobody(connector: Connector) -> None:
    await running(connector)
    phone = await connector.device()
    await until(lambda: connector.hub.table.unauthenticated == 0, "logged in")
    session = phone.session
    session.close()
    del phone
    await connector.hub.sweep()
    gc.collect()
    holders = [h for h in gc.get_referrers(session) if "coroutine" in type(h).__name__]
    assert holders == [h for h in holders if h.__name__.startswith("test_")]


async def test_a_fresh_device_has_its_head_checked(make: Make, quick: None) -> None:
    connector = await running(make(connector={"head_check_seconds": 3600}))
    connector.heads({"anna": 6, "ben": 3})
    connected = asyncio.get_running_loop().time()
    phone = await connector.device(head=5)
    await connector.device(uid="ben", head=3)
    assert connector.rpc.of(Method.HEADS) == []
    await until(lambda: phone.transport.sent != [], "no MN")
    assert asyncio.get_running_loop().time() - connected >= 0.08
    assert phone.transport.mns() == [6]


async def test_every_head_is_checked_from_time_to_time(make: Make, quick: None) -> None:
    connector = await running(make(connector={"head_check_seconds": 0.05}))
    connector.heads({})
    phone = await connector.device(head=5)
    ben = await connector.device(uid="ben", head=3)
    await until(lambda: len(connector.rpc.of(Method.HEADS)) > 3, "no checks")
    assert phone.transport.take() == []
    connector.heads({"anna": 9, "ben": 3})
    await until(lambda: phone.transport.sent != [], "no MN")
    assert phone.transport.mns() == [6]
    assert ben.transport.take() == []


async def test_a_head_check_that_fails_is_tried_again(make: Make, quick: None) -> None:
    connector = await running(make(connector={"head_check_seconds": 0.05}))
    connector.fail_heads()
    phone = await connector.device(head=5)
    with capture_logs() as logs:
        await until(lambda: len(connector.rpc.of(Method.HEADS)) > 2, "no checks")
    assert {line["event"] for line in logs} == {"heads not checked"}
    connector.heads({"anna": 6})
    await until(lambda: phone.transport.sent != [], "no MN")


async def test_a_check_that_fails_in_an_unknown_way_is_not_the_last(make: Make, quick: None) -> None:
    connector = await running(make(connector={"head_check_seconds": 0.05}))
    connector.rpc.answers[Method.HEADS] = lambda _: Reply(Code.SUCCESS, b"what another version says")
    phone = await connector.device(head=5)
    with capture_logs() as logs:
        await until(lambda: len(connector.rpc.of(Method.HEADS)) > 2, "no checks")
    assert {(line["event"], line["task"]) for line in logs} >= {("failed, and goes on", "head check")}
    connector.heads({"anna": 6})
    await until(lambda: phone.transport.sent != [], "no MN")


async def test_an_event_that_cannot_be_read_costs_no_other(connector: Connector) -> None:
    phone = await connector.device()
    with capture_logs() as logs:
        connector.events(Reported(77, [Entry("anna", 1)]), Deliver(body_of(1), [Entry("anna", 1)], "ben", ""))
    assert phone.transport.mns() == [1]
    assert [line["event"] for line in logs] == ["an event failed"]


async def test_draining_ends_what_is_not_done_in_time(connector: Connector) -> None:
    await running(connector)
    phone = await connector.device()
    phone.publish(SubSignal.US)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await connector.hub.stop()
    assert phone.transport.closed
    assert not connector.presences[-1].online
    assert connector.hub.table.sessions == set()


async def test_draining_answers_what_is_under_way_and_takes_nothing_new(make: Make) -> None:
    connector = make(connector={"max_inflight": 2})
    phone, idle = await connector.device(), await connector.device(client_id="idle")
    for n in range(3):
        phone.publish(SubSignal.US, message_id=n)
    stopping = asyncio.create_task(connector.hub.stop())
    await turn()
    assert phone.transport.paused
    phone.publish(SubSignal.US, message_id=9)
    idle.send(Signal.PING)
    await connector.rpc.reply()
    assert not stopping.done()
    await connector.rpc.reply()
    await stopping
    assert phone.transport.codes() == [(0, 0), (1, 0)]
    assert len(connector.rpc.of(SubSignal.US)) == 2
    assert idle.transport.take() == []
    assert phone.transport.closed
    assert idle.transport.closed
    assert connector.hub.table.sessions == set()


async def test_draining_does_not_wait_for_a_head_check(connector: Connector, quick: None) -> None:
    """The call may be a task that answers its cancellation with a code."""
    await running(connector)
    asked = asyncio.Event()

    async def answer() -> Reply:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Reply(Code.TIMEOUT)

    tasks = []

    def call(call: Call) -> asyncio.Future[Reply]:
        tasks.append(asyncio.get_running_loop().create_task(answer()))
        return tasks[-1]

    await connector.device()
    connector.rpc.call = call  # type: ignore[method-assign]
    await asked.wait()
    async with asyncio.timeout(BOUND):
        await connector.hub.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks)


async def test_a_device_that_goes_says_so(connector: Connector) -> None:
    phone = await connector.device()
    came = connector.presences[-1]
    phone.session.close()
    phone.session.close()
    went = connector.presences[-1]
    assert len(connector.presences) == 2
    assert (went.uid, went.client_id, went.epoch) == (came.uid, came.client_id, came.epoch)
    assert went != came


async def test_what_the_other_devices_have_fetched_goes_with_the_slowest(connector: Connector) -> None:
    phone, tablet = await connector.device(), await connector.device(client_id="tablet")
    body = connector.deliver(1)
    phone.pull(0)
    assert SentFrame("pulled", SubSignal.MP, 1, ([body], 1, 1)) in phone.transport.take()
    connector.clock.now += OUTLIVED_SECONDS
    phone.session.heard_at = connector.clock.now
    await connector.hub.sweep()
    assert connector.hub.table.users["anna"].tail_after(0) is not None
    tablet.session.close()
    assert connector.hub.table.users["anna"].tail_after(0) is None


async def test_a_device_whose_kick_was_lost_goes_with_the_head_check(make: Make, quick: None) -> None:
    connector = await running(make(connector={"head_check_seconds": 0.05}))
    connector.heads({})
    phone, pad = await connector.device(), await connector.device(client_id="pad")
    asked: list[Call] = []

    def answer(call: Call) -> Reply:
        asked.append(call)
        return Reply(Code.SUCCESS, b'[["anna","phone"],["anna","gone meanwhile"]]')

    connector.rpc.answers[Method.GONE] = answer
    await until(lambda: phone.transport.closed, "it stays")
    assert sorted(orjson.loads(asked[0].body)) == [["anna", "pad"], ["anna", "phone"]]
    assert not pad.transport.closed


async def test_a_device_that_has_come_back_meanwhile_stays(make: Make, quick: None) -> None:
    connector = await running(make(connector={"head_check_seconds": 0.05}))
    connector.heads({})
    first = await connector.device()
    del connector.rpc.answers[Method.GONE]  # the answer takes a while
    await until(lambda: connector.rpc.waiting() != [], "not asked")
    device = connector.accept()
    device.send(Signal.CONNECT, connect())
    *asked, connecting = connector.rpc.waiting()  # the check of fresh devices may ask too
    assert ({one.method for one in asked}, connecting.method) == ({Method.GONE}, Method.AUTHENTICATE)
    connector.rpc.reverse()
    await connector.rpc.reply(SubSignal.CONNECTION_ACCEPTED, welcome())
    for _ in asked:
        await connector.rpc.reply(Code.SUCCESS, b'[["anna","phone"]]')
    assert (first.transport.closed, device.transport.closed) == (True, False)


@pytest.mark.parametrize(
    ("code", "told"), [(Code.NOT_IMPLEMENTED, set()), (Code.SERVER_ERROR, {"devices not checked"})]
)
async def test_a_group_process_that_cannot_say_who_must_go(
    make: Make, quick: None, code: Code, told: set[str]
) -> None:
    connector = await running(make(connector={"head_check_seconds": 0.05}))
    connector.heads({})
    connector.rpc.answers[Method.GONE] = lambda _: Reply(code)
    phone = await connector.device()
    with capture_logs() as logs:
        await until(lambda: len(connector.rpc.of(Method.GONE)) > 2, "no checks")
    assert {line["event"] for line in logs} == told
    assert not phone.transport.closed


async def test_it_is_kept_until_when_a_device_was_connected(connector: Connector) -> None:
    phone, web = await connector.device(), await connector.device(client_id="web")
    before = now_ms()
    phone.session.close()
    web.send(Signal.DISCONNECT, b"\1")  # who logs out leaves nothing behind
    connector.rpc.answers[Method.SEEN] = lambda _: Reply(Code.SERVER_ERROR)
    await connector.hub.table.marks.keep(all=True)
    connector.rpc.answers[Method.SEEN] = lambda _: Reply(Code.SUCCESS)
    for _ in range(2):
        await connector.hub.table.marks.keep(all=True)
    calls = [orjson.loads(call.body) for call in connector.rpc.of(Method.SEEN)]
    assert len(calls) == 2  # the first was refused
    assert calls[0] == calls[1]
    ((uid, client_id, seen_ms),) = calls[0]
    assert (uid, client_id) == (phone.session.uid, phone.session.client_id)
    assert before <= seen_ms <= now_ms()
