"""Connections of clients: raw frames over TCP, raw JSON texts over WebSocket.

A link reads all the time. What arrives is checked at once and kept until somebody waits for it; the first thing that
the contract does not allow fails whoever waits, and is found by `check` at the end of a test.
"""

import asyncio
import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import aiohttp

from tools.conformance.arrived import (
    HEADER,
    MAGIC,
    VERSION,
    CutOff,
    Frame,
    Malformed,
    of_tcp,
    of_web,
)
from tools.conformance.contract import SIGNALS, SUB_SIGNALS

BOUND = 30.0
"""Seconds after which what has not come does not come: far more than a busy machine needs."""

_MOST = 16 << 20
_HEADER = struct.Struct(">BBBiBH")

Matches = Callable[[Frame], bool]


class Closed(ConnectionError):
    """The server has closed the connection."""


class Link(ABC):
    """A connection. `viewer` is the user who is logged in on it."""

    transport: str

    def __init__(self) -> None:
        self.viewer = ""
        self.arrived: list[Frame] = []
        """What came, and was not waited for."""
        self.failure: Exception | None = None
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, transport: str, address: str) -> "Link":
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
        """Read until the end of the connection, and put away what comes."""

    @abstractmethod
    async def _end(self) -> None: ...

    def _start(self) -> Self:
        self._reader = asyncio.create_task(self._read_all())
        return self

    async def _read_all(self) -> None:
        try:
            await self._read()
            self.failure = Closed("the server has closed the connection")
        except (ConnectionError, Malformed) as error:
            self.failure = error if isinstance(error, Malformed) else Closed(str(error))
        finally:
            self._changed.set()

    def _put(self, frame: Frame) -> None:
        self.arrived.append(frame)
        self._changed.set()

    async def until(self, matches: Matches, what: str) -> Frame:
        """Return the first frame that matches, which is then no longer kept.

        Raises Closed when the connection ends first, AssertionError when nothing comes.
        """
        try:
            async with asyncio.timeout(BOUND):
                while True:
                    for index, frame in enumerate(self.arrived):
                        if matches(frame):
                            return self.arrived.pop(index)
                    if self.failure is not None:
                        raise self.failure
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{what} did not come, but {self.arrived}") from None

    async def until_closed(self) -> None:
        """Wait until the server closes the connection."""
        assert self._reader is not None
        done, _ = await asyncio.wait([self._reader], timeout=BOUND)
        assert done, f"the connection stays open; there came {self.arrived}"
        self.check()

    def check(self) -> None:
        """Raise what the server sent against the contract, whether or not anybody waited for it."""
        if isinstance(self.failure, Malformed):
            raise self.failure

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        await self._end()


class TcpLink(Link):
    transport = "tcp"

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, address: str) -> "TcpLink":
        host, _, port = address.rpartition(":")
        async with asyncio.timeout(BOUND):
            return cls(*await asyncio.open_connection(host, int(port)))._start()

    async def send(
        self, signal: str, sub: str = "NONE", message_id: int = 0, body: bytes = b"", content: Any = None
    ) -> None:
        await self.send_bytes(frame_bytes(SIGNALS[signal], SUB_SIGNALS[sub], message_id, body))

    async def send_bytes(self, data: bytes) -> None:
        with suppress(ConnectionError):  # whoever waits for an answer hears of it
            self.writer.write(data)
            await self.writer.drain()

    async def _read(self) -> None:
        while True:
            try:
                header = await self.reader.readexactly(HEADER)
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise CutOff(f"the last bytes are no frame: {error.partial.hex()}") from None
                return
            magic, version, signal, length, sub, message_id = _HEADER.unpack(header)
            if (magic, version) != (MAGIC, VERSION) or not 0 <= length <= _MOST:
                raise Malformed(f"no header of a frame: {header.hex()}")
            try:
                body = await self.reader.readexactly(length)
            except asyncio.IncompleteReadError:
                raise CutOff("a frame is cut off") from None
            self._put(of_tcp(signal, sub, message_id, body, self.viewer))

    async def _end(self) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class WebLink(Link):
    transport = "ws"

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__()
        self._session, self.socket = session, socket

    @classmethod
    async def to(cls, url: str) -> "WebLink":
        session = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(BOUND):
                socket = await session.ws_connect(url, max_msg_size=_MOST)
        except BaseException:
            await session.close()
            raise
        return cls(session, socket)._start()

    async def send(
        self, signal: str, sub: str = "NONE", message_id: int = 0, body: bytes = b"", content: Any = None
    ) -> None:
        frame = {"signal": signal, "subSignal": sub, "messageId": message_id, "content": content}
        await self.send_text(json.dumps(frame, ensure_ascii=False))

    async def send_text(self, text: str) -> None:
        with suppress(ConnectionError):
            await self.socket.send_str(text)

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Malformed(f"a WebSocket message that is not text: {message.type!r}")
            self._put(of_web(message.data, self.viewer))

    async def _end(self) -> None:
        await self.socket.close()
        await self._session.close()


def frame_bytes(signal: int, sub: int, message_id: int, body: bytes = b"") -> bytes:
    """Return a frame as it stands on the wire."""
    return _HEADER.pack(MAGIC, VERSION, signal, len(body), sub, message_id) + body
