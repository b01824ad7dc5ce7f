"""Group calls on Kurento Media Servers: each room is a pipeline of one of them (calls.md section 9.8).

A participant has an outgoing endpoint from its join on, and an incoming one for each other whom it receives.
"""

import asyncio
import re
from collections.abc import Sequence
from functools import partial
from typing import Any
from zlib import crc32

import structlog

from fsharechat.mediaserver import (
    BadOffer,
    Busy,
    Candidate,
    MediaEvents,
    MediaServer,
    MediaServerError,
    RoomFull,
    UnknownSender,
)
from fsharechat.tasks import TaskSet
from roles.media.kurento_client import EVENT_NOT_SUPPORTED, KurentoClient, KurentoError
from roles.media.sfu import MAX_ROOMS, Limits

log = structlog.get_logger(__name__)

MAX_OFFER = 65_536
MAX_CANDIDATES = 64
"""That wait for the offer which they belong to, of one participant. Later ones are dropped."""
_SDP_ERRORS = range(40200, 40300)
_FOUND = ("IceCandidateFound", "OnIceCandidate")
_STATE = ("IceComponentStateChanged", "OnIceComponentStateChanged")
"""The names of 7.x and 6.13 and later, and those before."""


class KurentoServer(MediaServer):
    """All Kurento servers of the settings. A room is on one of them until it ends."""

    def __init__(self, urls: Sequence[str], limits: Limits, events: MediaEvents) -> None:
        self.events = events
        self.limits = limits
        self.lost = 0
        self._rooms: dict[str, _Room] = {}
        self._by_endpoint: dict[str, _Endpoint] = {}
        self._tasks = TaskSet()
        self._clients = [
            KurentoClient(url, self._on_event, partial(self._on_lost, number))
            for number, url in enumerate(urls)
        ]

    async def open(self) -> None:
        for client in self._clients:
            client.open()

    async def close(self) -> None:
        """End all rooms. Nobody is told."""
        for room in self.rooms:
            await self.close_room(room)
        await self._tasks.cancel()
        for client in self._clients:
            await client.close()

    @property
    def rooms(self) -> list[str]:
        """Return the names of the rooms."""
        return list(self._rooms)

    @property
    def participants(self) -> int:
        return sum(len(room.participants) for room in self._rooms.values())

    @property
    def connections(self) -> int:
        return len(self._by_endpoint)

    @property
    def away(self) -> str:
        """Why no Kurento can be reached; "" where one can."""
        if any(client.ready for client in self._clients):
            return ""
        return "; ".join(f"Kurento at {client.url}: {client.away}" for client in self._clients)

    # What is asked

    async def join(self, room: str, participant: str) -> None:
        there = self._rooms.get(room)
        if there is None:
            there = self._new_room(room)
        async with there.lock:
            if there.closed:
                raise MediaServerError("the room has just ended")
            if participant not in there.participants and len(there.participants) >= self.limits.room_limit:
                raise RoomFull(f"{self.limits.room_limit} are in")
            try:
                if not there.pipeline:
                    there.pipeline = await self._create(there, "MediaPipeline")
                await self._plug_in(there, participant)
            except MediaServerError:
                if not there.participants:
                    await self._end(there)
                raise

    def _new_room(self, name: str) -> "_Room":
        ready = [client for client in self._clients if client.ready]
        if not ready:
            raise Busy(self.away)
        if len(self._rooms) >= MAX_ROOMS:
            raise Busy(f"there are {MAX_ROOMS} rooms")
        chosen = min(ready, key=lambda client: (crc32(f"{client.url} {name}".encode()), client.url))
        room = self._rooms[name] = _Room(name, chosen)
        return room

    async def _plug_in(self, room: "_Room", name: str) -> None:
        old = room.participants.get(name)
        participant = _Participant(name)
        participant.outgoing = await self._endpoint(room, participant, name)
        room.participants[name] = participant
        if old is not None:
            await self._reconnect(room, participant)
            await self._release(
                room, [one for one in (old.outgoing, *old.incoming.values()) if one is not None]
            )

    async def publish(self, room: str, participant: str, offer: str) -> str:
        there, here = self._find(room, participant)
        _check(offer)
        async with here.lock:
            endpoint, old = here.outgoing, None
            if endpoint is None or endpoint.negotiated:
                old, endpoint = endpoint, await self._endpoint(there, here, participant)
                here.outgoing = endpoint
                await self._reconnect(there, here)
            try:
                answer = await self._negotiate(there, here, endpoint, offer)
            except MediaServerError:
                if old is not None:
                    here.outgoing = old
                    await self._reconnect(there, here)
                    await self._release(there, [endpoint])
                raise
            if old is not None:
                await self._release(there, [old])
        return answer

    async def receive(self, room: str, participant: str, sender: str, offer: str) -> str:
        there, here = self._find(room, participant)
        _, source = self._find(room, sender)
        if here is source:
            raise UnknownSender("a participant cannot receive its own stream")
        _check(offer)
        async with here.lock_of(sender):
            endpoint = await self._endpoint(there, here, sender)
            old = here.incoming.get(sender)
            here.incoming[sender] = endpoint
            try:
                if source.outgoing is not None:
                    await there.client.invoke(source.outgoing.id, "connect", sink=endpoint.id)
                answer = await self._negotiate(there, here, endpoint, offer)
            except MediaServerError:
                del here.incoming[sender]
                if old is not None:
                    here.incoming[sender] = old
                await self._release(there, [endpoint])
                raise
            if old is not None:
                await self._release(there, [old])
        return answer

    async def candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        there = self._rooms.get(room)
        if there is None or participant not in there.participants:
            return
        here = there.participants[participant]
        endpoint = here.endpoint(peer, candidate.ufrag)
        if endpoint is not None and endpoint.negotiated:
            await self._add(there, endpoint, candidate)
        elif len(here.early) < MAX_CANDIDATES:
            here.early.append((peer, candidate))

    async def leave(self, room: str, participant: str) -> None:
        there = self._rooms.get(room)
        if there is None:
            return
        async with there.lock:
            gone = there.participants.pop(participant, None)
            if gone is None:
                return
            endpoints = [gone.outgoing, *gone.incoming.values()]
            endpoints += [other.incoming.pop(participant, None) for other in there.participants.values()]
            if there.participants:
                await self._release(there, [one for one in endpoints if one is not None])
            else:
                await self._end(there)

    async def has(self, room: str) -> bool:
        return room in self._rooms

    async def close_room(self, room: str) -> None:
        there = self._rooms.get(room)
        if there is not None:
            await self._end(there)

    # Kurento's objects

    def _find(self, room: str, name: str) -> "tuple[_Room, _Participant]":
        there = self._rooms.get(room)
        if there is None or name not in there.participants:
            raise UnknownSender(f"{name!r} is not in the room")
        return there, there.participants[name]

    async def _create(self, room: "_Room", kind: str, **parameters: str) -> str:
        created = await room.client.request("create", type=kind, constructorParams=parameters, properties={})
        return str(created)

    async def _endpoint(self, room: "_Room", participant: "_Participant", peer: str) -> "_Endpoint":
        """Make an endpoint whose candidates and whose end are heard."""
        id = await self._create(room, "WebRtcEndpoint", mediaPipeline=room.pipeline)
        endpoint = self._by_endpoint[id] = _Endpoint(id, room, participant, peer)
        for names in (_FOUND, _STATE):
            await _subscribe(room.client, id, names)
        which = "Recv" if peer == participant.name else "Send"
        limit = {f"maxVideo{which}Bandwidth": self.limits.max_kbps}
        await room.client.invoke(id, f"setMaxVideo{which}Bandwidth", **limit)
        return endpoint

    async def _reconnect(self, room: "_Room", participant: "_Participant") -> None:
        """Have all who receive a participant receive its new endpoint."""
        if participant.outgoing is None:
            return
        for other in list(room.participants.values()):
            incoming = other.incoming.get(participant.name)
            if incoming is not None:
                await room.client.invoke(participant.outgoing.id, "connect", sink=incoming.id)

    async def _negotiate(
        self, room: "_Room", participant: "_Participant", endpoint: "_Endpoint", offer: str
    ) -> str:
        endpoint.users = frozenset(re.findall(r"^a=ice-ufrag:(\S+)", offer, re.MULTILINE))
        try:
            answer = str(await room.client.invoke(endpoint.id, "processOffer", offer=offer))
        except KurentoError as error:
            if error.code in _SDP_ERRORS:
                raise BadOffer(str(error)) from error
            raise
        endpoint.negotiated = True
        early, participant.early = participant.early, []
        for peer, candidate in early:
            if participant.endpoint(peer, candidate.ufrag) is endpoint:
                await self._add(room, endpoint, candidate)
            else:
                participant.early.append((peer, candidate))
        # The answer must reach the client before the candidates.
        self._tasks.spawn("candidates of Kurento", self._gather(room, endpoint))
        return answer

    async def _gather(self, room: "_Room", endpoint: "_Endpoint") -> None:
        try:
            await room.client.invoke(endpoint.id, "gatherCandidates")
        except MediaServerError as error:
            log.info("Kurento gathers no candidates", room=room.name, reason=str(error))

    async def _add(self, room: "_Room", endpoint: "_Endpoint", candidate: Candidate) -> None:
        text = {
            "candidate": candidate.candidate,
            "sdpMid": candidate.mid,
            "sdpMLineIndex": candidate.line,
            "__type__": "IceCandidate",
            "__module__": "kurento",
        }
        await room.client.invoke(endpoint.id, "addIceCandidate", candidate=text)

    async def _release(self, room: "_Room", endpoints: "Sequence[_Endpoint]") -> None:
        """Let go of endpoints. What Kurento does not let go of goes with the pipeline."""
        for endpoint in endpoints:
            self._by_endpoint.pop(endpoint.id, None)
            try:
                await room.client.request("release", object=endpoint.id)
            except MediaServerError as error:
                log.info("Kurento did not release an endpoint", room=room.name, reason=str(error))

    async def _end(self, room: "_Room") -> None:
        self._forget(room)
        if room.pipeline:
            try:
                await room.client.request("release", object=room.pipeline)
            except MediaServerError as error:
                log.info("Kurento did not release a room", room=room.name, reason=str(error))

    def _forget(self, room: "_Room") -> None:
        room.closed = True
        if self._rooms.get(room.name) is room:
            del self._rooms[room.name]
        gone = [id for id, endpoint in self._by_endpoint.items() if endpoint.room is room]
        for id in gone:
            del self._by_endpoint[id]

    # What Kurento tells

    def _on_event(self, id: str, kind: str, data: dict[str, Any]) -> None:
        endpoint = self._by_endpoint.get(id)
        if endpoint is None:
            return
        room, name, peer = endpoint.room, endpoint.participant.name, endpoint.peer
        if kind in _FOUND:
            found = data["candidate"]
            candidate = Candidate(found["candidate"], found.get("sdpMid", ""), found.get("sdpMLineIndex", 0))
            self.events.on_candidate(room.name, name, peer, candidate)
        elif kind in _STATE and data.get("state") == "FAILED":
            self.lost += 1
            self._by_endpoint.pop(id)
            if endpoint.participant.endpoint(peer, "") is endpoint:
                self.events.on_gone(room.name, name, peer)

    def _on_lost(self, number: int, reason: str) -> None:
        """The rooms of one Kurento are over."""
        client = self._clients[number]
        for room in [room for room in self._rooms.values() if room.client is client]:
            self._forget(room)
            self.events.on_closed(room.name, f"Kurento at {client.url}: {reason}")


