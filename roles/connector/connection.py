"""A connection of a client, whatever its protocol: what it reads, and what it sends straight or through a queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from fsharechat.settings_schema import ConnectorSettings
from roles.connector.deaf import Breaks
from roles.connector.session import Session
from roles.connector.slow import NOTHING, Left, SlowReaders
from roles.connector.tables import SessionTable

PART_BYTES = 16 * 1024
"""How many received bytes are read in one turn. Then other connections have theirs."""

SKIPPED_BYTES = 16 << 20
"""A request over the limit and under this size, bytes, is refused (section 8). A longer one closes its connection."""

AT_ONCE = 16 * 1024
"""A frame of so many bytes is written alone: the next step depends on whether the socket takes it."""

_ENTRY = 128
"""The size of an entry of the queue without its frame, bytes."""

Outgoing = bytes | Callable[[], bytes]
"""A frame, or a function that makes it when it can be sent: JSON is larger than its source."""


class TurnWrites:
    """Gathers the bytes of this turn of the loop for each connection."""

    def __init__(self) -> None:
        self._waiting: dict[DeviceConnection, list[bytes]] = {}
        self._loop = asyncio.get_running_loop()

    def add(self, connection: DeviceConnection, data: bytes) -> None:
        parts = self._waiting.get(connection)
        if parts is not None:
            parts.append(data)
            return
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting[connection] = [data]

    def flush(self, connection: DeviceConnection) -> None:
        """Write the waiting bytes of one connection that is about to be closed."""
        if parts := self._waiting.pop(connection, None):
            connection.write_now(b"".join(parts))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for connection, parts in waiting.items():
            connection.write_now(parts[0] if len(parts) == 1 else b"".join(parts))


class Leaving:
    """Closed connections that are not gone: their clients have a moment to close their side."""

    def __init__(self) -> None:
        self._connections: set[DeviceConnection] = set()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, connection: DeviceConnection) -> None:
        self._connections.add(connection)
        self._none.clear()

    def gone(self, connection: DeviceConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._none.set()

    async def finished(self, seconds: float) -> None:
        """Return when all are gone. After so many seconds they are cut off."""
        try:
            async with asyncio.timeout(seconds):
                await self._none.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            await self._none.wait()


class ConnectionServices:
    """What all connections share."""

    def __init__(self, settings: ConnectorSettings, time: Callable[[], float], table: SessionTable) -> None:
        self.settings = settings
        self.time = time
        self.table = table
        self.writes = TurnWrites()
        self.slow = SlowReaders()
        self.breaks = Breaks()
        self.leaving = Leaving()


class DeviceConnection:
    """Reads and sends bytes. While the socket is full, no request of this connection is carried out, and frames wait.

    Nothing is read either while the session wants no more. All answers to the requests under way may wait, however
    large they are. Other frames may wait up to [connector] send_buffer_bytes.
    """

    __slots__ = (
        "_closing",
        "_full",
        "_held",
        "_later",
        "_queue",
        "_resting",
        "_services",
        "_session",
        "_straight",
        "_transport",
        "_unasked",
    )

    def __init__(self, services: ConnectionServices) -> None:
        self._services = services
        self._session: Session | None = None
        self._straight = True  # not full, not closing, and nothing waits
        self._full = False
        self._closing = False
        self._resting = False
        self._queue: deque[tuple[int, Outgoing]] | None = None
        self._unasked = 0
        self._transport: asyncio.Transport | None = None
        self._held = False  # the session wants no more for now
        self._later = b""  # bytes that have come meanwhile

    # What the connection does

    def write_now(self, data: bytes) -> None:
        """Give bytes to the socket, and call `_filled` if it does not take them all."""
        raise NotImplementedError

    def left(self) -> Left | None:
        """Return the bytes that the client has not taken (slow.py), None when the connection is gone."""
        raise NotImplementedError

    def _read(self, data: bytes) -> None:
        """Give the session the frames that `data` completes."""
        raise NotImplementedError

    # Sending

    def _send(self, data: bytes, unasked: bool = False) -> None:
        """Send a frame. `unasked`: it answers no request."""
        if self._straight:
            self._services.writes.add(self, data)
            if len(data) >= AT_ONCE:
                self._services.writes.flush(self)
        else:
            self._wait(data, len(data) + _ENTRY if unasked else 0)

    def _wait(self, frame: Outgoing, unasked: int = 0) -> None:
        if self._closing:
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.append((unasked, frame))
        self._unasked += unasked
        if self._unasked > self._services.settings.send_buffer_bytes and self._session is not None:
            self._session.refuse("reads too slowly")

    def _filled(self) -> None:
        self._full = True
        if self._straight:
            self._straight = False
            self._services.slow.watch(self, self._services.time())
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
        self._services.slow.forget(self)
        if self._session is not None:
            self._session.go_on()
        self._read_or_not()

    def pause_writing(self) -> None:
        self._filled()
        self._read_or_not()

    def resume_writing(self) -> None:
        self._full = False
        asyncio.get_running_loop().call_soon(self._release)  # not within the transport's own write

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
        self._services.writes.flush(self)
        self._closing = True
        self._straight = False
        self._queue = None
        self._later = b""
        self._services.slow.end(self, self._services.time())

    # Receiving

    def data_received(self, data: bytes) -> None:
        """Keep bytes for the next turn of the loop.

        A commit that has ended meanwhile is dealt with before them. So the store works on the next one while requests
        are read. Else everybody's requests would wait for one another, and the store for them.
        """
        session = self._session
        if session is None or self._closing:
            return
        session.heard_at = self._services.time()
        if not self._later and not self._held:
            asyncio.get_running_loop().call_soon(self._take_data)
        self._later = self._later + data if self._later else data
        if len(self._later) > PART_BYTES:
            session.rest()

    def _take_data(self) -> None:
        """Read what has come, if the session wants it."""
        data, session = self._later, self._session
        if not data or self._held or self._closing or session is None:
            return
        self._later = b""
        if len(data) > PART_BYTES:
            data, self._later = data[:PART_BYTES], data[PART_BYTES:]
            session.rest()
        try:
            self._read(data)
        except Exception:  # a bug: nobody knows what the connection has read
            self.abort()
            raise

    def connection_lost(self, error: Exception | None) -> None:
        try:
            self._take_data()
        finally:
            self._lost()

    def _lost(self) -> None:
        """Forget the connection: it is gone."""
        raise NotImplementedError

    def pause(self) -> None:
        self._held = True
        self._read_or_not()

    def resume(self) -> None:
        self._held = False
        self._take_data()
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._held or not self._straight:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

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
            self.abort()
        else:
            self._session.refuse("reads too slowly")
