"""Connections from the login to the end, over both transports (contract.md sections 1, 2 and 4)."""

import asyncio
import gc
import ssl
import weakref
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from fsharechat.protocol import frames
from fsharechat.protocol.crypto import connect_password, hours_now
from fsharechat.protocol.frames import Frame, FrameDecoder
from fsharechat.protocol.signals import Code, PersistFlag, Signal, SubSignal
from roles.connector.session import Session
from roles.connector.tables import SessionTable
from roles.connector.websocket import WebSocketConnection
from tests.e2e.deployment import ACCEPTED, BOTH, Boot, ChatOfTwo, Deployment
from tools.services.certificates import Authority
from tools.testing.server import BOUND, until
from tools.wire import websocket
from tools.wire.bodies import connect_body, text_message
from tools.wire.clients import TcpWire, WebWire

TRIES = 30
"""How often it is tried to keep a pace that a busy machine may not keep."""
REJECTED = SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED
BAD_PASSWORD = SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD
NO_SESSION = SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST


@pytest.fixture(params=BOTH)
def deployment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def alive(wire: TcpWire | WebWire) -> bool:
    """Return whether a connection answers."""
    with suppress(EOFError, ConnectionError):
        if isinstance(wire, TcpWire):
            return bool((await wire.ping()).body)
        await wire.send("PING", message_id=3, content={"interval": 30000})
        return bool((await wire.frame("PING"))["content"])
    return False


# Refusals


async def test_an_empty_client_id_is_rejected(server: Deployment, transport: str) -> None:
    wire = await server.open(transport)
    assert await wire.connect(await server.login("anna"), clientIdentifier="") == REJECTED
    await wire.until_closed()


@pytest.mark.parametrize("changes", [{"clientIdentifier": "never seen"}, {"userName": "nobody"}])
async def test_a_session_that_does_not_exist_is_told(
    server: Deployment, transport: str, changes: dict[str, str]
) -> None:
    wire = await server.open(transport)
    assert await wire.connect(await server.login("anna"), **changes) == NO_SESSION
    await wire.until_closed()


async def test_a_wrong_password_is_told(server: Deployment, transport: str) -> None:
    anna = await server.login("anna")
    wire = await server.open(transport)
    wrong = connect_password(anna.user_token, "another secret of 24 let")
    assert await wire.connect(anna, password=wrong) == BAD_PASSWORD
    await wire.until_closed()


@pytest.mark.parametrize("hours", [0, -24, -26, -24 * 365, 1, 0x7FFFFF])
async def test_a_device_connects_whatever_its_clock_says(
    server: Deployment, transport: str, hours: int
) -> None:
    anna = await server.login("anna")
    stamp = hours if hours == 0x7FFFFF else hours_now() + hours
    wire = await server.open(transport)
    password = connect_password(anna.user_token, anna.secret, stamp)
    assert await wire.connect(anna, password=password) == ACCEPTED


async def test_a_blocked_user_is_rejected(server: Deployment, transport: str) -> None:
    anna = await server.login("anna")
    await server.block(anna.user_id)
    wire = await server.open(transport)
    assert await wire.connect(anna) == REJECTED
    await wire.until_closed()


async def test_a_new_login_of_a_device_ends_the_old_token(server: Deployment, transport: str) -> None:
    old = await server.login("anna")
    new = await server.login("anna")
    wire = await server.open(transport)
    assert await wire.connect(old) == BAD_PASSWORD
    wire = await server.open(transport)
    assert await wire.connect(new) == ACCEPTED


async def test_a_device_that_logged_out_has_no_session(server: Deployment, transport: str) -> None:
    anna = await server.login("anna")
    wire = await server.open(transport)
    await wire.connect(anna)
    await disconnect(wire, clear=True)
    again = await server.open(transport)
    assert await again.connect(anna) == NO_SESSION


async def test_who_connects_again_while_logging_out_does_not_stay(server: Deployment, transport: str) -> None:
    for n in range(10):
        anna = await server.login(f"anna {n}")
        wire, again = await server.open(transport), await server.open(transport)
        assert await wire.connect(anna) == ACCEPTED
        await say_goodbye(wire, clear=True)
        assert await again.connect(anna) in (ACCEPTED, NO_SESSION)
        await wire.until_closed()
        probe = await server.open(
            transport
        )  # it takes the other's place where the goodbye came behind the CONNECT
        assert await probe.connect(anna) in (ACCEPTED, NO_SESSION)
        await again.until_closed()


