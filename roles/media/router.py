"""Encoded media on their way: a source is one medium of one participant, a sink is one receiver of it.

Nothing is decoded. A receiver sees one SSRC, one numbering and one clock for as long as it receives, also when the
sender's connection is replaced by another one.
"""

import secrets
from typing import Protocol

from roles.media import rtcp
from roles.media.reception import JUMP, Missing, Reception
from roles.media.rtp import HEADER, HEADER_BYTES, rename_extensions, renaming
from roles.media.sdp import MediaCodec

KEY_SECONDS = 0.5
"""Between two requests for a key frame of one source."""
POLICED = 1.5
"""A source that sends more than its cap by this factor loses what is above it. It has been told of the cap."""
REMB_SECONDS = 10.0
"""What a receiver said that it can take counts for so long."""
_HISTORY = 1024
"""Packets that are kept to be sent again: some seconds of video. A power of two."""
_RESENDS = 256
"""Packets that a receiver may be sent again within a second."""
_16 = 0xFFFF
_32 = 0xFFFFFFFF


class Sender(Protocol):
    """A connection that packets can be sent over. Where it is not up they are dropped."""

    def send_rtp(self, packet: bytes | bytearray) -> None: ...

    def send_rtcp(self, packet: bytes) -> None: ...


class StreamSource:
    """One medium of one participant. Times are seconds of a steady clock, rates bits a second.

    `attach` gives it a connection to come from. It begins without one: receivers may come first.
    """

    __slots__ = (
        "_asked_key",
        "_budget",
        "_budget_most",
        "_came",
        "_history",
        "_kept_stamp",
        "_last_number",
        "_last_stamp",
        "_live",
        "_missing",
        "_number_shift",
        "_payload",
        "_reception",
        "_sinks",
        "_ssrc_in",
        "_stamp_shift",
        "_takes",
        "_ticked",
        "_transport",
        "_wants_key",
        "codec",
        "extensions",
        "forwarded",
        "kind",
        "name",
        "policed",
        "ssrc",
    )

    def __init__(self, kind: str, name: str, cap: int) -> None:
        """`kind` is "audio" or "video", `name` that of the participant, `cap` the rate that is asked for."""
        self.kind = kind
        self.name = name
        self.ssrc = secrets.randbits(31) | 1
        """What receivers see."""
        self.codec: MediaCodec | None = None
        """Of the last connection; None before the first."""
        self.extensions: dict[str, int] = {}
        self.forwarded = 0
        self.policed = 0
        self._sinks: list[Sink] = []
        self._live: tuple[Sink, ...] = ()
        self._transport: Sender | None = None
        self._payload = -1
        self._ssrc_in: int | None = None
        self._reception: Reception | None = None
        self._missing = Missing()
        self._number_shift = 0
        self._stamp_shift = 0
        self._last_number = secrets.randbits(15)
        self._last_stamp = secrets.randbits(31)
        self._kept_stamp = False
        self._came = 0.0
        self._history: list[tuple[int, bytearray] | None] = [None] * _HISTORY if kind == "video" else []
        self._takes: dict[Sink, tuple[int, float]] = {}
        self._wants_key = False
        self._asked_key = -KEY_SECONDS
        self._budget = self._budget_most = int(cap * POLICED / 8)
        self._ticked = 0.0

    # Its connection

    def attach(self, transport: Sender, payload: int, codec: MediaCodec, extensions: dict[str, int]) -> None:
        """Come from this connection from now on."""
        self.detach()
        self._transport = transport
        self._payload = payload
        self.codec = codec
        self.extensions = extensions
        for sink in self._sinks:
            sink.adapt()
        self.changed()

    def detach(self) -> None:
        """Come from nowhere. Receivers go on when there is another connection."""
        self._transport = None
        self._ssrc_in = None
        self._reception = None
        self._kept_stamp = False
        self._missing.clear()

    @property
    def payload(self) -> int:
        """The payload type of its packets as they come; -1 before there is a connection."""
        return self._payload

    @property
    def heard(self) -> int | None:
        """The SSRC of its packets as they come, None before the first."""
        return self._ssrc_in

    # Its receivers

    def add(self, sink: "Sink") -> None:
        self._sinks.append(sink)
        self.changed()

    def remove(self, sink: "Sink") -> None:
        if sink in self._sinks:
            self._sinks.remove(sink)
        self._takes.pop(sink, None)
        self.changed()

    def changed(self) -> None:
        """Look anew which receivers get something."""
        live = []
        for sink in self._sinks:
            was = sink in self._live
            if sink.up and sink.codec == self.codec:
                if not was:
                    sink.begin(self._last_number + 1)
                live.append(sink)
            elif was:
                sink.pause(self._last_number + 1)
        self._live = tuple(live)

    # Packets

    def on_rtp(self, packet: bytes, now: float) -> None:
        """Take a packet from its connection and send it to all receivers."""
        first, second, number, stamp, ssrc = HEADER.unpack_from(packet)
        reception = self._reception
        if reception is None or ssrc != self._ssrc_in:
            reception = self._begin(number, stamp, ssrc, now)
        before = reception.highest
        step = reception.take(number, stamp, now)
        if step == JUMP:
            reception = self._begin(number, stamp, ssrc, now)
            reception.take(number, stamp, now)
        self._budget -= len(packet)
        if self._budget < 0:
            self._budget = 0
            self.policed += 1
            self._wants_key = True
            self._missing.clear()
            return
        if 1 < step < JUMP:
            if self.kind == "video" and not self._missing.add(before + 1, step - 1, now):
                self.want_key(now)
        elif step < 1:
            self._missing.came(number)
        out_number = (number + self._number_shift) & _16
        out_stamp = (stamp + self._stamp_shift) & _32
        if step >= 1:
            self._last_number, self._last_stamp, self._came = out_number, out_stamp, now
        out = bytearray(packet)
        HEADER.pack_into(out, 0, first, second, out_number, out_stamp, self.ssrc)
        if self._history:
            self._history[out_number & (_HISTORY - 1)] = (out_number, out)
        for sink in self._live:
            sink.send(out, out_number)
        self.forwarded += len(self._live)

    def _begin(self, number: int, stamp: int, ssrc: int, now: float) -> Reception:
        """Go on for the receivers where they are, with a stream that numbers anew."""
        clock = self.codec.clock if self.codec else 90_000
        self._number_shift = (self._last_number + 1 - number) & _16
        if not self._kept_stamp or ssrc != self._ssrc_in:
            passed = int((now - self._came) * clock) if self._came else 0
            self._stamp_shift = (self._last_stamp + max(passed, 1) - stamp) & _32
            self._kept_stamp = True
        self._ssrc_in = ssrc
        self._missing.clear()
        self._reception = reception = Reception(clock, number)
        if self._live:
            self.want_key(now)
        return reception

    def kept(self, number: int) -> bytearray | None:
        """Return a packet that was sent lately, by its number for receivers."""
        if not self._history:
            return None
        entry = self._history[number & (_HISTORY - 1)]
        return entry[1] if entry is not None and entry[0] == number else None

    def on_sender_report(self, info: rtcp.SenderInfo, now: float) -> None:
        """Tell receivers how the sender's clock goes, by which they keep sound and picture together."""
        if self._reception is None:
            return
        self._reception.on_sender_report(info.ntp, now)
        ours = info._replace(ssrc=self.ssrc, rtp=(info.rtp + self._stamp_shift) & _32)
        report = rtcp.sender_report(ours, self.name)
        for sink in self._live:
            sink.transport.send_rtcp(report)

    # Feedback to the sender

    def want_key(self, now: float) -> None:
        """Ask the sender for a key frame, now or as soon as it may be asked again."""
        if self.kind != "video":
            return
        if self._transport is None or self._ssrc_in is None or now - self._asked_key < KEY_SECONDS:
            self._wants_key = True
            return
        self._wants_key = False
        self._asked_key = now
        self._transport.send_rtcp(rtcp.pli(self.ssrc, self._ssrc_in))

    def takes(self, sink: "Sink", bits: int, now: float) -> None:
        """Learn which rate a receiver can take."""
        self._takes[sink] = (bits, now)

    def slowest(self, now: float) -> int | None:
        """Return the least rate that a receiver of now can take, None where nobody has said any."""
        said = [
            bits
            for sink, (bits, when) in self._takes.items()
            if sink in self._live and now - when < REMB_SECONDS
        ]
        return min(said, default=None)

    def tick(self, now: float) -> None:
        """Ask for what is missing. To be called some ten times a second; a busy loop may be late."""
        seconds = now - self._ticked if self._ticked else 0.0
        self._ticked = now
        self._budget = min(self._budget + int(self._budget_most * seconds), self._budget_most)
        if self._wants_key:
            self.want_key(now)
        if len(self._missing) and self._transport is not None and self._ssrc_in is not None:
            due = self._missing.due(now)
            if due:
                self._transport.send_rtcp(rtcp.nack(self.ssrc, self._ssrc_in, due))
        for sink in self._sinks:
            sink.tick(seconds)

    def report(self, now: float) -> rtcp.Block | None:
        """Return what to tell the sender of its packets, None before the first."""
        if self._reception is None or self._ssrc_in is None:
            return None
        return self._reception.report(self._ssrc_in, now)


