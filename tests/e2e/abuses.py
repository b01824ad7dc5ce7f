"""What strangers and misbehaving clients do to a server; each checks what becomes of its own connections."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp
import orjson

from fsharechat.protocol import frames
from fsharechat.protocol.signals import Code, Signal, SubSignal
from tests.e2e.deployment import Deployment
from tools.testing.server import BOUND
from tools.wire import websocket
from tools.wire.bodies import connect_body, text_message, web_text
from tools.wire.clients import TcpWire

Abuse = Callable[[Deployment], Awaitable[None]]
ABUSES: dict[str, Abuse] = {}

BIG = 10 << 20
_HEADER = frames.encode(Signal.CONNECT, 0, 1, b"x" * 100)
_CLOSE = bytes((0x80 | websocket.CLOSE,))


def abuse(function: Abuse) -> Abuse:
    ABUSES[function.__name__] = function
    return function


async def _online(server: Deployment, user: str) -> TcpWire:
    """Log in, and say something: who says nothing but CONNECT may be taken for deaf (contract.md section 1).

    A device that comes back to another connector at once may be ended once more as the one that has moved away.
    """
    while True:
        wire = await server.online_tcp(user)
        try:
            await wire.pull(0)
        except EOFError:
            await wire.close()
        else:
            return wire


async def hang_up_on(server: Deployment, data: bytes, reason: str, *, user: str = "") -> None:
    """Send bytes over TCP, logged in or not, and see that connection closed with one line."""
    wire = await _online(server, user) if user else await server.tcp()
    try:
        wire.writer.write(data)
        await wire.until_closed()
        await server.until_logged(wire, reason)
    finally:
        await wire.close()


async def hang_up_web(server: Deployment, data: bytes, reason: str, *, shake: bool = True) -> None:
    """Send bytes over a WebSocket that is not logged in, and see that connection closed with one line."""
    wire = await server.raw_web()
    try:
        if shake:
            await wire.become_websocket()
        wire.writer.write(data)
        await _until_hung_up(wire)
        await server.until_logged(wire, reason)
    finally:
        await wire.close()


async def _until_hung_up(wire: TcpWire) -> None:
    """Wait for the frame that closes a WebSocket, which a client answers by an end of its own, or for the end."""
    data = b""
    async with asyncio.timeout(BOUND):
        while not data.startswith(_CLOSE):
            try:
                part = await wire.reader.read(1 << 16)
            except ConnectionError:
                return
            if not part:
                return
            data += part


@abuse
async def random_bytes(server: Deployment) -> None:
    for seed in range(10):
        noise = random.Random(seed).randbytes(1 + seed * 40)
        await hang_up_on(server, noise, "a frame starts with")
        await hang_up_on(server, noise, "a frame starts with", user="dora")


@abuse
async def headers_that_are_none(server: Deployment) -> None:
    await hang_up_on(server, b"\x47" + _HEADER[1:], "a frame starts with")
    await hang_up_on(server, _HEADER[:1] + b"\x01" + _HEADER[2:], "frame version 1")
    for length in (2**31 - 1, -1, -(2**31), 16 * 1024 + 1):
        claimed = _HEADER[:3] + length.to_bytes(4, "big", signed=True) + _HEADER[7:]
        await hang_up_on(server, claimed, f"a body of {length} bytes")


@abuse
async def half_frames(server: Deployment) -> None:
    before = await server.metric("sessions")
    wires = [await server.tcp() for _ in _HEADER]
    for size, wire in enumerate(wires):
        wire.writer.write(_HEADER[:size])
        await wire.writer.drain()
    for wire in wires:
        await wire.close()
    await server.until_sessions(before)


@abuse
async def frames_that_clients_do_not_send(server: Deployment) -> None:
    for signal in (s for s in range(128) if s not in (Signal.CONNECT, Signal.PING)):
        data = frames.encode(signal, 0, 1, b"")
        await hang_up_on(server, data, f"signal {signal} while new")
    for signal in (Signal.NONE, Signal.CONNECT, Signal.CONNECT_ACK, Signal.PUB_ACK, 11, 127):
        await hang_up_on(
            server, frames.encode(signal, 0, 1, b"{}"), f"signal {signal} while open", user="dora"
        )


@abuse
async def connects_that_are_none(server: Deployment) -> None:
    wrong: tuple[object, ...] = (None, 1, [], {})
    good = {"userName": "u", "password": "p", "clientIdentifier": "c"}
    for body in (
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b"[" * 10_000,
        *(orjson.dumps({**good, key: value}) for key in good for value in wrong),
        *(orjson.dumps({key: "x" for key in good if key != left_out}) for left_out in good),
        orjson.dumps({**good, "userName": "u" * 256}),
        orjson.dumps({**good, "clientIdentifier": "c" * 256}),
    ):
        await hang_up_on(server, frames.encode(Signal.CONNECT, 0, 1, body), "BAD_USER_NAME_OR_PASSWORD")
    contents = (*wrong, {"userName": 1}, {"userName": "", "password": "", "clientIdentifier": []})
    for content in contents:
        wire = await server.web()
        await wire.send("CONNECT", content=content)
        await wire.until_closed()
        await server.until_logged(wire, "")
        await wire.close()


@abuse
async def http_that_is_none(server: Deployment) -> None:
    await hang_up_web(server, b"\x00\x01\x02\r\n\r\n", "no WebSocket handshake", shake=False)
    await hang_up_web(server, b"GET / HTTP/9.9 x\r\n\r\n", "no WebSocket handshake", shake=False)
    await hang_up_web(server, b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "no WebSocket handshake", shake=False)
    await hang_up_web(
        server, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n", "no WebSocket handshake", shake=False
    )
    await hang_up_web(server, b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, "65536 bytes", shake=False)
    encoded = b"Content-Encoding: gzip\r\nContent-Length: 9\r\n"
    for head, answer in (
        (b"GET / HTTP/1.1\r\n", b"426"),
        (b"GET /elsewhere HTTP/1.1\r\n", b"404"),
        (b"GET / HTTP/1.1\r\n" + encoded, b"415"),
        (b"POST /elsewhere HTTP/1.1\r\n" + encoded, b"415"),
    ):
        wire = await server.raw_web()
        wire.writer.write(head + b"Host: test\r\n\r\n" + (b"no stream" if encoded in head else b""))
        assert answer in await wire.reader.readline()
        await wire.close()
        await server.until_logged(wire, "no WebSocket handshake")


@abuse
async def websocket_frames_that_are_none(server: Deployment) -> None:
    heartbeat = websocket.encode("心跳内容".encode())
    await hang_up_web(server, websocket.encode(_HEADER, websocket.BINARY), "not text")
    await hang_up_web(server, heartbeat + websocket.encode(b"\xff\xfe"), "INVALID_TEXT")
    await hang_up_web(server, websocket.encode(b"", 3), "PROTOCOL_ERROR")
    await hang_up_web(server, websocket.encode(b"x" * 126, 9), "PROTOCOL_ERROR")
    await hang_up_web(server, websocket.encode(b"more", 0), "PROTOCOL_ERROR")
    for length in (2**31 - 1, 2**63 - 1, 2**64 - 1, BIG):
        await hang_up_web(server, websocket.encode(b"x", length=length), "MESSAGE_TOO_BIG")


@abuse
async def json_that_is_no_request(server: Deployment) -> None:
    for text in ("", "{", "null", "[]", "1", '"PING"', "[" * 10_000, '{"signal": 9}', '{"signal": "PUSH"}'):
        await hang_up_web(server, websocket.encode(text.encode()), "")


@abuse
async def a_lot_before_logging_in(server: Deployment) -> None:
    part = websocket.encode(b"x" * 50_000, fin=False)
    await hang_up_web(server, part + part, "65536 bytes before")
    await hang_up_web(server, websocket.encode(b"x" * 70_000), "65536 bytes before")


@abuse
async def a_huge_text(server: Deployment) -> None:
    wire = await server.online_tcp("dora")
    assert await wire.request(SubSignal.MS, text_message("nobody", "x" * BIG)) == (Code.INVALID_MESSAGE, b"")
    assert (await wire.ping()).body
    request = text_message("nobody", "x" * (16 << 20))
    with suppress(ConnectionError):
        wire.send(Signal.PUBLISH, SubSignal.MS, 1, request)
    await wire.until_closed()
    await server.until_logged(wire, f"a body of {len(request)} bytes")
    await wire.close()
    web = await server.online_web("emil")
    assert await web.request("MS", web_text("nobody", "x" * BIG)) == ""
    with suppress(ConnectionError, aiohttp.ClientError):
        await web.send("PUBLISH", "MS", 1, web_text("nobody", "x" * (16 << 20)))
    await web.until_closed()
    await server.until_logged(web, "MESSAGE_TOO_BIG")
    await web.close()
    web = await server.online_web("emil")
    await web.socket.send_str('{"content": "' + "x" * BIG + '"}')  # who could be answered?
    await web.until_closed()
    await server.until_logged(web, "MESSAGE_TOO_BIG")
    await web.close()


@abuse
async def stolen_tokens(server: Deployment) -> None:
    dora, emil = await server.login("dora"), await server.login("emil")
    await server.login("dora", "tablet")
    altered = connect_body(dora)["password"]
    assert isinstance(altered, str)
    altered = altered[:10] + ("A" if altered[10] != "A" else "B") + altered[11:]
    for transport in ("tcp", "web"):
        for changes in (
            {"clientIdentifier": "tablet"},
            {"userName": emil.user_id},
            {"password": altered},
            {"password": connect_body(emil)["password"]},
            {"password": ""},
            {"password": "不是"},
        ):
            wire = await server.open("tcp" if transport == "tcp" else "ws")
            assert (
                await wire.connect(dora, **changes) == SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD
            )
            await wire.until_closed()
            await server.until_logged(wire, "BAD_USER_NAME_OR_PASSWORD")
            await wire.close()


@abuse
async def connections_that_come_and_go(server: Deployment) -> None:
    before = await server.metric("sessions")
    body = orjson.dumps(connect_body(await server.login("dora")))
    for _ in range(40):
        wire, web = await server.tcp(), await server.raw_web()
        wire.send(Signal.CONNECT, body=body)
        web.writer.write(b"GET / HTTP/1.1\r\n")
        await wire.close()
        await web.close()
    for _ in range(10):
        web = await server.raw_web()
        await web.become_websocket()
        await web.close()
    await server.until_sessions(before)
