"""Calls in groups on a whole server, over both transports; the media are those of participants without a browser."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fsharechat.client import CallSignal, Client, Credentials, Options, call_signal, group, login
from fsharechat.client.models import Event
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType
from tools.testing.media_peer import PAYLOADS, MediaPeer
from tools.testing.server import SUPER_CODE, Server, ServerAddresses, until

pytestmark = pytest.mark.slow

OPTIONS = Options.fast()


class Caller:
    """A device in calls: its client, and a connection to the media server for each whom it sends to or receives."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.uid = client.user_id
        self.signals: list[CallSignal] = []
        self.starts: list[CallSignal] = []
        self.peers: dict[str, MediaPeer] = {}

    @classmethod
    def on(cls, at: ServerAddresses, who: Credentials, transport: str) -> "Caller":
        made: Caller

        def on_event(event: Event) -> None:
            if isinstance(event, CallSignal):
                made.signals.append(event)

        def on_message(message: pb.Message) -> None:
            if (start := call_signal(message, who.user_id)) is not None:
                made.starts.append(start)

        where = at.of(transport)
        made = cls(Client(who, **where, options=OPTIONS, on_event=on_event, on_message=on_message))
        return made

    async def told(self, kind: str, **more: Any) -> dict[str, Any]:
        """Wait for a 403 of the server, which is then forgotten."""

        def find() -> CallSignal | None:
            for signal in self.signals:
                said = signal.said or {}
                if said.get("type") == kind and more.items() <= said.items():
                    return signal
            return None

        await until(find, lambda: f"no {kind} {more}, but {[(one.kind, one.said) for one in self.signals]}")
        found = find()
        assert found is not None
        self.signals.remove(found)
        return dict(found.said or {})

    async def is_over(self) -> None:
        """Wait for a 402."""
        await until(lambda: any(one.kind == ContentType.CALL_BYE for one in self.signals), "the call goes on")

    async def connect(self, where: pb.Conversation, to: str) -> MediaPeer:
        """Offer a connection: to the own name one that sends, to another one that receives."""
        if to in self.peers:
            self.peers[to].close()
        peer = self.peers[to] = MediaPeer(sends=to == self.uid)
        offer = {"type": "receiveVideoFrom", "sender": to, "sdpOffer": peer.offer()}
        await self.client.calls.signal(where, "", offer)
        peer.accept((await self.told("receiveVideoAnswer", name=to))["sdpAnswer"])
        await peer.connected()
        return peer

    async def hears(self, other: "Caller") -> None:
        """Wait until sound and picture of the other one come."""
        sending, receiving = other.peers[other.uid], self.peers[other.uid]
        for kind, payload in PAYLOADS.items():
            before = receiving.received[payload]
            while receiving.received[payload] < before + 5:
                sending.send(kind, b"no picture")
                await asyncio.sleep(0.01)

    def close(self) -> None:
        for peer in self.peers.values():
            peer.close()


class Stage:
    def __init__(self, at: ServerAddresses, stack: AsyncExitStack) -> None:
        self.at, self._stack = at, stack
        self._numbers = iter(range(13_700_000_000, 13_800_000_000))

    async def caller(self, transport: str, who: Credentials | None = None) -> Caller:
        who = who or await login(self.at.http, str(next(self._numbers)), SUPER_CODE, "a device")
        caller = Caller.on(self.at, who, transport)
        await self._stack.enter_async_context(caller.client)
        self._stack.callback(caller.close)
        return caller

    async def call(self, *callers: Caller) -> pb.Conversation:
        """Put callers into a call, with all connections."""
        first, *others = callers
        where = group(await first.client.groups.create("a group", [one.uid for one in others]))
        await first.client.calls.start(where, to=[one.uid for one in others])
        await first.told("existingParticipants", data=[])
        await first.connect(where, first.uid)
        there = [first]
        for one in others:
            await until(lambda one=one: one.starts, "it does not ring")  # type: ignore[misc]
            await one.client.calls.answer(one.starts[-1])
            existing = await one.told("existingParticipants")
            assert sorted(existing["data"]) == sorted(before.uid for before in there)
            await one.connect(where, one.uid)
            for before in there:
                await before.told("newParticipantArrived", name=one.uid)
                await before.connect(where, one.uid)
                await one.connect(where, before.uid)
            there.append(one)
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
    assert not any(one.kind == ContentType.CALL_BYE for one in ann.signals)


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
        one.signals.clear()
        one.starts.clear()
        one.close()
    await stage.call(ann, ben)
    await ben.hears(ann)
