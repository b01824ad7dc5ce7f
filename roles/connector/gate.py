"""The limits of a web client before its login: a few bytes, and a short time."""

import asyncio
from typing import TYPE_CHECKING, cast

import structlog

from roles.connector.admission import Visit

if TYPE_CHECKING:
    from roles.connector.session import Session

log = structlog.get_logger(__name__)

UNAUTHENTICATED_BYTES = 64 * 1024
"""What a web client may send before its CONNECT is accepted: handshake with cookies, CONNECT, some PINGs."""


class Gate(asyncio.Protocol):
    """Stands between a socket and aiohttp's protocol, and steps aside when the client is logged in.

    aiohttp has no time limit for a request, and has the size limits of an upload server. Without this class a
    connection could stay idle and uncounted, and one without login could send as much as any other.
    """

    __slots__ = ("_handler", "_left", "_transport", "session", "visit")

    def __init__(self, visit: Visit, handler: asyncio.Protocol) -> None:
        self.visit = visit
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._left = UNAUTHENTICATED_BYTES
        self.session: Session | None = None
        """Set when the connection has become a WebSocket."""

    def upgraded(self, session: "Session", handler: asyncio.Protocol) -> None:
        """Note that the connection has become a WebSocket, and who takes what comes from now on."""
        self.session = session
        self._handler = handler

    def open(self) -> None:
        """Let everything through from now on, at no cost. The next reader reports the end of the visit."""
        self.visit.logged_in()
        if self._transport is not None:
            self._transport.set_protocol(self._handler)

    def refuse(self, reason: str) -> None:
        """Close the connection, with one log line."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.session is not None:
            self.session.refuse(reason)
        else:
            self._log(reason)
            self._left = UNAUTHENTICATED_BYTES  # so that its end is not logged again
        self._transport.abort()

    def _overdue(self) -> None:
        self.refuse(
            "no WebSocket handshake within the time"
            if self.session is None
            else "not logged in within the time"
        )

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self.visit.overdue = self._overdue
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._left -= len(data)
        if self._left < 0:
            self.refuse(f"more than {UNAUTHENTICATED_BYTES} bytes before it was logged in")
        else:
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received() if self._transport is not None else None

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self.visit.ended()
            self._handler.connection_lost(error)
            self._transport = None
            if self.session is None and self._left < UNAUTHENTICATED_BYTES:
                self._log("no WebSocket handshake")

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def _log(self, reason: str) -> None:
        log.info("connection closed", reason=reason, peer=self.visit.peer, uid=None)
