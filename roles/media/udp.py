"""The one UDP port of a media process: all connections of all participants go through it."""

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Protocol

import structlog

from roles.media import stun

log = structlog.get_logger(__name__)

Address = tuple[str, int] | tuple[str, int, int, int]

_AT_ONCE = 64
"""Datagrams that are read before the loop does something else."""
_MAX_DATAGRAM = 2048
_SOCKET_BUFFER = 4 << 20
_LEAST = 12
"""Bytes: neither RTP, RTCP nor DTLS has less that could count for anything."""


class ReachedConnection(Protocol):
    """What is reached at this port by a user name of its own. None of the methods may wait."""

    user: str
    """The ICE user name."""

    def on_check(self, request: stun.BindingRequest, address: Address) -> None: ...

    def on_dtls(self, datagram: bytes) -> None: ...

    def on_media(self, datagram: bytes) -> None: ...

    def fail(self) -> None:
        """End, since what it did went wrong."""


class UdpPort:
    """Sends datagrams, and gives those that come to the connection they are for.

    Media and DTLS are taken only from an address that has been proven by a check (stun.py). Counts: `received`,
    `sent`, `sent_bytes` and `dropped`, which the operating system had no room for.
    """

    def __init__(self, host: str, port: int) -> None:
        """`port` 0 takes a free one. Raises OSError."""
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.number: int = self._socket.getsockname()[1]
        self.received = self.sent = self.sent_bytes = self.dropped = 0
        self.by_user: dict[str, ReachedConnection] = {}
        self.by_address: dict[Address, ReachedConnection] = {}
        self._sendto: Callable[[bytes, Address], int] = self._socket.sendto
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop = None
        self._socket.close()

    def send(self, datagram: bytes, address: Address) -> None:
        """Send, or drop it where there is no room: nothing ever waits here."""
        try:
            self._sendto(datagram, address)
        except OSError:
            self.dropped += 1
            return
        self.sent += 1
        self.sent_bytes += len(datagram)

    def _readable(self) -> None:
        receive, by_address = self._socket.recvfrom, self.by_address
        for _ in range(_AT_ONCE):
            try:
                datagram, address = receive(_MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue  # what an earlier datagram met: its address does not listen any more
            if len(datagram) < _LEAST:
                continue
            self.received += 1
            first = datagram[0]
            # The first byte says what it is (RFC 7983).
            connection = by_address.get(address)
            try:
                if 127 < first < 192:
                    if connection is not None:
                        connection.on_media(datagram)
                elif first < 4:
                    self._check(datagram, address)
                elif 19 < first < 64 and connection is not None:
                    connection.on_dtls(datagram)
            except Exception:
                log.exception("a datagram failed", address=address[0])
                if connection is not None:
                    connection.fail()

    def _check(self, datagram: bytes, address: Address) -> None:
        request = stun.parse(datagram)
        if request is not None and (connection := self.by_user.get(request.local_user)) is not None:
            connection.on_check(request, address)
