"""The TCP transport: binary frames with protobuf bodies (contract.md sections 1, 5 and 7)."""

import asyncio
import ssl
from typing import Any, TypeVar, cast

import orjson
from google.protobuf.message import DecodeError, Message

from fsharechat import urls
from fsharechat.client.errors import Disconnected, InvalidReply, TooLarge, refusal
from fsharechat.client.transport import Body, Packet, Receiver, Transport
from fsharechat.errors import os_reason
from fsharechat.protocol import frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.shapes.payloads import Payload
from fsharechat.protocol.signals import NOTIFICATIONS, REQUESTS, Signal, SubSignal

CLOSE_TIMEOUT = 2.0
M = TypeVar("M", bound=Message)


def split_address(address: str) -> tuple[str, int]:
    """Return (host, port) of `host:port`. An IPv6 host stands in brackets. Raises ValueError."""
    host, _, port = urls.TCP.check(address).rpartition(":")
    return host.strip("[]"), int(port)


class TcpTransport(Transport, asyncio.Protocol):
    answers_ping = True

    def __init__(
        self,
        address: str,
        *,
        tls: ssl.SSLContext | None = None,
        max_frame: int = 16 << 20,
        max_request: int = 1 << 20,
    ) -> None:
        """`address` is host:port. The server takes bodies up to `max_request`, and we up to `max_frame`."""
        self._host, self._port = split_address(address)
        self._tls = tls
        self._max_request = max_request
        self._decoder = frames.FrameDecoder(max_frame)
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._writable = asyncio.Event()
        self._gone = asyncio.Event()
        self._reason = "the server closed the connection"

    async def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, self._host, self._port, ssl=self._tls)
        except OSError as error:
            raise Disconnected(f"{self._host}:{self._port} cannot be reached: {os_reason(error)}") from error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        assert self._receiver is not None
        assert self._transport is not None
        try:
            received = self._decoder.feed(data)
        except frames.FrameError as error:
            self._reason = f"the server does not speak the protocol: {error}"
            self._transport.abort()
            return
        for frame in received:
            self._receiver.on_packet(Packet(*frame))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._receiver is not None
        self._gone.set()
        self._writable.set()
        self._receiver.on_lost(repr(exc) if exc else self._reason)

    def encode(self, signal: Signal, sub_signal: SubSignal, message_id: int, content: Any) -> bytes:
        if isinstance(content, Message):
            body = content.SerializeToString()
        elif signal is Signal.DISCONNECT:
            body = bytes([content["clearSession"]])
        elif isinstance(content, dict):
            body = orjson.dumps(content)
        else:
            body = content
        if len(body) > self._max_request:
            raise TooLarge(f"{sub_signal.name}: {len(body)} bytes, the server takes {self._max_request}")
        return frames.encode(signal, sub_signal, message_id, body)

    async def write(self, frame: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise Disconnected(self._reason)
        # All frames of one turn of the loop go out in one system call.
        self._out.append(frame)
        if len(self._out) == 1:
            asyncio.get_running_loop().call_soon(self._flush)
        if not self._writable.is_set():
            await self._writable.wait()

    def _flush(self) -> None:
        assert self._transport is not None
        if self._out and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    async def heartbeat(self) -> None:
        raise NotImplementedError("over TCP a PING is answered")

    async def close(self) -> None:
        if self._transport is None:
            return
        self._flush()
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._gone.wait()
        except TimeoutError:
            self._transport.abort()
            await self._gone.wait()

    def accepted(self, content: bytes) -> pb.ConnectAckPayload:
        return _parse(pb.ConnectAckPayload, content)

    def reply(self, sub_signal: SubSignal, content: bytes) -> Body:
        if not content:
            raise InvalidReply(f"{sub_signal.name}: a PUB_ACK without a code")
        if content[0] != 0:
            raise refusal(sub_signal, content[0])
        row = REQUESTS.get(sub_signal)
        return content[1:] if row is None else _body(row.reply, content[1:])

    def notification(self, sub_signal: SubSignal, content: bytes) -> Body:
        return _body(NOTIFICATIONS[sub_signal].payload, content)


def _body(payload: Payload, content: bytes) -> Body:
    return content if payload.kind is None else _parse(payload.kind, content)


def _parse(kind: type[M], body: bytes) -> M:
    message = kind()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise InvalidReply(f"{kind.__name__}: {error}") from error
    return message
