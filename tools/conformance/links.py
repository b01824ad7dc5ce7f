"""Connections of clients: raw frames over TCP, raw JSON texts over WebSocket.

A link reads all the time. Each frame is checked at once, and kept until somebody waits for it. The first breach of
the contract fails all waiters, and `check` finds it at the end of a test.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from tools.conformance.arrived import ArrivedFrame, CutOff, Malformed, of_tcp, of_web
from tools.wire import frames
from tools.wire.clients import BOUND, TcpWire, WebWire
from tools.wire.contract import SIGNALS, SUB_SIGNALS
from tools.wire.frames import WireFrameError, web_text_frame

Matches = Callable[[ArrivedFrame], bool]


class LinkClosed(ConnectionError):
    """The server has closed the connection."""


class SuiteLink(ABC):
    """A connection. `viewer` is the user who is logged in on it."""

    transport: str

    def __init__(self) -> None:
        self.viewer = ""
        self.arrived: list[ArrivedFrame] = []
        """Frames that came, and for which nobody has waited."""
        self.failure: Exception | None = None
        self._waiting: list[tuple[Matches, asyncio.Future[ArrivedFrame]]] = []
        """The waiters, the longest waiting first."""
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, transport: str, address: str) -> "SuiteLink":
        """Connect to host:port or a ws:// address."""
        if transport == "tcp":
            return await TcpLink.to(address)
        return await WebLink.to(address)

    @abstractmethod
    async def send(
        self, signal: str, sub: str = "NONE", message_id: int = 0, body: bytes = b"", content: Any = None
    ) -> None:
        """Send a frame with `body`, or over WebSocket with `content`."""

    @abstractmethod
    async def _read(self) -> None:
        """Read until the end of the connection, and keep the frames."""

    @abstractmethod
    async def _end(self) -> None: ...

    def _start(self) -> Self:
        self._reader = asyncio.create_task(self._read_all())
        return self

    async def _read_all(self) -> None:
        try:
            await self._read()
            self.failure = LinkClosed("the server has closed the connection")
        except (ConnectionError, Malformed) as error:
            self.failure = error if isinstance(error, Malformed) else LinkClosed(str(error))
        finally:
            for _, waiter in self._waiting:
                if not waiter.done():
                    waiter.set_exception(self.failure or LinkClosed("nobody reads any more"))

    def _put(self, frame: ArrivedFrame) -> None:
        """Give a frame to its waiter, or keep it."""
        if not self._hand_over(frame):
            self.arrived.append(frame)

    def _hand_over(self, frame: ArrivedFrame) -> bool:
        for matches, waiter in self._waiting:
            if waiter.done():
                continue
            try:
                wanted = matches(frame)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is that waiter's failure
                waiter.set_exception(error)
                continue
            if wanted:
                waiter.set_result(frame)
                return True
        return False

    async def until(self, matches: Matches, what: str) -> ArrivedFrame:
        """Return the first matching frame, and remove it from the kept ones.

        Raises Closed if the connection ends first, AssertionError if nothing comes.
        """
        for index, frame in enumerate(self.arrived):
            if matches(frame):
                return self.arrived.pop(index)
        if self.failure is not None:
            raise self.failure
        waiter: asyncio.Future[ArrivedFrame] = asyncio.get_running_loop().create_future()
        waiting = matches, waiter
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(BOUND):
                return await waiter
        except TimeoutError:
            raise AssertionError(f"{what} did not come, but {self.arrived}") from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._put_back(waiter.result())
            raise
        finally:
            self._waiting.remove(waiting)

    def _put_back(self, frame: ArrivedFrame) -> None:
        """Take back a frame from a waiter that no longer waits."""
        if not self._hand_over(frame):
            self.arrived.insert(0, frame)

    async def until_closed(self) -> None:
        """Wait until the server closes the connection."""
        assert self._reader is not None
        done, _ = await asyncio.wait([self._reader], timeout=BOUND)
        assert done, f"the connection stays open; there came {self.arrived}"
        self.check()

    def check(self) -> None:
        """Raise the server's breach of the contract, whether or not anybody waited."""
        if isinstance(self.failure, Malformed):
            raise self.failure

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        await self._end()


class TcpLink(SuiteLink):
    transport = "tcp"

    def __init__(self, wire: TcpWire) -> None:
        super().__init__()
        self._wire = wire

    @classmethod
    async def to(cls, address: str) -> "TcpLink":
        async with asyncio.timeout(BOUND):
            return cls(await TcpWire.open(address))._start()

    async def send(
        self, signal: str, sub: str = "NONE", message_id: int = 0, body: bytes = b"", content: Any = None
    ) -> None:
        await self.send_bytes(frames.encode(SIGNALS[signal], SUB_SIGNALS[sub], message_id, body))

    async def send_bytes(self, data: bytes) -> None:
        with suppress(ConnectionError):  # waiters for an answer get the error
            self._wire.writer.write(data)
            await self._wire.writer.drain()

    async def _read(self) -> None:
        try:
            while True:
                for frame in await self._wire.receive():
                    self._put(of_tcp(*frame, self.viewer))
        except WireFrameError as error:
            raise Malformed(str(error)) from None
        except EOFError:
            if self._wire.rest:
                raise CutOff(f"the last bytes are no frame: {self._wire.rest[:100].hex()}") from None

    async def _end(self) -> None:
        await self._wire.close()


class WebLink(SuiteLink):
    transport = "ws"

    def __init__(self, wire: WebWire) -> None:
        super().__init__()
        self._wire = wire

    @classmethod
    async def to(cls, url: str) -> "WebLink":
        async with asyncio.timeout(BOUND):
            return cls(await WebWire.open(url))._start()

    async def send(
        self, signal: str, sub: str = "NONE", message_id: int = 0, body: bytes = b"", content: Any = None
    ) -> None:
        await self.send_text(web_text_frame(signal, sub, message_id, content))

    async def send_text(self, text: str) -> None:
        with suppress(ConnectionError):
            await self._wire.socket.send_str(text)

    async def _read(self) -> None:
        try:
            while True:
                self._put(of_web(await self._wire.receive_text(), self.viewer))
        except WireFrameError as error:
            raise Malformed(str(error)) from None
        except EOFError:
            return

    async def _end(self) -> None:
        await self._wire.socket.close()
        await self._wire.close()
