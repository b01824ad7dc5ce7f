"""One write a connection and turn of the loop: each write is a system call."""

import asyncio
import fcntl
import sys
from typing import Protocol

_OUTPUT_QUEUE = 0x5411
"""SIOCOUTQ of Linux: the bytes in a socket's send queue that the other side has not acknowledged (tcp(7))."""


class Connection(Protocol):
    def write_now(self, data: bytes) -> None:
        """Hand bytes to the socket."""


class TurnWrites:
    """Gathers what this turn of the loop has for each connection."""

    def __init__(self) -> None:
        self._waiting: dict[Connection, list[bytes]] = {}
        self._loop = asyncio.get_running_loop()

    def add(self, connection: Connection, data: bytes) -> None:
        parts = self._waiting.get(connection)
        if parts is not None:
            parts.append(data)
            return
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting[connection] = [data]

    def flush(self, connection: Connection) -> None:
        """Write what waits for one connection, which is about to be closed."""
        if parts := self._waiting.pop(connection, None):
            connection.write_now(b"".join(parts))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for connection, parts in waiting.items():
            connection.write_now(parts[0] if len(parts) == 1 else b"".join(parts))


def has_unsent(transport: asyncio.Transport) -> bool:
    """Return whether something waits to be sent, or was sent and is not acknowledged as far as that is known."""
    if transport.get_write_buffer_size():
        return True
    socket = transport.get_extra_info("socket")
    if socket is None or not sys.platform.startswith("linux"):
        return False
    try:
        queued = fcntl.ioctl(socket.fileno(), _OUTPUT_QUEUE, bytes(4))
    except OSError:  # it is closed, and nothing more is heard of it
        return True
    return int.from_bytes(queued, sys.byteorder) > 0
