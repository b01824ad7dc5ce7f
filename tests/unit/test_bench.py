"""The pure parts of the load generator, and its check of what arrives. The generator is not part of the package."""

import base64
import hashlib
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol.frames import FrameDecoder, encode
from fsharechat.protocol.messages_pb2 import Message, NotifyMessage, PullMessageRequest, PullMessageResult
from fsharechat.protocol.signals import Signal, SubSignal
from tools.bench import texts, websocket
from tools.bench.link import BenchPeer
from tools.bench.load import LoadReceiver, LoadSender, Tally
from tools.bench.media import MediaResult, media_table, run_media
from tools.bench.sampler import stack_of, summary
from tools.bench.stats import percentile
from tools.bench.tcp import BenchTcpLink, TcpBuilder, pull_texts
from tools.wire import websocket as ws
from tools.wire.bodies import WireAccount
from tools.wire.proto2 import read_varint, varint

ACCOUNT = WireAccount("uid", "client", base64.b64encode(b"user token").decode(), "0123456789abcdef")
SEQS = st.integers(0, (1 << 28) - 1)


def pull_result(*messages: str, current: int) -> PullMessageResult:
    result = PullMessageResult(current=current, head=current)
    for text in messages:
        message = result.message.add(from_user="a", message_id=1 << 60, server_timestamp=1_700_000_000_000)
        message.conversation.type, message.conversation.target, message.conversation.line = 0, "b", 0
        message.content.type = 1
        message.content.searchable_content = text
    return result


@given(SEQS)
def test_text_and_back(seq: int) -> None:
    text = texts.TextParts(7).text(seq)
    assert len(text) == texts.TEXT_SIZE
    assert texts.parse(text) == (7, seq)
    assert texts.parse(text[:-1] + b"?") is None
    assert texts.parse(text[:-1] + b"z") is None


def test_message_ids_fit_and_differ() -> None:
    ids = {texts.message_id_of(seq) for seq in range(100, 50_100)}
    assert len(ids) == 50_000
    assert min(ids) == 10_000
    assert max(ids) < 1 << 16


@given(st.integers(0, (1 << 63) - 1))
def test_varint(number: int) -> None:
    assert PullMessageRequest.FromString(b"\x08" + varint(number) + b"\x10\x00").id == number
    assert read_varint(b"?" + varint(number) + b"?", 1) == (number, 1 + len(varint(number)))


@given(SEQS)
def test_tcp_message_is_the_frame_protobuf_would_make(seq: int) -> None:
    frame, text = TcpBuilder(3, "from", "to").message(seq)
    (decoded,) = FrameDecoder(1 << 16).feed(frame)
    message = Message.FromString(decoded.body)
    assert (decoded.signal, decoded.sub_signal) == (Signal.PUBLISH, SubSignal.MS)
    assert decoded.message_id == texts.message_id_of(seq)
    assert (message.from_user, message.conversation.target) == ("from", "to")
    assert message.content.searchable_content.encode() == text == texts.TextParts(3).text(seq)
    assert message.local_message_id == texts.LOCAL_BASE + seq
    assert message.SerializeToString() == decoded.body


def test_tcp_pull_asks_for_what_follows_the_entry_before_the_head() -> None:
    (frame,) = FrameDecoder(1 << 16).feed(TcpBuilder(0, "from", "to").pull(300, 12))
    assert (frame.signal, frame.sub_signal, frame.message_id) == (Signal.PUBLISH, SubSignal.MP, 12)
    request = PullMessageRequest.FromString(frame.body)
    assert (request.id, request.type) == (299, 0)


@given(st.lists(SEQS, max_size=20), st.integers(0, 1 << 40))
def test_pull_walk_agrees_with_protobuf(seqs: list[int], current: int) -> None:
    wanted = [texts.TextParts(1).text(seq) for seq in seqs]
    body = pull_result(*(text.decode() for text in wanted), current=current).SerializeToString()
    assert pull_texts(b"\0" + body + b"next", 1, 1 + len(body)) == (wanted, current)


