"""Clients that can send anything: raw frames and JSON over real sockets.

They read only when asked to. So a test can play a client that does not read. Other frames that come during a wait are
kept.
"""

import asyncio
import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, Protocol, Self, TypeVar

import aiohttp

from tools.wire import proto2, websocket
from tools.wire.bodies import (
    PING_INTERVAL,
    DeviceCredentials,
    connect_body,
    pull_body,
    text_message,
    web_pull,
    web_text,
)
from tools.wire.contract import SIGNALS, SUB_SIGNALS
from tools.wire.frames import MOST, Decoder, WireFrame, WireFrameError, encode, web_text_frame

BOUND = 30.0
"""After so many seconds a missing answer counts as none: far more than a busy machine needs."""

WebFrame = dict[str, Any]
F = TypeVar("F", WireFrame, WebFrame)
S = TypeVar("S", int, str)


class Wire(Protocol):
    """The common methods of both transports, so that a test can use either."""

    async def connect(self, who: DeviceCredentials, **changes: object) -> int:
        """Send a CONNECT and return the sub-signal of the answer."""

    async def send_text(self, target: str, text: str, local_id: int = 0) -> bool:
        """Send a text. Return whether the server has stored it."""

    async def next_mn(self) -> int:
        """Wait for an MN and return its head."""

    async def pull(self, after: int) -> tuple[list[str], int]:
        """Return the texts after a seq, and the last seq."""

    async def until_closed(self) -> None:
        """Wait until the server has closed the connection."""

    async def close(self) -> None: ...


class _Client(ABC, Generic[F, S]):
    """A client with frames of type F and signals of type S. It keeps frames that nobody has asked for."""

    def __init__(self, address: tuple[str, int]) -> None:
        host, port = address[:2]
        self.name = f"{host}:{port}"
        """host:port of this side: the server's peer."""
        self._kept: list[F] = []
        self._last_id = 0

    @abstractmethod
    async def receive(self) -> list[F]:
        """Return the next frames; there may be none yet. Raises EOFError if the server has closed."""

    @staticmethod
    @abstractmethod
    def _signal(frame: F) -> S: ...

    async def frame(self, signal: S | None = None, matches: Callable[[F], bool] = lambda _: True) -> F:
        """Return the next frame, or the next of that signal that matches. Raises EOFError."""
        async with asyncio.timeout(BOUND):
            while True:
                for index, frame in enumerate(self._kept):
                    if signal in (None, self._signal(frame)) and matches(frame):
                        return self._kept.pop(index)
                self._kept += await self.receive()

    async def until_closed(self) -> None:
        async with asyncio.timeout(BOUND):
            try:
                while True:
                    self._kept += await self.receive()
            except (EOFError, aiohttp.ClientError):
                return

    def kept(self) -> list[F]:
        """Return the frames that nobody has asked for."""
        return list(self._kept)

    def _next_id(self) -> int:
        self._last_id = self._last_id % 0xFFFF + 1
        return self._last_id


