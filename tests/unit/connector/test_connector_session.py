"""A session between its connection and the group role: logging in, requests under way, and the end."""

import asyncio

import orjson
import pytest
from structlog.testing import capture_logs

from fsharechat.bus import Notify, Push, PushTo
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import LeaseError
from fsharechat.protocol.signals import Code, Signal, SubSignal
from fsharechat.rpc import Call, Method, Reply
from roles.connector.limits import MAX_UNDER_WAY
from tests.unit.connector.connector_fakes import Connector, Make, SentFrame, ack, connect, turn, welcome


async def test_a_connect_is_asked_of_the_group_role_and_answered(connector: Connector) -> None:
    phone = connector.accept()
    phone.send(Signal.CONNECT, connect(password="secret"))
    (call,) = connector.rpc.waiting()
    assert call[:4] == (Method.AUTHENTICATE, "anna", "phone", b"secret")
    assert connector.hub.table.unauthenticated == 1
    await connector.rpc.reply(SubSignal.CONNECTION_ACCEPTED, welcome(5))
    assert phone.transport.take() == [SentFrame("ack", SubSignal.CONNECTION_ACCEPTED, 0, ack(5))]
    assert phone.transport.uid == "anna"
    assert connector.hub.table.unauthenticated == 0
    assert [p[:3] for p in connector.presences] == [("anna", "phone", 1)]


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD, 5),
        (SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST, 8),
        (SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED, 3),
        (Code.SERVER_ERROR, 4),
        (Code.TIMEOUT, 4),
        (Code.NOT_IMPLEMENTED, 4),
        (Code.SUCCESS, 4),
    ],
)
async def test_a_connect_that_is_refused_closes_with_one_line(
    connector: Connector, code: int, refusal: int
) -> None:
    phone = connector.accept()
    phone.send(Signal.CONNECT, connect())
    with capture_logs() as logs:
        await connector.rpc.reply(code)
    assert phone.transport.take() == [SentFrame("ack", refusal)]
    assert phone.transport.closed
    assert [line["event"] for line in logs] == ["connection closed"]
    assert (len(connector.hub.table.sessions), connector.hub.table.unauthenticated) == (0, 0)


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (connect(client_id=""), 3),
        (connect(uid="u" * 256), 5),
        (connect(client_id="c" * 256), 5),
        (b"{", 5),
        (b"[]", 5),
        (orjson.dumps({"userName": 1, "password": "", "clientIdentifier": "c"}), 5),
    ],
)
async def test_a_connect_that_says_nothing_is_refused_at_once(
    connector: Connector, body: bytes, refusal: int
) -> None:
    phone = connector.accept()
    phone.send(Signal.CONNECT, body)
    assert phone.transport.take() == [SentFrame("ack", refusal)]
    assert phone.transport.closed
    assert connector.rpc.calls == []


async def test_a_ping_is_answered_before_and_during_the_login(connector: Connector) -> None:
    phone = connector.accept()
    phone.send(Signal.PING, b'{"interval": 30000}', 4)
    phone.send(Signal.CONNECT, connect())
    phone.send(Signal.PING, b"nonsense", 5)
    assert phone.transport.take() == [SentFrame("ping", 0, 4, 30000), SentFrame("ping", 0, 5, 0)]
    assert phone.transport.silence_seconds == 30 + 60


@pytest.mark.parametrize("signal", [Signal.PUBLISH, Signal.DISCONNECT, Signal.PUB_ACK, Signal.NONE, 99])
async def test_anything_else_before_the_login_closes(connector: Connector, signal: int) -> None:
    for device in (connector.accept(), connector.accept()):
        device.send(signal)
        assert device.transport.closed
        assert device.transport.take() == []


async def test_a_second_connect_closes(connector: Connector) -> None:
    waiting = connector.accept()
    for _ in range(2):
        waiting.send(Signal.CONNECT, connect())
    assert waiting.transport.closed
    await connector.rpc.reply(SubSignal.CONNECTION_ACCEPTED, ack())
    assert connector.hub.table.users == {}
    phone = await connector.device()
    phone.send(Signal.CONNECT, connect())
    assert phone.transport.closed
    assert connector.hub.table.users == {}