async def test_who_logs_in_again_at_once_stays_logged_in(server: Deployment, transport: str) -> None:
    wire = await server.open(transport)
    assert await wire.connect(await server.login("anna")) == ACCEPTED
    for _ in range(10):
        await say_goodbye(wire, clear=True)
        old, wire = wire, await server.open(transport)
        anna = await server.login("anna")
        assert await wire.connect(anna) == ACCEPTED
        await old.until_closed()
    await wire.close()
    wire = await server.open(transport)
    assert await wire.connect(anna) == ACCEPTED


async def test_the_end_of_a_connection_is_not_the_end_of_the_next(server: Deployment) -> None:
    """What is transparent is pushed to where a device is known to be, and kept nowhere."""
    ben, anna = await server.online_tcp("ben"), await server.login("anna")
    typing = text_message(anna.user_id, "", flag=PersistFlag.TRANSPARENT)
    wire = await server.tcp()
    assert await wire.connect(anna) == ACCEPTED
    for _ in range(5):
        for _ in range(3):
            await say_goodbye(wire, clear=False)
            wire = await server.tcp()
            assert await wire.connect(anna) == ACCEPTED
        pushed = asyncio.create_task(wire.frame(Signal.PUB_ACK))
        async with asyncio.timeout(BOUND):
            while not pushed.done():
                assert (await ben.request(SubSignal.MS, typing))[0] == Code.SUCCESS
                await asyncio.wait([pushed], timeout=0.05)
        assert pushed.result().sub_signal == SubSignal.MP


async def test_a_device_that_only_left_may_come_back(server: Deployment, transport: str) -> None:
    anna = await server.login("anna")
    for _ in range(3):
        wire = await server.open(transport)
        assert await wire.connect(anna) == ACCEPTED
        await disconnect(wire, clear=False)


async def disconnect(wire: TcpWire | WebWire, *, clear: bool) -> None:
    await say_goodbye(wire, clear=clear)
    await wire.until_closed()


async def say_goodbye(wire: TcpWire | WebWire, *, clear: bool) -> None:
    if isinstance(wire, TcpWire):
        wire.send(Signal.DISCONNECT, body=bytes([clear]))
    else:
        await wire.send("DISCONNECT", content={"clearSession": int(clear)})


# The order of things


async def test_connect_and_ping_back_to_back(server: Deployment) -> None:
    anna = await server.login("anna")
    wire = await server.tcp()
    connect = frames.encode(Signal.CONNECT, 0, 7, orjson.dumps(connect_body(anna)))
    wire.writer.write(connect + frames.encode(Signal.PING, 0, 8, b'{"interval": 30000}'))
    answers = {frame.signal: frame for frame in (await wire.frame(), await wire.frame())}
    accepted = answers[Signal.CONNECT_ACK]
    assert (accepted.sub_signal, accepted.message_id) == (ACCEPTED, 0)
    assert answers[Signal.PING].message_id == 8
    assert answers[Signal.PING].body.decode()


async def test_a_ping_before_the_login_is_answered(server: Deployment, transport: str) -> None:
    assert await alive(await server.open(transport))


async def test_a_request_before_the_login_closes(server: Deployment, transport: str) -> None:
    wire = await server.open(transport)
    if isinstance(wire, TcpWire):
        wire.send(Signal.PUBLISH, SubSignal.MS, 1, text_message("x", "x"))
    else:
        await wire.send("PUBLISH", "MP", 1, {"messageId": "1", "pullType": 1})
    await wire.until_closed()
    assert wire.kept() == []
    await server.until_logged(wire, "while new")


async def test_a_second_connect_closes(server: Deployment, transport: str) -> None:
    anna = await server.login("anna")
    wire = await server.open(transport)
    await wire.connect(anna)
    with suppress(EOFError):
        await wire.connect(anna)
    await wire.until_closed()
    await server.until_logged(wire, "while open")


