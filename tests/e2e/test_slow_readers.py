"""Clients that take what they are sent slowly, or not at all: no answer costs its own connection (section 6)."""

import asyncio
import gc
from pathlib import Path

import orjson
import pytest

from fsharechat.client import Credentials
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, Signal, SubSignal
from roles.connector import slow
from roles.connector.connection import DeviceConnection
from roles.connector.session import Session, SessionState
from tests.e2e.deployment import ACCEPTED, Boot, ChatOfTwo, Deployment
from tools.testing.devices import log_in
from tools.testing.server import Server, until
from tools.wire.clients import TcpWire, WebWire, web_frame
from tools.wire.slow_line import narrow_socket, slow_line

MEGABIT = 1_000_000.0
PAGES = 10


async def fill(server: Deployment, transport: str) -> tuple[Credentials, str]:
    """Give ben a history of about 1 MiB, as it is sent on that transport; return his login and who wrote it."""
    anna, ben = await server.login("anna"), await server.login("ben", "slow")
    writer = await server.online_tcp("anna")
    # JSON has six bytes for each of these.
    text = "\x01" * 900 if transport == "ws" else "x" * 5_000
    for n in range(200):
        assert await writer.send_text(ben.user_id, text, n + 1)
    await writer.close()
    return ben, anna.user_id


def page(peer: str) -> bytes:
    conversation = pb.Conversation(type=0, target=peer, line=0)
    return pb.LoadRemoteMessages(conversation=conversation, before_uid=0, count=200).SerializeToString()


def web_page(peer: str) -> dict[str, object]:
    return {"beforeUid": "0", "count": 200, "conversation": {"type": 0, "target": peer, "line": 0}}


async def ask_for_page(wire: TcpWire | WebWire, peer: str, message_id: int) -> None:
    if isinstance(wire, TcpWire):
        wire.send(Signal.PUBLISH, SubSignal.LRM, message_id, page(peer))
    else:
        await wire.send("PUBLISH", "LRM", message_id, web_page(peer))


async def page_of(wire: TcpWire | WebWire, message_id: int) -> int:
    """Return how many messages the answer has."""
    if isinstance(wire, TcpWire):
        frame = await wire.frame(Signal.PUB_ACK, lambda frame: frame.message_id == message_id)
        assert frame.body[0] == Code.SUCCESS
        return len(pb.PullMessageResult.FromString(frame.body[1:]).message)
    answer = await wire.frame("PUB_ACK", lambda frame: frame["messageId"] == message_id)
    return len(orjson.loads(answer["content"])["messageResponseList"])


def ws_address(url: str) -> str:
    return url.partition("://")[2].strip("/")


@pytest.mark.slow
async def test_ten_pages_at_once_come_over_a_line_of_ten_megabit(boot: Boot, transport: str) -> None:
    server = await boot(limits={"requests": 0})
    ben, anna_id = await fill(server, transport)
    address = server.at.tcp if transport == "tcp" else ws_address(server.at.ws)
    async with slow_line(address, 10 * MEGABIT) as near:
        wire = await (TcpWire.open(near) if transport == "tcp" else WebWire.open(f"ws://{near}/"))
        assert await wire.connect(ben) == ACCEPTED
        for n in range(PAGES):
            await ask_for_page(wire, anna_id, n + 1)
        assert [await page_of(wire, n + 1) for n in range(PAGES)] == [200] * PAGES
        await wire.close()


async def online_narrow(server: Deployment, transport: str, who: Credentials) -> TcpWire:
    """Log in over a socket that keeps little of what is not read."""
    address = server.at.tcp if transport == "tcp" else ws_address(server.at.ws)
    wire = TcpWire(*await asyncio.open_connection(sock=await narrow_socket(address), limit=1024))
    server.faults.opened(wire.name)
    server.wires.push_async_callback(wire.close)
    if transport == "tcp":
        assert await wire.connect(who) == ACCEPTED
        return wire
    await wire.become_websocket()
    await wire.connect_websocket(who)
    return wire


def ask_unread(wire: TcpWire, transport: str, peer: str, pages: int) -> None:
    for n in range(1, pages + 1):
        if transport == "tcp":
            wire.send(Signal.PUBLISH, SubSignal.LRM, n, page(peer))
        else:
            wire.writer.write(web_frame("PUBLISH", "LRM", n, web_page(peer)))


async def test_who_takes_no_byte_is_dropped_and_others_chat_on(
    boot: Boot, transport: str, quick_sweep: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "STALLED_SECONDS", 0.5)
    server = await boot(limits={"requests": 0})
    ben, anna_id = await fill(server, transport)
    async with ChatOfTwo.between(server):
        wire = await online_narrow(server, transport, ben)
        ask_unread(wire, transport, anna_id, PAGES)
        await server.until_logged(wire, "reads too slowly")


async def test_nothing_is_carried_out_while_the_client_takes_nothing(boot: Boot, transport: str) -> None:
    """However much is asked for, what the server keeps for it is bounded."""
    server = await boot(limits={"requests": 0}, connector={"max_inflight": 4})
    ben, anna_id = await fill(server, transport)
    wire = await online_narrow(server, transport, ben)
    sessions = [
        one for one in gc.get_objects() if isinstance(one, Session) and one.state is SessionState.OPEN
    ]
    (session,) = (one for one in sessions if one.client_id == "slow")
    ask_unread(wire, transport, anna_id, 60)
    await until(lambda: session._most == 0 and not session.inflight, "the client takes everything")
    assert isinstance(session.transport, DeviceConnection)
    assert len(session.transport._queue or ()) <= 4
    if transport == "tcp":
        assert [await page_of(wire, n + 1) for n in range(60)] == [200] * 60
        assert session._most == 4


@pytest.mark.slow
@pytest.mark.parametrize("end", ["replaced", "stopped"])
async def test_a_frame_that_has_begun_is_finished(tmp_path: Path, end: str) -> None:
    """It takes longer than what a client that takes nothing is given."""
    settings = {"LIMITS__REQUESTS": "0", "NODE__DRAIN_SECONDS": "60"}
    async with Server(tmp_path / "data", settings) as server:
        anna, ben = [await log_in(server.at, number, "slow") for number in ("13900000001", "13900000002")]
        writer = await TcpWire.open(server.at.tcp)
        assert await writer.connect(anna) == ACCEPTED
        for n in range(200):
            assert await writer.send_text(ben.user_id, "x" * 5_000, n + 1)
        await writer.close()
        async with slow_line(server.at.tcp, MEGABIT) as near:
            wire = await TcpWire.open(near)
            assert await wire.connect(ben) == ACCEPTED
            for n in (1, 2, 3, 4):  # the answers but one wait, and have not begun
                await ask_for_page(wire, anna.user_id, n)
            answer = asyncio.create_task(wire.frame(Signal.PUB_ACK))
            await until(lambda: len(wire.rest) > 10_000, "no answer")
            if end == "replaced":
                again = await TcpWire.open(server.at.tcp)
                assert await again.connect(ben) == ACCEPTED
                await again.close()
            else:
                await server.stop()
            assert len(pb.PullMessageResult.FromString((await answer).body[1:]).message) == 200
            await wire.until_closed()
            assert not wire.rest
            await wire.close()
