"""What web clients are sent (contract.md sections 2, 4 and 7): every row's text."""

import json
import struct
from pathlib import Path

import pytest

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.frames import Frame, FrameDecoder
from fsharechat.protocol.json import (
    decode_request,
    encode_connect_ack,
    encode_notification,
    encode_ping,
    encode_pull,
    encode_reply,
)
from fsharechat.protocol.shapes.messages import encode_message
from fsharechat.protocol.shapes.reading import JsonError
from fsharechat.protocol.signals import Signal, SubSignal
from tools.conformance.shapes import PLAIN

OK = '{"code":200,"message":"success","result":null}'
ERROR = '{"code":400,"message":"error","result":null}'
ID = 588437610496000001
NOW = 1795404166000

ALICES_MESSAGE = pb.Message(
    conversation=pb.Conversation(type=0, target="bob", line=0),
    from_user="alice",
    content=pb.MessageContent(type=1, searchable_content='say "hi"\n', persist_flag=3),
    message_id=ID,
    server_timestamp=NOW,
    local_message_id=17,
)
CALL = pb.Message(
    conversation=pb.Conversation(type=1, target="g1", line=2),
    from_user="bob",
    content=pb.MessageContent(
        type=3,
        push_content="push",
        content="c",
        data=b"\xff\xd8\xff\xe0\x00",
        media_type=1,
        remote_media_url="http://m/a b.png",
        mentioned_type=2,
        mentioned_target=["alice"],
    ),
    message_id=ID + 1,
    server_timestamp=NOW + 1,
    to_user="carol",
    to=["alice", "carol"],
)

ALICES_TEXT = (
    '{"conversationType":0,"target":"bob","line":0,"from":"alice","tos":[],'
    '"messageId":"588437610496000001","localMessageId":"17","direction":0,"status":1,'
    '"timestamp":1795404166000,"content":{"type":1,"searchableContent":"say \\"hi\\"\\n","pushContent":"",'
    '"content":"","binaryContent":"","localContent":"","mediaType":0,"remoteMediaUrl":"",'
    '"localMediaPath":"","mentionedType":0,"mentionedTargets":[]}}'
)
CALL_TEXT = (
    '{"conversationType":1,"target":"g1","line":2,"from":"bob","tos":["alice","carol"],'
    '"messageId":"588437610496000002","localMessageId":"0","direction":1,"status":5,'
    '"timestamp":1795404166001,"content":{"type":3,"searchableContent":"","pushContent":"push",'
    '"content":"c","binaryContent":"/9j/4AA=","localContent":"","mediaType":1,'
    '"remoteMediaUrl":"http://m/a b.png","localMediaPath":"","mentionedType":2,"mentionedTargets":["alice"]}}'
)
PULL = pb.PullMessageResult(message=[ALICES_MESSAGE, CALL], current=7, head=9)
PULL_TEXT = (
    '{"current":"7","head":"9","messageCount":2,"count":2,"messageResponseList":['
    + ALICES_TEXT
    + ","
    + CALL_TEXT
    + "]}"
)

USER = pb.User(
    uid="u",
    name="n",
    display_name="d",
    portrait="p",
    mobile="m",
    email="e",
    address="a",
    company="c",
    extra="x",
    update_dt=NOW,
    gender=1,
    social="s",
    type=2,
)
USER_TEXT = (
    '{"uid":"u","name":"n","displayName":"d","gender":1,"portrait":"p","mobile":"m","email":"e",'
    '"address":"a","company":"c","social":"s","extra":"x","friendAlias":"","groupAlias":"",'
    '"updateDt":1795404166000,"type":2}'
)
BARE_USER_TEXT = (
    '{"uid":"v","name":"","displayName":"","gender":0,"portrait":"","mobile":"","email":"","address":"",'
    '"company":"","social":"","extra":"","friendAlias":"","groupAlias":"","updateDt":0,"type":0}'
)

