"""A fake server for the client's tests: it keeps one inbox and answers as told. It is no FshareChat server."""

import asyncio
import base64
import contextlib
from collections.abc import Callable
from struct import pack
from typing import Any, Self

import orjson
from aiohttp import WSMsgType, web

from fsharechat.client import Credentials
from fsharechat.protocol import frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Signal, SubSignal

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
TIMEOUT = 10.0

IGNORE = object()
"""An answer of `FakePeer.rule`: stay silent."""
DROP = object()
"""An answer of `FakePeer.rule`: break the connection."""


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


class FakePeer:
    """Listens on TCP and WebSocket. Over WebSocket it knows only CONNECT, MS and MP."""

    def __init__(self) -> None:
        self.inbox: list[pb.Message] = []
        self.sessions: list[FakeSession] = []
        self.requests: list[tuple[SubSignal, bytes | Any, int]] = []
        self.by_local_id: dict[int, int] = {}
        self.refusal: SubSignal | None = None
        self.silent = False
        self.rule: Callable[[SubSignal, Any], object] = lambda sub, body: None
        """Decides on each request: None (answer it), IGNORE, DROP, or (code, payload)."""
        self.head_offset = 0
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tcp = await asyncio.start_server(self._serve_tcp, "127.0.0.1", 0)
        self._tcp_tasks: set[asyncio.Task[None]] = set()
        self.tcp = f"127.0.0.1:{self._tcp.sockets[0].getsockname()[1]}"
        app = web.Application()
        app.router.add_get("/", self._serve_ws)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.ws = f"ws://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tcp.close()
        for session in self.sessions:
            if not session.closed:
                session.drop()
        if self._tcp_tasks:
            await asyncio.wait(self._tcp_tasks)
        await self._tcp.wait_closed()
        await self._runner.cleanup()

    def address(self, transport: str) -> dict[str, str]:
        return {transport: getattr(self, transport)}

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

    def touch(self) -> None:
        self._changed.set()

    def deliver(self, *messages: pb.Message, notify: bool = True) -> None:
        """Add to the inbox; MN names the first one."""
        head = len(self.inbox) + 1
        self.inbox += messages
        if notify:
            self.notify(head)

    def notify(self, head: int) -> None:
        self.push(
            SubSignal.MN,
            pb.NotifyMessage(type=0, head=head).SerializeToString(),
            orjson.dumps({"messageHead": str(head), "type": 0}).decode(),
        )

    def push(self, sub: SubSignal, body: bytes, text: str) -> None:
        tcp = isinstance(self.session, TcpSession)
        self.session.send(Signal.PUBLISH, sub, 0, body if tcp else text)

    # What both transports share: bodies are protobuf messages here.

    def answer(self, sub: SubSignal, body: Any) -> object:
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
        task = asyncio.current_task()
        assert task is not None
        self._tcp_tasks.add(task)
        task.add_done_callback(self._tcp_tasks.discard)
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
            writer.close()
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


REQUESTS: dict[SubSignal, Any] = {
    SubSignal.MS: pb.Message,
    SubSignal.MP: pb.PullMessageRequest,
    SubSignal.LRM: pb.LoadRemoteMessages,
    SubSignal.US: pb.SearchUserRequest,
    SubSignal.FHR: pb.HandleFriendRequest,
}


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
            sub = SubSignal(frame.sub_signal)
            kind = REQUESTS.get(sub)
            body = frame.body if kind is None else kind.FromString(frame.body)
            peer.requests.append((sub, body, frame.message_id))
            self.reply(sub, frame.message_id, peer.answer(sub, body))

    def reply(self, sub: SubSignal, message_id: int, answer: object) -> None:
        if answer is DROP:
            self.drop()
        elif answer is not IGNORE:
            code, payload = answer  # type: ignore[misc]
            if payload is not None and not isinstance(payload, bytes):
                payload = payload.SerializeToString()
            self.send(Signal.PUB_ACK, sub, message_id, bytes([code]) + (payload or b""))


class WebSession(FakeSession):
    def __init__(self, peer: FakePeer, socket: web.WebSocketResponse, request: web.Request) -> None:
        super().__init__(peer)
        self.socket = socket
        self.request = request
        self.frames: list[dict[str, Any]] = []
        self.sending: set[asyncio.Task[None]] = set()

    def send(self, signal: Signal, sub: SubSignal, message_id: int, body: bytes | str) -> None:
        task = asyncio.get_running_loop().create_task(self.say(signal, sub, message_id, body))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def say(self, signal: Signal, sub: SubSignal, message_id: int, body: bytes | str) -> None:
        frame = {"signal": signal.name, "subSignal": sub.name, "messageId": message_id, "content": body}
        with contextlib.suppress(ConnectionError):  # the client may be gone
            await self.socket.send_str(orjson.dumps(frame).decode())

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
            sub = SubSignal[frame["subSignal"]]
            body = _from_web(sub, content)
            peer.requests.append((sub, body, frame["messageId"]))
            answer = peer.answer(sub, body)
            if answer is DROP:
                self.drop()
            elif answer is not IGNORE:
                code, payload = answer  # type: ignore[misc]
                reply = "" if code else orjson.dumps(_to_web(sub, payload)).decode()
                await self.say(Signal.PUB_ACK, sub, frame["messageId"], reply)


def _from_web(sub: SubSignal, content: Any) -> Any:
    if sub is SubSignal.MP:
        seq = int(content["messageId"])
        pull = seq - 1 if content["pullType"] == 1 else seq + content["sendMessageCount"]
        return pb.PullMessageRequest(id=pull, type=content["type"])
    if sub is SubSignal.MS:
        return pb.Message(
            conversation=pb.Conversation(
                type=content["conversationType"], target=content["target"], line=content["line"]
            ),
            from_user=content["from"],
            content=pb.MessageContent(
                type=content["content"]["type"], searchable_content=content["content"]["searchableContent"]
            ),
            local_message_id=int(content["localMessageId"]),
        )
    return content


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


def _to_web(sub: SubSignal, payload: Any) -> Any:
    if sub is SubSignal.MS:
        return {
            "messageId": str(int.from_bytes(payload[:8], "big")),
            "timestamp": int.from_bytes(payload[8:], "big"),
        }
    if sub is SubSignal.MP:
        return {
            "current": str(payload.current),
            "head": str(payload.head),
            "messageCount": len(payload.message),
            "count": len(payload.message),
            "messageResponseList": [web_message(message) for message in payload.message],
        }
    return payload
