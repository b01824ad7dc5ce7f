"""What both ends of a connection between processes have in common."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import cast

import structlog

from fsharechat import tls
from fsharechat.protocol.frames import Frame, FrameDecoder, FrameError
from fsharechat.rpc.codec import HANDSHAKE_BODY, CodecError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """The bounds of the rpc between processes. They are no settings: nobody would know better values."""

    max_body: int = 1 << 20
    """The largest body of a frame that this process takes, bytes; TcpRpc sets it."""
    tick_seconds: float = 0.5
    """How often connections and deadlines are looked at."""
    silent_ticks: int = 6
    """A process that answered no ping for so many ticks is dead."""
    idle_ticks: int = 24
    """A caller from which nothing came for so many ticks, not even a ping, is dead."""
    late_seconds: float = 5.0
    """A process that has not answered a call so long after its deadline, not even with 249, is broken."""
    under_way_here: int = 32_768
    """Calls that the group role of this process has taken, from here and elsewhere; beyond, they get code 4."""
    under_way: int = 16_384
    """Calls of this process that wait for other processes; beyond, they get code 4."""
    under_way_bytes: int = 256 << 20
    """The bodies of those calls, likewise."""
    under_way_peer: int = 8192
    """Calls on one connection, likewise; less than 65,536."""
    write_buffer: int = 16 << 20
    """Bytes written that the other side does not read; beyond, it gets no more calls."""
    reply_buffer: int = 64 << 20
    """Bytes of replies that a caller does not read; beyond, its connection is cut."""
    reconnect_seconds: float = 0.05
    """The pause before a lost connection is made again; it doubles with each failure, and is cut randomly."""
    reconnect_max_seconds: float = 2.0
    tries: int = 2
    """How many processes may break over one call: it may be what breaks them."""

    @property
    def silent_seconds(self) -> float:
        """Return after how long a process that does not answer is dead."""
        return self.silent_ticks * self.tick_seconds


def fault(error: BaseException) -> str:
    """Return why a connection failed, and the settings that it lies with if they are those of TLS."""
    return f"{tls.why(error)} ([rpc.tls])" if isinstance(error, ssl.SSLError) else str(error)


class RpcLink(asyncio.Protocol):
    """One end: cuts what arrives into frames, and writes those of one turn of the loop at once.

    It ends by `drop`, `finish` or the other side; then `lost` is called, once.
    """

    transport: asyncio.Transport

    def __init__(self, limits: RpcLimits) -> None:
        self.limits = limits
        self.silence = 0
        """Ticks since something arrived."""
        self.reason = ""
        """Why this side ended the connection, if it did for a reason worth a line in the log."""
        self.connected = False
        """Whether it was ever connected; `transport` is there from then on."""
        self.ended = False
        self.peer = "?"
        self.paused = False
        """Whether the other side does not read as much as is written."""
        self._decoder = FrameDecoder(HANDSHAKE_BODY)
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._loop = asyncio.get_running_loop()

    # What the ends do

    def on_frame(self, frame: Frame) -> None:
        """Take a frame. Raises CodecError, which ends the connection."""
        raise NotImplementedError

    def lost(self, reason: str) -> None:
        """Take notice of the end of the connection."""
        raise NotImplementedError

    # What they use

    def opened(self) -> None:
        """Take large frames from now on: the other side knows the secret."""
        self._decoder.max_body = self.limits.max_body

    def send(self, frame: bytes) -> None:
        """Write at the end of this turn of the loop."""
        if self.ended:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)
        self._out_bytes += len(frame)

    def drop(self, reason: str) -> None:
        """End the connection now."""
        if not self.ended:
            self.ended = True
            self.reason = reason
            self.transport.abort()

    def finish(self, reason: str = "") -> None:
        """End the connection when the other side has read what was sent."""
        if not self.ended:
            self._flush()
            self.ended = True
            self.reason = reason
            self.transport.close()

    def tick(self) -> None:
        """Look after the connection, every `tick_seconds`."""
        self.silence += 1
        if self.ended and self.silence > self.limits.silent_ticks:
            self.transport.abort()  # it does not read what was sent before the end

    def _flush(self) -> None:
        if self._out and not self.ended:
            self.transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connected = True
        self.transport.set_write_buffer_limits(high=self.limits.write_buffer)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.peer = f"{peer[0]}:{peer[1]}"

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        self.silence = 0
        try:
            for frame in self._decoder.feed(data):
                self.on_frame(frame)
                if self.ended:
                    return
        except (FrameError, CodecError) as error:
            self.drop(str(error))

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        self._out.clear()
        self.lost(self.reason or (fault(error) if error else "the other side closed it"))