TYPED_REPLIES: list[tuple[str, bytes, str]] = [
    (
        "MS",
        struct.pack(">qq", ID, NOW),
        '{"messageId":"588437610496000001","timestamp":1795404166000}',
    ),
    ("MP", PULL.SerializeToString(), PULL_TEXT),
    (
        "MP",
        pb.PullMessageResult(current=0, head=0).SerializeToString(),
        '{"current":"0","head":"0","messageCount":0,"count":0,"messageResponseList":[]}',
    ),
    ("LRM", PULL.SerializeToString(), PULL_TEXT),
    (
        "US",
        pb.SearchUserResult(entry=[USER, pb.User(uid="v")]).SerializeToString(),
        f"[{USER_TEXT},{BARE_USER_TEXT}]",
    ),
    (
        "UPUI",
        pb.PullUserResult(
            result=[
                pb.UserResult(user=USER, code=0),
                pb.UserResult(user=pb.User(uid="unchanged"), code=2),
                pb.UserResult(user=pb.User(uid="v"), code=1),
            ]
        ).SerializeToString(),
        f"[{USER_TEXT},{BARE_USER_TEXT}]",
    ),
    (
        "FRP",
        pb.GetFriendRequestResult(
            entry=[
                pb.FriendRequest(
                    from_uid="alice",
                    to_uid="bob",
                    reason="hi",
                    status=1,
                    update_dt=NOW,
                    from_read_status=True,
                ),
                pb.FriendRequest(
                    from_uid="carol", to_uid="alice", reason="", update_dt=NOW + 1, from_read_status=True
                ),
                pb.FriendRequest(from_uid="dave", to_uid="alice", reason="", to_read_status=True),
            ]
        ).SerializeToString(),
        '[{"direction":0,"from":"alice","target":"bob","reason":"hi","status":1,"readStatus":1,'
        '"timestamp":1795404166000},'
        '{"direction":1,"from":"carol","target":"alice","reason":"","status":0,"readStatus":0,'
        '"timestamp":1795404166001},'
        '{"direction":1,"from":"dave","target":"alice","reason":"","status":0,"readStatus":1,"timestamp":0}]',
    ),
    (
        "FP",
        pb.GetFriendsResult(
            entry=[
                pb.Friend(uid="bob", state=2, update_dt=NOW, alias="Bobby"),
                pb.Friend(uid="carol", state=0, update_dt=NOW),
            ]
        ).SerializeToString(),
        '[{"friendUid":"bob","alias":"Bobby","state":2,"timestamp":1795404166000},'
        '{"friendUid":"carol","alias":"","state":0,"timestamp":1795404166000}]',
    ),
    (
        "GPGI",
        pb.PullGroupInfoResult(
            info=[
                pb.GroupInfo(
                    target_id="g1",
                    name="n",
                    portrait="p",
                    owner="alice",
                    type=2,
                    member_count=3,
                    extra="x",
                    update_dt=NOW,
                    member_update_dt=5,
                ),
                pb.GroupInfo(name="bare", type=0),
            ]
        ).SerializeToString(),
        '[{"target":"g1","name":"n","portrait":"p","owner":"alice","type":2,"memberCount":3,"extra":"x",'
        '"updateDt":1795404166000},'
        '{"target":"","name":"bare","portrait":"","owner":"","type":0,"memberCount":0,"extra":"",'
        '"updateDt":0}]',
    ),
    (
        "GPGM",
        pb.PullGroupMemberResult(
            member=[
                pb.GroupMember(member_id="alice", alias="A", type=2, update_dt=NOW),
                pb.GroupMember(member_id="bob", type=3, silenced_until=9),
            ]
        ).SerializeToString(),
        '[{"groupId":"g1","memberId":"alice","alias":"A","type":2,"updateDt":1795404166000,"silencedUntil":0},'
        '{"groupId":"g1","memberId":"bob","alias":"","type":3,"updateDt":0,"silencedUntil":9}]',
    ),
    (
        "GMURL",
        pb.GetMinioUploadUrlResult(
            domain="http://m", server="m", port=9000, url="http://m/k?a=b"
        ).SerializeToString(),
        '{"domain":"http://m","url":"http://m/k?a=b","server":"m","port":9000}',
    ),
    (
        "GMURL",
        pb.GetMinioUploadUrlResult(
            domain="http://m", server="m", port=9000, url="http://m/k", offset=8 << 20, length=5
        ).SerializeToString(),
        '{"domain":"http://m","url":"http://m/k","server":"m","port":9000,"offset":8388608,"length":5}',
    ),
    (
        "MRP",
        pb.PullMessageReportResult(
            report=[pb.MessageReport(report_type=2, uid="bob", date=NOW, target="g1")], current=3, head=4
        ).SerializeToString(),
        '{"current":"3","head":"4","messageCount":1,"messageReportList":[{"reportType":2,"uid":"bob",'
        '"date":1795404166000,"target":"g1"}]}',
    ),
    (
        "UG",
        pb.GetUserSettingResult(
            entry=[pb.UserSettingEntry(scope=1, key="0-0-bob", value="1", update_dt=NOW)]
        ).SerializeToString(),
        '[{"scope":1,"key":"0-0-bob","value":"1","updateDt":1795404166000}]',
    ),
    ("UP", struct.pack(">q", NOW), '{"version":"1795404166000"}'),
    (
        "TURN",
        pb.TurnResult(
            url=["turn:a", "stun:b"], username="1:u", credential="p/+=", ttl=60
        ).SerializeToString(),
        '{"urls":["turn:a","stun:b"],"username":"1:u","credential":"p/+=","ttl":60}',
    ),
    (
        "REL",
        pb.ReactionsResult(
            entry=[pb.Reactions(id=ID, uid="bob", emoji=["👍", "❤️"], update_dt=NOW)]
        ).SerializeToString(),
        '[{"messageUid":"588437610496000001","uid":"bob","emoji":["👍","❤️"],"updateDt":1795404166000}]',
    ),
    (
        "MGI",
        pb.PullMessageResult(current=0, head=0).SerializeToString(),
        '{"current":"0","head":"0","messageCount":0,"count":0,"messageResponseList":[]}',
    ),
    (
        "GRL",
        pb.GroupReadersResult(reader=[pb.GroupReader(uid="bob", date=NOW)]).SerializeToString(),
        '[{"uid":"bob","date":1795404166000}]',
    ),
    (
        "UDL",
        pb.UserDevicesResult(
            device=[
                pb.UserDevice(
                    client_id="web", kind="web", name="", login_dt=NOW, seen_dt=NOW, online=1, current=0
                )
            ]
        ).SerializeToString(),
        '[{"clientId":"web","kind":"web","name":"","loginDt":1795404166000,"seenDt":1795404166000,'
        '"online":1,"current":0}]',
    ),
    (
        "GML",
        pb.MyGroupsResult(
            group=[pb.MyGroup(group_info=pb.GroupInfo(target_id="g1", name="n", type=1), type=2, alias="A")],
            version=NOW,
            next="g1",
        ).SerializeToString(),
        '{"version":"1795404166000","next":"g1","groups":[{"groupInfo":{"target":"g1","name":"n",'
        '"portrait":"","owner":"","type":1,"memberCount":0,"extra":"","updateDt":0},"type":2,"alias":"A"}]}',
    ),
]

