"""The media role: group calls without any other server. Encoded media are forwarded, never decoded."""

import socket
from ipaddress import ip_address

import structlog

from fsharechat.errors import listening
from fsharechat.health import Finding
from fsharechat.mediaserver import MediaEvents
from fsharechat.node import Node
from fsharechat.registry import Lease
from fsharechat.settings_schema import WILDCARDS, MediaSettings
from fsharechat.urls import joined
from roles.media.kurento import KurentoServer
from roles.media.sfu import Limits, Sfu
from roles.media.udp import UdpPort

log = structlog.get_logger(__name__)

_SOMEWHERE = {4: "198.51.100.1", 6: "2001:db8::1"}
"""Addresses of nobody (RFC 5737, RFC 3849). They lie beyond the network of this machine, as clients may."""


class MediaRole:
    name = "media"

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._node: Node | None = None
        self._lease: Lease | None = None
        self._server: Sfu | KurentoServer | None = None
        self._events: MediaEvents | None = None

    async def start(self, node: Node) -> None:
        settings, events = node.settings.media, node.media_link.events
        limits = Limits(settings.max_kbps, settings.min_kbps, settings.room_limit, settings.worker_mbps)
        if settings.backend == "kurento":
            server: Sfu | KurentoServer = KurentoServer(settings.kurento, limits, events)
        else:
            server = self._embedded(settings, limits, events)
            _count_datagrams(node, server)
        self._server, self._events, self._node = server, events, node
        await server.open()
        await node.media_link.serve(server)
        if not node.settings.embedded:
            self._lease = await node.lease(self.name, node.media_link.address)
        node.health.part("media", self._look)
        _count(node, server)

    def _embedded(self, settings: MediaSettings, limits: Limits, events: MediaEvents) -> Sfu:
        with listening(f"[media] listen = {settings.listen!r}", settings.host, settings.port):
            port = UdpPort(settings.host, settings.port)
        address = _address(settings)
        self.addresses["media"] = joined(address, port.number)
        return Sfu(port, address, limits, events)

    async def stop(self) -> None:
        if self._lease is not None:
            await self._lease.release()  # no new room comes
        if self._node is not None:
            await self._node.media_link.unserve()
        if self._server is not None and self._events is not None:
            for room in self._server.rooms:
                self._events.on_closed(room, "its media process stops")
            await self._server.close()

    async def _look(self) -> Finding:
        """Where nobody can join, chat goes on, and so do the calls that there are."""
        if isinstance(self._server, KurentoServer):
            return Finding(self._server.away)
        full = self._server is not None and self._server.full
        return Finding("it sends as much as it may: nobody can join a call" if full else "")


def _count(node: Node, server: Sfu | KurentoServer) -> None:
    metrics = node.metrics
    metrics.gauge("media_rooms", "Group calls that this process carries.", lambda: len(server.rooms))
    metrics.gauge("media_participants", "People in these calls.", lambda: server.participants)
    metrics.gauge("media_connections", "Connections of participants.", lambda: server.connections)
    metrics.counter("media_connections_lost", "Connections that ended by themselves.", lambda: server.lost)


def _count_datagrams(node: Node, sfu: Sfu) -> None:
    metrics, port = node.metrics, sfu.port
    metrics.gauge("media_streams", "Streams of sound and pictures that come in.", lambda: sfu.streams)
    metrics.gauge("media_mbps", "What the process sent in the last second, Mbit/s.", lambda: sfu.mbps)
    metrics.counter("media_packets_received", "Datagrams from participants.", lambda: port.received)
    metrics.counter("media_packets_sent", "Datagrams to participants.", lambda: port.sent)
    metrics.counter("media_bytes_sent", "Bytes sent to participants.", lambda: port.sent_bytes)
    metrics.counter(
        "media_packets_dropped", "Datagrams that the system had no room for.", lambda: port.dropped
    )


def _address(settings: MediaSettings) -> str:
    """Return the address that clients are told."""
    if settings.public_address:
        return settings.public_address
    if settings.host not in WILDCARDS:
        return settings.host
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((_SOMEWHERE[ip_address(settings.host).version], 9))  # sends nothing
            found = str(sock.getsockname()[0])
        except OSError:
            found = "127.0.0.1" if family == socket.AF_INET else "::1"
    log.info("[media] public_address is not set", clients_are_sent_to=found)
    return found
