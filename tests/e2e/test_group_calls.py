"""Calls in groups on a whole server, over both transports; the media are those of participants without a browser."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fsharechat.client import Credentials, Options, group, login
from fsharechat.protocol import messages_pb2 as pb
from tools.testing.callers import Caller, begin_call
from tools.testing.server import SUPER_CODE, Server, ServerAddresses

pytestmark = pytest.mark.slow

OPTIONS = Options.fast()


class Stage:
    def __init__(self, at: ServerAddresses, stack: AsyncExitStack) -> None:
        self.at, self._stack = at, stack
        self._numbers = iter(range(13_700_000_000, 13_800_000_000))

    async def caller(self, transport: str, who: Credentials | None = None) -> Caller:
        who = who or await login(self.at.http, str(next(self._numbers)), SUPER_CODE, "a device")
        caller = Caller(who, self.at.of(transport), OPTIONS)
        await self._stack.enter_async_context(caller.client)
        self._stack.callback(caller.close)
        return caller

    async def call(self, *callers: Caller) -> pb.Conversation:
        """Put callers into a call, with all connections."""
        first, *others = callers
        where = group(await first.client.groups.create("a group", [one.uid for one in others]))
        await begin_call(where, callers)
        return where


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def stage(server: Server) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        yield Stage(server.at, stack)


async def test_three_talk_one_leaves_and_comes_back_and_the_first_ends_it(stage: Stage) -> None:
    ann, ben, cat = [await stage.caller(transport) for transport in ("ws", "tcp", "ws")]
    where = await stage.call(ann, ben, cat)
    for one in (ann, ben, cat):
        for other in (ann, ben, cat):
            if other is not one:
                await one.hears(other)
    await cat.client.calls.leave(where)
    for one in (ann, ben):
        await one.told("participantLeft", name=cat.uid)
    await ann.hears(ben)

    await cat.client.calls.answer(cat.starts[-1])
    await cat.told("existingParticipants")
    await cat.connect(where, cat.uid)
    await ann.told("newParticipantArrived", name=cat.uid)
    await ann.connect(where, cat.uid)
    await ann.hears(cat)

    await ann.client.calls.hang_up(where)
    for one in (ben, cat):
        await one.is_over()
    assert not ann.hung_up


async def say_goodbye(caller: Caller) -> None:
    await caller.client.close()


async def break_off(caller: Caller) -> None:
    """End the connection without a word, and make no other."""
    assert caller.client._task is not None
    caller.client._task.cancel()


@pytest.mark.parametrize("go", [say_goodbye, break_off], ids=["DISCONNECT", "broken"])
async def test_who_loses_the_connection_is_out(stage: Stage, go: Callable[[Caller], Any]) -> None:
    ann, ben, cat = [await stage.caller(transport) for transport in ("tcp", "ws", "tcp")]
    await stage.call(ann, ben, cat)
    await go(ben)
    for one in (ann, cat):
        await one.told("participantLeft", name=ben.uid)
    await ann.hears(cat)


async def test_a_server_that_dies_ends_its_calls_and_the_next_one_works(server: Server, stage: Stage) -> None:
    """The store still has the room; no media server has it any more."""
    ann, ben = [await stage.caller(transport) for transport in ("tcp", "ws")]
    await stage.call(ann, ben)
    await server.kill()
    await server.start()
    for one in (ann, ben):
        await one.is_over()
        one.forget()
    await stage.call(ann, ben)
    await ben.hears(ann)
