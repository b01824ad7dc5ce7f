"""Android and iOS keep their parser over reconnects, and are deaf after a broken frame (contract.md section 1)."""

import asyncio

import orjson
import pytest

from fsharechat.client import Credentials
from fsharechat.protocol import frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.frames import Frame
from fsharechat.protocol.signals import Signal, SubSignal
from tests.e2e.deployment import ACCEPTED, Boot, Deployment
from tools.wire.bodies import connect_body
from tools.wire.clients import BOUND, TcpWire
from tools.wire.slow_line import narrow_socket

READ = 50_000
TEXTS = 150


class PhoneParser:
    """Reads as those clients do: what is not 0xF8 before a frame is skipped, and a new connection changes nothing.

    Of a chunk that ends a frame the rest is read on.
    """

    def __init__(self) -> None:
        self._kept = b""

    @property
    def inside(self) -> bool:
        """Whether it waits for the rest of a frame."""
        return bool(self._kept)

    def feed(self, data: bytes) -> list[Frame]:
        self._kept += data
        found: list[Frame] = []
        while True:
            start = self._kept.find(frames.MAGIC)
            self._kept = self._kept[start:] if start >= 0 else b""
            if len(self._kept) < frames.HEADER_SIZE:
                return found
            length = int.from_bytes(self._kept[3:7], "big")
            if len(self._kept) < frames.HEADER_SIZE + length:
                return found
            found += frames.FrameDecoder(16 << 20).feed(self._kept[: frames.HEADER_SIZE + length])
            self._kept = self._kept[frames.HEADER_SIZE + length :]


async def read_until(wire: TcpWire, parser: PhoneParser, signal: int, marker: bytes = b"") -> list[Frame]:
    """Read into the parser until it has a frame of that signal, or until `marker` has come."""
    found: list[Frame] = []
    seen = b""
    async with asyncio.timeout(BOUND):
        while not any(frame.signal == signal for frame in found):
            data = await wire.reader.read(4096)
            assert data, "the server has closed"
            found += parser.feed(data)
            seen = (seen + data)[-8192:]
            if marker and marker in seen:
                break
    return found


async def dial(server: Deployment) -> TcpWire:
    wire = TcpWire(*await asyncio.open_connection(sock=await narrow_socket(server.at.tcp), limit=1024))
    server.faults.opened(wire.name)
    server.wires.push_async_callback(wire.close)
    return wire


def say_hello(wire: TcpWire, who: Credentials) -> None:
    """Send CONNECT and PING back to back."""
    wire.send(Signal.CONNECT, body=orjson.dumps(connect_body(who)))
    wire.send(Signal.PING, message_id=7, body=b'{"interval": 30000}')


async def deafened(server: Deployment, *, hang_up: bool) -> tuple[Credentials, PhoneParser]:
    """Stop reading inside an answer, and hang up or not; return whose device it is, and its parser."""
    anna, ben = await server.login("anna"), await server.login("ben")
    writer = await server.online_tcp("anna")
    for n in range(TEXTS):
        assert await writer.send_text(ben.user_id, "x" * 5_000, n + 1)
    parser = PhoneParser()
    wire = await dial(server)
    say_hello(wire, ben)
    await read_until(wire, parser, Signal.CONNECT_ACK)
    conversation = pb.Conversation(type=0, target=anna.user_id, line=0)
    page = pb.LoadRemoteMessages(conversation=conversation, before_uid=0, count=200)
    wire.send(Signal.PUBLISH, SubSignal.LRM, 9, page.SerializeToString())
    read = 0
    async with asyncio.timeout(BOUND):
        while read < READ:
            data = await wire.reader.read(4096)
            parser.feed(data)
            read += len(data)
    assert parser.inside
    if hang_up:
        await wire.close()
        await server.until_sessions(1)
    return ben, parser


ACK = bytes((frames.MAGIC, frames.VERSION, Signal.CONNECT_ACK))


@pytest.mark.parametrize("hang_up", [True, False], ids=["closed", "replaced"])
async def test_a_device_that_was_left_deaf_is_freed_when_it_comes_again(boot: Boot, hang_up: bool) -> None:
    server = await boot(limits={"requests": 0})
    ben, parser = await deafened(server, hang_up=hang_up)
    wire = await dial(server)
    say_hello(wire, ben)
    assert await read_until(wire, parser, Signal.CONNECT_ACK, marker=ACK) == []
    await wire.close()
    again = await dial(server)
    say_hello(again, ben)
    *before, accepted = [
        frame
        for frame in await read_until(again, parser, Signal.CONNECT_ACK)
        if frame.signal != Signal.PUB_ACK
    ]
    assert [(frame.signal, frame.message_id) for frame in before] == [(Signal.PING, 7)]
    assert accepted.sub_signal == ACCEPTED
    again.send(Signal.PUBLISH, SubSignal.MP, 11, pb.PullMessageRequest(id=TEXTS, type=0).SerializeToString())
    assert (await read_until(again, parser, Signal.PUB_ACK))[-1].message_id == 11


async def test_a_device_that_hears_is_told_nothing_odd(boot: Boot) -> None:
    server = await boot(limits={"requests": 0})
    ben, _ = await deafened(server, hang_up=True)
    wire = await server.tcp()
    assert await wire.connect(ben) == ACCEPTED
    await wire.pull(TEXTS)
    await wire.close()
    again = await server.tcp()
    assert await again.connect(ben) == ACCEPTED  # its decoder takes frames alone
