"""The common part of both ends of a connection between processes."""

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
    """The bounds of the rpc between processes. They are not settings: no operator would know better values."""

    max_body: int = 1 << 20
    """The largest body of a frame that this process takes, bytes; TcpRpc sets it."""
    tick_seconds: float = 0.5
    """How often connections and deadlines are checked, s."""
    silent_ticks: int = 6
    """A process counts as dead if it answers no ping for so many ticks."""
    idle_ticks: int = 24
    """A caller counts as dead if it sends nothing for so many ticks, not even a ping."""
    late_seconds: float = 5.0
    """A process is broken if it has not answered a call so many seconds after its deadline, not even with 249."""
    under_way_here: int = 32_768
    """The most calls that the group role of this process takes, from here and elsewhere. Others get code 4."""
    under_way: int = 16_384
    """The most calls of this process that wait for other processes. Others get code 4."""
    under_way_bytes: int = 256 << 20
    """The most bytes of bodies of those calls. Others get code 4."""
    under_way_peer: int = 8192
    """The most calls on one connection, less than 65,536. Others get code 4."""
    write_buffer: int = 16 << 20
    """How many written bytes the other side may leave unread. Beyond, it gets no more calls."""
    reply_buffer: int = 64 << 20
    """How many bytes of replies a caller may leave unread. Beyond, its connection is cut."""
    reconnect_seconds: float = 0.05
    """The pause before a lost connection is made again, s. It doubles with each failure, less a random part."""
    reconnect_max_seconds: float = 2.0
    tries: int = 2
    """How many processes may break while they have one call: the call may be the cause."""

    @property
    def silent_seconds(self) -> float:
        """Return after how many seconds a process that does not answer counts as dead."""
        return self.silent_ticks * self.tick_seconds


def fault(error: BaseException) -> str:
    """Return why a connection failed. If TLS is the cause, name its settings."""
    return f"{tls.why(error)} ([rpc.tls])" if isinstance(error, ssl.SSLError) else str(error)


class RpcLink(asyncio.Protocol):
    """One end: it cuts received bytes into frames, and writes all frames of one turn of the loop at once.

    It ends by `drop`, `finish` or the other side. Then `lost` is called once.
    """

    transport: asyncio.Transport

    def __init__(self, limits: RpcLimits) -> None:
        self.limits = limits
        self.silence = 0
        """Ticks since something arrived."""
        self.reason = ""
        """Why this side ended the connection, if the reason is worth a line in the log."""
        self.connected = False
        """Whether it was ever connected. From then on there is a `transport`."""
        self.ended = False
        self.peer = "?"
        self.paused = False
        """Whether the other side reads too slowly."""
        self._decoder = FrameDecoder(HANDSHAKE_BODY)
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._loop = asyncio.get_running_loop()

    # For the two kinds of ends to implement

    def on_frame(self, frame: Frame) -> None:
        """Take a frame. Raises CodecError, which ends the connection."""
        raise NotImplementedError

    def lost(self, reason: str) -> None:
        """Called when the connection has ended."""
        raise NotImplementedError

    # For them to call

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
        """Check the connection, every `tick_seconds`."""
        self.silence += 1
        if self.ended and self.silence > self.limits.silent_ticks:
            self.transport.abort()  # it does not read the last bytes

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
