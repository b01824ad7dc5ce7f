"""Devices in calls of groups, without a browser: the client library for the signals, scripted peers for the media.

ann = Caller(credentials, at.of("tcp"), Options.fast())
async with ann.client:
    where = group(await ann.client.groups.create("a group", [ben.uid]))
    await begin_call(where, [ann, ben])
    await ann.hears(ben)
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from fsharechat.client import CallSignal, Client, Credentials, Options, call_signal
from fsharechat.client.models import Event
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType
from tools.testing.media_peer import PAYLOADS, MediaPeer
from tools.testing.server import Where, until


class Caller:
    """A device in calls: its client, and a connection to the media server for each whom it sends to or receives."""

    def __init__(self, who: Credentials, where: Where, options: Options) -> None:
        self.client = Client(
            who, **where, options=options, on_event=self._on_event, on_message=self._on_message
        )
        self.uid = who.user_id
        self.signals: list[CallSignal] = []
        """What came and was not waited for."""
        self.starts: list[CallSignal] = []
        self.peers: dict[str, MediaPeer] = {}

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, CallSignal):
            return
        said = event.said or {}
        if said.get("type") != "iceCandidate":
            self.signals.append(event)
        elif (peer := self.peers.get(said["name"])) is not None:
            peer.add_candidate(said["candidate"]["candidate"])

    def _on_message(self, message: pb.Message) -> None:
        if (start := call_signal(message, self.uid)) is not None:
            self.starts.append(start)

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

    @property
    def hung_up(self) -> bool:
        """Whether it was told that the call is over (402)."""
        return any(one.kind == ContentType.CALL_BYE for one in self.signals)

    async def is_over(self) -> None:
        """Wait for a 402."""
        await until(lambda: self.hung_up, "the call goes on")

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

    def forget(self) -> None:
        """Know nothing more of the calls before."""
        self.close()
        self.signals.clear()
        self.starts.clear()

    def close(self) -> None:
        """End the connections for media."""
        for peer in self.peers.values():
            peer.close()
        self.peers.clear()


async def begin_call(where: pb.Conversation, callers: Sequence[Caller]) -> None:
    """Put members of a group into a call, which the first one starts, with all connections."""
    first, *others = callers
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
