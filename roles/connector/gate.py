"""What a web client may do before it is logged in: little, and not for long."""

import asyncio
from typing import TYPE_CHECKING, cast

import structlog

if TYPE_CHECKING:
    from roles.connector.hub import Hub
    from roles.connector.session import Session

log = structlog.get_logger(__name__)

UNAUTHENTICATED_BYTES = 64 * 1024
"""What a web client may send before its CONNECT is accepted: the handshake with its cookies, CONNECT, some PINGs."""


class Gate(asyncio.Protocol):
    """Stands between a socket and aiohttp's protocol, and steps aside when the client is logged in.

    aiohttp waits for a request as long as it takes, and its limits are those of an upload server, so without this
    a connection could stay for nothing, uncounted, and one that is not logged in could send as much as any other.
    """

    __slots__ = ("_handler", "_hub", "_left", "_transport", "opened_at", "peer", "session")

    def __init__(self, hub: "Hub", handler: asyncio.Protocol) -> None:
        self._hub = hub
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._left = UNAUTHENTICATED_BYTES
        self.opened_at = hub.time()
        self.peer = ""
        self.session: Session | None = None
        """Set when the connection has become a WebSocket."""

    def open(self) -> None:
        """Let everything through from now on, at no cost."""
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
            self._left = UNAUTHENTICATED_BYTES  # so that its end is not logged once more
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._hub.admit(self):
            self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
            self.peer = peer_name(transport)
            self._handler.connection_made(transport)
        else:
            cast(asyncio.Transport, transport).abort()

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
            self._hub.waiting.discard(self)
            self._handler.connection_lost(error)
            self._transport = None
            if self.session is None and self._left < UNAUTHENTICATED_BYTES:
                self._log("no WebSocket handshake")

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def _log(self, reason: str) -> None:
        log.info("connection closed", reason=reason, peer=self.peer, uid=None)


def peer_name(transport: asyncio.BaseTransport) -> str:
    """Return host:port of the other side, for the log."""
    peer = transport.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "?"