class TcpWire(_Client[WireFrame, int]):
    """A TCP client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer.get_extra_info("sockname"))
        self.reader, self.writer = reader, writer
        self._decoder = Decoder()

    @classmethod
    async def open(cls, address: str, tls: ssl.SSLContext | None = None) -> Self:
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), ssl=tls))

    @property
    def rest(self) -> bytes:
        """The received part of an incomplete frame."""
        return self._decoder.rest

    @staticmethod
    def _signal(frame: WireFrame) -> int:
        return frame.signal

    def send(self, signal: int, sub_signal: int = 0, message_id: int = 0, body: bytes = b"") -> None:
        self.writer.write(encode(signal, sub_signal, message_id, body))

    async def receive(self) -> list[WireFrame]:
        try:
            data = await self.reader.read(1 << 16)
        except ConnectionError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        return self._decoder.feed(data)

    async def connect(self, who: DeviceCredentials, **changes: object) -> int:
        self.send(SIGNALS["CONNECT"], body=json.dumps(connect_body(who, **changes)).encode())
        return (await self.frame(SIGNALS["CONNECT_ACK"])).sub_signal

    async def request(self, sub_signal: int, body: bytes) -> tuple[int, bytes]:
        """Send a request and return (code, payload)."""
        message_id = self._next_id()
        self.send(SIGNALS["PUBLISH"], sub_signal, message_id, body)
        answer = await self.frame(SIGNALS["PUB_ACK"], lambda frame: frame.message_id == message_id)
        assert answer.sub_signal == sub_signal
        return answer.body[0], answer.body[1:]

    async def send_text(self, target: str, text: str, local_id: int = 0) -> bool:
        code, payload = await self.request(SUB_SIGNALS["MS"], text_message(target, text, local_id))
        return code == 0 and len(payload) == 16

    async def next_mn(self) -> int:
        frame = await self.frame(SIGNALS["PUBLISH"], lambda frame: frame.sub_signal == SUB_SIGNALS["MN"])
        head: int = proto2.decode("NotifyMessage", frame.body)["head"]
        return head

    async def pull(self, after: int) -> tuple[list[str], int]:
        code, payload = await self.request(SUB_SIGNALS["MP"], pull_body(after))
        assert code == 0
        result = proto2.decode("PullMessageResult", payload)
        texts = [message["content"].get("searchable_content", "") for message in result["message"]]
        return texts, result["current"]

    async def ping(self, message_id: int = 1) -> WireFrame:
        """Send a PING and return its answer."""
        self.send(SIGNALS["PING"], message_id=message_id, body=json.dumps(PING_INTERVAL).encode())
        return await self.frame(SIGNALS["PING"], lambda frame: frame.message_id == message_id)

    async def become_websocket(self, *headers: str) -> None:
        """Turn a connection to the WebSocket port into a WebSocket. `reader` reads its bytes."""
        self.writer.write(websocket.upgrade_request(websocket.SAMPLE_KEY, *headers))
        async with asyncio.timeout(BOUND):
            answer = await self.reader.readuntil(b"\r\n\r\n")
        assert websocket.is_upgraded(answer.removesuffix(b"\r\n\r\n")), answer

    async def connect_websocket(self, who: DeviceCredentials) -> None:
        """Log in on a connection that has become a WebSocket."""
        self.writer.write(web_frame("CONNECT", content=connect_body(who)))
        async with asyncio.timeout(BOUND):
            await self.reader.readuntil(b"CONNECTION_ACCEPTED")

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError, ssl.SSLError):  # the server was faster
            await self.writer.wait_closed()


class WebWire(_Client[WebFrame, str]):
    """A WebSocket client."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__(socket.get_extra_info("sockname"))
        self._session, self.socket = session, socket

    @classmethod
    async def open(cls, url: str, tls: ssl.SSLContext | None = None) -> Self:
        session = aiohttp.ClientSession()
        try:
            socket = await session.ws_connect(url, ssl=tls if tls else True, max_msg_size=MOST)
        except BaseException:
            await session.close()
            raise
        return cls(session, socket)

    @staticmethod
    def _signal(frame: WebFrame) -> str:
        signal: str = frame["signal"]
        return signal

    async def send(
        self, signal: str, sub_signal: str = "NONE", message_id: int = 0, content: object = None
    ) -> None:
        await self.socket.send_str(web_text_frame(signal, sub_signal, message_id, content))

    async def receive_text(self) -> str:
        """Return the next text. Raises EOFError if the server has closed, FrameError for anything else."""
        message = await self.socket.receive()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                text: str = message.data
                return text
            case aiohttp.WSMsgType.CLOSE | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.CLOSED:
                raise EOFError
        raise WireFrameError(f"a WebSocket message that is not text: {message.type!r}, {message.data!r}")

    async def receive(self) -> list[WebFrame]:
        return [json.loads(await self.receive_text())]

    async def connect(self, who: DeviceCredentials, **changes: object) -> int:
        await self.send("CONNECT", content=connect_body(who, **changes))
        return SUB_SIGNALS[(await self.frame("CONNECT_ACK"))["subSignal"]]

    async def request(self, sub_signal: str, content: object) -> str:
        """Send a request and return the content of its answer."""
        message_id = self._next_id()
        await self.send("PUBLISH", sub_signal, message_id, content)
        answer = await self.frame("PUB_ACK", lambda frame: frame["messageId"] == message_id)
        assert answer["subSignal"] == sub_signal
        content = answer["content"]
        assert isinstance(content, str)
        return content

    async def send_text(self, target: str, text: str, local_id: int = 0) -> bool:
        return await self.request("MS", web_text(target, text, local_id)) != ""

    async def next_mn(self) -> int:
        frame = await self.frame("PUBLISH", lambda frame: frame["subSignal"] == "MN")
        return int(json.loads(frame["content"])["messageHead"])

    async def pull(self, after: int) -> tuple[list[str], int]:
        result = json.loads(await self.request("MP", web_pull(after)))
        texts = [message["content"]["searchableContent"] for message in result["messageResponseList"]]
        return texts, int(result["current"])

    async def close(self) -> None:
        """Cut the connection, without closing the WebSocket."""
        await self._session.close()
        await self.socket.close()  # it can send nothing any more, and lets go of the connection


def web_frame(signal: str, sub_signal: str = "NONE", message_id: int = 0, content: object = None) -> bytes:
    """Return a WebSocket frame with the JSON of a web client, for a hand-made connection."""
    return websocket.encode(web_text_frame(signal, sub_signal, message_id, content).encode())