NEWEST = max(SubSignal)
GROUP_REQUEST = pb.PullGroupMemberRequest(target="g1", head=0).SerializeToString()


def reply(sub_signal: str, code: int, payload: bytes, viewer: str = "alice") -> str:
    """Return the content of a reply after checking the frame around it."""
    text = encode_reply(SubSignal[sub_signal], 81, code, payload, viewer=viewer, request=GROUP_REQUEST)
    frame = json.loads(text)
    assert list(frame) == ["signal", "subSignal", "messageId", "content"]
    assert (frame["signal"], frame["subSignal"], frame["messageId"]) == ("PUB_ACK", sub_signal, 81)
    assert type(frame["content"]) is str
    return str(frame["content"])


@pytest.mark.parametrize(("sub_signal", "payload", "content"), TYPED_REPLIES)
def test_typed_replies(sub_signal: str, payload: bytes, content: str) -> None:
    assert reply(sub_signal, 0, payload) == content
    json.loads(content)


@pytest.mark.parametrize("sub_signal", PLAIN)
def test_plain_replies(sub_signal: str) -> None:
    assert reply(sub_signal, 0, b"kqk_k_00") == OK
    assert reply(sub_signal, 248, b"") == ERROR


@pytest.mark.parametrize("sub_signal", [*(row[0] for row in TYPED_REPLIES), "GQNUT", "NONE", "SAI"])
@pytest.mark.parametrize("code", [4, 5, 254])
def test_failed_typed_requests_answer_an_empty_content(sub_signal: str, code: int) -> None:
    assert reply(sub_signal, code, b"") == ""


