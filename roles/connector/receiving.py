"""The receiving side of a connection. Received bytes are read in parts, and only while the session wants more."""

from __future__ import annotations

import asyncio

from roles.connector.hub import Hub
from roles.connector.sending import SendingConnection

PART_BYTES = 16 * 1024
"""How many received bytes are read in one turn. Then other connections have theirs."""

SKIPPED_BYTES = 16 << 20
"""A request over the limit and under this size, bytes, is refused (section 8). A longer one closes its connection."""


class ReceivingConnection(SendingConnection):
    """Reads arriving bytes, but none while the session wants no more or the client does not take its answers."""

    __slots__ = ("_held", "_later", "_transport")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._transport: asyncio.Transport | None = None
        self._held = False  # the session wants no more for now
        self._later = b""  # bytes that have come meanwhile

    # What the connection does

    def _read(self, data: bytes) -> None:
        """Give the session the frames that `data` completes."""
        raise NotImplementedError

    # Receiving

    def data_received(self, data: bytes) -> None:
        session = self._session
        if session is None or self._closing:
            return
        session.heard_at = self._hub.time()
        if len(data) > PART_BYTES:
            data, self._later = data[:PART_BYTES], data[PART_BYTES:]
            session.rest()
        self._read(data)

    def pause(self) -> None:
        self._held = True
        self._read_or_not()

    def resume(self) -> None:
        self._held = False
        later, self._later = self._later, b""
        if later:
            self.data_received(later)
        self._read_or_not()

    def _resumed(self) -> None:
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._held or not self._straight:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
