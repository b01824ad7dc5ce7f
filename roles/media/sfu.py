"""The embedded media server: it forwards what each participant sends to those who want it, and decodes nothing.

Participants reach it at one UDP port. All limits are here; what is in a packet is for router.py.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from fsharechat.leaky_bucket import LeakyBucket
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
from fsharechat.tasks import repeat, spawn
from roles.media import rtcp, sdp
from roles.media.dtls import DtlsIdentity
from roles.media.router import Demux, Sink, StreamSource
from roles.media.transport import IceTransport
from roles.media.udp import UdpPort

log = structlog.get_logger(__name__)

MAX_ROOMS = 2000
MAX_CONNECTIONS = 10_000
"""Of all rooms together."""
IDLE_SECONDS = 300.0
"""A room in which nobody has a connection for so long is closed."""
TICK_SECONDS = 0.1
_REPORT_TICKS = 10
"""Reports and rates go out once in so many ticks: each second."""
_OFFERS_SECONDS = 60.0
_OFFERS_EACH = 4
"""Offers of a participant in that time, for each connection that it may have. Each costs a handshake."""


@dataclass(frozen=True)
class Limits:
    """Rates are in kbit/s, of one participant's video."""

    max_kbps: int = 2000
    min_kbps: int = 200
    """However slow a receiver is, senders are not asked for less."""
    room_limit: int = 16
    """Participants of one room."""
    worker_mbps: int = 400
    """What this process sends. While it is more, nobody can join; in Mbit/s."""


