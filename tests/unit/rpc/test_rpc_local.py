"""What calls within one process have to themselves."""

import asyncio
import time

import pytest
import uvloop

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Reply, local
from fsharechat.rpc.local import LocalRpc
from tests.unit.rpc.rpc_kit import call


def test_a_call_whose_deadline_meets_it_before_its_first_step_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that stood still finds the deadline over before the work has begun: uvloop runs timers first."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.01)

    async def answer() -> Reply:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Reply(Code.TIMEOUT)
        raise AssertionError("nobody sets it")

    def handler(_: Call) -> asyncio.Future[Reply]:
        return asyncio.get_running_loop().create_task(answer())

    async def ask() -> Reply:
        rpc = LocalRpc(timeout=0)
        await rpc.open()
        await rpc.serve(handler)
        future = rpc.call(call())
        time.sleep(0.05)  # noqa: ASYNC251 - the whole process stands still
        try:
            return await future
        finally:
            await rpc.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) == Reply(Code.TIMEOUT)
