"""Fakes of what a connector's sessions stand between: the group role on one side, a connection on the other."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import orjson

from fsharechat.bus import Deliver, Event, Presence
from fsharechat.bus.memory import MemoryBus
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.frames import Frame
from fsharechat.protocol.signals import Code, Signal, SubSignal
from fsharechat.rpc import Call, Handler, Method, Reply, Rpc
from fsharechat.rpc.payloads import Marks, Welcome, encode_pulled
from fsharechat.store.heads import Heads
from fsharechat.store.inboxes import PulledEntry, PulledInbox
from fsharechat.store.messages import Entry
from roles.connector.hub import Hub
from roles.connector.session import Session
from roles.connector.tail import TailMessage


class FakeClock:
    """Stands still until told, or is the loop's while it `runs`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.runs = False

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() if self.runs else self.now


class ScriptedRpc(Rpc):
    """Answers by script: at once what `answers` has a reply for, everything else when the test says so."""

    address = "fake"

    def __init__(self) -> None:
        # The hub waits for these when it starts and stops.
        self.answers: dict[int, Callable[[Call], Reply]] = {
            Method.NEWEST_ID: lambda _: Reply(Code.SUCCESS, b"0"),
            Method.MARKS: lambda _: Reply(Code.SUCCESS),
            Method.SEEN: lambda _: Reply(Code.SUCCESS),
            Method.GONE: lambda _: Reply(Code.SUCCESS, b"[]"),
        }
        self.calls: list[Call] = []
        self._pending: list[tuple[Call, asyncio.Future[Reply]]] = []

    @property
    def ready(self) -> bool:
        return True

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def serve(self, handler: Handler) -> None: ...
    async def unserve(self) -> None: ...
    async def wait_ready(self) -> None: ...

    def next_change(self) -> asyncio.Event:
        return asyncio.Event()

    def call_all(self, call: Call) -> list[asyncio.Future[Reply]]:
        return [self.call(call)]

    def call(self, call: Call) -> asyncio.Future[Reply]:
        self.calls.append(call)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        answer = self.answers.get(call.method)
        if answer is not None:
            future.set_result(answer(call))
        else:
            self._pending.append((call, future))
        return future

    def reverse(self) -> None:
        """Let the newest of the calls that wait be answered first."""
        self._pending.reverse()

    def waiting(self) -> list[Call]:
        """Return the calls that have no answer yet."""
        return [call for call, _ in self._pending]

    async def reply(self, code: int = Code.SUCCESS, payload: bytes = b"") -> Call:
        """Answer the oldest call that waits, and let the connector act on it."""
        call, future = self._pending.pop(0)
        future.set_result(Reply(code, payload))
        await turn()
        return call

    def of(self, method: int) -> list[Call]:
        return [call for call in self.calls if call.method == method]