async def test_a_request_carries_who_asks_and_its_answer_the_message_id(connector: Connector) -> None:
    phone = await connector.device(issued_ms=55)
    phone.publish(SubSignal.US, b"body", 77)
    call = await connector.rpc.reply(payload=b"found")
    assert call == Call(SubSignal.US, "anna", "phone", b"body", frame_id=77, issued_ms=55)
    assert phone.transport.take() == [SentFrame("reply", SubSignal.US, 77, Reply(0, b"found"))]


async def test_a_message_gets_an_id_and_each_another(connector: Connector) -> None:
    phone = await connector.device()
    for n in range(3):
        phone.publish(SubSignal.MS, b"body", n)
    ids = [call.message_id for call in connector.rpc.of(SubSignal.MS)]
    assert ids == sorted(set(ids))
    assert ids[0] > 0


@pytest.mark.parametrize("sub_signal", [0, 1, 8, 100, 127])
async def test_a_sub_signal_that_is_none_is_not_asked(connector: Connector, sub_signal: int) -> None:
    phone = await connector.device()
    asked = len(connector.rpc.calls)
    phone.publish(sub_signal)
    assert phone.transport.codes() == [(1, Code.NOT_IMPLEMENTED)]
    assert len(connector.rpc.calls) == asked


async def test_the_limit_is_one_for_each_sub_signal_and_survives_a_reconnect(make: Make) -> None:
    connector = make(limits={"requests": 2, "seconds": 5})
    phone = await connector.device()
    for n in range(3):
        phone.publish(SubSignal.MS, message_id=n)
    phone.publish(SubSignal.US, message_id=9)
    assert phone.transport.codes() == [(2, Code.TOO_OFTEN)]
    assert len(connector.rpc.waiting()) == 3
    phone.session.close()
    for _ in range(3):
        await connector.rpc.reply()
    again = await connector.device()
    again.publish(SubSignal.MS)
    assert again.transport.codes() == [(1, Code.TOO_OFTEN)]


async def test_frames_beyond_those_under_way_wait_and_are_worked_off_in_order(make: Make) -> None:
    connector = make(connector={"max_inflight": 3})
    phone = await connector.device()
    for n in range(8):
        phone.publish(SubSignal.US, message_id=n)
    phone.send(Signal.PING, message_id=90)
    assert len(connector.rpc.waiting()) == 3
    assert phone.transport.paused
    for n in range(6):
        assert phone.transport.paused
        await connector.rpc.reply(payload=b"%d" % n)
        assert len(connector.rpc.waiting()) == min(3, 7 - n)
    assert not phone.transport.paused
    answers = phone.transport.take()
    assert [sent.message_id for sent in answers] == [0, 1, 2, 3, 4, 5, 90]
    assert [sent.body.payload for sent in answers if sent.what == "reply"] == [b"%d" % n for n in range(6)]


async def test_a_closed_session_keeps_no_frames_and_stops_nobody(make: Make) -> None:
    connector = make(connector={"max_inflight": 1})
    phone = await connector.device()
    phone.publish(SubSignal.US)
    phone.session.close()
    phone.publish(SubSignal.US)
    assert not phone.transport.paused
    await connector.rpc.reply()
    assert len(connector.rpc.of(SubSignal.US)) == 1
    assert phone.transport.take() == []


async def test_a_refusal_in_the_backlog_ends_it(make: Make) -> None:
    connector = make(connector={"max_inflight": 1})
    phone = await connector.device()
    phone.publish(SubSignal.US)
    phone.send(Signal.CONNECT)
    phone.publish(SubSignal.US)
    await connector.rpc.reply()
    assert phone.transport.closed
    assert len(connector.rpc.of(SubSignal.US)) == 1


async def test_an_answer_that_comes_after_the_end_is_dropped(connector: Connector) -> None:
    phone = await connector.device()
    phone.publish(SubSignal.US)
    phone.pull(0)
    phone.session.close()
    await connector.rpc.reply(payload=b"x")
    await connector.rpc.reply(Code.SERVER_ERROR)
    assert phone.transport.take() == []
    assert connector.hub.flow.inflight == 0


async def test_an_answer_to_a_login_that_comes_after_the_end_is_dropped(connector: Connector) -> None:
    phone = connector.accept()
    phone.send(Signal.CONNECT, connect())
    phone.session.close()
    await connector.rpc.reply(SubSignal.CONNECTION_ACCEPTED, ack())
    assert (connector.hub.table.users, connector.hub.table.unauthenticated, connector.presences) == (
        {},
        0,
        [],
    )