def is_request(sub_signal: str) -> bool:
    try:
        decode_request(f'{{"signal":"PUBLISH","subSignal":"{sub_signal}"}}')
    except JsonError as error:
        return "not a request" not in str(error)
    return True


def test_every_request_of_the_contract_has_a_reply() -> None:
    requests = {s.name for s in SubSignal if s <= NEWEST and is_request(s.name)}
    assert requests == {row[0] for row in TYPED_REPLIES} | set(PLAIN) | {"GQNUT"}


def test_whole_texts() -> None:
    assert encode_reply(SubSignal.MS, 81, 0, struct.pack(">qq", ID, NOW), viewer="alice", request=b"") == (
        r'{"signal":"PUB_ACK","subSignal":"MS","messageId":81,"content":'
        r'"{\"messageId\":\"588437610496000001\",\"timestamp\":1795404166000}"}'
    )
    assert encode_reply(SubSignal.MR, 65535, 0, b"", viewer="", request=b"") == (
        r'{"signal":"PUB_ACK","subSignal":"MR","messageId":65535,"content":'
        r'"{\"code\":200,\"message\":\"success\",\"result\":null}"}'
    )
    assert encode_reply(SubSignal.MS, 1, 247, b"", viewer="", request=b"") == (
        '{"signal":"PUB_ACK","subSignal":"MS","messageId":1,"content":""}'
    )


def test_the_viewer_decides_direction_and_status() -> None:
    for viewer, expected in (("alice", [(0, 1), (1, 5)]), ("bob", [(1, 5), (0, 1)]), ("eve", [(1, 5)] * 2)):
        messages = json.loads(reply("MP", 0, PULL.SerializeToString(), viewer))["messageResponseList"]
        assert [(message["direction"], message["status"]) for message in messages] == expected


def test_a_transparent_push() -> None:
    typing = pb.Message(
        conversation=pb.Conversation(type=0, target="bob", line=0),
        from_user="alice",
        content=pb.MessageContent(type=91, persist_flag=4),
        message_id=ID,
        server_timestamp=NOW,
    )
    payload = pb.PullMessageResult(message=[typing], current=0, head=0).SerializeToString()
    frame = json.loads(encode_reply(SubSignal.MP, 0, 0, payload, viewer="bob", request=b""))
    content = json.loads(frame["content"])
    assert (frame["signal"], frame["subSignal"], frame["messageId"]) == ("PUB_ACK", "MP", 0)
    assert (content["current"], content["head"], content["count"]) == ("0", "0", 1)
    assert content["messageResponseList"][0]["content"]["type"] == 91


def test_a_pull_of_kept_messages_equals_the_reply_to_the_pull() -> None:
    pieces = [
        encode_message(ALICES_MESSAGE.SerializeToString(), True),
        encode_message(CALL.SerializeToString(), False),
    ]
    text = encode_pull(81, pieces, 7, 9)
    assert json.loads(text)["content"] == PULL_TEXT
    assert text == encode_reply(SubSignal.MP, 81, 0, PULL.SerializeToString(), viewer="alice", request=b"")
    assert json.loads(json.loads(encode_pull(0, [], 0, 0))["content"])["messageResponseList"] == []


def test_text_that_is_not_utf8_reaches_web_clients_replaced() -> None:
    """A TCP client may put any bytes into a proto2 string; the reader's pull must not fail for it."""
    message = ALICES_MESSAGE.SerializeToString().replace(b'say "hi"', b"say \xff\xfehi")
    message = message.replace(b"alice", b"al\xc3ce")
    text = json.loads(b'"%b"' % encode_message(message, False))
    assert json.loads(text)["content"]["searchableContent"] == "say \ufffd\ufffdhi\n"
    assert json.loads(text)["from"] == "al\ufffdce"


