"""A fake server for the client's tests: it keeps one inbox and answers as told. It is no FshareChat server."""

import asyncio
import base64
import contextlib
from collections.abc import Callable
from enum import Enum
from struct import pack
from typing import Any, Self

import orjson
from aiohttp import WSMsgType, web
from google.protobuf.message import Message

from fsharechat.client import Credentials
from fsharechat.protocol import frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.json import decode_request, encode_notification, encode_reply
from fsharechat.protocol.signals import REQUESTS, Signal, SubSignal
from tools.testing.server import Where
from tools.wire.port import StreamPort

ME = "uid-me"
FRIEND = "uid-friend"
SECRET = "0123456789abcdef"
CREDENTIALS = Credentials(
    user_id=ME,
    user_token=base64.b64encode(b"user token").decode(),
    secret=SECRET,
    db_secret="db-secret",
    client_id="device-1",
)
TIMEOUT = 60.0


class PeerSilence(Enum):
    """What `FakePeer.rule` may say instead of an answer."""

    IGNORE = "stay silent"
    DROP = "break the connection"


IGNORE, DROP = PeerSilence.IGNORE, PeerSilence.DROP
Answer = tuple[int, Message | bytes | None] | PeerSilence
"""A code with a payload, or none."""


def stored(message_id: int, text: str = "", *, sender: str = FRIEND, local_id: int = 0) -> pb.Message:
    return pb.Message(
        conversation=pb.Conversation(type=0, target=ME, line=0),
        from_user=sender,
        content=pb.MessageContent(type=1, searchable_content=text or f"text {message_id}"),
        message_id=message_id,
        server_timestamp=1_700_000_000_000 + message_id,
        local_message_id=local_id,
    )


class FakeSession:
    """One connection to the fake peer."""

    def __init__(self, peer: "FakePeer") -> None:
        self.peer = peer
        self.connects: list[dict[str, Any]] = []
        self.pings = 0
        self.texts: list[str] = []
        self.disconnect: int | None = None
        self.closed = False

    def send(self, signal: Signal, sub: SubSignal, message_id: int, body: bytes | str) -> None:
        raise NotImplementedError

    def drop(self) -> None:
        raise NotImplementedError

    def answer(self, sub: SubSignal, message_id: int, request: bytes, answer: Answer) -> None:
        """Reply as FakePeer.answer says."""
        if answer is PeerSilence.DROP:
            self.drop()
        elif answer is not PeerSilence.IGNORE:
            code, payload = answer
            data = payload.SerializeToString() if isinstance(payload, Message) else payload
            self.reply(sub, message_id, request, code, data or b"")

    def reply(self, sub: SubSignal, message_id: int, request: bytes, code: int, payload: bytes) -> None:
        raise NotImplementedError

    def take_request(self, sub: SubSignal, message_id: int, body: bytes) -> None:
        parsed = REQUESTS[sub].request.kind.FromString(body)
        self.peer.requests.append((sub, parsed, message_id))
        self.answer(sub, message_id, body, self.peer.answer(sub, parsed))


