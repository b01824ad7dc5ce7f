"""A participant of a group call without a browser: it offers, answers checks, and sends packets that are no pictures.

    peer = MediaPeer(sends=True)
    peer.accept(await server.publish("room", "anna", peer.offer()))
    await peer.connected()
    peer.send("video", b"not a picture")

It is for the tests and the benchmark. Numbers and clocks go on by themselves.
"""

import asyncio
import re
import secrets
import socket
from collections import Counter
from typing import Self

from roles.media import rtcp, stun
from roles.media.dtls import Dtls, DtlsError, DtlsIdentity, Fingerprint
from roles.media.rtp import HEADER

PAYLOADS = {"audio": 111, "video": 96}
_MAPS = {"audio": "opus/48000/2", "video": "VP8/90000"}
_STEPS = {"audio": 960, "video": 4500}
_CHECK_SECONDS = 0.05
_CONSENT_SECONDS = 2.0


class MediaPeer:
    """One connection. With `sends` it sends audio and video, else it receives them."""

    def __init__(self, *, sends: bool, host: str = "127.0.0.1", codec: str = "VP8") -> None:
        self.received: Counter[int] = Counter()
        """Packets, by payload type."""
        self.numbers: dict[int, list[int]] = {}
        """Their sequence numbers, by payload type, the last 10,000."""
        self.sources: set[int] = set()
        """The SSRCs that came."""
        self.bodies: list[bytes] = []
        """What the last packets had behind their header, the last 1,000."""
        self.feedback: Counter[tuple[int, int]] = Counter()
        """RTCP packets, by kind and subtype."""
        self.rate: int | None = None
        """What the last REMB named, bits a second."""
        self.asked_again: list[int] = []
        """The numbers that NACKs named."""
        self.failed: str | None = None
        self.answered = 0
        """Checks that were answered."""
        self.checking = True
        self.losing = 0
        """So many of the next packets are lost on their way to it."""
        self.only_counting = False
        """Count packets and look at none: for very many of them."""
        self.user = secrets.token_hex(4)
        self.identity = DtlsIdentity()
        self._sends = sends
        self._codec = codec
        self._password = secrets.token_hex(12)
        self._ssrcs = {kind: secrets.randbits(31) for kind in PAYLOADS}
        self._numbers = {kind: secrets.randbits(15) for kind in PAYLOADS}
        self._stamps = {kind: secrets.randbits(31) for kind in PAYLOADS}
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((host, 0))
        self._loop.add_reader(self._socket.fileno(), self._readable)
        self._dtls: Dtls | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._up = asyncio.Event()
        self._server: tuple[str, int] | None = None
        self._their_user = ""
        self._their_password = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ssrcs(self) -> dict[str, int]:
        """Return what it sends with, by kind."""
        return self._ssrcs

    def offer(self, fingerprint: Fingerprint | None = None) -> str:
        """Return an offer as browsers make it; with another `fingerprint` one that it cannot keep."""
        name, value = fingerprint or self.identity.fingerprint
        direction = "sendonly" if self._sends else "recvonly"
        lines = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1"]
        for index, (kind, number) in enumerate(PAYLOADS.items()):
            coded = _MAPS[kind].replace("VP8", self._codec)
            lines += [
                f"m={kind} 9 UDP/TLS/RTP/SAVPF {number}",
                "c=IN IP4 0.0.0.0",
                f"a=ice-ufrag:{self.user}",
                f"a=ice-pwd:{self._password}",
                f"a=fingerprint:{name} {value}",
                "a=setup:actpass",
                f"a=mid:{index}",
                f"a={direction}",
                "a=rtcp-mux",
                f"a=rtpmap:{number} {coded}",
            ]
            if kind == "video":
                lines += [f"a=rtcp-fb:{number} {what}" for what in ("nack", "nack pli", "goog-remb")]
        return "\r\n".join([*lines, ""])

    def accept(self, answer: str) -> None:
        """Take the answer and begin to connect."""
        (self._their_user,) = _found(r"a=ice-ufrag:(\S+)", answer)
        (password,) = _found(r"a=ice-pwd:(\S+)", answer)
        expected = Fingerprint(_found(r"a=fingerprint:(\S+) (\S+)", answer))
        self._their_password = password.encode()
        self._dtls = Dtls(self.identity, [expected], self.send_raw, as_server=False)
        if (candidate := re.search(r"a=(candidate:.*)", answer)) is not None:
            self.add_candidate(candidate[1])
        elif self._server is not None:
            self._check()

    def add_candidate(self, candidate: str) -> None:
        """Take the address of the server, which may come before the answer."""
        host, port = _found(r"candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", candidate)
        self._server = (host, int(port))
        if self._dtls is not None:
            self._check()

    async def connected(self, seconds: float = 20.0) -> None:
        """Return when packets can be sent."""
        async with asyncio.timeout(seconds):
            await self._up.wait()

    @property
    def up(self) -> bool:
        return self._up.is_set()

    def send(self, kind: str, body: bytes, *, skip: int = 0, step: int | None = None) -> int:
        """Send a packet and return its number. `skip` numbers are left out before it."""
        self._numbers[kind] = number = (self._numbers[kind] + 1 + skip) & 0xFFFF
        self._stamps[kind] = stamp = (self._stamps[kind] + (step or _STEPS[kind])) & 0xFFFFFFFF
        self.send_again(kind, number, stamp, body)
        return number

    def send_again(self, kind: str, number: int, stamp: int, body: bytes) -> None:
        """Send a packet with this number."""
        head = HEADER.pack(0x80, PAYLOADS[kind], number, stamp, self._ssrcs[kind])
        if self._dtls is not None and self._dtls.srtp is not None:
            sealed = self._dtls.srtp.seal(head + body)
            if sealed is not None:
                self.send_raw(sealed)

    def send_rtcp(self, packet: bytes) -> None:
        if self._dtls is not None and self._dtls.srtp is not None:
            sealed = self._dtls.srtp.seal_rtcp(packet)
            if sealed is not None:
                self.send_raw(sealed)

    def send_raw(self, datagram: bytes) -> None:
        """Send a datagram as it is."""
        if self._server is not None and self._socket.fileno() >= 0:
            try:
                self._socket.sendto(datagram, self._server)
            except OSError:
                return  # the server is gone, or there is no room: datagrams may be lost

    def farewell(self) -> None:
        """Say that it goes."""
        if self._dtls is not None:
            self._dtls.farewell()

    def close(self) -> None:
        """Be gone without a word."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        for timer in self._timers:
            timer.cancel()

    def _check(self) -> None:
        """Send a check, and the next one later."""
        if self.checking:
            user = f"{self._their_user}:{self.user}"
            self.send_raw(
                stun.request(secrets.token_bytes(12), user, self._their_password, use_candidate=True)
            )
        if self._socket.fileno() >= 0:
            later = _CONSENT_SECONDS if self.answered else _CHECK_SECONDS
            self._timers = [self._loop.call_later(later, self._check), *self._timers[1:]]

    def _readable(self) -> None:
        while True:
            try:
                datagram = self._socket.recv(2048)
            except OSError:
                return
            if datagram[0] < 4:
                self._on_checked()
            elif 19 < datagram[0] < 64:
                self._on_dtls(datagram)
            else:
                self._on_media(datagram)

    def _on_checked(self) -> None:
        self.answered += 1
        if self.answered == 1 and self._dtls is not None:
            self._step()

    def _step(self) -> None:
        if self._dtls is None:
            return
        try:
            self._dtls.step()
        except DtlsError as error:
            self.failed = str(error)
            return
        self._after_dtls()

    def _on_dtls(self, datagram: bytes) -> None:
        if self._dtls is None:
            return
        try:
            self._dtls.received(datagram)
        except DtlsError as error:
            self.failed = str(error)
            return
        self._after_dtls()

    def _after_dtls(self) -> None:
        if self._dtls is not None and self._dtls.srtp is not None:
            self._up.set()

    def _on_media(self, datagram: bytes) -> None:
        srtp = self._dtls.srtp if self._dtls is not None else None
        if srtp is None:
            return
        if 192 <= datagram[1] <= 223:
            packet = srtp.open_rtcp(datagram)
            if packet is not None:
                self._on_rtcp(packet)
            return
        if self.only_counting:
            self.received[datagram[1] & 0x7F] += 1
            return
        if self.losing:
            self.losing -= 1
            return
        packet = srtp.open(datagram)
        if packet is None:
            return
        _, second, number, _, ssrc = HEADER.unpack_from(packet)
        self.received[second & 0x7F] += 1
        self.sources.add(ssrc)
        numbers = self.numbers.setdefault(second & 0x7F, [])
        numbers.append(number)
        self.bodies.append(packet[12:])
        del numbers[:-10_000], self.bodies[:-1000]

    def _on_rtcp(self, data: bytes) -> None:
        for packet in rtcp.split(data):
            self.feedback[packet.kind, packet.subtype] += 1
            if packet.kind == rtcp.PSFB and packet.subtype == rtcp.REMB:
                self.rate = rtcp.read_remb(packet)
            elif packet.kind == rtcp.RTPFB and packet.subtype == rtcp.NACK:
                self.asked_again += rtcp.lost_packets(packet)


def _found(pattern: str, answer: str) -> tuple[str, ...]:
    match = re.search(pattern, answer)
    assert match is not None, f"{pattern} is not in the answer: {answer}"
    return match.groups()