def test_connect_ack() -> None:
    payload = pb.ConnectAckPayload(msg_head=ID, friend_head=NOW, server_time=NOW).SerializeToString()
    assert encode_connect_ack(SubSignal.CONNECTION_ACCEPTED, payload) == (
        r'{"signal":"CONNECT_ACK","subSignal":"CONNECTION_ACCEPTED","messageId":0,"content":'
        r'"{\"messageHead\":\"588437610496000001\",\"friendHead\":1795404166000}"}'
    )
    assert json.loads(encode_connect_ack(SubSignal.CONNECTION_ACCEPTED, b""))["content"] == (
        '{"messageHead":"0","friendHead":0}'
    )
    assert encode_connect_ack(SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST, None) == (
        '{"signal":"CONNECT_ACK","subSignal":"CONNECTION_REFUSED_SESSION_NOT_EXIST","messageId":0,"content":""}'
    )


def test_ping_answer() -> None:
    assert encode_ping(5, b'ping "back"') == (
        r'{"signal":"PING","subSignal":"NONE","messageId":5,"content":"ping \"back\""}'
    )


STREAM = '{"i":"s1","d":"你好 \\"x\\"\\n","f":false,"t":"robot"}'

NOTIFICATIONS: list[tuple[str, bytes, str]] = [
    ("MN", pb.NotifyMessage(type=0, head=ID).SerializeToString(), f'{{"messageHead":"{ID}","type":0}}'),
    (
        "RMN",
        pb.NotifyRecallMessage(id=ID, from_user='al"ice').SerializeToString(),
        f'{{"fromUser":"al\\"ice","messageUid":"{ID}"}}',
    ),
    ("FRN", struct.pack(">q", NOW), '{"version":"1795404166000"}'),
    ("FN", struct.pack(">q", NOW), '{"head":"1795404166000"}'),
    ("MRN", pb.NotifyMessageReport(type=2, head=5).SerializeToString(), '{"messageHead":"5","type":2}'),
    ("UN", struct.pack(">q", NOW), '{"version":"1795404166000"}'),
    ("SAI", STREAM.encode(), STREAM),
]


@pytest.mark.parametrize(("sub_signal", "body", "content"), NOTIFICATIONS)
def test_notifications(sub_signal: str, body: bytes, content: str) -> None:
    text = encode_notification(SubSignal[sub_signal], body)
    assert text.startswith(f'{{"signal":"PUBLISH","subSignal":"{sub_signal}","messageId":0,"content":"')
    assert json.loads(text)["content"] == content
    json.loads(content)


def test_the_whole_text_of_a_notification() -> None:
    assert encode_notification(SubSignal.MN, bytes.fromhex("08001007")) == (
        r'{"signal":"PUBLISH","subSignal":"MN","messageId":0,"content":"{\"messageHead\":\"7\",\"type\":0}"}'
    )


CAPTURED = [
    FrameDecoder(1 << 20).feed(bytes.fromhex(vector["frame"]))[0]
    for vector in json.loads((Path(__file__).parent / "vectors" / "captured.json").read_text("utf-8"))[
        "frames"
    ]
    if vector["from"] == "server"
]


@pytest.mark.parametrize("frame", [frame for frame in CAPTURED if frame.signal == Signal.PUB_ACK])
def test_captured_replies_have_json(frame: Frame) -> None:
    text = encode_reply(
        frame.sub_signal,
        frame.message_id,
        frame.body[0],
        frame.body[1:],
        viewer="vzvPvPcc",
        request=GROUP_REQUEST,
    )
    reply_frame = json.loads(text)
    assert reply_frame["messageId"] == frame.message_id
    failed = reply_frame["content"] in ("", ERROR)
    assert failed == (frame.body[0] != 0)


@pytest.mark.parametrize("frame", [frame for frame in CAPTURED if frame.signal == Signal.PUBLISH])
def test_captured_notifications_have_json(frame: Frame) -> None:
    assert json.loads(json.loads(encode_notification(frame.sub_signal, frame.body))["content"])
