"""One connection of a browser: ICE-lite, DTLS and SRTP over the port that all connections share.

RFC 8445 section 2.5 (the lite side only answers checks), RFC 7675 (consent), RFC 5764 (keys).
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from roles.media import stun
from roles.media.dtls import Dtls, DtlsError, DtlsIdentity, Fingerprint
from roles.media.srtp import Srtp
from roles.media.udp import Address, UdpPort

log = structlog.get_logger(__name__)

CONSENT_SECONDS = 30.0
"""Without a valid check for so long the other side is gone. A new connection has as long to come up."""
MAX_ADDRESSES = 16
"""From which one connection may be reached. Beyond, the one that was heard of least lately is forgotten."""
_KEEPS_ADDRESS = 5.0
"""Seconds for which an address belongs to who has proven it last."""
_RTCP = range(192, 224)
"""The second byte of RTCP (RFC 5761 section 4)."""


class Owner(Protocol):
    """Who uses a connection. None of the methods may wait."""

    def on_up(self) -> None: ...

    def on_lost(self, reason: str) -> None:
        """The connection is over. It has not been closed by its owner."""

    def on_rtp(self, packet: bytes, now: float) -> None: ...

    def on_rtcp(self, packet: bytes, now: float) -> None: ...


class IceTransport:
    """`user` and `password` are ours, for the answer; `their_user` and `expected` are from the offer."""

    def __init__(
        self,
        port: UdpPort,
        identity: DtlsIdentity,
        their_user: str,
        expected: Sequence[Fingerprint],
        owner: Owner,
    ) -> None:
        self.user = secrets.token_hex(8)
        self.password = secrets.token_hex(16)
        self.up = False
        self.closed = False
        self.address: Address | None = None
        """Where media go: what the other side has chosen."""
        self._port = port
        self._their_user = their_user
        self._owner = owner
        self._addresses: dict[Address, float] = {}
        self._secret = self.password.encode()
        self._began = self._heard = time.monotonic()
        self._dtls = Dtls(identity, expected, self._send)
        self._srtp: Srtp | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        port.by_user[self.user] = self

    def close(self) -> None:
        """End, and tell the other side."""
        if self.closed:
            return
        self.closed = True
        self.up = False
        if self._timer is not None:
            self._timer.cancel()
        self._dtls.farewell()
        self._port.by_user.pop(self.user, None)
        for address in self._addresses:
            if self._port.by_address.get(address) is self:
                del self._port.by_address[address]

    def fail(self) -> None:
        self._lose("it failed")

    def look(self, now: float) -> None:
        """Be lost when the other side has been silent for too long, or has not come up."""
        if self.closed:
            return
        if now - self._heard > CONSENT_SECONDS:
            self._lose("no valid check")
        elif not self.up and now - self._began > CONSENT_SECONDS:
            self._lose("no DTLS")

    # Of the other side

    def on_check(self, request: stun.BindingRequest, address: Address) -> None:
        if self.closed or request.remote_user != self._their_user or not request.valid(self._secret):
            return
        now = time.monotonic()
        holder = self._port.by_address.get(address)
        if holder is not self and isinstance(holder, IceTransport) and holder.keeps(address, now):
            return  # else who knows a password of his own could take an address from its owner, by a forged sender
        self._heard = now
        self._port.by_address[address] = self
        self._addresses[address] = now
        if request.use_candidate or self.address is None:
            self.address = address
        if len(self._addresses) > MAX_ADDRESSES:
            self._forget_one()
        self._port.send(stun.success(request.transaction, address[0], address[1], self._secret), address)

    def keeps(self, address: Address, now: float) -> bool:
        """Return whether it has been heard at this address so lately that nobody else can be there."""
        return now - self._addresses.get(address, now - _KEEPS_ADDRESS) < _KEEPS_ADDRESS

    def _forget_one(self) -> None:
        oldest = min((one for one in self._addresses if one != self.address), key=self._addresses.__getitem__)
        del self._addresses[oldest]
        if self._port.by_address.get(oldest) is self:
            del self._port.by_address[oldest]

    def on_dtls(self, datagram: bytes) -> None:
        try:
            self._dtls.received(datagram)
        except DtlsError as error:
            self._lose(str(error))
            return
        self._after_dtls()

    def on_media(self, datagram: bytes) -> None:
        srtp = self._srtp
        if srtp is None or self.closed:
            return
        if datagram[1] in _RTCP:
            packet = srtp.open_rtcp(datagram)
            if packet is not None:
                self._owner.on_rtcp(packet, time.monotonic())
            return
        packet = srtp.open(datagram)
        if packet is not None:
            self._owner.on_rtp(packet, time.monotonic())

    # To the other side

    def send_rtp(self, packet: bytes | bytearray) -> None:
        """Send a packet, if the connection is up."""
        if self.up and self._srtp is not None and self.address is not None:
            sealed = self._srtp.seal(packet)
            if sealed is not None:
                self._port.send(sealed, self.address)

    def send_rtcp(self, packet: bytes) -> None:
        if self.up and self._srtp is not None and self.address is not None:
            sealed = self._srtp.seal_rtcp(packet)
            if sealed is not None:
                self._port.send(sealed, self.address)

    def _send(self, datagram: bytes) -> None:
        if self.address is not None:
            self._port.send(datagram, self.address)

    # DTLS

    def _after_dtls(self) -> None:
        if not self.up and self._dtls.srtp is not None:
            self._srtp = self._dtls.srtp
            self.up = True
            self._owner.on_up()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = self._dtls.timeout()
        if seconds is not None and not self.closed:
            self._timer = self._loop.call_later(seconds, self._repeat)

    def _repeat(self) -> None:
        self._timer = None
        try:
            self._dtls.repeat()
        except DtlsError as error:
            self._lose(str(error))
            return
        self._after_dtls()

    def _lose(self, reason: str) -> None:
        if not self.closed:
            self.close()
            self._owner.on_lost(reason)
