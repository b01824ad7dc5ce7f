"""Bad input: answered with the contract's code, or that connection alone is closed with one line."""

import time
from collections import Counter

import orjson
import pytest
from google.protobuf.message import Message

from fsharechat.protocol import frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import REQUESTS, Code, Signal, SubSignal
from tests.e2e.abuses import ABUSES
from tests.e2e.deployment import ACCEPTED, BOTH, ChatOfTwo, Deployment
from tools.wire import websocket
from tools.wire.bodies import connect_body, text_message, web_text

CONNECTIONS = 350
"""What the abuses open, about; each that left something behind would leave some hundred bytes at least."""

SUB_SIGNALS = [s for s in SubSignal if s >= SubSignal.US]
TYPED = frozenset(SubSignal(number).name for number, row in REQUESTS.items() if row.reply.web != "ok")
"""Requests whose answer has a payload: over WebSocket they fail with "", the others with code 400."""

NO_OBJECTS: tuple[object, ...] = (None, 1, "text", "[", [1], [[]])
"""Contents that no request has."""

SERVER_ONLY = [s.name for s in SUB_SIGNALS if s not in REQUESTS]
ERROR = '{"code":400,"message":"error","result":null}'


@pytest.fixture(params=BOTH)
def deployment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("name", ABUSES)
async def test_an_abuse_ends_its_own_connections_and_disturbs_nobody(
    name: str, server: Deployment, chat: ChatOfTwo
) -> None:
    await ABUSES[name](server)
    await server.until_sessions(2)  # those of the chat


@pytest.mark.slow
async def test_memory_stays_flat_however_often_the_abuses_come(server: Deployment) -> None:
    async def round() -> None:
        for abuse in ABUSES.values():
            await abuse(server)
        await server.wires.aclose()
        await server.until_sessions(0)
        server.faults.check()
        server.faults.forget()

    await round()
    async with server.watch_memory() as memory:
        for _ in range(memory.warm_up):
            await round()
        before = await memory.used()
        for _ in range(memory.rounds):
            await round()
            after = await memory.used()
    assert after - before < memory.rounds * CONNECTIONS * 200 + memory.noise


async def test_a_frame_that_comes_a_byte_at_a_time(server: Deployment) -> None:
    wire = await server.tcp()
    body = orjson.dumps(connect_body(await server.login("anna")))
    for byte in frames.encode(Signal.CONNECT, 0, 1, body):
        wire.writer.write(bytes([byte]))
        await wire.writer.drain()
    assert (await wire.frame(Signal.CONNECT_ACK)).sub_signal == ACCEPTED


async def test_a_web_frame_that_comes_a_byte_at_a_time(server: Deployment) -> None:
    wire = await server.raw_web()
    await wire.become_websocket()
    text = orjson.dumps({"signal": "CONNECT", "content": connect_body(await server.login("anna"))})
    for byte in websocket.encode(text):
        wire.writer.write(bytes([byte]))
        await wire.writer.drain()
    await wire.reader.readuntil(b"CONNECTION_ACCEPTED")


@pytest.mark.parametrize("body", [b"\xff\xff\xff\xff", b"\x0a\x7fshort", b"\x00\x01"])
async def test_bodies_that_are_no_protobuf_are_refused(server: Deployment, body: bytes) -> None:
    wire = await server.online_tcp("anna")
    for sub_signal in SUB_SIGNALS:  # fewer than a user may send in 5 s
        code, payload = await wire.request(sub_signal, body)
        assert code in (Code.INVALID_DATA, Code.NOT_IMPLEMENTED), sub_signal.name
        assert payload == b""


async def test_bodies_that_lack_a_required_field_are_refused(server: Deployment) -> None:
    wire = await server.online_tcp("anna")
    for sub_signal, body in (
        (SubSignal.MS, b""),
        (SubSignal.MS, pb.Message(from_user="x").SerializePartialToString()),
        (SubSignal.MP, b""),
        (SubSignal.MP, pb.PullMessageRequest(id=1).SerializePartialToString()),
        (SubSignal.LRM, b""),
        (SubSignal.US, b""),
        (SubSignal.FAR, pb.AddFriendRequest(target_uid="x").SerializePartialToString()),
        (SubSignal.FHR, pb.HandleFriendRequest(target_uid="x").SerializePartialToString()),
        (SubSignal.FP, b""),
        (SubSignal.FRP, b""),
        (SubSignal.FRUS, b""),
        (SubSignal.FALS, b""),
        (SubSignal.UPUI, pb.PullUserRequest(request=[pb.UserRequest()]).SerializePartialToString()),
        (SubSignal.MMI, pb.ModifyMyInfoRequest(entry=[pb.InfoEntry(type=1)]).SerializePartialToString()),
    ):
        assert await wire.request(sub_signal, body) == (Code.INVALID_DATA, b""), sub_signal.name
        assert (await wire.ping()).body


