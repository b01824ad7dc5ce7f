"""The sending side of a connection: straight to the socket while it takes everything, else through a queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from roles.connector.slow import NOTHING

if TYPE_CHECKING:
    from roles.connector.hub import Hub
    from roles.connector.session import Session
    from roles.connector.slow import Left

AT_ONCE = 16 * 1024
"""A frame of so many bytes is written alone: the next step depends on whether the socket takes it."""

_ENTRY = 128
"""The size of an entry of the queue without its frame, bytes."""

Outgoing = bytes | Callable[[], bytes]
"""A frame, or a function that makes it when it can be sent: JSON is larger than its source."""


class SendingConnection:
    """Sends frames. While the socket is full, no request of this connection is carried out, and frames wait here.

    All answers to the requests under way may wait, however large they are. Other frames may wait up to [connector]
    send_buffer_bytes.
    """

    __slots__ = ("_closing", "_full", "_hub", "_queue", "_resting", "_session", "_straight", "_unasked")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._session: Session | None = None
        self._straight = True  # not full, not closing, and nothing waits
        self._full = False
        self._closing = False
        self._resting = False
        self._queue: deque[tuple[int, Outgoing]] | None = None
        self._unasked = 0

    # What the connection does

    def write_now(self, data: bytes) -> None:
        """Give bytes to the socket, and call `_filled` if it does not take them all."""
        raise NotImplementedError

    def left(self) -> Left | None:
        """Return the bytes that the client has not taken (slow.py), None when the connection is gone."""
        raise NotImplementedError

    def _abort(self) -> None:
        """Cut the connection off."""
        raise NotImplementedError

    def _resumed(self) -> None:
        """Read again: everything has been sent."""

    # Sending

    def _send(self, data: bytes, unasked: bool = False) -> None:
        """Send a frame. `unasked`: it answers no request."""
        if self._straight:
            self._hub.writes.add(self, data)
            if len(data) >= AT_ONCE:
                self._hub.writes.flush(self)
        else:
            self._wait(data, len(data) + _ENTRY if unasked else 0)

    def _wait(self, frame: Outgoing, unasked: int = 0) -> None:
        if self._closing:
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.append((unasked, frame))
        self._unasked += unasked
        if self._unasked > self._hub.settings.send_buffer_bytes and self._session is not None:
            self._session.refuse("reads too slowly")

    def _filled(self) -> None:
        self._full = True
        if self._straight:
            self._straight = False
            self._hub.slow.watch(self, self._hub.time())
            if self._session is not None:
                self._session.hold()

    def _release(self) -> None:
        """Send the waiting frames until the socket is full. When all are sent, go on with the client's requests."""
        if self._straight or self._closing or self._full or self._resting:
            return
        while self._queue:
            unasked, frame = self._queue.popleft()
            self._unasked -= unasked
            self.write_now(frame if isinstance(frame, bytes) else frame())
            if self._full:
                return
        self._queue = None
        self._straight = True
        self._hub.slow.forget(self)
        if self._session is not None:
            self._session.go_on()
        self._resumed()

    def _rest(self, seconds: float) -> None:
        """Send nothing until so many seconds after the client has taken everything."""
        self._resting = True
        full = self._full
        self._filled()
        self._full = full
        asyncio.get_running_loop().call_later(seconds, self._rested, seconds)

    def _rested(self, seconds: float) -> None:
        if self._closing or (left := self.left()) is None:
            return
        if left == NOTHING:
            self._resting = False
            self._release()
        else:
            asyncio.get_running_loop().call_later(seconds, self._rested, seconds)

    def _end(self) -> None:
        """Send nothing beyond the bytes that the socket already has."""
        self._hub.writes.flush(self)
        self._closing = True
        self._straight = False
        self._queue = None
        self._hub.slow.end(self, self._hub.time())

    # Slow readers

    def unsent(self) -> bool:
        """Return whether the client's machine has still to take some bytes, as far as that is known."""
        return not self._straight or self.left() not in (None, NOTHING)

    def taken(self, now: float) -> None:
        if self._session is not None:
            self._session.heard_at = now

    def all_taken(self) -> None:
        """Close an ended connection, if nothing else does."""

    def stalled(self) -> None:
        if self._closing or self._session is None:
            self._abort()
        else:
            self._session.refuse("reads too slowly")