class _Room:
    def __init__(self, name: str, client: KurentoClient) -> None:
        self.name = name
        self.client = client
        self.pipeline = ""
        self.participants: dict[str, _Participant] = {}
        self.closed = False
        self.lock = asyncio.Lock()
        """Who comes and who goes, one after the other."""


class _Participant:
    def __init__(self, name: str) -> None:
        self.name = name
        self.outgoing: _Endpoint | None = None
        self.incoming: dict[str, _Endpoint] = {}
        self.early: list[tuple[str, Candidate]] = []
        """Candidates that came before their offer, and the peer that each names."""
        self.lock = asyncio.Lock()
        self._locks: dict[str, asyncio.Lock] = {}

    def lock_of(self, sender: str) -> asyncio.Lock:
        """Return what keeps two offers for one sender apart."""
        return self._locks.setdefault(sender, asyncio.Lock())

    def endpoint(self, peer: str, user: str) -> "_Endpoint | None":
        """Return the endpoint for a peer, or without one that whose offer has the ICE user name."""
        if peer:
            return self.outgoing if peer == self.name else self.incoming.get(peer)
        every = [one for one in (self.outgoing, *self.incoming.values()) if one is not None]
        return next((one for one in every if user and user in one.users), None)


class _Endpoint:
    def __init__(self, id: str, room: _Room, participant: _Participant, peer: str) -> None:
        self.id = id
        self.room = room
        self.participant = participant
        self.peer = peer
        self.negotiated = False
        self.users: frozenset[str] = frozenset()


async def _subscribe(client: KurentoClient, id: str, names: Sequence[str]) -> None:
    """Hear events by the first of their names that Kurento knows."""
    for name in names:
        try:
            await client.request("subscribe", object=id, type=name)
        except KurentoError as error:
            if error.code != EVENT_NOT_SUPPORTED or name == names[-1]:
                raise
        else:
            return


def _check(offer: str) -> None:
    if len(offer) > MAX_OFFER or not offer.startswith("v=0"):
        raise BadOffer("the offer is not a session description, or it is too long")
