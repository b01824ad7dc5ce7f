"""The WebSocket transport: JSON text frames (contract.md sections 2 and 7)."""

import asyncio
import ssl
from typing import Any

import aiohttp
import orjson

from fsharechat import urls
from fsharechat.client import web
from fsharechat.client.errors import Disconnected, TooLarge
from fsharechat.client.transport import Body, Packet, Receiver, Transport
from fsharechat.errors import os_reason
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Signal, SubSignal

HEARTBEAT = "心跳内容"
CLOSE_TIMEOUT = 2.0


class WebSocketTransport(Transport):
    answers_ping = False

    def __init__(
        self,
        url: str,
        me: str,
        *,
        heartbeat_interval: float = 25.0,
        tls: ssl.SSLContext | None = None,
        max_frame: int = 16 << 20,
        max_request: int = 1 << 20,
    ) -> None:
        """`url` is ws:// or wss://, `me` the user who connects. Raises ValueError if the url is none.

        `max_request` is the longest frame that the server takes, `max_frame` the longest that we take.
        """
        self._url = urls.WEBSOCKET.check(url)
        self._me = me
        self._heartbeat_interval = heartbeat_interval
        self._tls = tls
        self._max_frame = max_frame
        self._max_request = max_request
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None

    async def open(self, receiver: Receiver) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        try:
            self._socket = await self._session.ws_connect(
                self._url,
                # The server does not answer the text heartbeat. These pings of the WebSocket layer find a dead peer.
                heartbeat=self._heartbeat_interval,
                ssl=self._tls if self._tls is not None else True,
                max_msg_size=self._max_frame,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
            )
        except aiohttp.WSServerHandshakeError as error:
            raise Disconnected(
                f"{self._url} does not answer as a FshareChat server: HTTP status {error.status}"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Disconnected(f"{self._url} cannot be reached: {os_reason(error)}") from error
        self._reader = asyncio.create_task(self._read(self._socket, receiver))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, receiver: Receiver) -> None:
        reason = "the server closed the connection"
        try:
            async for frame in socket:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    if (packet := _packet(frame.data)) is not None:
                        receiver.on_packet(packet)
                elif frame.type is aiohttp.WSMsgType.ERROR:
                    reason = f"the connection broke: {socket.exception()}"
        except (KeyError, TypeError, ValueError) as error:
            reason = f"the server does not speak the protocol: {error!r}"
        finally:
            receiver.on_lost(reason)

    def encode(self, signal: Signal, sub_signal: SubSignal, message_id: int, content: Any) -> str:
        if signal is Signal.PUBLISH:
            content = web.request(sub_signal, content)
        frame = {
            "signal": signal.name,
            "subSignal": sub_signal.name,
            "messageId": message_id,
            "content": content,
        }
        encoded = orjson.dumps(frame)
        if len(encoded) >= self._max_request:  # the server counts this way
            raise TooLarge(
                f"{sub_signal.name}: {len(encoded)} bytes, the server takes {self._max_request - 1}"
            )
        return encoded.decode()

    async def write(self, frame: str) -> None:
        if self._socket is None or self._socket.closed:
            raise Disconnected("the connection is closed")
        try:
            await self._socket.send_str(frame)
        except (aiohttp.ClientError, OSError) as error:
            raise Disconnected(f"the connection broke: {error}") from error

    async def heartbeat(self) -> None:
        await self.write(HEARTBEAT)

    async def close(self) -> None:
        if self._reader is not None and self._socket is not None:
            await self._socket.close()
            await self._reader
        if self._session is not None:
            await self._session.close()

    def accepted(self, content: str) -> pb.ConnectAckPayload:
        return web.accepted(content)

    def reply(self, sub_signal: SubSignal, content: str) -> Body:
        return web.reply(sub_signal, content, self._me)

    def notification(self, sub_signal: SubSignal, content: str) -> Body:
        return web.notification(sub_signal, content)


def _packet(text: str) -> Packet | None:
    """Decode one frame, None for a notification of a later version. Raises KeyError, TypeError or ValueError."""
    frame = orjson.loads(text)
    if frame["signal"] == Signal.PUBLISH.name and frame["subSignal"] not in SubSignal.__members__:
        return None
    content = frame["content"]
    if not isinstance(content, str):
        raise TypeError("the content of a server's frame is a string")
    return Packet(Signal[frame["signal"]], SubSignal[frame["subSignal"]], int(frame["messageId"]), content)