class RecordingBus(MemoryBus):
    """Keeps what the connector says of its devices, and tells it to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.presences: list[Presence] = []

    def announce(self, presence: Presence) -> None:
        self.presences.append(presence)


class SentFrame(NamedTuple):
    """What a session told its connection to send."""

    what: str
    sub_signal: int = 0
    message_id: int = 0
    body: Any = b""


class RecordingTransport:
    """A connection that remembers what it was told, and lets the test read as a device would."""

    def __init__(self) -> None:
        self.peer = "fake:1"
        self.silence_seconds = 90.0
        self.sent: list[SentFrame] = []
        self.paused = False
        self.closed = False
        self.uid = ""
        self.answer_bytes = 64 * 1024
        self.slow = False

    def _record(self, sent: SentFrame) -> None:
        assert not self.closed, f"{sent} after the end"
        self.sent.append(sent)

    def send_connect_ack(self, sub_signal: int, payload: bytes) -> None:
        self._record(SentFrame("ack", sub_signal, 0, payload))

    def send_reply(self, sub_signal: int, message_id: int, code: int, payload: bytes, request: bytes) -> None:
        self._record(SentFrame("reply", sub_signal, message_id, Reply(code, payload)))

    def piece(self, message: TailMessage) -> bytes:
        return message.body

    def send_pulled(self, message_id: int, pieces: list[bytes], current: int, head: int) -> None:
        self._record(SentFrame("pulled", SubSignal.MP, message_id, (pieces, current, head)))

    def unsent(self) -> bool:
        return self.slow

    def send_notification(self, sub_signal: int, body: bytes) -> None:
        self._record(SentFrame("notification", sub_signal, 0, body))

    def send_ping(self, message_id: int, interval_ms: int) -> None:
        self._record(SentFrame("ping", 0, message_id, interval_ms))

    def authenticating(self) -> None: ...

    def authenticated(self, uid: str) -> None:
        self.uid = uid

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def take(self, what: str | None = None) -> list[SentFrame]:
        """Return what was sent since, of one kind or all, and forget all of it."""
        taken, self.sent = self.sent, []
        return [sent for sent in taken if what in (None, sent.what)]

    def mns(self) -> list[int]:
        """Return the heads of the MNs sent since."""
        return [
            pb.NotifyMessage.FromString(sent.body).head
            for sent in self.take("notification")
            if sent.sub_signal == SubSignal.MN
        ]

    def codes(self) -> list[tuple[int, int]]:
        """Return (message id, code) of the answers sent since."""
        return [(sent.message_id, sent.body.code) for sent in self.take("reply")]


class FakeDevice(NamedTuple):
    """A session and its connection."""

    session: Session
    transport: RecordingTransport

    def publish(self, sub_signal: int, body: bytes = b"", message_id: int = 1) -> None:
        self.session.on_frames((Frame(Signal.PUBLISH, sub_signal, message_id, body),))

    def pull(self, after: int, message_id: int = 1) -> None:
        self.publish(SubSignal.MP, pb.PullMessageRequest(id=after, type=0).SerializeToString(), message_id)

    def send(self, signal: int, body: bytes = b"", message_id: int = 1) -> None:
        self.session.on_frames((Frame(signal, 0, message_id, body),))


class Connector(NamedTuple):
    """A hub between fakes."""

    hub: Hub
    rpc: ScriptedRpc
    bus: MemoryBus
    clock: FakeClock
    presences: list[Presence]

    def accept(self) -> FakeDevice:
        """Let a connection in that has not logged in."""
        transport = RecordingTransport()
        session = self.hub.table.accept(transport)
        assert session is not None
        return FakeDevice(session, transport)

    async def device(
        self, uid: str = "anna", client_id: str = "phone", head: int = 0, **more: int
    ) -> FakeDevice:
        """Let a device in and log it in; `head` is the last seq of the inbox. What that sent is forgotten.

        `more`: other heads of the user, see `welcome`.
        """
        device = self.accept()
        await self.log_in(device, uid, client_id, head, **more)
        device.transport.take()
        return device

    async def log_in(
        self, device: FakeDevice, uid: str = "anna", client_id: str = "phone", head: int = 0, **more: int
    ) -> None:
        device.send(Signal.CONNECT, connect(uid, client_id))
        call = await self.rpc.reply(SubSignal.CONNECTION_ACCEPTED, welcome(head, **more))
        assert call.method == Method.AUTHENTICATE
        assert device.transport.sent[0] == SentFrame("ack", SubSignal.CONNECTION_ACCEPTED, 0, ack(head))

    def deliver(self, seq: int, uid: str = "anna", sender: str = "ben", sender_client: str = "") -> bytes:
        """Bring the event of an inbox entry, and return its body."""
        body = body_of(seq)
        self.events(Deliver(body, [Entry(uid, seq)], sender, sender_client))
        return body

    def events(self, *events: Event) -> None:
        self.hub.events.take(events)

    def heads(self, known: dict[str, int | Heads]) -> None:
        """Let the store know these heads, or heads of inboxes, from now on."""
        all_heads = {uid: Heads(one) if isinstance(one, int) else one for uid, one in known.items()}

        def answer(call: Call) -> Reply:
            found = {uid: tuple(all_heads[uid]) for uid in orjson.loads(call.body) if uid in all_heads}
            return Reply(Code.SUCCESS, orjson.dumps(found))

        self.rpc.answers[Method.HEADS] = answer

    def fail_heads(self) -> None:
        """Let the store be away."""
        self.rpc.answers[Method.HEADS] = lambda _: Reply(Code.SERVER_ERROR)


Make = Callable[..., Connector]
"""Makes a connector with settings by section."""


def connect(uid: str = "anna", client_id: str = "phone", password: str = "p") -> bytes:
    return orjson.dumps({"userName": uid, "password": password, "clientIdentifier": client_id})


def welcome(
    head: int = 0,
    *,
    friends: int = 0,
    requests: int = 0,
    settings: int = 0,
    delivered: int = 0,
    read: int = 0,
    delivered_fetched: int = 0,
    read_fetched: int = 0,
    recalled: int = 0,
    recalls_told: int = 0,
    mark: int | None = None,
    handed: int = 0,
    issued_ms: int = 0,
) -> bytes:
    """Return what the group role answers a CONNECT. `mark`: what the device has of the inbox, all if it is None."""
    heads = Heads(head, friends, requests, settings, delivered, read, recalled)
    marks = Marks(head if mark is None else mark, delivered_fetched, read_fetched, recalls_told, handed)
    return Welcome(heads, marks, issued_ms, ack(head)).encode()


def ack(head: int = 0) -> bytes:
    return pb.ConnectAckPayload(msg_head=head).SerializeToString()


def body_of(seq: int) -> bytes:
    return message(seq)


def pulled(seqs: Iterable[int], head: int, begin: int = -1) -> bytes:
    """Return what the group role answers a connector that reads an inbox."""
    return encode_pulled(
        PulledInbox([PulledEntry(seq, "ben", "", body_of(seq)) for seq in seqs], head, begin)
    )


def message(seq: int) -> bytes:
    return pb.Message(
        conversation=pb.Conversation(type=0, target="anna", line=0),
        from_user="ben",
        content=pb.MessageContent(type=1, searchable_content=str(seq)),
        message_id=seq,
    ).SerializeToString()


async def turn(turns: int = 3) -> None:
    """Let callbacks run."""
    for _ in range(turns):
        await asyncio.sleep(0)