async def test_text_that_is_no_utf8_is_refused(server: Deployment) -> None:
    wire = await server.online_tcp("anna")
    user = (await server.login("ben")).user_id
    body = text_message(user, "abc").replace(b"abc", b"a\xffc")
    assert await wire.request(SubSignal.MS, body) == (Code.INVALID_DATA, b"")
    search = pb.SearchUserRequest(keyword="abc").SerializeToString().replace(b"abc", b"a\xffc")
    assert await wire.request(SubSignal.US, search) == (Code.INVALID_DATA, b"")


async def test_sub_signals_that_are_no_request_are_answered_254(server: Deployment) -> None:
    wire = await server.online_tcp("anna")
    server_only = (SubSignal.MN, SubSignal.RMN, SubSignal.MRN, SubSignal.FN, SubSignal.FRN)
    unknown = (*range(9), SubSignal.GQNUT, SubSignal.SAI, SubSignal.UN, SubSignal.MEN, 100, 126, 127)
    for sub_signal in (*server_only, *unknown):
        assert await wire.request(sub_signal, b"") == (Code.NOT_IMPLEMENTED, b"")
    # The high bit is reserved, and masked.
    wire.send(Signal.PUBLISH | 0x80, 127 | 0x80, 9)
    assert (await wire.frame(Signal.PUB_ACK)).body == bytes([Code.NOT_IMPLEMENTED])


async def test_web_requests_of_wrong_types_fail_as_their_kind_fails(server: Deployment) -> None:
    wire = await server.online_web("anna")
    for sub_signal in (SubSignal(number).name for number in REQUESTS):
        for content in NO_OBJECTS:
            answer = await wire.request(sub_signal, content)
            assert answer == ("" if sub_signal in TYPED else ERROR), (sub_signal, content)
    wrong: list[tuple[str, dict[str, object]]] = [
        ("MS", {**web_text("x", "x"), "content": 1}),
        ("MS", {**web_text("x", "x"), "target": {}}),
        ("MS", {**web_text("x", "x"), "conversationType": "private"}),
        ("MS", {**web_text("x", "x"), "tos": [1]}),
        ("MP", {"messageId": "x", "pullType": 1}),
        ("MP", {"messageId": "1", "pullType": 7}),
        ("LRM", {"conversation": 1}),
        ("US", {"keyword": 1}),
        ("FP", {"version": str(2**63)}),
        ("FAR", {"targetUserId": 1}),
        ("FHR", {"targetUid": "x", "status": "yes"}),
        ("MMI", {"type": 0, "value": []}),
    ]
    for sub_signal, fields in wrong:
        answer = await wire.request(sub_signal, fields)
        assert answer == ("" if sub_signal in TYPED else ERROR), (sub_signal, fields)


async def test_web_sub_signals_that_are_none_close_the_connection(server: Deployment) -> None:
    for sub_signal in ("XYZ", "", None, 18):
        wire = await server.online_web("anna")
        await wire.socket.send_str(orjson.dumps({"signal": "PUBLISH", "subSignal": sub_signal}).decode())
        await wire.until_closed()
        await server.until_logged(wire, "")


async def test_what_only_the_server_sends_is_refused_to_web_clients(server: Deployment) -> None:
    wire = await server.online_web("anna")
    for sub_signal in (*SERVER_ONLY, "CONNECTION_ACCEPTED"):
        assert await wire.request(sub_signal, {}) == ""