class Sink:
    """One receiver of one source, over a connection of its own. It is bound to a codec from its answer on."""

    __slots__ = (
        "_next",
        "_payload",
        "_resends",
        "_same",
        "_shift",
        "_table",
        "codec",
        "extensions",
        "source",
        "transport",
        "up",
    )

    def __init__(
        self,
        source: StreamSource,
        transport: Sender,
        payload: int,
        codec: MediaCodec,
        extensions: dict[str, int],
    ) -> None:
        self.source = source
        self.transport = transport
        self.codec = codec
        self.extensions = extensions
        self.up = False
        self._payload = payload
        self._table = b""
        self._same = False
        self._shift = 0
        self._next: int | None = None
        self._resends: float = _RESENDS
        self.adapt()
        source.add(self)

    def start(self, now: float) -> None:
        """Receive from now on: the connection is up."""
        self.up = True
        self.source.changed()
        self.source.want_key(now)

    def close(self) -> None:
        self.up = False
        self.source.remove(self)

    def adapt(self) -> None:
        """Learn what the source's packets look like now."""
        source = self.source
        self._table = renaming(source.extensions, self.extensions)
        own = all(self._table[number] == number for number in source.extensions.values())
        self._same = own and self._payload == source.payload and not self._shift

    def pause(self, number: int) -> None:
        """Be sent nothing from this number on."""
        self._next = (number + self._shift) & _16

    def begin(self, number: int) -> None:
        """Be sent packets from this number on. To the receiver they follow on what it had before.

        A gap of many packets would lose the count of cycles that SRTP is keyed with.
        """
        if self._next is not None:
            self._shift = (self._next - number) & _16
            self.adapt()

    def send(self, packet: bytearray, number: int) -> None:
        """Send a packet. `number` is its own, in the source's numbering."""
        if self._same:
            self.transport.send_rtp(packet)
            return
        own = bytearray(packet)
        own[1] = own[1] & 0x80 | self._payload
        if self._shift:
            own[2:4] = ((number + self._shift) & _16).to_bytes(2)
        rename_extensions(own, self._table)
        self.transport.send_rtp(own)

    def resend(self, numbers: list[int]) -> None:
        """Send packets again that did not arrive, as far as they are kept and the bound allows."""
        for number in numbers:
            kept = (number - self._shift) & _16
            packet = self.source.kept(kept)
            if packet is not None and self._resends >= 1 and self.up:
                self._resends -= 1
                self.send(packet, kept)

    def tick(self, seconds: float) -> None:
        self._resends = min(self._resends + _RESENDS * seconds, _RESENDS)


