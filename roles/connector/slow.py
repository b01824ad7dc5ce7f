"""Connections whose clients take their data slowly. Each goes on as long as its client takes any bytes."""

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol

from fsharechat.optional_module import optional_module

fcntl, termios = optional_module("fcntl"), optional_module("termios")

STALLED_SECONDS = 30.0
"""A client is too slow if bytes wait and it takes none for so many seconds (contract.md section 6)."""

END_STALLED_SECONDS = 5.0
"""The same for a closed connection, s: the frame that has begun is finished (section 1)."""

END_SECONDS = 60.0
"""The longest time for a closed connection, s, whatever its client takes."""

POLL_SECONDS = 0.05

Left = tuple[int, int]
"""Bytes that wait in this process, and bytes in the kernel that the client has not acknowledged."""

NOTHING: Left = (0, 0)


class Reader(Protocol):
    """The part of a connection that this module needs."""

    def left(self) -> Left | None:
        """Return the bytes that the client has not taken yet, None when the connection is gone."""

    def taken(self, now: float) -> None:
        """Called when the client has taken some bytes, so it is alive."""

    def all_taken(self) -> None:
        """Called when the client has taken everything of an ended connection: close it."""

    def stalled(self) -> None:
        """Called when the client takes nothing: end the connection, or cut it if it has been ended."""


class SlowReaders:
    """Watches the connections that cannot be written to, and the closed ones with bytes left to send."""

    def __init__(self) -> None:
        self._watched: dict[Reader, _Watch] = {}

    def watch(self, reader: Reader, now: float) -> None:
        """Watch a connection that is full."""
        self._watched[reader] = _Watch(reader.left(), now, None)

    def end(self, reader: Reader, now: float) -> None:
        """Watch a connection that was closed, until it is gone."""
        if (left := reader.left()) is not None:
            self._watched[reader] = _Watch(left, now, now + END_SECONDS)

    def forget(self, reader: Reader) -> None:
        """Stop watching a connection: it can be written to again, or is gone."""
        self._watched.pop(reader, None)

    def look(self, now: float) -> None:
        """End the connections that have not moved for too long."""
        for reader, watch in list(self._watched.items()):
            left = reader.left()
            if left is None:
                self.forget(reader)
            elif watch.end_by is not None and now >= watch.end_by:
                reader.stalled()
            elif watch.end_by is not None and left == NOTHING:
                self.forget(reader)
                reader.all_taken()
            elif left != watch.left:
                watch.left, watch.since = left, now
                reader.taken(now)
            elif now - watch.since > (STALLED_SECONDS if watch.end_by is None else END_STALLED_SECONDS):
                reader.stalled()

    async def finished(self, time: Callable[[], float]) -> None:
        """Return when no closed connection has bytes left to send, and watch no more."""
        while any(
            watch.end_by is not None and self._has_left(reader) for reader, watch in self._watched.items()
        ):
            await asyncio.sleep(POLL_SECONDS)
            self.look(time())
        self._watched.clear()

    @staticmethod
    def _has_left(reader: Reader) -> bool:
        return (reader.left() or NOTHING) != NOTHING


class _Watch:
    __slots__ = ("end_by", "left", "since")

    def __init__(self, left: Left | None, since: float, end_by: float | None) -> None:
        self.left = left
        self.since = since
        self.end_by = end_by


def left_of(transport: asyncio.Transport) -> Left:
    """Return the bytes that the other side of an open transport has not taken."""
    return transport.get_write_buffer_size(), unacknowledged(transport)


def unacknowledged(transport: asyncio.BaseTransport) -> int:
    """Return how many bytes in the kernel the other side has not acknowledged; 0 if the kernel does not say."""
    socket = transport.get_extra_info("socket")
    if socket is None or fcntl is None or termios is None:
        return 0
    count = bytearray(4)
    try:
        fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return int.from_bytes(count, sys.byteorder)