async def test_ids_that_do_not_exist_get_the_code_of_the_contract(server: Deployment) -> None:
    wire = await server.online_tcp("anna")

    async def code(sub_signal: SubSignal, request: Message) -> int:
        return (await wire.request(sub_signal, request.SerializeToString()))[0]

    for kind, wanted in (
        (0, Code.NOT_EXIST),
        (1, Code.NOT_IN_GROUP),
        (2, Code.NOT_IN_CHATROOM),
        (3, Code.NOT_IN_CHANNEL),
        (77, Code.INVALID_PARAMETER),
        (-1, Code.INVALID_PARAMETER),
    ):
        message = pb.Message.FromString(text_message("nobody", "hello"))
        message.conversation.type = kind
        assert await code(SubSignal.MS, message) == wanted
    assert await code(SubSignal.FAR, pb.AddFriendRequest(target_uid="nobody", reason="")) == Code.NOT_EXIST
    assert await code(SubSignal.FHR, pb.HandleFriendRequest(target_uid="nobody", status=1)) == Code.NOT_EXIST
    assert await code(SubSignal.FALS, pb.AddFriendRequest(target_uid="nobody", reason="a")) == Code.NOT_EXIST
    users = pb.PullUserRequest(request=[pb.UserRequest(uid="nobody")])
    code_, payload = await wire.request(SubSignal.UPUI, users.SerializeToString())
    assert [r.code for r in pb.PullUserResult.FromString(payload).result] == [1]
    for id in (-1, -(2**63), 0, 7, 2**63 - 1):
        request = pb.PullMessageRequest(id=id, type=0)
        code_, payload = await wire.request(SubSignal.MP, request.SerializeToString())
        result = pb.PullMessageResult.FromString(payload)
        assert (code_, list(result.message), result.current, result.head) == (Code.SUCCESS, [], 0, 0)


async def test_nine_hundred_requests_in_one_chunk(server: Deployment, chat: ChatOfTwo) -> None:
    wire = await server.online_tcp("dora")
    request = pb.SearchUserRequest(keyword="x").SerializeToString()
    chunk = b"".join(frames.encode(Signal.PUBLISH, SubSignal.US, n, request) for n in range(900))
    began = time.monotonic()
    wire.writer.write(chunk)
    codes = Counter[int]()
    seen = set()
    for _ in range(900):
        answer = await wire.frame(Signal.PUB_ACK)
        seen.add(answer.message_id)
        codes[answer.body[0]] += 1
    assert seen == set(range(900))
    assert codes.keys() == {Code.SUCCESS, Code.TOO_OFTEN}
    seconds = time.monotonic() - began  # on a busy machine the limit has room again meanwhile
    assert 100 <= codes[Code.SUCCESS] < 200 + seconds * 100 / 5
    assert (await wire.ping()).body


async def test_a_huge_text_within_the_limit_arrives(server: Deployment) -> None:
    """The limits are those of strangers no more, on both transports."""
    text = "长" * 300_000
    anna, ben = await server.online_tcp("anna"), await server.online_web("ben")
    anna_id, ben_id = (await server.login("anna", "x")).user_id, (await server.login("ben", "x")).user_id
    assert await anna.send_text(ben_id, text)
    assert await ben.pull(await ben.next_mn() - 1) == ([text], 1)
    assert await ben.request("MS", web_text(anna_id, text)) != ""
    assert await anna.pull(await anna.next_mn() - 1) == ([text], 2)


async def test_an_overlong_web_request_is_refused_and_its_connection_lives(server: Deployment) -> None:
    """In parts, with a PING between them: it is read past, and what comes behind it is carried out."""
    wire = await server.raw_online_web("anna")
    head = b'{"signal": "PUBLISH", "subSignal": "MS", "messageId": 65536, "content": {"target": "'
    wire.writer.write(websocket.encode(head, fin=False))
    for _ in range(5):
        wire.writer.write(websocket.encode(b"x" * (400 << 10), websocket.CONTINUATION, fin=False))
        wire.writer.write(websocket.encode(b"ping", websocket.PING))
        await wire.writer.drain()
    wire.writer.write(websocket.encode(b'"}}', websocket.CONTINUATION))
    wire.writer.write(websocket.encode(b'{"signal": "PING", "messageId": 7, "content": {"interval": 1000}}'))
    answers = (await wire.reader.readuntil(b'"interval 1000"')).decode(errors="replace")
    assert answers.count("ping") == 5
    assert '"subSignal":"MS","messageId":65536,"content":""' in answers


async def test_what_an_overlong_header_claims_is_not_kept(server: Deployment) -> None:
    """Whoever is logged in and claims 2^63 bytes is closed at the header."""
    wire = await server.raw_online_web("anna")
    wire.writer.write(websocket.encode(b"x", length=1 << 63))
    await wire.reader.readuntil(b"\x88\x02" + (1009).to_bytes(2, "big"))
    await server.until_logged(wire, "MESSAGE_TOO_BIG")
