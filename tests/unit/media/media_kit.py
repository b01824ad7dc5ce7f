"""Rooms of a media server with scripted participants, for the suite of all backends and for the embedded one."""

import struct

from fsharechat.mediaserver import Candidate, MediaEvents, MediaServer
from roles.media import rtcp
from roles.media.rtp import HEADER_BYTES
from tools.testing.media_peer import MediaPeer
from tools.testing.server import until

ROOM = "room"


class Told(MediaEvents):
    """What a media server tells by itself."""

    def __init__(self) -> None:
        self.candidates: list[tuple[str, str, str, Candidate]] = []
        self.gone: list[tuple[str, str, str]] = []
        self.closed: list[tuple[str, str]] = []
        self.calls: list[Call] = []
        """Whose peers are given the candidates."""

    def on_candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        self.candidates.append((room, participant, peer, candidate))
        for call in self.calls:
            if call.room == room and (participant, peer) in call.peers:
                call.peers[participant, peer].add_candidate(candidate.candidate)

    def on_gone(self, room: str, participant: str, peer: str) -> None:
        self.gone.append((room, participant, peer))

    def on_closed(self, room: str, reason: str) -> None:
        self.closed.append((room, reason))


class Call:
    """A room, and the connections of its participants: that which sends as (name, name), others as (name, sender)."""

    def __init__(self, server: MediaServer, told: Told | None = None, room: str = ROOM) -> None:
        self.server = server
        if told is not None:
            told.calls.append(self)
        self.room = room
        self.peers: dict[tuple[str, str], MediaPeer] = {}
        self._all: list[MediaPeer] = []

    async def join(self, *names: str) -> None:
        for name in names:
            await self.server.join(self.room, name)

    async def publish(self, name: str, codec: str = "VP8") -> MediaPeer:
        """Have a participant send, over a new connection."""
        peer = self.peers[name, name] = self.offerer(sends=True, codec=codec)
        peer.accept(await self.server.publish(self.room, name, peer.offer()))
        await peer.connected()
        return peer

    async def receive(self, name: str, sender: str, codec: str = "VP8") -> MediaPeer:
        """Have a participant receive another, over a new connection."""
        peer = self.peers[name, sender] = self.offerer(sends=False, codec=codec)
        peer.accept(await self.server.receive(self.room, name, sender, peer.offer()))
        await peer.connected()
        return peer

    def offerer(self, *, sends: bool, codec: str = "VP8") -> MediaPeer:
        peer = MediaPeer(sends=sends, codec=codec)
        self._all.append(peer)
        return peer

    def close(self) -> None:
        for peer in self._all:
            peer.close()


async def flows(source: MediaPeer, sink: MediaPeer, kind: str = "video", payload: int | None = None) -> None:
    """Send until something arrives."""
    before = sum(sink.received.values()) if payload is None else sink.received[payload]

    def arrived() -> bool:
        source.send(kind, b"flow")
        return (sum(sink.received.values()) if payload is None else sink.received[payload]) > before

    await until(arrived, "nothing arrives")


async def stays_silent(source: MediaPeer, sink: MediaPeer, witness: MediaPeer) -> None:
    """Check that a connection gets nothing of what another one, the witness, gets."""
    before = sum(sink.received.values())
    for _ in range(5):
        await flows(source, witness)
    assert sum(sink.received.values()) == before


def extensions(packet: bytes) -> dict[int, bytes]:
    """Return the extensions of a packet by their numbers."""
    found: dict[int, bytes] = {}
    if not packet[0] & 0x10:
        return found
    at = HEADER_BYTES + 4 * (packet[0] & 15)
    if packet[at : at + 2] != b"\xbe\xde" or len(packet) < at + 4:
        return found
    end = min(at + 4 + 4 * (packet[at + 2] << 8 | packet[at + 3]), len(packet))
    at += 4
    while at < end:
        head = packet[at]
        if not head:
            at += 1
            continue
        found[head >> 4] = bytes(packet[at + 1 : min(at + (head & 15) + 2, end)])
        at += (head & 15) + 2
    return found


def fir(sender: int, media: int, number: int) -> bytes:
    """Return a Full Intra Request. `number` counts the requests; a receiver acts on a new one only."""
    head = struct.pack("!BBHII", 0x80 | rtcp.FIR, rtcp.PSFB, 4, sender, 0)
    return head + struct.pack("!IB3x", media, number & 0xFF)