@pytest.mark.parametrize(("first", "second"), [("tcp", "ws"), ("ws", "tcp"), ("tcp", "tcp"), ("ws", "ws")])
async def test_a_new_connection_of_a_device_replaces_the_old_one(
    server: Deployment, first: str, second: str
) -> None:
    anna = await server.login("anna")
    old, new = await server.open(first), await server.open(second)
    assert await old.connect(anna) == ACCEPTED
    assert await new.connect(anna) == ACCEPTED
    await old.until_closed()
    await server.until_logged(old, server.replaced(first, second))
    ben = await server.online("tcp", "ben")
    assert await ben.send_text(anna.user_id, "to the new one")
    assert await new.pull(await new.next_mn() - 1) == (["to the new one"], 1)


async def test_two_devices_of_a_user_are_online_side_by_side(server: Deployment) -> None:
    phone, web = await server.online("tcp", "anna", "phone"), await server.online("ws", "anna", "web")
    ben = await server.online("ws", "ben")
    anna_id, ben_id = (await server.login("anna", "x")).user_id, (await server.login("ben", "x")).user_id
    assert await ben.send_text(anna_id, "to both")
    for device in (phone, web):
        assert await device.pull(await device.next_mn() - 1) == (["to both"], 1)
    assert await phone.send_text(ben_id, "an own one")
    assert await web.next_mn() == 2
    assert await web.pull(1) == (["an own one"], 2)
    assert await alive(phone)
    assert phone.kept() == []  # no MN for what it sent itself


# Silence


async def test_who_does_not_log_in_is_dropped(boot: Boot, quick_sweep: None, transport: str) -> None:
    server = await boot(connector={"authenticate_seconds": 0.3})
    wire = await server.open(transport)
    await alive(wire)  # to ask is not enough; on a busy machine the time may be over by now
    await wire.until_closed()
    await server.until_logged(wire, "not logged in within the time")


async def test_who_does_not_even_ask_for_a_websocket_is_dropped(boot: Boot, quick_sweep: None) -> None:
    server = await boot(connector={"authenticate_seconds": 0.3})
    silent, slow = await server.raw_web(), await server.raw_web()
    slow.writer.write(b"GET / HTTP/1.1\r\nHost: ")
    for wire in (silent, slow):
        await wire.until_closed()
        await server.until_logged(wire, "no WebSocket handshake within the time")


async def test_a_tcp_client_is_dead_after_its_interval_and_the_grace(boot: Boot, quick_sweep: None) -> None:
    server = await boot(connector={"ping_grace_seconds": 0.3})
    wire, patient = await server.online_tcp("anna"), await server.online_tcp("ben")
    await patient.ping()
    began = asyncio.get_running_loop().time()
    wire.send(Signal.PING, 0, 1, b'{"interval": 400}')
    await wire.until_closed()
    assert asyncio.get_running_loop().time() - began >= 0.7
    await server.until_logged(wire, "silent")
    assert await alive(patient)


async def test_a_heartbeat_keeps_a_web_client_and_gets_no_answer(boot: Boot, quick_sweep: None) -> None:
    seconds = 0.6  # a busy machine may be silent for longer: then the attempt says nothing
    server = await boot(connector={"web_silence_seconds": seconds})
    time = asyncio.get_running_loop().time
    for _ in range(TRIES):
        try:
            wire, silent = await server.online_web("anna"), await server.online_web("ben")
        except EOFError:
            continue
        closed = asyncio.create_task(silent.until_closed())
        longest, before = 0.0, time()
        while not closed.done():  # which is longer than the other one's silence may last
            with suppress(ConnectionError):
                await wire.socket.send_str("心跳内容")
            await asyncio.wait([closed], timeout=0.1)
            longest, before = max(longest, time() - before), time()
        await server.until_logged(silent, "silent")
        if longest < seconds:
            break
    else:
        pytest.fail(f"this machine is too busy to send anything every {seconds} s, {TRIES} times")
    assert await alive(wire)
    assert wire.kept() == []


# Too much


async def test_a_flood_of_connections_keeps_nobody_out_and_others_chat_on(boot: Boot, transport: str) -> None:
    server = await boot(connector={"max_unauthenticated": 40})
    async with ChatOfTwo.between(server):
        flood = [await server.tcp() for _ in range(60)] + [await server.raw_web() for _ in range(60)]
        await server.until_metric("connections_refused", 80)
        late = await server.open(transport)  # the oldest makes room
        assert await late.connect(await server.login("dora")) == ACCEPTED
        for wire in flood[:81]:
            await wire.until_closed()
        assert await alive(late)
        for wire in flood:
            await wire.close()
        await server.until_sessions(3)