async def test_a_new_connection_of_a_device_replaces_the_old_one(connector: Connector) -> None:
    old = await connector.device(head=5)
    tablet = await connector.device(client_id="tablet", head=5)
    with capture_logs() as logs:
        new = await connector.device(head=5)
    assert old.transport.closed
    assert not tablet.transport.closed
    assert [line["reason"] for line in logs] == ["replaced by a new connection of the same device"]
    assert connector.hub.table.users["anna"].devices == {
        "phone": new.session.logs,
        "tablet": tablet.session.logs,
    }
    assert len(connector.hub.table.sessions) == 2
    epochs = [p.epoch for p in connector.presences if p.client_id == "phone"]
    assert len(epochs) == 2  # the old one does not say goodbye: it would take the new one with it
    assert epochs[0] < epochs[1]
    connector.deliver(6)
    assert new.transport.mns() == [6]


async def test_the_same_client_id_of_another_user_is_another_device(connector: Connector) -> None:
    anna, ben = await connector.device(), await connector.device(uid="ben")
    assert not anna.transport.closed
    assert not ben.transport.closed


@pytest.mark.parametrize("body", [b"\x00", b""])
async def test_a_disconnect_closes(connector: Connector, body: bytes) -> None:
    phone = await connector.device()
    phone.send(Signal.DISCONNECT, body)
    assert phone.transport.closed
    assert connector.rpc.waiting() == []
    assert connector.hub.table.users == {}


@pytest.mark.parametrize("code", [Code.SUCCESS, Code.SERVER_ERROR])
async def test_a_device_that_logs_out_hears_of_the_end_when_it_is_logged_out(
    connector: Connector, code: int
) -> None:
    phone = await connector.device(issued_ms=77)
    phone.send(Signal.DISCONNECT, b"\x01")
    assert connector.hub.table.users == {}
    assert not connector.presences[-1].online
    connector.deliver(1)
    phone.publish(SubSignal.MS)  # nothing is taken from it any more
    assert connector.rpc.waiting() == [Call(Method.FORGET, "anna", "phone", b"77")]
    assert (phone.transport.take(), phone.transport.paused, phone.transport.closed) == ([], True, False)
    with capture_logs():
        await connector.rpc.reply(code)
    assert phone.transport.closed


async def test_draining_waits_for_those_who_log_out(connector: Connector) -> None:
    phone = await connector.device()
    phone.send(Signal.DISCONNECT, b"\x01")
    stopping = asyncio.create_task(connector.hub.stop())
    await turn()
    assert not phone.transport.closed
    await connector.rpc.reply()
    await stopping
    assert phone.transport.closed


async def test_the_end_of_one_who_logs_out_is_not_the_end_of_who_connects_meanwhile(
    connector: Connector,
) -> None:
    phone = await connector.device()
    phone.send(Signal.DISCONNECT, b"\x01")
    again = connector.accept()
    again.send(Signal.CONNECT, connect())
    await connector.rpc.reply()
    await connector.rpc.reply(SubSignal.CONNECTION_ACCEPTED, welcome())
    assert phone.transport.closed
    assert not again.transport.closed
    assert [presence.online for presence in connector.presences[-3:]] == [True, False, True]
    connector.deliver(1)
    assert again.transport.mns() == [1]


@pytest.mark.parametrize("code", [Code.MUTED, Code.SUCCESS])
async def test_a_refused_request_is_a_line_of_debugging(connector: Connector, code: Code) -> None:
    phone = await connector.device()
    with capture_logs() as logs:
        phone.publish(SubSignal.MS)
        call = connector.rpc.calls[-1]
        await connector.rpc.reply(code)
    line = {
        "event": "request refused",
        "log_level": "debug",
        "trace": str(call.message_id),
        "request": SubSignal.MS,
        "code": Code.MUTED,
        "uid": "anna",
        "client_id": "phone",
    }
    assert logs == ([line] if code else [])


async def test_what_the_connector_refuses_itself_is_such_a_line_too(connector: Connector) -> None:
    phone = await connector.device()
    with capture_logs() as logs:
        phone.session.invalid(SubSignal.MS, 7, "content is not an object")
        phone.publish(99)
    assert [(line["request"], line["code"], line.get("reason")) for line in logs] == [
        (SubSignal.MS, Code.INVALID_DATA, "content is not an object"),
        (99, Code.NOT_IMPLEMENTED, None),
    ]


