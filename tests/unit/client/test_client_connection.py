"""Connecting, requests in flight, heartbeats, reconnecting and closing (contract.md sections 1, 2 and 4)."""

import asyncio
import logging
from dataclasses import replace

import orjson
import pytest

from fsharechat.client import (
    Client,
    Closed,
    Connected,
    ConnectionLost,
    ConnectRefused,
    Disconnected,
    Event,
    FriendRequestsChanged,
    FriendsChanged,
    MessageRecalled,
    Options,
    ReportsChanged,
    RequestError,
    RequestTimeout,
    SettingsChanged,
    StreamPart,
    Transparent,
)
from fsharechat.client.connection import MAX_MESSAGE_ID, Connection
from fsharechat.client.options import Backoff
from fsharechat.client.transport_tcp import TcpTransport, split_address
from fsharechat.protocol import frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import long_payload
from fsharechat.protocol.crypto import open_connect_password
from fsharechat.protocol.signals import Signal, SubSignal
from tests.unit.client.fake_peer import (
    CREDENTIALS,
    DROP,
    FRIEND,
    IGNORE,
    ME,
    SECRET,
    TIMEOUT,
    FakePeer,
    TcpSession,
    WebSession,
    stored,
    web_message,
)
from tools.testing.server import Where

FAST = Options.fast()
SEARCH = pb.SearchUserRequest(keyword="x", fuzzy=0, page=0)


async def next_event(client: Client) -> Event:
    async with asyncio.timeout(TIMEOUT):
        return await anext(client.events())


async def test_the_connect_carries_the_contracts_fields(peer: FakePeer, transport: str) -> None:
    async with Client(CREDENTIALS, **peer.address(transport)):
        connect = peer.session.connects[0]
    assert connect.keys() == {"userName", "password", "clientIdentifier"}
    assert (connect["userName"], connect["clientIdentifier"]) == (ME, "device-1")
    assert open_connect_password(connect["password"], SECRET) == b"user token"


async def test_a_client_says_where_to_connect_exactly_once() -> None:
    with pytest.raises(ValueError, match="either tcp or ws"):
        Client(CREDENTIALS)
    with pytest.raises(ValueError, match="either tcp or ws"):
        Client(CREDENTIALS, tcp="h:1", ws="ws://h/")
    with pytest.raises(ValueError, match="host:port"):
        Client(CREDENTIALS, tcp="no-port")


def test_addresses() -> None:
    assert split_address("im.example.org:6789") == ("im.example.org", 6789)
    assert split_address("[::1]:6789") == ("::1", 6789)


async def test_a_ping_follows_the_connect_without_waiting(peer: FakePeer) -> None:
    peer.silent = True
    client = Client(CREDENTIALS, tcp=peer.tcp)
    connecting = asyncio.ensure_future(client.connect())
    await peer.until(lambda: bool(peer.sessions) and peer.session.pings == 1)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting


@pytest.mark.parametrize(
    "refusal",
    [
        SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD,
        SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST,
        SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED,
    ],
)
async def test_a_final_refusal_ends_the_client(peer: FakePeer, transport: str, refusal: SubSignal) -> None:
    peer.refusal = refusal
    client = Client(CREDENTIALS, **peer.address(transport), options=FAST)
    with pytest.raises(ConnectRefused) as caught:
        await client.connect(patience=TIMEOUT)
    assert caught.value.sub_signal is refusal
    assert len(peer.sessions) == 1
    with pytest.raises(ConnectRefused):
        await client.send(FRIEND, "too late")
    with pytest.raises(ConnectRefused):
        await anext(client.messages())


async def test_a_refusal_after_a_lost_connection_surfaces_everywhere(peer: FakePeer) -> None:
    client = Client(CREDENTIALS, tcp=peer.tcp, options=FAST)
    await client.connect()
    reading = asyncio.ensure_future(anext(client.messages()))
    peer.refusal = SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST
    peer.session.drop()
    with pytest.raises(ConnectRefused):
        await reading
    with pytest.raises(ConnectRefused):
        await client.wait_closed()
    with pytest.raises(ConnectRefused):
        await client.request(SubSignal.US, SEARCH)