class FakePeer:
    """Listens on TCP and WebSocket, with the same bodies: over WebSocket they go through the server's own JSON."""

    def __init__(self) -> None:
        self.inbox: list[pb.Message] = []
        self.sessions: list[FakeSession] = []
        self.requests: list[tuple[SubSignal, Any, int]] = []
        self.by_local_id: dict[int, int] = {}
        self.refusal: SubSignal | None = None
        self.silent = False
        self.rule: Callable[[SubSignal, Any], Answer | None] = lambda sub, body: None
        """Decides on each request: None (answer it), IGNORE, DROP, or (code, payload)."""
        self.head_offset = 0
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._port = StreamPort(self._serve_tcp)
        self.tcp = await self._port.open()
        app = web.Application()
        app.router.add_get("/", self._serve_ws)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.ws = f"ws://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self.sessions:
            if not session.closed:
                session.drop()
        await self._port.close()
        await self._runner.cleanup()

    def address(self, transport: str) -> Where:
        return {"tcp": Where(tcp=[self.tcp]), "ws": Where(ws=[self.ws])}[transport]

    @property
    def session(self) -> FakeSession:
        """The latest one."""
        return self.sessions[-1]

    def asked(self, sub: SubSignal) -> list[Any]:
        return [body for seen, body, _ in self.requests if seen is sub]

    def pulled_after(self) -> list[int]:
        return [request.id for request in self.asked(SubSignal.MP)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, which is checked after each thing that comes in."""
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_sessions(self, count: int) -> None:
        """Wait until so many clients have connected since it began."""
        await self.until(lambda: len(self.sessions) >= count)

    def touch(self) -> None:
        self._changed.set()

    def deliver(self, *messages: pb.Message, notify: bool = True) -> None:
        """Add to the inbox; MN names the first one."""
        head = len(self.inbox) + 1
        self.inbox += messages
        if notify:
            self.notify(head)

    def notify(self, head: int) -> None:
        self.tell(SubSignal.MN, pb.NotifyMessage(type=0, head=head))

    def tell(self, sub: SubSignal, body: Message | int) -> None:
        """Send a notification; the number is a version."""
        data = body.to_bytes(8, "big") if isinstance(body, int) else body.SerializeToString()
        self.push(sub, data, orjson.loads(encode_notification(sub, data))["content"])

    def pass_on(self, message: pb.Message) -> None:
        """Push a transparent message."""
        result = pb.PullMessageResult(message=[message], current=0, head=0)
        self.session.answer(SubSignal.MP, 0, b"", (0, result))

    def push(self, sub: SubSignal, body: bytes, text: str) -> None:
        tcp = isinstance(self.session, TcpSession)
        self.session.send(Signal.PUBLISH, sub, 0, body if tcp else text)

    # What both transports share: bodies are protobuf messages here.

    def answer(self, sub: SubSignal, body: Any) -> Answer:
        ruled = self.rule(sub, body)
        if ruled is not None:
            return ruled
        if sub is SubSignal.MS:
            return 0, self._store(body)
        if sub is SubSignal.MP:
            head = len(self.inbox)
            after = body.id if body.id <= head else 0
            return 0, pb.PullMessageResult(message=self.inbox[after:], current=head, head=head)
        return 254, None

    def _store(self, message: pb.Message) -> bytes:
        local_id = message.local_message_id
        if local_id not in self.by_local_id:
            self.by_local_id[local_id] = 1000 + len(self.by_local_id)
            mine = pb.Message()
            mine.CopyFrom(message)
            mine.from_user = ME
            mine.message_id = self.by_local_id[local_id]
            mine.server_timestamp = 1_700_000_000_000
            self.inbox.append(mine)
        return pack(">qq", self.by_local_id[local_id], 1_700_000_000_000)

    # TCP

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = TcpSession(self, writer)
        self.sessions.append(session)
        decoder = frames.FrameDecoder(1 << 24)
        try:
            while data := await reader.read(65536):
                for frame in decoder.feed(data):
                    session.take(frame)
                    self.touch()
        except ConnectionError:
            pass  # the client is gone
        finally:
            session.closed = True
            self.touch()

    # WebSocket

    async def _serve_ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        session = WebSession(self, socket, request)
        self.sessions.append(session)
        async for frame in socket:
            if frame.type is WSMsgType.TEXT:
                await session.take(frame.data)
                self.touch()
        session.closed = True
        self.touch()
        return socket


class TcpSession(FakeSession):
    def __init__(self, peer: FakePeer, writer: asyncio.StreamWriter) -> None:
        super().__init__(peer)
        self.writer = writer

    def send(self, signal: Signal, sub: SubSignal, message_id: int, body: bytes | str) -> None:
        assert isinstance(body, bytes)
        self.writer.write(frames.encode(signal, sub, message_id, body))

    def drop(self) -> None:
        self.writer.transport.abort()

    def take(self, frame: frames.Frame) -> None:
        peer = self.peer
        if frame.signal == Signal.CONNECT:
            self.connects.append(orjson.loads(frame.body))
            if peer.silent:
                return
            if peer.refusal is not None:
                self.send(Signal.CONNECT_ACK, peer.refusal, 0, b"")
                self.writer.close()
                return
            ack = pb.ConnectAckPayload(msg_head=len(peer.inbox) + peer.head_offset, friend_head=7)
            self.send(Signal.CONNECT_ACK, SubSignal.CONNECTION_ACCEPTED, 0, ack.SerializeToString())
        elif frame.signal == Signal.PING:
            self.pings += 1
            if not peer.silent:
                self.send(Signal.PING, SubSignal.NONE, frame.message_id, b"ping back")
        elif frame.signal == Signal.DISCONNECT:
            self.disconnect = frame.body[0]
            self.writer.close()
        elif frame.signal == Signal.PUBLISH:
            self.take_request(SubSignal(frame.sub_signal), frame.message_id, frame.body)

    def reply(self, sub: SubSignal, message_id: int, request: bytes, code: int, payload: bytes) -> None:
        self.send(Signal.PUB_ACK, sub, message_id, bytes([code]) + payload)


class WebSession(FakeSession):
    def __init__(self, peer: FakePeer, socket: web.WebSocketResponse, request: web.Request) -> None:
        super().__init__(peer)
        self.socket = socket
        self.request = request
        self.frames: list[dict[str, Any]] = []
        self.sending: set[asyncio.Task[None]] = set()

    def send(self, signal: Signal, sub: SubSignal, message_id: int, body: bytes | str) -> None:
        self.write(_frame(signal, sub, message_id, body))

    def write(self, text: str) -> None:
        task = asyncio.get_running_loop().create_task(self._write(text))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def say(self, signal: Signal, sub: SubSignal, message_id: int, body: bytes | str) -> None:
        await self._write(_frame(signal, sub, message_id, body))

    async def _write(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):  # the client may be gone
            await self.socket.send_str(text)

    def drop(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()

    async def take(self, text: str) -> None:
        peer = self.peer
        self.texts.append(text)
        if not text.startswith("{"):
            return
        frame = orjson.loads(text)
        self.frames.append(frame)
        content = frame["content"]
        if frame["signal"] == "CONNECT":
            self.connects.append(content)
            if peer.refusal is not None:
                await self.say(Signal.CONNECT_ACK, peer.refusal, 0, "")
                await self.socket.close()
                return
            ack = {"messageHead": str(len(peer.inbox) + peer.head_offset), "friendHead": 7}
            await self.say(Signal.CONNECT_ACK, SubSignal.CONNECTION_ACCEPTED, 0, orjson.dumps(ack).decode())
        elif frame["signal"] == "DISCONNECT":
            self.disconnect = content["clearSession"]
            await self.socket.close()
        elif frame["signal"] == "PUBLISH":
            decoded = decode_request(text)
            self.take_request(SubSignal(decoded.sub_signal), decoded.message_id, decoded.body)

    def reply(self, sub: SubSignal, message_id: int, request: bytes, code: int, payload: bytes) -> None:
        self.write(encode_reply(sub, message_id, code, payload, viewer=ME, request=request))


def _frame(signal: Signal, sub: SubSignal, message_id: int, body: bytes | str) -> str:
    frame = {"signal": signal.name, "subSignal": sub.name, "messageId": message_id, "content": body}
    return orjson.dumps(frame).decode()


def web_message(message: pb.Message) -> dict[str, Any]:
    content = message.content
    return {
        "conversationType": message.conversation.type,
        "target": message.conversation.target,
        "line": message.conversation.line,
        "from": message.from_user,
        "tos": "",
        "messageId": str(message.message_id),
        "localMessageId": str(message.local_message_id),
        "direction": 1,
        "status": 5,
        "timestamp": message.server_timestamp,
        "content": {
            "type": content.type,
            "searchableContent": content.searchable_content,
            "pushContent": "",
            "content": content.content,
            "binaryContent": base64.b64encode(content.data).decode(),
            "localContent": "",
            "mediaType": 0,
            "remoteMediaUrl": "",
            "localMediaPath": "",
            "mentionedType": 0,
            "mentionedTargets": [],
        },
    }