class Sfu(MediaServer):
    """`address` is what clients are told, an IP address. `async with` opens and closes it too.

    Its candidate is in each answer; it tells none by events.
    """

    def __init__(self, port: UdpPort, address: str, limits: Limits, events: MediaEvents) -> None:
        self.port = port
        self.address = address
        self.limits = limits
        self.identity = DtlsIdentity()
        self.events = events
        self.lost = 0
        """Connections that were not ended by who asks."""
        self.mbps = 0.0
        """What was sent in the last second."""
        self._rooms: dict[str, Room] = {}
        self._connections: dict[CallEndpoint, None] = {}
        self._offers = LeakyBucket(_OFFERS_EACH * limits.room_limit, _OFFERS_SECONDS)
        self._ticker: asyncio.Task[None] | None = None
        self._ticks = 0
        self._sent_before = 0
        self._reported = time.monotonic()

    async def __aenter__(self) -> "Sfu":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        self.port.open()
        self._ticker = spawn("media feedback", repeat(TICK_SECONDS, self._tick))

    async def close(self) -> None:
        """End all rooms. Nobody is told."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait((self._ticker,))
        for room in self.rooms:
            await self.close_room(room)
        self.port.close()

    @property
    def full(self) -> bool:
        """Return whether it sends as much as it may."""
        return self.mbps >= self.limits.worker_mbps

    @property
    def rooms(self) -> list[str]:
        """Return the names of the rooms."""
        return list(self._rooms)

    @property
    def participants(self) -> int:
        return sum(len(room.participants) for room in self._rooms.values())

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def streams(self) -> int:
        """Return how many streams come in: sound and pictures of participants."""
        return sum(
            source.heard is not None
            for room in self._rooms.values()
            for participant in room.participants.values()
            for source in participant.sources.values()
        )

    @property
    def forwarded(self) -> int:
        """Return the packets that the sources of now have sent to receivers."""
        return sum(
            source.forwarded
            for room in self._rooms.values()
            for participant in room.participants.values()
            for source in participant.sources.values()
        )

    # What is asked

    async def join(self, room: str, participant: str) -> None:
        there = self._rooms.get(room)
        if there is not None and participant in there.participants:
            there.participants[participant].hang_up()
            return
        if self.full:
            raise Busy(f"it sends {self.mbps:.0f} Mbit/s")
        if there is None:
            if len(self._rooms) >= MAX_ROOMS:
                raise Busy(f"it has {MAX_ROOMS} rooms")
            there = self._rooms[room] = Room(room)
        if len(there.participants) >= self.limits.room_limit:
            raise RoomFull(f"{self.limits.room_limit} are in")
        there.participants[participant] = Participant(participant, self.limits.max_kbps * 1000)

    async def publish(self, room: str, participant: str, offer: str) -> str:
        here = self._participant(room, participant)
        self._count_offer(here)
        endpoint = CallEndpoint(self, room, here, participant)
        return self._answer(endpoint, sdp.parse(offer), here.sources, publishes=True)

    async def receive(self, room: str, participant: str, sender: str, offer: str) -> str:
        here, source = self._participant(room, participant), self._participant(room, sender)
        if here is source:
            raise UnknownSender("a participant cannot receive its own stream")
        self._count_offer(here)
        endpoint = CallEndpoint(self, room, here, sender)
        return self._answer(endpoint, sdp.parse(offer), source.sources, publishes=False)

    async def candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        """Drop it: the lite side of ICE learns where the other side is from its checks."""

    async def leave(self, room: str, participant: str) -> None:
        there = self._rooms.get(room)
        if there is None or participant not in there.participants:
            return
        there.participants.pop(participant).hang_up()
        for other in there.participants.values():
            if (endpoint := other.endpoints.get(participant)) is not None:
                endpoint.close()
        if not there.participants:
            del self._rooms[room]

    async def has(self, room: str) -> bool:
        return room in self._rooms

    async def close_room(self, room: str) -> None:
        there = self._rooms.pop(room, None)
        if there is not None:
            for participant in there.participants.values():
                participant.hang_up()

    # Offers

    def _participant(self, room: str, name: str) -> "Participant":
        there = self._rooms.get(room)
        if there is None or name not in there.participants:
            raise UnknownSender(f"{name!r} is not in the room")
        return there.participants[name]

    def _count_offer(self, participant: "Participant") -> None:
        taken, participant.offers = self._offers.pour(participant.offers, time.monotonic())
        if not taken:
            raise MediaServerError("too many offers in a minute")
        if len(self._connections) >= MAX_CONNECTIONS:
            raise Busy(f"it has {MAX_CONNECTIONS} connections")

    def _answer(
        self, endpoint: "CallEndpoint", offer: sdp.Offer, sources: dict[str, StreamSource], *, publishes: bool
    ) -> str:
        """Take what can be taken of an offer, in place of the connection that there was, and return the answer."""
        chosen: dict[int, tuple[int, sdp.MediaCodec]] = {}
        for index, section in enumerate(offer.sections):
            source = sources.get(section.kind)
            wants = sdp.sends(section) if publishes else sdp.receives(section)
            twice = any(offer.sections[other].kind == section.kind for other in chosen)
            if source is None or twice or not wants or not section.usable:
                continue
            choice = section.choose(None if publishes else source.codec)
            if choice is not None:
                chosen[index] = choice
        if not chosen:
            raise BadOffer("the offer has no audio and no video that can be carried")
        endpoint.replace()
        accepted: dict[int, sdp.AcceptedSection] = {}
        for index, (payload, codec) in chosen.items():
            section = offer.sections[index]
            connection = endpoint.connection(section)
            source = sources[section.kind]
            stream = None
            if publishes:
                source.attach(connection.transport, payload, codec, section.used_extensions())
                endpoint.sources.append(source)
                connection.demux.add_source(source, payload)
            else:
                connection.demux.add_sink(
                    Sink(source, connection.transport, payload, codec, section.used_extensions())
                )
                stream = sdp.SentStream(source.ssrc, source.name)
            accepted[index] = sdp.AcceptedSection(
                self._place(connection), payload, codec, stream, self.limits.max_kbps
            )
        self._connections[endpoint] = None
        return sdp.answer(offer, accepted)

    def _place(self, connection: "MediaConnection") -> sdp.ServerPlace:
        transport = connection.transport
        return sdp.ServerPlace(
            self.address, self.port.number, transport.user, transport.password, self.identity.fingerprint
        )

    def forget(self, endpoint: "CallEndpoint") -> None:
        self._connections.pop(endpoint, None)

    # Feedback

    async def _tick(self) -> None:
        now = time.monotonic()
        self._ticks += 1
        reports = self._ticks % _REPORT_TICKS == 0
        if reports:
            sent, self._sent_before = self.port.sent_bytes - self._sent_before, self.port.sent_bytes
            self.mbps = sent * 8 / (now - self._reported) / 1e6
            self._reported = now
        for endpoint in list(self._connections):
            try:
                endpoint.tick(now, reports)
            except Exception:
                log.exception("a connection failed", room=endpoint.room)
                endpoint.lose("it failed")
        if reports:
            await self._close_idle(now)

    async def _close_idle(self, now: float) -> None:
        for room in list(self._rooms.values()):
            if any(participant.endpoints for participant in room.participants.values()):
                room.used = now
            elif now - room.used > IDLE_SECONDS:
                await self.close_room(room.name)
                self.events.on_closed(room.name, "nobody has a connection")


class Room:
    def __init__(self, name: str) -> None:
        self.name = name
        self.participants: dict[str, Participant] = {}
        self.used = time.monotonic()
        """When somebody had a connection in it last."""


class Participant:
    """`sources` are what it sends, by kind; `endpoints` its connections, by the one whose stream they carry."""

    def __init__(self, name: str, cap: int) -> None:
        self.name = name
        self.offers = 0.0
        self.sources = {kind: StreamSource(kind, sdp.token(name), cap) for kind in ("audio", "video")}
        self.endpoints: dict[str, CallEndpoint] = {}

    def hang_up(self) -> None:
        for endpoint in list(self.endpoints.values()):
            endpoint.close()


class CallEndpoint:
    """What one offer made: the connection on which a participant sends, or receives the stream of `peer`.

    It is one connection, or one for each medium where the offer has no BUNDLE.
    """

    def __init__(self, sfu: Sfu, room: str, participant: Participant, peer: str) -> None:
        self.room = room
        self.sources: list[StreamSource] = []
        self._sfu = sfu
        self._participant = participant
        self._peer = peer
        self._bundle: MediaConnection | None = None
        self._connections: list[MediaConnection] = []
        self._closed = False

    def replace(self) -> None:
        """Take the place of the connection that there is."""
        old = self._participant.endpoints.get(self._peer)
        if old is not None:
            old.close()
        self._participant.endpoints[self._peer] = self

    def connection(self, section: sdp.OfferedSection) -> "MediaConnection":
        """Return the connection for a section, a new one where it has none yet."""
        if section.bundled and self._bundle is not None:
            return self._bundle
        connection = MediaConnection(self._sfu.port, self._sfu.identity, section, self)
        self._connections.append(connection)
        if section.bundled:
            self._bundle = connection
        return connection

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._participant.endpoints.get(self._peer) is self:
            del self._participant.endpoints[self._peer]
        self._sfu.forget(self)
        for source in self.sources:
            source.detach()
        for connection in self._connections:
            connection.close()

    def lose(self, reason: str) -> None:
        """Be closed, and tell whose connection it was."""
        if self._closed:
            return
        self.close()
        log.info("a connection of a call is lost", room=self.room, user=self._participant.name, reason=reason)
        self._sfu.lost += 1
        self._sfu.events.on_gone(self.room, self._participant.name, self._peer)

    def tick(self, now: float, reports: bool) -> None:
        for connection in self._connections:
            connection.transport.look(now)
        if self._closed:
            return
        for source in self.sources:
            source.tick(now)
        if reports:
            for connection in self._connections:
                connection.report(now, self._sfu.limits)


class MediaConnection:
    """A transport and what goes over it."""

    def __init__(
        self, port: UdpPort, identity: DtlsIdentity, section: sdp.OfferedSection, endpoint: CallEndpoint
    ) -> None:
        self.demux = Demux()
        self.transport = IceTransport(port, identity, section.user, section.fingerprints, self)
        self._endpoint = endpoint

    def on_up(self) -> None:
        now = time.monotonic()
        for sink in self.demux.sinks:
            sink.start(now)

    def on_lost(self, reason: str) -> None:
        self._endpoint.lose(reason)

    def on_rtp(self, packet: bytes, now: float) -> None:
        self.demux.on_rtp(packet, now)

    def on_rtcp(self, packet: bytes, now: float) -> None:
        self.demux.on_rtcp(packet, now)

    def close(self) -> None:
        for sink in self.demux.sinks:
            sink.close()
        self.transport.close()

    def report(self, now: float, limits: Limits) -> None:
        """Tell the sender how its packets arrive, and which rate the slowest receiver can take."""
        feedback = receiver_feedback(self.demux.sources, now, limits)
        if feedback:
            self.transport.send_rtcp(feedback)


def receiver_feedback(sources: Sequence[StreamSource], now: float, limits: Limits) -> bytes:
    """Return the report on the sources of one connection; nothing before the first packet of any."""
    blocks = [block for source in sources if (block := source.report(now)) is not None]
    if not blocks:
        return b""
    sender = sources[0].ssrc
    feedback = rtcp.receiver_report(sender, blocks)
    for source in sources:
        if source.kind == "video" and source.heard is not None:
            slowest = source.slowest(now)
            most, least = limits.max_kbps * 1000, limits.min_kbps * 1000
            bits = most if slowest is None else max(least, min(most, slowest))
            feedback += rtcp.remb(sender, bits, [source.heard])
    return feedback
