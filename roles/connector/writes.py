"""One write for each connection and turn of the loop: each write is a system call."""

import asyncio
from typing import Protocol


class Writable(Protocol):
    def write_now(self, data: bytes) -> None:
        """Give bytes to the socket."""


class TurnWrites:
    """Gathers the bytes of this turn of the loop for each connection."""

    def __init__(self) -> None:
        self._waiting: dict[Writable, list[bytes]] = {}
        self._loop = asyncio.get_running_loop()

    def add(self, connection: Writable, data: bytes) -> None:
        parts = self._waiting.get(connection)
        if parts is not None:
            parts.append(data)
            return
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting[connection] = [data]

    def flush(self, connection: Writable) -> None:
        """Write the waiting bytes of one connection that is about to be closed."""
        if parts := self._waiting.pop(connection, None):
            connection.write_now(b"".join(parts))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for connection, parts in waiting.items():
            connection.write_now(parts[0] if len(parts) == 1 else b"".join(parts))