async def test_a_server_that_is_not_available_is_tried_again(peer: FakePeer, transport: str) -> None:
    peer.refusal = SubSignal.CONNECTION_REFUSED_SERVER_UNAVAILABLE
    client = Client(CREDENTIALS, **peer.address(transport), options=FAST)
    connecting = asyncio.ensure_future(client.connect(patience=TIMEOUT))
    await peer.until(lambda: len(peer.sessions) == 3)
    peer.refusal = None
    await connecting
    await client.close()


@pytest.mark.parametrize("address", [{"tcp": "127.0.0.1:1"}, {"ws": "ws://127.0.0.1:1/"}])
async def test_an_unreachable_server_is_told_at_once(address: Where) -> None:
    client = Client(CREDENTIALS, **address)
    with pytest.raises(Disconnected, match="cannot be reached: Connection refused"):
        await client.connect()


async def test_a_silent_server_does_not_connect(peer: FakePeer) -> None:
    peer.silent = True
    client = Client(CREDENTIALS, tcp=peer.tcp, options=replace(FAST, connect_timeout=0.05))
    with pytest.raises(Disconnected, match="no CONNECT_ACK"):
        await client.connect()


async def test_a_request_raises_the_servers_code(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (248, None)
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        with pytest.raises(RequestError) as caught:
            await client.request(SubSignal.US, SEARCH)
    assert caught.value.code == 248
    assert "not allowed" in str(caught.value)


async def test_a_refusal_over_websocket_has_no_code(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (248, None)
    async with Client(CREDENTIALS, ws=peer.ws) as client:
        with pytest.raises(RequestError) as caught:
            await client.request(SubSignal.US, SEARCH)
    assert caught.value.code is None


async def test_a_late_answer_is_not_taken_for_that_of_another_request(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: IGNORE
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        with pytest.raises(RequestTimeout):
            await client.request(SubSignal.US, SEARCH, within=0.01)
        late = peer.requests[-1][2]
        peer.rule = lambda sub, body: (0, pb.SearchUserResult(entry=[pb.User(uid="second")]))
        session = peer.session
        assert isinstance(session, TcpSession)
        session.answer(SubSignal.US, late, b"", (0, pb.SearchUserResult(entry=[pb.User(uid="first")])))
        assert [user.uid for user in await client.search_users("x")] == ["second"]
        assert len(peer.sessions) == 1


async def test_message_ids_are_reused_only_when_free(peer: FakePeer) -> None:
    connection = Connection(TcpTransport(peer.tcp), FAST, on_notice=lambda notice: None, on_end=lambda: None)
    await connection.open(CREDENTIALS)
    peer.rule = lambda sub, body: IGNORE if body.keyword == "slow" else (0, pb.SearchUserResult())
    slow = asyncio.ensure_future(
        connection.request(SubSignal.US, pb.SearchUserRequest(keyword="slow"), TIMEOUT)
    )
    await peer.until(lambda: len(peer.requests) == 1)
    taken = peer.requests[0][2]
    connection._last_id = MAX_MESSAGE_ID - 1
    for _ in range(4):
        await connection.request(SubSignal.US, SEARCH, TIMEOUT)
    used = [message_id for _, _, message_id in peer.requests[1:]]
    assert used[0] == MAX_MESSAGE_ID
    assert taken not in used
    assert 0 not in used
    await connection.close()
    with pytest.raises(Disconnected):
        await slow


async def test_a_lost_connection_fails_the_requests_in_flight(peer: FakePeer, transport: str) -> None:
    peer.rule = lambda sub, body: DROP
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        with pytest.raises(Disconnected):
            await client.request(SubSignal.US, SEARCH)


async def test_a_request_waits_for_the_next_connection(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (0, pb.SearchUserResult())
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        peer.session.drop()
        assert isinstance(await next_event(client), Connected)
        assert isinstance(await next_event(client), ConnectionLost)
        assert not client.connected
        assert await client.search_users("x") == []
        assert len(peer.sessions) == 2


async def test_without_reconnect_a_lost_connection_ends_the_client(peer: FakePeer) -> None:
    client = Client(CREDENTIALS, tcp=peer.tcp, options=replace(FAST, reconnect=False))
    await client.connect()
    peer.session.drop()
    with pytest.raises(Disconnected):
        await client.wait_closed()
    with pytest.raises(Disconnected):
        await client.send(FRIEND, "too late")
    assert len(peer.sessions) == 1


async def test_a_server_that_answers_no_ping_is_left(peer: FakePeer) -> None:
    options = replace(FAST, ping_interval=0.02, ping_timeout=0.3, connect_timeout=1.0)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options):
        await peer.until(lambda: peer.session.pings >= 3)
        peer.silent = True
        await peer.until(lambda: len(peer.sessions) > 1)
        peer.silent = False


async def test_websocket_clients_send_the_text_heartbeat(peer: FakePeer) -> None:
    async with Client(CREDENTIALS, ws=peer.ws, options=replace(FAST, heartbeat_interval=0.1)):
        await peer.until(lambda: peer.session.texts.count("心跳内容") >= 2)


@pytest.mark.parametrize("forget", [False, True])
async def test_close_says_goodbye(peer: FakePeer, transport: str, forget: bool) -> None:
    client = Client(CREDENTIALS, **peer.address(transport))
    await client.connect()
    await client.close(forget=forget)
    await peer.until(lambda: peer.session.closed)
    assert peer.session.disconnect == int(forget)
    await client.close()
    await client.wait_closed()
    with pytest.raises(Closed):
        await client.search_users("x")
    assert [message async for message in client.messages()] == []


async def test_close_without_a_connection_cannot_forget(peer: FakePeer) -> None:
    client = Client(CREDENTIALS, tcp=peer.tcp, options=replace(FAST, backoff_first=60, backoff_max=60))
    await client.connect()
    peer.session.drop()
    assert isinstance(await next_event(client), Connected)
    assert isinstance(await next_event(client), ConnectionLost)
    with pytest.raises(Disconnected, match="not forgotten"):
        await client.close(forget=True)
    await peer.until(lambda: peer.session.closed)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_close_fails_the_requests_in_flight_and_leaves_no_task(peer: FakePeer, transport: str) -> None:
    before = asyncio.all_tasks()
    peer.rule = lambda sub, body: IGNORE
    client = Client(CREDENTIALS, **peer.address(transport))
    await client.connect()
    asking = asyncio.ensure_future(client.request(SubSignal.US, SEARCH))
    await peer.until(lambda: len(peer.requests) == 1)
    await client.close()
    with pytest.raises(Disconnected):
        await asking
    await peer.until(lambda: peer.session.closed)
    assert {task for task in asyncio.all_tasks() - before if "Client" in repr(task)} == set()


async def test_a_failing_callback_ends_the_client_and_is_raised(
    peer: FakePeer, caplog: pytest.LogCaptureFixture
) -> None:
    def on_message(message: pb.Message) -> None:
        raise ZeroDivisionError("in the application")

    caplog.set_level(logging.CRITICAL, "fsharechat.client")
    peer.inbox = [stored(11)]
    client = Client(CREDENTIALS, tcp=peer.tcp, on_message=on_message)

    async def application() -> None:
        async with client:
            with pytest.raises(ZeroDivisionError):
                await client.wait_closed()

    with pytest.raises(ZeroDivisionError):
        await application()


async def test_a_callback_may_close_the_client(peer: FakePeer) -> None:
    async def on_message(message: pb.Message) -> None:
        await client.close()

    peer.inbox = [stored(11)]
    client = Client(CREDENTIALS, tcp=peer.tcp, on_message=on_message)
    await client.connect()
    await client.wait_closed()


NOTICES = [
    (
        SubSignal.RMN,
        pb.NotifyRecallMessage(id=99, from_user="op").SerializeToString(),
        {"fromUser": "op", "messageUid": "99"},
        MessageRecalled(99, "op"),
    ),
    (SubSignal.FRN, (7).to_bytes(8, "big"), {"version": "7"}, FriendRequestsChanged(7)),
    (SubSignal.FN, (8).to_bytes(8, "big"), {"head": "8"}, FriendsChanged(8)),
    (
        SubSignal.MRN,
        pb.NotifyMessageReport(type=2, head=4).SerializeToString(),
        {"messageHead": "4", "type": 2},
        ReportsChanged(4, 2),
    ),
    (SubSignal.UN, (9).to_bytes(8, "big"), {"version": "9"}, SettingsChanged(9)),
    (
        SubSignal.SAI,
        '{"i":"s1","d":"你","f":false,"t":"robot"}'.encode(),
        {"i": "s1", "d": "你", "f": False, "t": "robot"},
        StreamPart("s1", "你", False, "robot"),
    ),
]


async def test_notifications_become_events(peer: FakePeer, transport: str) -> None:
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        assert isinstance(await next_event(client), Connected)
        peer.push(SubSignal.GC, b"", '""')  # of a later version, as far as this client knows
        for sub, body, content, event in NOTICES:
            peer.push(sub, body, orjson.dumps(content).decode())
            assert await next_event(client) == event


async def test_a_notification_of_a_later_version_is_passed_over(peer: FakePeer, transport: str) -> None:
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        assert isinstance(await next_event(client), Connected)
        session = peer.session
        if isinstance(session, TcpSession):
            session.writer.write(frames.encode(Signal.PUBLISH, 99, 0, b"?"))
        elif isinstance(session, WebSession):
            await session.socket.send_str(
                '{"signal":"PUBLISH","subSignal":"NEW","messageId":0,"content":"{}"}'
            )
        peer.push(SubSignal.FN, long_payload(7), '{"head":"7"}')
        assert await next_event(client) == FriendsChanged(7)


async def test_transparent_messages_become_events_and_leave_the_cursor(peer: FakePeer) -> None:
    typing = stored(50)
    typing.content.type = 91
    result = pb.PullMessageResult(message=[typing], current=0, head=0)
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        assert isinstance(await next_event(client), Connected)
        peer.session.send(Signal.PUB_ACK, SubSignal.MP, 0, b"\0" + result.SerializeToString())
        assert await next_event(client) == Transparent(typing)
        peer.deliver(stored(51))
        async with asyncio.timeout(TIMEOUT):
            assert (await anext(client.messages())).message_id == 51


async def test_transparent_messages_over_websocket(peer: FakePeer) -> None:
    typing = stored(50)
    typing.content.type = 91
    async with Client(CREDENTIALS, ws=peer.ws) as client:
        assert isinstance(await next_event(client), Connected)
        answer = {
            "current": "0",
            "head": "0",
            "messageCount": 1,
            "count": 1,
            "messageResponseList": [web_message(typing)],
        }
        peer.session.send(Signal.PUB_ACK, SubSignal.MP, 0, orjson.dumps(answer).decode())
        event = await next_event(client)
        assert isinstance(event, Transparent)
        assert (event.message.message_id, event.message.content.type) == (50, 91)


async def test_events_nobody_takes_are_dropped_and_counted(peer: FakePeer) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp, options=replace(FAST, event_queue=2)) as client:
        for version in range(1, 6):
            peer.push(SubSignal.FN, version.to_bytes(8, "big"), "")
        await client.send(FRIEND, "answered after them")
        assert client.dropped_events == 4
        assert [await next_event(client), await next_event(client)] == [FriendsChanged(4), FriendsChanged(5)]


async def test_a_server_that_breaks_the_protocol_is_left(peer: FakePeer) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        session = peer.session
        assert isinstance(session, TcpSession)
        for garbage in (b"HTTP/1.1 400\r\n\r\n", None):
            count = len(peer.sessions)
            if garbage is not None:
                session.writer.write(garbage)
            else:
                peer.session.send(Signal.PUBLISH, SubSignal.MN, 0, b"\xff")
            await peer.until_sessions(count + 1)
            await peer.until(lambda: bool(peer.session.connects))
        await client.send(FRIEND, "still works")


async def test_a_websocket_server_that_breaks_the_protocol_is_left(peer: FakePeer) -> None:
    async with Client(CREDENTIALS, ws=peer.ws, options=FAST) as client:
        for garbage in (
            "no json",
            '{"signal": "PUBLISH"}',
            '{"signal":"SUB","subSignal":"NONE","messageId":0,"content":""}',
        ):
            session = peer.session
            assert isinstance(session, WebSession)
            count = len(peer.sessions)
            await session.socket.send_str(garbage)
            await peer.until_sessions(count + 1)
            await peer.until(lambda: bool(peer.session.connects))
        await client.send(FRIEND, "still works")


def test_backoff_doubles_to_its_bound_with_jitter() -> None:
    backoff = Backoff(1.0, 8.0)
    delays = [backoff.next() for _ in range(6)]
    for delay, full in zip(delays, [1, 2, 4, 8, 8, 8], strict=True):
        assert full / 2 <= delay <= full
    backoff.reset()
    assert backoff.next() <= 1.0