def test_pull_walk_sees_a_foreign_text_and_refuses_a_cut_body() -> None:
    body = pull_result("another text", current=1).SerializeToString()
    assert pull_texts(body, 0, len(body)) == ([b""], 1)
    with pytest.raises(ValueError, match="cut off"):
        pull_texts(body, 0, 20)
    with pytest.raises(ValueError, match="tag"):
        pull_texts(b"\x22\x00", 0, 2)


def unmask(frame: bytes) -> tuple[int, bytes]:
    """Read one client frame by RFC 6455 alone."""
    size, start = frame[1] & 0x7F, 2
    assert frame[1] & 0x80
    if size > 125:
        start += 2 if size == 126 else 8
        size = int.from_bytes(frame[2:start], "big")
    key, payload = frame[start : start + 4], frame[start + 4 :]
    assert len(payload) == size
    return frame[0], bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_ws_frames(size: int) -> None:
    payload = b"x" * size
    client = ws.encode(payload)
    assert unmask(client) == (0x81, payload)
    server = bytes((client[0], client[1] & 0x7F)) + client[2 : len(client) - size - 4] + payload
    opcode, start, end = ws.decode(b"?" + server, 1) or (0, 0, 0)
    assert (opcode, (b"?" + server)[start:end], end) == (ws.TEXT, payload, len(server) + 1)
    assert all(ws.decode(server[:cut], 0) is None for cut in range(min(len(server), 300)))


@pytest.mark.parametrize("start", [b"\x01\x00", b"\xc1\x00", b"\x81\x80"])
def test_ws_refuses_fragments_extensions_and_masks(start: bytes) -> None:
    with pytest.raises(ValueError, match="WebSocket frame"):
        ws.decode(start, 0)


@given(SEQS)
def test_ws_message(seq: int) -> None:
    frame, text = websocket.WsBuilder(3, "from", "to").message(seq)
    envelope = orjson.loads(unmask(frame)[1])
    message = envelope["content"]
    assert (envelope["signal"], envelope["subSignal"]) == ("PUBLISH", "MS")
    assert envelope["messageId"] == texts.message_id_of(seq)
    assert message["messageId"] == message["localMessageId"] == str(texts.LOCAL_BASE + seq)
    assert message["content"]["searchableContent"].encode() == text
    assert (message["from"], message["target"]) == ("from", "to")


def test_ws_pull() -> None:
    envelope = orjson.loads(unmask(websocket.WsBuilder(0, "from", "to").pull(300, 12))[1])
    content = {"messageId": "300", "type": 0, "pullType": 1, "sendMessageCount": 0}
    assert envelope == {"signal": "PUBLISH", "subSignal": "MP", "messageId": 12, "content": content}


def test_ws_upgrade() -> None:
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    accept = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the example of RFC 6455
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept
    assert ws.is_upgraded(head, key)
    assert not ws.is_upgraded(head, b"another")
    assert not ws.is_upgraded(head.replace(b"101", b"200"), key)


