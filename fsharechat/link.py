"""One end of the socket between the main process and a worker: frames of a kind, in order.

A frame is the size of its body (4 bytes, the highest first), its kind (1 byte) and its body. Both ends are of one
version, because the main process starts the workers.
"""

import asyncio
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import cast

import structlog

log = structlog.get_logger(__name__)

MAX_UNREAD = 32 << 20
"""How many written bytes the other end may leave unread."""
MAX_BODY = 64 << 20
"""The largest body, bytes."""
_HEAD = struct.Struct(">IB")


class FrameKind(IntEnum):
    """What a frame is. Numbers below 16 are the life of a worker, the others are the bus."""

    PLAN = 1
    """To a worker, first: its Plan (fsharechat/workers)."""
    READY = 2
    """From a worker: it serves. A JSON object of its addresses."""
    FAILED = 3
    """From a worker: why it cannot start, for the operator."""
    RELOAD = 4
    """To a worker: read the certificates again. The level of the log."""
    STOP = 5
    """To a worker: drain, and end."""

    SERVE = 16
    """From a worker: a node id (1 byte) whose events it takes from now on."""
    SERVED = 17
    """To a worker: the same node id. All later events come."""
    LEAVE = 18
    """From a worker: a node id whose events it takes no longer."""
    EVENTS = 19
    """To a worker: a node id, and a record of bus/codec.py."""
    ONLINE = 20
    """From a worker: a value of `codec.encode_presence`."""
    OFFLINE = 21
    """From a worker: a key of `codec.presence_key`, of a device that has gone."""


class FrameLink(asyncio.Protocol):
    """`on` names who takes the frames of a kind. The link ends when a frame of another kind comes."""

    def __init__(self, max_unread: int = MAX_UNREAD) -> None:
        self.ended = False
        self.gone = asyncio.Event()
        """Set when the link has ended: the other process ends, or has ended."""
        self._max_unread = max_unread
        self._takers: dict[int, Callable[[bytes], None]] = {}
        self._on_lost: list[Callable[[], None]] = []
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None

    def on(self, kind: FrameKind, take: Callable[[bytes], None]) -> None:
        """Give the bodies of all frames of a kind to `take`. It may raise ValueError, which ends the link."""
        self._takers[kind] = take

    def on_lost(self, tell: Callable[[], None]) -> None:
        """Call `tell` when the link has ended."""
        self._on_lost.append(tell)

    def send(self, kind: FrameKind, body: bytes = b"") -> bool:
        """Send a frame. Return whether there was room for it, and the link has not ended."""
        transport = self._transport
        if transport is None or self.ended or transport.get_write_buffer_size() > self._max_unread:
            return False
        transport.write(_HEAD.pack(len(body), kind) + body)
        return True

    def close(self) -> None:
        """End the link when the other end has read what was sent."""
        self.ended = True
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """End the link now."""
        self.ended = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        self._data += data
        start = 0
        try:
            while len(self._data) - start >= _HEAD.size:
                size, kind = _HEAD.unpack_from(self._data, start)
                if size > MAX_BODY:
                    raise ValueError(f"a frame of {size} bytes")
                end = start + _HEAD.size + size
                if len(self._data) < end:
                    break
                body = bytes(memoryview(self._data)[start + _HEAD.size : end])
                start = end
                self._take(kind, body)
        except ValueError as error:
            log.error("the link between main process and worker is broken", reason=str(error))
            self.drop()
        del self._data[:start]

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        self.gone.set()
        for tell in self._on_lost:
            tell()

    def _take(self, kind: int, body: bytes) -> None:
        take = self._takers.get(kind)
        if take is None:
            raise ValueError(f"an unexpected frame of kind {kind}")
        if not self.ended:
            take(body)
