"""The common part of both transports: a peer that reacts to frames, and the connection."""

import asyncio
import struct
from collections.abc import Sequence
from time import perf_counter
from typing import Protocol, cast

from google.protobuf.message import DecodeError

from tools.wire.bodies import WireAccount

_MAX_FAULTS = 10


class BenchError(Exception):
    """The run cannot go on, or its results cannot be trusted. The text is for the user."""


class Builder(Protocol):
    """Makes the frames of one pair."""

    def message(self, seq: int) -> tuple[bytes, bytes]:
        """Return the MS frame of the `seq`-th text, and the text."""

    def pull(self, head: int, message_id: int) -> bytes:
        """Return the MP frame with which clients answer an MN of `head`."""


class BenchPeer:
    """Reacts to the frames of one connection. Here every frame is unexpected; each kind of peer overrides what it
    expects.

    `faults` collects events that must not happen. `now` is the perf_counter() in seconds when the chunk arrived.
    """

    def __init__(self, name: str, faults: list[str]) -> None:
        self.name = name
        self._faults = faults
        self._at_fault = False

    def connected(self, head: int) -> None:
        """The CONNECT was accepted; `head` is the last seq of the inbox. Most peers do not need it."""

    def acked(self, message_id: int, code: int, now: float) -> None:
        """A PUB_ACK of an MS came; `code` 0 is success."""
        self.fault(f"got a PUB_ACK of an MS that was not open, message id {message_id}, code {code}")

    def notified(self, head: int, now: float) -> None:
        """An MN came."""
        self.fault(f"got an MN of head {head}, and nobody wrote to it")

    def pulled(self, message_id: int, texts: Sequence[bytes], current: int, now: float) -> None:
        """A PUB_ACK of an MP came."""
        self.fault(f"got a pull answer it did not ask for, message id {message_id}, {len(texts)} messages")

    def fault(self, what: str) -> None:
        """Report an event that must not happen, only the first on a connection: later ones follow from it."""
        if not self._at_fault and len(self._faults) < _MAX_FAULTS:
            self._faults.append(f"{self.name} {what}")
        self._at_fault = True


class BenchLink(asyncio.Protocol):
    """One client connection. Frames in `out` leave in one write at the end of a chunk, or by flush()."""

    def __init__(self, account: WireAccount, peer: BenchPeer) -> None:
        self.account = account
        self.peer = peer
        self.out: list[bytes] = []
        self.transport: asyncio.WriteTransport | None = None
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.greet()
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        try:
            position = self.read(data, perf_counter())
        except (ValueError, LookupError, TypeError, struct.error, DecodeError) as error:
            self.refuse(f"got bytes it cannot read: {error!r}")
            self.close()
            return
        self._rest = data[position:]
        self.flush()

    def greet(self) -> None:
        """Put the first frames into `out`."""
        raise NotImplementedError

    def read(self, data: bytes, now: float) -> int:
        """Take the complete frames from `data`, and return where the rest starts."""
        raise NotImplementedError

    def flush(self) -> None:
        if self.out and self.transport is not None:
            self.transport.write(b"".join(self.out))
            self.out.clear()

    def accept(self) -> None:
        if not self.accepted.done():
            self.accepted.set_result(None)

    def refuse(self, what: str) -> None:
        """Report a fault: to the waiter for the CONNECT_ACK, or after it to the peer."""
        if not self.accepted.done():
            self.accepted.set_exception(BenchError(what))
        else:
            self.peer.fault(what)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            self.refuse(f"lost its connection: {exc or 'closed by the server'}")

    def close(self) -> None:
        self._closing = True
        if self.transport is not None:
            self.transport.close()