async def test_a_flood_of_connections_that_never_begin_tls_keeps_nobody_out(
    boot: Boot, tmp_path: Path, transport: str
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    server = await boot(
        connector={
            "tls": {"certificate": str(certificate), "key": str(key)},
            "max_unauthenticated": 20,
            "authenticate_seconds": 3600,
        }
    )
    trusts = ssl.create_default_context(cafile=authority.certificate)
    flood = [await server.tcp() for _ in range(50)] + [await server.raw_web() for _ in range(50)]
    await server.until_metric("connections_refused", 80)
    for wire in flood[:80]:
        await wire.until_closed()
    late = await (server.tcp(trusts) if transport == "tcp" else server.web(trusts))
    assert await late.connect(await server.login("dora")) == ACCEPTED
    assert await alive(late)


async def test_a_flood_of_pings_ends_its_connection_and_others_chat_on(
    server: Deployment, chat: ChatOfTwo, transport: str
) -> None:
    wire = await server.open(transport)
    assert await wire.connect(await server.login("dora")) == ACCEPTED
    if isinstance(wire, TcpWire):
        wire.writer.write(frames.encode(Signal.PING, 0, 1, b'{"interval": 30000}') * 1100)
    else:
        with suppress(ConnectionError, aiohttp.ClientError):
            for n in range(1100):
                await (wire.socket.ping() if n % 2 else wire.socket.send_str("心跳内容"))
    await wire.until_closed()
    await server.until_logged(wire, "a flood of PING")


async def test_a_flood_of_what_is_refused_ends_its_connection_and_others_chat_on(
    server: Deployment, chat: ChatOfTwo, transport: str
) -> None:
    wire = await server.open(transport)
    assert await wire.connect(await server.login("dora")) == ACCEPTED
    if isinstance(wire, TcpWire):
        wire.writer.write(frames.encode(Signal.PUBLISH, SubSignal.US, 1, b"\xff") * 1100)
    else:
        with suppress(ConnectionError, aiohttp.ClientError):
            for _ in range(1100):
                await wire.send("PUBLISH", "US", 1, content=["no", "search"])
    await wire.until_closed()
    await server.until_logged(wire, "a flood of sub-signal 9")


@pytest.mark.parametrize("deployment", ["one process"])  # the test looks into it
async def test_a_long_chunk_is_carried_out_in_parts(
    boot: Boot, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await boot(limits={"requests": 0})
    if transport == "tcp":
        wire = await server.online_tcp("dora")
        ping = frames.encode(Signal.PING, 0, 1)
    else:
        wire = await server.raw_online_web("dora")
        ping = websocket.encode(b'{"signal": "PING", "messageId": 1}')
    turns = 0
    carried: Counter[int] = Counter()
    decoded: Counter[int] = Counter()
    carry_out, feed = Session._carry_out, FrameDecoder.feed

    def counted(session: Session, frame: Frame) -> None:
        carried[turns] += 1
        carry_out(session, frame)

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def fed(decoder: FrameDecoder, data: bytes) -> list[Frame]:
        found = feed(decoder, data)
        decoded[turns] += len(found)
        return found

    monkeypatch.setattr(Session, "_carry_out", counted)
    monkeypatch.setattr(FrameDecoder, "feed", fed)
    turning = asyncio.create_task(turn())
    wire.writer.write(ping * 5000)
    await until(lambda: carried.total() == 5000, "not all were carried out")
    turning.cancel()
    assert max(carried.values()) <= 2 * 200  # the end of one part and the begin of the next
    assert max(decoded.values(), default=0) <= 2000


async def test_a_flood_of_connects_leaves_others_alone(server: Deployment, chat: ChatOfTwo) -> None:
    dora = await server.login("dora")
    good, bad = orjson.dumps(connect_body(dora)), orjson.dumps(connect_body(dora, password="AAAA"))

    async def connect(body: bytes) -> int:
        wire = await server.tcp()
        wire.send(Signal.CONNECT, body=body)
        try:
            return (await wire.frame(Signal.CONNECT_ACK)).sub_signal
        finally:
            await wire.close()

    answers = await asyncio.gather(*(connect(body) for _ in range(100) for body in (good, bad)))
    assert sorted(answers) == [ACCEPTED] * 100 + [BAD_PASSWORD] * 100
    await server.until_sessions(2)


async def test_who_never_reads_is_dropped_and_others_chat_on(boot: Boot, transport: str) -> None:
    server = await boot(connector={"send_buffer_bytes": 65536}, limits={"requests": 0})
    async with ChatOfTwo.between(server):
        dora = await server.login("dora")
        wire = await server.open(transport)
        assert await wire.connect(dora) == ACCEPTED
        emil = await server.online_tcp("emil")
        pushed_at_once = text_message(dora.user_id, "x" * 200_000, flag=PersistFlag.TRANSPARENT)
        async with asyncio.timeout(60):
            while not server.faults.reasons(wire.name):
                assert (await emil.request(SubSignal.MS, pushed_at_once))[0] == Code.SUCCESS
        await server.until_logged(wire, "reads too slowly")


# TLS


async def test_both_ports_serve_tls(boot: Boot, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    server = await boot(connector={"tls": {"certificate": str(certificate), "key": str(key)}})
    trusts = ssl.create_default_context(cafile=authority.certificate)
    assert server.at.ws.startswith("wss://")
    anna, ben = await server.tcp(trusts), await server.web(trusts)
    anna_login, ben_login = await server.login("anna"), await server.login("ben")
    assert await anna.connect(anna_login) == ACCEPTED
    assert await ben.connect(ben_login) == ACCEPTED
    text = "秘" * 100_000  # over the bounds of those who are not logged in
    assert await anna.send_text(ben_login.user_id, text)
    assert await ben.pull(await ben.next_mn() - 1) == ([text], 1)
    assert await ben.send_text(anna_login.user_id, text)
    assert await anna.pull(await anna.next_mn() - 1) == ([text], 2)
    assert (anna.writer.get_extra_info("cipher") or ("",))[0]


async def test_plain_text_on_the_tls_ports_is_no_fault(boot: Boot, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    server = await boot(connector={"tls": {"certificate": str(certificate), "key": str(key)}})
    for wire in (await server.tcp(), await server.raw_web()):
        wire.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ValueError):  # what comes is no frames
            await wire.until_closed()
    with pytest.raises(aiohttp.ClientError):
        await server.web(ssl.create_default_context())
    assert await alive(await server.tcp(ssl.create_default_context(cafile=authority.certificate)))


@pytest.mark.parametrize("deployment", ["one process"])  # the test reaches into it
async def test_nothing_of_a_handshake_is_kept_for_an_idle_web_client(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await boot()
    begin, requests, servers = WebSocketConnection.begin, list[weakref.ref[web.Request]](), list[Any]()

    def watched(self: WebSocketConnection, session: Session, request: web.Request) -> bool:
        requests.append(weakref.ref(request))
        servers.append(request.protocol._manager)
        return begin(self, session, request)

    monkeypatch.setattr(WebSocketConnection, "begin", watched)
    client = await server.web()
    assert await client.connect(await server.login("anna")) == ACCEPTED
    gc.collect()
    assert [request() for request in requests] == [None]
    assert [one.connections for one in servers] == [[]]


@pytest.mark.parametrize("deployment", ["one process"])  # the test reaches into it
async def test_a_web_client_that_is_gone_before_its_handshake_is_answered_is_no_fault(
    boot: Boot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = await boot()
    accept = SessionTable.accept

    def gone(self: SessionTable, connection: WebSocketConnection) -> Session | None:
        assert connection._gate is not None
        transport = connection._gate._transport
        assert transport is not None
        transport.abort()
        return accept(self, connection)

    monkeypatch.setattr(SessionTable, "accept", gone)
    wire = await TcpWire.open(server.at.ws.removeprefix("ws://").rstrip("/"))
    server.faults.opened(wire.name)
    server.wires.push_async_callback(wire.close)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await wire.become_websocket()
    assert [record.getMessage() for record in caplog.records if record.name == "aiohttp.server"] == []