def test_percentile() -> None:
    assert percentile([1.0], 99) == 1.0
    hundred = [float(n) for n in range(1, 101)]
    assert [percentile(hundred, percent) for percent in (0, 50, 99, 100)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0


class Recorded(BenchPeer):
    """Writes down what a link makes of its bytes."""

    def __init__(self) -> None:
        super().__init__("recorded", [])
        self.events: list[tuple[object, ...]] = []

    def acked(self, message_id: int, code: int, now: float) -> None:
        self.events.append(("acked", message_id, code))

    def notified(self, head: int, now: float) -> None:
        self.events.append(("notified", head))

    def pulled(self, message_id: int, texts: object, current: int, now: float) -> None:
        self.events.append(("pulled", message_id, texts, current))


def ws_frame(signal: str, sub_signal: str, message_id: int, content: object) -> bytes:
    payload = orjson.dumps(
        {
            "signal": signal,
            "subSignal": sub_signal,
            "messageId": message_id,
            "content": orjson.dumps(content).decode(),
        }
    )
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_links_read_any_chunking(transport: str, chunk: int) -> None:
    text = texts.TextParts(0).text(5)
    peer = Recorded()
    if transport == "tcp":
        link: BenchTcpLink | websocket.WsLink = BenchTcpLink(ACCOUNT, peer)
        body = pull_result(text.decode(), current=6).SerializeToString()
        stream = (
            encode(Signal.CONNECT_ACK, SubSignal.CONNECTION_ACCEPTED, 0)
            + encode(Signal.PING, SubSignal.NONE, 1, b"pong")
            + encode(Signal.PUB_ACK, SubSignal.MS, 11, bytes(17))
            + encode(Signal.PUBLISH, SubSignal.MN, 0, NotifyMessage(type=0, head=6).SerializeToString())
            + encode(Signal.PUB_ACK, SubSignal.MP, 12, b"\0" + body)
        )
    else:
        link = websocket.WsLink(ACCOUNT, peer)
        key = base64.b64encode(hashlib.sha1(link.key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        pull = {
            "current": "6",
            "head": "6",
            "messageResponseList": [{"content": {"searchableContent": text.decode()}}],
        }
        stream = (
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + key + b"\r\n\r\n"
            b"\x89\x00" + ws_frame("CONNECT_ACK", "CONNECTION_ACCEPTED", 0, {"messageHead": "0"})
        )
        stream += ws_frame("PUB_ACK", "MS", 11, {"messageId": "1", "timestamp": 1})
        stream += ws_frame("PUBLISH", "MN", 0, {"messageHead": "6", "type": 0})
        stream += ws_frame("PUB_ACK", "MP", 12, pull)
    for start in range(0, len(stream), chunk):
        link.data_received(stream[start : start + chunk])
    assert link.accepted.done()
    assert peer.events == [("acked", 11, 0), ("notified", 6), ("pulled", 12, [text], 6)]


class Pair:
    """A sender that has sent four texts and a receiver that was told of the first; neither is connected."""

    def __init__(self, told: bool = True) -> None:
        self.tally = Tally(measuring=True)
        builder = TcpBuilder(0, "from", "to")
        self.sender = LoadSender(0, 4, builder, self.tally)
        self.receiver = LoadReceiver(0, self.sender, builder, self.tally)
        self.sender.link = BenchTcpLink(ACCOUNT, self.sender)
        self.receiver.link = BenchTcpLink(ACCOUNT, self.receiver)
        self.sender.start()
        if told:
            self.receiver.notified(1, 0.0)

    def text(self, seq: int) -> bytes:
        return texts.TextParts(0).text(seq)


async def test_what_is_acknowledged_is_followed_by_the_next() -> None:
    pair = Pair()
    sender = pair.sender
    assert len(sender.link.out) == len(sender.flying) == len(sender.open) == 4
    sender.acked(texts.message_id_of(2), 0, 1.0)
    assert len(sender.link.out) == len(sender.flying) == 5
    assert len(pair.tally.acks) == 1
    sender.stopped = True
    sender.acked(texts.message_id_of(0), 0, 1.0)
    assert len(sender.link.out) == 5
    assert len(sender.open) == 3
    assert pair.tally.faults == []


@pytest.mark.parametrize(("seq", "code", "says"), [(9, 0, "not open"), (0, 250, "refused with code 250")])
async def test_acknowledgements_that_are_faults(seq: int, code: int, says: str) -> None:
    pair = Pair()
    pair.sender.acked(texts.message_id_of(seq), code, 1.0)
    assert says in pair.tally.faults[0]


async def test_what_arrives_in_order_counts() -> None:
    pair = Pair()
    pair.receiver.pulled(1, [pair.text(0), pair.text(1)], 2, 1.0)
    pair.receiver.notified(3, 1.0)
    pair.receiver.pulled(2, [pair.text(2)], 3, 2.0)
    tally = pair.tally
    assert (tally.delivered, tally.notified, tally.repeated, len(tally.arrivals)) == (3, 2, 0, 3)
    assert tally.faults == []
    assert len(pair.sender.flying) == 1


async def test_a_repeated_notification_may_bring_known_messages_again() -> None:
    pair = Pair()
    pair.receiver.pulled(1, [pair.text(0), pair.text(1)], 2, 1.0)
    pair.receiver.notified(1, 1.0)
    pair.receiver.pulled(2, [pair.text(0), pair.text(1), pair.text(2)], 3, 2.0)
    assert (pair.tally.delivered, pair.tally.repeated, pair.tally.faults) == (3, 1, [])


@pytest.mark.parametrize(
    ("seqs", "current", "says"),
    [
        ([0, 0], 2, "message 0 again, expecting 1"),
        ([0, 2], 2, "message 2, expecting 1: missing or out of order"),
        ([1, 0], 2, "message 1, expecting 0"),
        ([0], 2, "got 1 messages and current 2"),
        ([0, 1, 2, 3, 4], 5, "message 4, expecting 4"),
    ],
)
async def test_deliveries_that_are_faults(seqs: list[int], current: int, says: str) -> None:
    pair = Pair()
    pair.receiver.pulled(1, [pair.text(seq) for seq in seqs], current, 1.0)
    assert says in pair.tally.faults[0]


async def test_a_sender_may_be_told_of_what_it_has_sent() -> None:
    pair = Pair()
    pair.sender.notified(2, 1.0)
    pair.sender.pulled(1, [pair.text(1), pair.text(2)], 3, 1.0)
    assert (pair.tally.echoed, pair.tally.delivered, pair.tally.faults) == (1, 0, [])
    pair.sender.notified(4, 2.0)
    pair.sender.pulled(2, [pair.text(2)], 4, 2.0)
    assert "not what it has sent" in pair.tally.faults[0]


async def test_foreign_damaged_and_unasked_messages_are_faults() -> None:
    foreign, damaged, unasked, skipping, idle = Pair(), Pair(), Pair(told=False), Pair(told=False), Pair()
    foreign.receiver.pulled(1, [texts.TextParts(1).text(0)], 1, 1.0)
    damaged.receiver.pulled(1, [damaged.text(0)[:-1] + b"?"], 1, 1.0)
    unasked.receiver.pulled(1, [unasked.text(0)], 1, 1.0)
    skipping.receiver.notified(2, 1.0)
    idle.sender.notified(5, 1.0)
    found = [pair.tally.faults[0] for pair in (foreign, damaged, unasked, skipping, idle)]
    wanted = ["message of pair 1", "damaged text", "did not ask for", "fetched only 0", "nobody wrote to it"]
    assert [text for text, says in zip(found, wanted, strict=True) if says not in text] == []


def test_profile_summary() -> None:
    def inner() -> list[str]:
        return stack_of(sys._getframe())

    assert inner()[-1].endswith("test_profile_summary.<locals>.inner")
    table = summary(
        ["main;a.outer;a.inner 3", "main;a.outer 1", "idle;b.wait 9", "writer;b.wait 2", "writer;c.write 1"]
    )
    assert "thread main: 4 samples" in table
    assert "  75.0%  75.0%  a.inner" in table
    assert "  25.0% 100.0%  a.outer" in table
    assert "thread writer: 3 samples" in table
    assert "idle" not in table


def test_a_row_of_media_whose_pace_was_not_kept_is_said_so() -> None:
    kept = MediaResult(10, 2.0, 2200.0, 16.0, 1.0, 0.1, 10.0, 100_000_000)
    assert "pace" not in media_table([kept])
    assert "pace with 10 receivers" in media_table([kept._replace(packets=1000.0)])


@pytest.mark.slow
async def test_media_are_forwarded_to_all_receivers() -> None:
    result = await run_media(3, 0.5)
    assert result.packets > 0
    assert 0.5 < result.arrived < 1.5
    assert result.join_ms > 0
