"""Clients for tests that say what no client library would: raw frames and JSON over real sockets."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, Self

import aiohttp
import orjson

from fsharechat.client import Credentials
from fsharechat.protocol import frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.crypto import connect_password
from fsharechat.protocol.frames import Frame, FrameDecoder
from fsharechat.protocol.signals import Code, PersistFlag, Signal, SubSignal

BOUND = 30.0
"""Seconds that an answer may take before it counts as none: far more than a busy machine needs."""

MAX_ANSWER = 8 << 20

Matches = Callable[[Any], bool]


def connect_body(credentials: Credentials, **changes: object) -> dict[str, object]:
    """Return the JSON of a CONNECT."""
    return {
        "userName": credentials.user_id,
        "password": connect_password(credentials.user_token, credentials.secret),
        "clientIdentifier": credentials.client_id,
        **changes,
    }


class Wire(Protocol):
    """What both transports can do, so that a test can be about either."""

    async def connect(self, credentials: Credentials, **changes: object) -> int:
        """Send a CONNECT and return the sub-signal of the answer."""

    async def send_text(self, target: str, text: str, local_id: int = 0) -> bool:
        """Send a text; return whether the server has stored it."""

    async def next_mn(self) -> int:
        """Wait for an MN and return its head."""

    async def pull(self, after: int) -> tuple[list[str], int]:
        """Return the texts that follow a seq, and the last seq."""

    async def until_closed(self) -> None:
        """Wait until the server has closed the connection."""

    async def close(self) -> None: ...


class TcpWire:
    """A TCP client. What comes while something else is waited for is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        host, port = writer.get_extra_info("sockname")[:2]
        self.name = f"{host}:{port}"
        """host:port of this side: the server's peer."""
        self._decoder = FrameDecoder(MAX_ANSWER)
        self._kept: list[Frame] = []
        self._last_id = 0

    @classmethod
    async def open(cls, address: str, tls: ssl.SSLContext | None = None) -> Self:
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), ssl=tls))

    def send(self, signal: int, sub_signal: int = 0, message_id: int = 0, body: bytes = b"") -> None:
        self.writer.write(frames.encode(signal, sub_signal, message_id, body))

    async def frame(self, signal: int | None = None, matches: Matches = lambda _: True) -> Frame:
        """Return the next frame, or the next of that signal. Raises EOFError when the server has closed."""
        async with asyncio.timeout(BOUND):
            while True:
                for index, frame in enumerate(self._kept):
                    if signal in (None, frame.signal) and matches(frame):
                        return self._kept.pop(index)
                await self._receive()

    async def _receive(self) -> None:
        try:
            data = await self.reader.read(1 << 16)
        except ConnectionError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        self._kept += self._decoder.feed(data)

    async def connect(self, credentials: Credentials, **changes: object) -> int:
        self.send(Signal.CONNECT, body=orjson.dumps(connect_body(credentials, **changes)))
        return (await self.frame(Signal.CONNECT_ACK)).sub_signal

    async def request(self, sub_signal: int, body: bytes) -> tuple[int, bytes]:
        """Send a request and return (code, payload)."""
        message_id = self._last_id = self._last_id % 0xFFFF + 1
        self.send(Signal.PUBLISH, sub_signal, message_id, body)
        answer = await self.frame(Signal.PUB_ACK, lambda frame: frame.message_id == message_id)
        assert answer.sub_signal == sub_signal
        return answer.body[0], answer.body[1:]

    async def send_text(self, target: str, text: str, local_id: int = 0) -> bool:
        code, payload = await self.request(SubSignal.MS, text_message(target, text, local_id))
        return code == Code.SUCCESS and len(payload) == 16

    async def next_mn(self) -> int:
        frame = await self.frame(Signal.PUBLISH, lambda frame: frame.sub_signal == SubSignal.MN)
        return pb.NotifyMessage.FromString(frame.body).head

    async def pull(self, after: int) -> tuple[list[str], int]:
        request = pb.PullMessageRequest(id=after, type=0)
        code, payload = await self.request(SubSignal.MP, request.SerializeToString())
        assert code == Code.SUCCESS
        result = pb.PullMessageResult.FromString(payload)
        return [message.content.searchable_content for message in result.message], result.current

    async def ping(self, message_id: int = 1) -> Frame:
        """Send a PING and return its answer."""
        self.send(Signal.PING, message_id=message_id, body=b'{"interval": 30000}')
        return await self.frame(Signal.PING, lambda frame: frame.message_id == message_id)

    async def until_closed(self) -> None:
        async with asyncio.timeout(BOUND):
            try:
                while True:
                    await self._receive()
            except EOFError:
                return

    def kept(self) -> list[Frame]:
        """Return the frames that nobody has asked for."""
        return list(self._kept)

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError, ssl.SSLError):  # the server was faster
            await self.writer.wait_closed()