async def test_an_unreadable_web_request_is_answered(connector: Connector) -> None:
    phone = await connector.device()
    phone.session.invalid(SubSignal.MS, 7, "why")
    assert phone.transport.codes() == [(7, Code.INVALID_DATA)]


async def test_a_message_without_an_id_is_a_server_error(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await connector.device()

    def broken() -> int:
        raise LeaseError("node id 5")

    monkeypatch.setattr(connector.hub.identity, "next_id", broken)
    with capture_logs() as logs:
        phone.publish(SubSignal.MS)
    assert phone.transport.codes() == [(1, Code.SERVER_ERROR)]
    assert [line["log_level"] for line in logs] == ["error", "debug"]


async def test_transparent_messages_go_to_the_devices_at_once(connector: Connector) -> None:
    phone, tablet = await connector.device(), await connector.device(client_id="tablet")
    body = pb.Message(from_user="ben").SerializePartialToString()
    connector.events(Push(body, ["anna", "nobody"]))
    for device in (phone, tablet):
        assert device.transport.take() == [SentFrame("pulled", SubSignal.MP, 0, ([body], 0, 0))]


async def test_a_push_to_one_device_is_for_no_other(connector: Connector) -> None:
    phone, tablet = await connector.device(), await connector.device(client_id="tablet")
    body = pb.Message(from_user="ben").SerializePartialToString()
    connector.events(
        PushTo(body, "ben", "anna", "tablet"),
        PushTo(body, "ben", "anna", "gone"),
        PushTo(body, "ben", "nobody", "tablet"),
    )
    assert phone.transport.take() == []
    assert tablet.transport.take() == [SentFrame("pulled", SubSignal.MP, 0, ([body], 0, 0))]


async def test_notifications_go_to_all_devices_but_one(connector: Connector) -> None:
    phone, tablet = await connector.device(), await connector.device(client_id="tablet")
    connector.events(
        Notify(SubSignal.FN, b"12345678", "anna", "phone"), Notify(SubSignal.FRN, b"x", "nobody")
    )
    assert phone.transport.take() == []
    assert tablet.transport.take() == [SentFrame("notification", SubSignal.FN, 0, b"12345678")]
    await turn()


async def test_after_an_outage_devices_read_in_turn_and_none_waits_behind_the_many_reads_of_another(
    connector: Connector,
) -> None:
    busy = await connector.device("ben", head=9)
    devices = [await connector.device(f"u{n}", head=9) for n in range(MAX_UNDER_WAY + 5)]
    for number in range(20):
        busy.pull(1, number)
    for device in devices:
        device.pull(1)
    asked = connector.rpc.waiting()
    assert len(asked) == MAX_UNDER_WAY
    assert [call.uid for call in asked] == ["ben", *(f"u{n}" for n in range(MAX_UNDER_WAY - 1))]

    devices[-2].session.close()  # nobody waits for its read any more
    await connector.rpc.reply(Code.TIMEOUT)
    assert connector.rpc.waiting()[-1].uid == f"u{MAX_UNDER_WAY - 1}"
    while connector.rpc.waiting():
        await connector.rpc.reply(Code.TIMEOUT)
    uids = [call.uid for call in connector.rpc.of(Method.PULL)]
    assert len(uids) == 20 + MAX_UNDER_WAY + 4
    assert uids.index("ben", 1) == MAX_UNDER_WAY + 5  # behind all who waited
    assert connector.hub.flow.inflight == 0


async def test_after_an_outage_devices_connect_in_turn(connector: Connector) -> None:
    phones = [connector.accept() for _ in range(MAX_UNDER_WAY + 3)]
    for number, phone in enumerate(phones):
        phone.send(Signal.CONNECT, connect(f"u{number}"))
    assert [call.uid for call in connector.rpc.waiting()] == [f"u{n}" for n in range(MAX_UNDER_WAY)]
    phones[-2].session.close()  # it waited too long
    while connector.rpc.waiting():
        await connector.rpc.reply(SubSignal.CONNECTION_ACCEPTED, welcome(5))
    assert [len(phone.transport.take("ack")) for phone in phones] == [1] * (MAX_UNDER_WAY + 1) + [0, 1]
