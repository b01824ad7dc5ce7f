"""What every kind of rpc does."""

import asyncio

from structlog.testing import capture_logs

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Reply
from tests.unit.rpc.rpc_kit import Desk, Ends, call, echo, nobody_to_ask
from tools.testing.server import BOUND


async def test_a_call_arrives_unchanged_and_so_does_its_reply(ends: Ends) -> None:
    desk = Desk()
    await ends.serve(desk)
    sent = Call(250, "飞享", "phone|\x00", bytes(range(256)), (1 << 63) - 1, True)
    reply = ends.caller.call(sent)
    await desk.arrived(1)
    assert desk.calls == [sent]
    desk.answer(0, Reply(Code.MUTED, b"\x00\xff"))
    assert await reply == Reply(Code.MUTED, b"\x00\xff")


async def test_each_caller_gets_its_own_reply_whatever_their_order(ends: Ends) -> None:
    desk = Desk()
    await ends.serve(desk)
    replies = [ends.caller.call(call(b"%d" % n)) for n in range(20)]
    await desk.arrived(20)
    for n in reversed(range(20)):
        desk.answer(n, Reply(Code.SUCCESS, desk.calls[n].body))
    assert [(await reply).payload for reply in replies] == [b"%d" % n for n in range(20)]


async def test_calls_of_one_user_arrive_in_the_order_they_are_made(ends: Ends) -> None:
    desk = Desk()
    await ends.serve(desk)
    replies = [ends.caller.call(call(b"%d" % n)) for n in range(50)]
    await desk.arrived(50)
    assert [one.body for one in desk.calls] == [b"%d" % n for n in range(50)]
    for n in range(50):
        desk.answer(n, Reply(Code.SUCCESS))
    await asyncio.gather(*replies)


async def test_a_large_body_goes_both_ways(ends: Ends) -> None:
    await ends.serve(echo)
    body = bytes(3 << 20)
    assert (await ends.caller.call(call(body))).payload == body


async def test_a_mistake_in_a_handler_costs_its_call_alone(ends: Ends) -> None:
    def handler(asked: Call) -> asyncio.Future[Reply]:
        if asked.body == b"raise":
            raise RuntimeError("a mistake")
        return echo(asked)

    await ends.serve(handler)
    with capture_logs() as logs:
        replies = [ends.caller.call(call(body)) for body in (b"one", b"raise", b"two")]
        assert [(await reply).code for reply in replies] == [Code.SUCCESS, Code.SERVER_ERROR, Code.SUCCESS]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["a call failed"]


async def test_with_nobody_to_ask_the_code_is_4(ends: Ends) -> None:
    assert await ends.caller.call(call()) == Reply(Code.SERVER_ERROR)


async def test_ready_is_when_there_is_somebody_to_ask(ends: Ends) -> None:
    ready = asyncio.create_task(ends.caller.wait_ready())
    await asyncio.sleep(0)
    assert not ready.done()
    await ends.group.serve(echo)
    await asyncio.wait_for(ready, BOUND)
    assert (await ends.caller.call(call(b"now"))).payload == b"now"


async def test_who_waits_for_a_change_hears_that_somebody_comes_and_goes(ends: Ends) -> None:
    comes = ends.caller.next_change()
    assert not comes.is_set()
    await ends.group.serve(echo)
    async with asyncio.timeout(BOUND):
        await comes.wait()
        goes = ends.caller.next_change()
        assert not goes.is_set()
        await ends.group.unserve()
        await goes.wait()


async def test_nobody_answers_before_the_deadline(hasty: Ends) -> None:
    desk = Desk()
    await hasty.serve(desk)
    slow = hasty.caller.call(call(b"slow"))
    assert await asyncio.wait_for(slow, BOUND) == Reply(Code.TIMEOUT)
    desk.answer(0, Reply(Code.SUCCESS))  # too late for anybody
    quick = Reply(Code.TIMEOUT)
    while quick.code == Code.TIMEOUT:  # a busy machine may let this deadline pass, too
        place = len(desk.calls)
        later = hasty.caller.call(call(b"quick"))
        await desk.arrived(place + 1)
        desk.answer(place, Reply(Code.SUCCESS, b"quick"))
        quick = await asyncio.wait_for(later, BOUND)
    assert quick.payload == b"quick"


async def test_a_handler_that_is_a_task_ends_at_the_deadline(hasty: Ends) -> None:
    ended = asyncio.Event()

    async def wait(_: Call) -> Reply:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
        return Reply(Code.TIMEOUT)

    await hasty.serve(lambda one: asyncio.get_running_loop().create_task(wait(one)))
    assert await asyncio.wait_for(hasty.caller.call(call()), BOUND) == Reply(Code.TIMEOUT)
    await asyncio.wait_for(ended.wait(), BOUND)


async def test_deadlines_are_kept_one_after_the_other(hasty: Ends) -> None:
    await hasty.serve(Desk())
    for _ in range(2):
        assert await asyncio.wait_for(hasty.caller.call(call()), BOUND) == Reply(Code.TIMEOUT)


async def test_unserve_refuses_new_calls_and_waits_for_those_taken(ends: Ends) -> None:
    desk = Desk()
    await ends.serve(desk)
    taken = ends.caller.call(call(b"taken"))
    await desk.arrived(1)
    gone = asyncio.create_task(ends.group.unserve())
    await nobody_to_ask(ends.caller)
    assert await ends.caller.call(call(b"late")) == Reply(Code.SERVER_ERROR)
    assert not gone.done()
    desk.answer(0, Reply(Code.SUCCESS, b"done"))
    await asyncio.wait_for(gone, BOUND)
    assert (await asyncio.wait_for(taken, BOUND)).payload == b"done"  # over a network it is on its way still
    assert len(desk.calls) == 1


async def test_unserve_does_not_wait_for_ever(hasty: Ends) -> None:
    desk = Desk()
    await hasty.serve(desk)
    never = hasty.caller.call(call())
    await desk.arrived(1)
    await asyncio.wait_for(hasty.group.unserve(), BOUND)
    assert await asyncio.wait_for(never, BOUND) == Reply(Code.TIMEOUT)


async def test_who_was_away_can_serve_again(ends: Ends) -> None:
    await ends.serve(echo)
    await ends.group.unserve()
    assert await ends.caller.call(call()) == Reply(Code.SERVER_ERROR)
    await ends.serve(echo)
    assert (await ends.caller.call(call(b"again"))).payload == b"again"