class WebWire:
    """A WebSocket client."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session, self.socket = session, socket
        host, port = socket.get_extra_info("sockname")[:2]
        self.name = f"{host}:{port}"
        """host:port of this side: the server's peer."""
        self._kept: list[dict[str, Any]] = []
        self._last_id = 0

    @classmethod
    async def open(cls, url: str, tls: ssl.SSLContext | None = None) -> Self:
        session = aiohttp.ClientSession()
        try:
            socket = await session.ws_connect(url, ssl=tls if tls else True, max_msg_size=MAX_ANSWER)
        except BaseException:
            await session.close()
            raise
        return cls(session, socket)

    async def send(
        self, signal: str, sub_signal: str = "NONE", message_id: int = 0, content: object = None
    ) -> None:
        frame = {"signal": signal, "subSignal": sub_signal, "messageId": message_id, "content": content}
        await self.socket.send_str(orjson.dumps(frame).decode())

    async def frame(self, signal: str | None = None, matches: Matches = lambda _: True) -> dict[str, Any]:
        async with asyncio.timeout(BOUND):
            while True:
                for index, frame in enumerate(self._kept):
                    if signal in (None, frame["signal"]) and matches(frame):
                        return self._kept.pop(index)
                await self._receive()

    async def _receive(self) -> None:
        message = await self.socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise EOFError
        self._kept.append(orjson.loads(message.data))

    async def connect(self, credentials: Credentials, **changes: object) -> int:
        await self.send("CONNECT", content=connect_body(credentials, **changes))
        return SubSignal[(await self.frame("CONNECT_ACK"))["subSignal"]]

    async def request(self, sub_signal: str, content: object) -> str:
        """Send a request and return the content of its answer."""
        message_id = self._last_id = self._last_id % 0xFFFF + 1
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
        return int(orjson.loads(frame["content"])["messageHead"])

    async def pull(self, after: int) -> tuple[list[str], int]:
        request = {"messageId": str(after + 1), "type": 0, "pullType": 1, "sendMessageCount": 0}
        result = orjson.loads(await self.request("MP", request))
        texts = [message["content"]["searchableContent"] for message in result["messageResponseList"]]
        return texts, int(result["current"])

    async def until_closed(self) -> None:
        async with asyncio.timeout(BOUND):
            try:
                while True:
                    await self._receive()
            except (EOFError, aiohttp.ClientError):
                return

    def kept(self) -> list[dict[str, Any]]:
        return list(self._kept)

    async def close(self) -> None:
        await self._session.close()


def text_message(
    target: str, text: str, local_id: int = 0, flag: int = PersistFlag.STORED_AND_COUNTED
) -> bytes:
    """Return the body of an MS."""
    return pb.Message(
        conversation=pb.Conversation(type=0, target=target, line=0),
        from_user="",
        content=pb.MessageContent(type=1, searchable_content=text, persist_flag=flag),
        local_message_id=local_id,
    ).SerializeToString()


def web_text(target: str, text: str, local_id: int = 0) -> dict[str, object]:
    """Return the content of an MS of a web client."""
    return {
        "conversationType": 0,
        "target": target,
        "line": 0,
        "from": "",
        "tos": "",
        "messageId": str(local_id),
        "localMessageId": str(local_id),
        "content": {"type": 1, "searchableContent": text},
    }


WS_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
CONTINUATION_FRAME, TEXT_FRAME, BINARY_FRAME, PING_FRAME = 0, 1, 2, 9


def ws_frame(opcode: int, payload: bytes, *, length: int | None = None, fin: bool = True) -> bytes:
    """Return a masked frame of a WebSocket client; `length` is what it says of itself, true or not."""
    size = len(payload) if length is None else length
    first = opcode | (0x80 if fin else 0)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload  # a mask of zeros leaves the payload as it is


async def shake_hands(wire: TcpWire, *headers: str) -> None:
    """Turn a TCP connection to the WebSocket port into a WebSocket."""
    request = (
        "GET / HTTP/1.1",
        "Host: test",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {WS_KEY}",
        *headers,
    )
    wire.writer.write("\r\n".join((*request, "", "")).encode())
    async with asyncio.timeout(BOUND):
        answer = await wire.reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 "), answer