class Demux:
    """Gives the packets of one connection to its sources and sinks."""

    __slots__ = ("_sinks", "_sources")

    def __init__(self) -> None:
        self._sources: dict[int, StreamSource] = {}  # by payload type
        self._sinks: dict[int, Sink] = {}  # by the SSRC that the receiver sees

    def add_source(self, source: StreamSource, payload: int) -> None:
        self._sources[payload] = source

    def add_sink(self, sink: Sink) -> None:
        self._sinks[sink.source.ssrc] = sink

    @property
    def sources(self) -> list[StreamSource]:
        return list(self._sources.values())

    @property
    def sinks(self) -> list[Sink]:
        return list(self._sinks.values())

    def on_rtp(self, packet: bytes, now: float) -> None:
        if len(packet) < HEADER_BYTES:
            return
        source = self._sources.get(packet[1] & 0x7F)
        if source is not None:
            source.on_rtp(packet, now)

    def on_rtcp(self, data: bytes, now: float) -> None:
        for packet in rtcp.split(data):
            if packet.kind == rtcp.SR:
                self._on_sender_report(packet, now)
            elif packet.kind in (rtcp.RTPFB, rtcp.PSFB):
                self._on_feedback(packet, now)

    def _on_sender_report(self, packet: rtcp.RtcpPacket, now: float) -> None:
        info = rtcp.sender_info(packet)
        if info is None:
            return
        for source in self._sources.values():
            if source.heard == info.ssrc:
                source.on_sender_report(info, now)

    def _on_feedback(self, packet: rtcp.RtcpPacket, now: float) -> None:
        if packet.kind == rtcp.PSFB and packet.subtype == rtcp.REMB:
            bits = rtcp.read_remb(packet)
            if bits is not None:
                for sink in self._sinks.values():
                    sink.source.takes(sink, bits, now)
            return
        about = self._sinks.get(rtcp.media_ssrc(packet))
        if about is None:
            return
        if packet.kind == rtcp.RTPFB and packet.subtype == rtcp.NACK:
            about.resend(rtcp.lost_packets(packet))
        elif packet.kind == rtcp.PSFB and packet.subtype in (rtcp.PLI, rtcp.FIR):
            about.source.want_key(now)
