"""Requests of web clients (contract.md sections 2, 4 and 7): every row's shape, and that nothing else gets in."""

import json
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.frames import Frame
from fsharechat.protocol.json import HEARTBEAT, decode_request
from fsharechat.protocol.shapes.reading import JsonError
from fsharechat.protocol.signals import Signal, SubSignal

ID = 588437610496000001
NOW = 1795404166000


def request_text(sub_signal: str, content: Any, signal: str = "PUBLISH", message_id: Any = 81) -> str:
    return json.dumps(
        {"signal": signal, "subSignal": sub_signal, "messageId": message_id, "content": content}
    )


def decode(sub_signal: str, content: Any) -> Any:
    """Return the protobuf request that a PUBLISH with `content` decodes to: of the class of that sub-signal."""
    frame = decode_request(request_text(sub_signal, content))
    assert frame[:3] == (Signal.PUBLISH, SubSignal[sub_signal], 81)
    kind = next(type(row[2]) for row in REQUESTS if row[0] == sub_signal)
    message: Message = kind.FromString(frame.body)
    assert message.IsInitialized()
    return message


TEXT_MESSAGE = {
    "conversationType": 0,
    "target": "bob",
    "line": 0,
    "from": "alice",
    "tos": "",
    "messageId": "1795404165999000001",
    "localMessageId": "0",
    "messageUid": "0",
    "direction": 0,
    "status": 0,
    "timestamp": NOW,
    "content": {
        "type": 1,
        "searchableContent": "hello 世界",
        "pushContent": "",
        "content": "",
        "binaryContent": "",
        "localContent": "",
        "mediaType": 0,
        "remoteMediaUrl": "",
        "localMediaPath": "",
        "mentionedType": 0,
        "mentionedTargets": [],
    },
}

IMAGE_MESSAGE = {
    "conversationType": 1,
    "target": "group",
    "line": 2,
    "from": "alice",
    "tos": ["bob", "carol"],
    "messageId": "7",
    "localMessageId": "9007199254740993",
    "content": {
        "type": 3,
        "searchableContent": "[图片]",
        "pushContent": "alice: [图片]",
        "content": "caption",
        "binaryContent": "/9j/4AA=",
        "mediaType": 1,
        "remoteMediaUrl": "http://media/一 二.png",
        "mentionedType": 1,
        "mentionedTargets": ["bob"],
    },
}

REQUESTS: list[tuple[str, Any, Message]] = [
    (
        "MS",
        TEXT_MESSAGE,
        pb.Message(
            conversation=pb.Conversation(type=0, target="bob", line=0),
            from_user="alice",
            content=pb.MessageContent(type=1, searchable_content="hello 世界", persist_flag=3),
            local_message_id=1795404165999000001,
        ),
    ),
    (
        "MS",
        IMAGE_MESSAGE,
        pb.Message(
            conversation=pb.Conversation(type=1, target="group", line=2),
            from_user="alice",
            content=pb.MessageContent(
                type=3,
                searchable_content="[图片]",
                push_content="alice: [图片]",
                content="caption",
                data=b"\xff\xd8\xff\xe0\x00",
                media_type=1,
                remote_media_url="http://media/一 二.png",
                persist_flag=3,
                mentioned_type=1,
                mentioned_target=["bob"],
            ),
            to=["bob", "carol"],
            local_message_id=9007199254740993,
        ),
    ),
    (
        "MP",
        {"messageId": "7", "type": 0, "pullType": 1, "sendMessageCount": 3},
        pb.PullMessageRequest(id=6, type=0),
    ),
    (
        "MP",
        {"messageId": "7", "type": 0, "pullType": 0, "sendMessageCount": 3},
        pb.PullMessageRequest(id=7, type=0),
    ),
    ("MP", {"messageId": "0", "type": 0, "pullType": 1}, pb.PullMessageRequest(id=0, type=0)),
    ("MP", {"messageId": "-5", "type": 0, "pullType": 0}, pb.PullMessageRequest(id=0, type=0)),
    (
        "MP",
        {"messageId": "9223372036854775807", "sendMessageCount": 5},
        pb.PullMessageRequest(id=9223372036854775807, type=0),
    ),
    (
        "LRM",
        {"beforeUid": str(ID), "count": 20, "conversation": {"type": 1, "target": "g", "line": 0}},
        pb.LoadRemoteMessages(
            conversation=pb.Conversation(type=1, target="g", line=0), before_uid=ID, count=20
        ),
    ),
    (
        "LRM",
        {"beforeUid": 0, "count": 20, "conversation": {"conversationType": 1, "target": "g", "line": 3}},
        pb.LoadRemoteMessages(
            conversation=pb.Conversation(type=1, target="g", line=3), before_uid=0, count=20
        ),
    ),
    ("MR", {"messageUid": str(ID)}, pb.INT64Buf(id=ID)),
    ("US", {"keyword": "13", "fuzzy": 1, "page": 0}, pb.SearchUserRequest(keyword="13", fuzzy=1, page=0)),
    (
        "UPUI",
        ["alice", "bob"],
        pb.PullUserRequest(request=[pb.UserRequest(uid="alice"), pb.UserRequest(uid="bob")]),
    ),
    ("UPUI", [], pb.PullUserRequest()),
    (
        "MMI",
        {"type": 0, "value": "Alice"},
        pb.ModifyMyInfoRequest(entry=[pb.InfoEntry(type=0, value="Alice")]),
    ),
    ("MMI", {"type": 2, "value": 1}, pb.ModifyMyInfoRequest(entry=[pb.InfoEntry(type=2, value="1")])),
    ("FAR", {"targetUserId": "bob", "reason": "hi"}, pb.AddFriendRequest(target_uid="bob", reason="hi")),
    ("FHR", {"targetUid": "bob", "status": 1}, pb.HandleFriendRequest(target_uid="bob", status=1)),
    ("FRP", {"version": str(NOW)}, pb.Version(version=NOW - 1000)),
    ("FRP", {"version": 999}, pb.Version(version=0)),
    ("FRUS", {"version": NOW}, pb.Version(version=NOW)),
    ("FP", {"version": 0}, pb.Version(version=0)),
    ("FP", {}, pb.Version(version=0)),
    (
        "FALS",
        {"targetUserId": "bob", "reason": "Bobby"},
        pb.AddFriendRequest(target_uid="bob", reason="Bobby"),
    ),
    ("FDL", {"targetUserId": "bob"}, pb.DeleteFriendRequest(target_uid="bob")),
    ("BLU", {"targetUserId": "bob", "status": 1}, pb.BlacklistUserRequest(target_uid="bob", status=1)),
    ("TURN", {}, pb.Version(version=0)),
    (
        "SRA",
        {"targetUserId": "bob", "streamId": "i", "delta": "飞", "done": 1},
        pb.StreamAnswerRequest(target_uid="bob", stream_id="i", delta="飞", done=1),
    ),
    ("BLU", {"targetUserId": "bob"}, pb.BlacklistUserRequest(target_uid="bob", status=0)),
    (
        "GC",
        {
            "groupInfo": {
                "target": "",
                "name": "friends",
                "portrait": "p",
                "owner": "alice",
                "type": 2,
                "memberCount": 2,
                "extra": "e",
                "updateDt": 0,
            },
            "groupMembers": [{"memberId": "alice", "type": 2}, {"memberId": "bob", "type": 0}],
        },
        pb.CreateGroupRequest(
            group=pb.Group(
                group_info=pb.GroupInfo(name="friends", portrait="p", owner="alice", type=2, extra="e"),
                members=[pb.GroupMember(member_id="alice", type=2), pb.GroupMember(member_id="bob", type=0)],
            )
        ),
    ),
    (
        "GC",
        {"groupInfo": {"target": "mine", "name": "n", "type": 0}, "groupMembers": None},
        pb.CreateGroupRequest(group=pb.Group(group_info=pb.GroupInfo(target_id="mine", name="n", type=0))),
    ),
    ("GPGI", ["g1"], pb.PullUserRequest(request=[pb.UserRequest(uid="g1")])),
    ("GPGM", {"groupId": "g1", "version": str(NOW)}, pb.PullGroupMemberRequest(target="g1", head=NOW)),
    (
        "GAM",
        {"groupId": "g1", "groupMembers": [{"memberId": "bob", "type": 0}]},
        pb.AddGroupMemberRequest(group_id="g1", added_member=[pb.GroupMember(member_id="bob", type=0)]),
    ),
    (
        "GKM",
        {"groupId": "g1", "memberIds": ["bob", "carol"]},
        pb.RemoveGroupMemberRequest(group_id="g1", removed_member=["bob", "carol"]),
    ),
    ("GQ", {"groupId": "g1"}, pb.QuitGroupRequest(group_id="g1")),
    ("GD", {"groupId": "g1"}, pb.DismissGroupRequest(group_id="g1")),
    (
        "GMI",
        {"groupId": "g1", "type": 0, "value": "new"},
        pb.ModifyGroupInfoRequest(group_id="g1", type=0, value="new"),
    ),
    ("GMURL", {"mediaType": 4, "key": "a 文件.txt"}, pb.GetMinioUploadUrlRequest(type=4, key="a 文件.txt")),
    (
        "GMURL",
        {"mediaType": 4, "key": "a.bin", "size": 1 << 40},
        pb.GetMinioUploadUrlRequest(type=4, key="a.bin", size=1 << 40),
    ),
    ("MDR", {"date": NOW, "target": "bob"}, pb.DeliveryReport(date=NOW, target="bob")),
    (
        "MRR",
        {"type": 1, "line": 0, "target": "g1", "date": NOW, "tos": ["bob"]},
        pb.ReadReport(type=1, line=0, target="g1", date=NOW, tos=["bob"]),
    ),
    ("MRP", {"id": "5", "type": 2}, pb.PullMessageReportRequest(id=5, type=2)),
    ("UG", {"version": str(NOW)}, pb.Version(version=NOW)),
    (
        "UP",
        {"scope": 1, "key": "0-0-bob", "value": "1"},
        pb.ModifyUserSettingReq(scope=1, key="0-0-bob", value="1"),
    ),
    (
        "UP",
        {"scope": 6, "key": "g1", "value": 0},
        pb.ModifyUserSettingReq(scope=6, key="g1", value="0"),
    ),
    ("GML", {"version": str(NOW), "after": "g1"}, pb.MyGroupsRequest(version=NOW, after="g1")),
    ("GML", {"version": 0}, pb.MyGroupsRequest(version=0)),
    (
        "ME",
        {
            "messageUid": str(ID),
            "content": {"type": 1, "searchableContent": "new", "mentionedTargets": ["b"]},
        },
        pb.EditMessageRequest(
            id=ID, content=pb.MessageContent(type=1, searchable_content="new", mentioned_target=["b"])
        ),
    ),
    ("MGI", {"messageUids": [str(ID), 7]}, pb.MessageIds(id=[ID, 7])),
    ("REL", {"messageUids": []}, pb.MessageIds()),
    ("REA", {"messageUid": str(ID), "emoji": ["👍"]}, pb.ReactRequest(id=ID, emoji=["👍"])),
    ("REA", {"messageUid": ID, "emoji": []}, pb.ReactRequest(id=ID)),
    ("GRL", {"groupId": "g1", "line": 2}, pb.GroupReadersRequest(group_id="g1", line=2)),
    ("RPA", {"uid": "bob", "reason": "spam"}, pb.ReportAbuseRequest(uid="bob", id=0, reason="spam")),
    ("RPA", {"messageUid": str(ID), "reason": "x"}, pb.ReportAbuseRequest(id=ID, reason="x")),
    ("UDL", {}, pb.Version(version=0)),
    ("UDK", {"clientId": "web"}, pb.EndDeviceRequest(client_id="web")),
    ("GMA", {"groupId": "g1", "alias": "A"}, pb.ModifyGroupAliasRequest(group_id="g1", alias="A")),
    ("GTG", {"groupId": "g1", "newOwner": "bob"}, pb.TransferGroupRequest(group_id="g1", new_owner="bob")),
    (
        "GSM",
        {"groupId": "g1", "type": 3, "memberIds": ["bob"], "until": NOW},
        pb.SetMemberTypeRequest(group_id="g1", type=3, member_id=["bob"], until=NOW),
    ),
]

CLIENT_SUB_SIGNALS = {row[0] for row in REQUESTS} | {"GQNUT"}


@pytest.mark.parametrize(("sub_signal", "content", "expected"), REQUESTS)
def test_requests(sub_signal: str, content: Any, expected: Message) -> None:
    frame = decode_request(request_text(sub_signal, content))
    assert frame == Frame(Signal.PUBLISH, SubSignal[sub_signal], 81, expected.SerializeToString())


@pytest.mark.parametrize(("sub_signal", "content", "expected"), REQUESTS)
def test_content_may_be_json_text(sub_signal: str, content: Any, expected: Message) -> None:
    frame = decode_request(request_text(sub_signal, json.dumps(content)))
    assert frame.body == expected.SerializeToString()


@pytest.mark.parametrize("content", [{"mediaType": 1}, "", None, [], "{}"])
def test_gqnut_has_no_request_body(content: Any) -> None:
    assert decode_request(request_text("GQNUT", content)) == Frame(Signal.PUBLISH, SubSignal.GQNUT, 81, b"")


@pytest.mark.parametrize("sub_signal", [s.name for s in SubSignal if s.name not in CLIENT_SUB_SIGNALS])
def test_other_sub_signals_are_no_requests(sub_signal: str) -> None:
    with pytest.raises(JsonError, match="not a request") as caught:
        decode_request(request_text(sub_signal, {}))
    assert caught.value.sub_signal == SubSignal[sub_signal]


def test_missing_null_and_empty_fields_are_zeros_and_required_fields_are_set() -> None:
    for content_type in ({}, {"type": None}, {"type": ""}):
        message = decode("MS", {"target": None, "from": None, "messageId": "", "content": content_type})
        assert message.SerializeToString() == (
            pb.Message(
                conversation=pb.Conversation(type=0, target="", line=0),
                from_user="",
                content=pb.MessageContent(type=0, persist_flag=3),
            ).SerializeToString()
        )


@pytest.mark.parametrize(
    ("sub_signal", "bare"),
    [
        ("MS", {"content": {}}),
        ("LRM", {"conversation": {}}),
        ("GC", {"groupInfo": {}}),
        ("ME", {"content": {}}),
        *((row[0], {}) for row in REQUESTS if row[0] not in ("MS", "LRM", "GC", "ME", "UPUI", "GPGI")),
    ],
)
def test_bare_requests_have_their_required_fields(sub_signal: str, bare: dict[str, Any]) -> None:
    assert decode(sub_signal, bare).IsInitialized()


@pytest.mark.parametrize(
    ("message_id", "local", "expected"),
    [("5", "6", 6), ("5", "0", 5), ("5", "", 5), (5, 0, 5), (5, None, 5), ("0", "0", 0), (None, 7, 7)],
)
def test_the_local_id_of_a_send(message_id: Any, local: Any, expected: int) -> None:
    content = {**TEXT_MESSAGE, "messageId": message_id, "localMessageId": local}
    assert decode("MS", content).local_message_id == expected


@pytest.mark.parametrize("content_type", [91, 401, 402, 403, 404, 405])
def test_transparent_types_are_flagged_so(content_type: int) -> None:
    assert decode("MS", {"content": {"type": content_type}}).content.persist_flag == 4
    assert decode("MS", {"content": {"type": 400}}).content.persist_flag == 3


@pytest.mark.parametrize("tos", ["", None, []])
def test_no_receivers(tos: Any) -> None:
    assert not decode("MS", {**TEXT_MESSAGE, "tos": tos}).to


@pytest.mark.parametrize(
    ("written", "expected"),
    [(5, 5), ("5", 5), ("-5", -5), (5.0, 5), ("9223372036854775807", 2**63 - 1), (-(2**63), -(2**63))],
)
def test_numbers_as_clients_write_them(written: Any, expected: int) -> None:
    assert decode("MR", {"messageUid": written}).id == expected


@pytest.mark.parametrize(
    "written", [True, [], {}, 1.5, "x", "1.0", "1e3", " 1", "1_0", "٣", "--1", "1" * 5000, 1e18, 1e300]
)
def test_what_is_not_an_integer(written: Any) -> None:
    with pytest.raises(JsonError, match="messageUid"):
        decode("MR", {"messageUid": written})


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, "9223372036854775808", "-9223372036854775809"])
def test_64_bits_are_the_limit(number: Any) -> None:
    with pytest.raises(JsonError, match="messageUid is out of range"):
        decode("MR", {"messageUid": number})


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, str(2**31), 1e12])
def test_32_bits_are_the_limit(number: Any) -> None:
    with pytest.raises(JsonError, match="fuzzy is out of range"):
        decode("US", {"fuzzy": number})
    assert decode("US", {"fuzzy": 2**31 - 1, "page": -(2**31)}).page == -(2**31)


@pytest.mark.parametrize(
    ("sub_signal", "content", "reason"),
    [
        ("MS", None, "content is not an object"),
        ("MS", "", "content is not an object"),
        ("MS", [], "content is not an object"),
        ("MS", "[]", "content is not an object"),
        ("MS", "{", "not JSON"),
        ("MS", 5, "content is not an object"),
        ("MS", {}, "content is not an object"),
        ("MS", {**TEXT_MESSAGE, "content": "text"}, "content is not an object"),
        ("MS", {**TEXT_MESSAGE, "target": 5}, "target is not a string"),
        ("MS", {**TEXT_MESSAGE, "tos": "bob"}, "tos is not an array of strings"),
        ("MS", {**TEXT_MESSAGE, "tos": ["bob", 5]}, "tos is not an array of strings"),
        ("MS", {**TEXT_MESSAGE, "tos": 0}, "tos is not an array of strings"),
        ("MS", {**TEXT_MESSAGE, "content": {"binaryContent": "QUI"}}, "binaryContent is not base64"),
        ("MS", {**TEXT_MESSAGE, "content": {"binaryContent": "QU*JD"}}, "binaryContent is not base64"),
        ("MS", {**TEXT_MESSAGE, "content": {"binaryContent": "é==="}}, "binaryContent is not base64"),
        ("MS", {**TEXT_MESSAGE, "content": {"mentionedTargets": [None]}}, "mentionedTargets is not an array"),
        ("MP", {"messageId": "1", "pullType": 2}, "pullType is neither 0 nor 1"),
        ("LRM", {"beforeUid": "0", "count": 1}, "conversation is not an object"),
        ("UPUI", {}, "content is not an array"),
        ("UPUI", "{}", "content is not an array"),
        ("UPUI", [1], "content is not an array of strings"),
        ("GC", {"groupMembers": []}, "groupInfo is not an object"),
        ("GC", {"groupInfo": {}, "groupMembers": ["bob"]}, "groupMembers is not an array of objects"),
        ("GKM", {"groupId": "g", "memberIds": [[]]}, "memberIds is not an array of strings"),
        ("UP", {"scope": 1, "key": "k", "value": True}, "value is not a string"),
    ],
)
def test_what_is_no_request(sub_signal: str, content: Any, reason: str) -> None:
    with pytest.raises(JsonError, match=reason) as caught:
        decode_request(request_text(sub_signal, content))
    error = caught.value
    assert (error.signal, error.sub_signal, error.message_id) == (9, SubSignal[sub_signal], 81)


def test_base64_may_have_line_breaks() -> None:
    assert decode("MS", {"content": {"binaryContent": "QUJD\r\nREVG\n"}}).content.data == b"ABCDEF"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("", (0, 0, 0)),
        (HEARTBEAT, (0, 0, 0)),
        ("[]", (0, 0, 0)),
        ('"PUBLISH"', (0, 0, 0)),
        ("{}", (0, 0, 0)),
        ('{"signal":"PUBLISH"', (0, 0, 0)),
        ('{"signal":"NOPE","subSignal":"MS","messageId":5}', (0, 18, 5)),
        ('{"signal":9,"subSignal":18,"messageId":5}', (0, 0, 5)),
        ('{"signal":"publish","subSignal":"MS","messageId":5}', (0, 18, 5)),
        ('{"signal":"PUB_ACK","subSignal":"MS","messageId":5}', (10, 18, 5)),
        ('{"signal":"PUBLISH","subSignal":"NOPE","messageId":5}', (9, 0, 5)),
        ('{"signal":"PUBLISH","messageId":5}', (9, 0, 5)),
        ('{"signal":"PUBLISH","subSignal":["MS"],"messageId":5}', (9, 0, 5)),
        ('{"signal":"PUBLISH","subSignal":"MS","messageId":-1,"content":{}}', (9, 18, -1)),
        ('{"signal":"PUBLISH","subSignal":"MR","messageId":1.5,"content":{}}', (9, 30, 0)),
        ('{"signal":"PUBLISH","subSignal":"MR","messageId":"x","content":{}}', (9, 30, 0)),
        ('{"signal":"PUBLISH","subSignal":"MR","messageId":true,"content":{}}', (9, 30, 0)),
        ('{"signal":"PING","subSignal":"NOPE","messageId":5}', (3, 0, 5)),
        ('{"signal":"PING","subSignal":"MS","messageId":5}', (3, 18, 5)),
        ('{"signal":"PING","messageId":5,"content":[]}', (3, 0, 5)),
        ('{"signal":"CONNECT","messageId":5,"content":{"userName":5}}', (6, 0, 5)),
    ],
)
def test_an_error_carries_what_could_be_read(text: str, known: tuple[int, int, int]) -> None:
    with pytest.raises(JsonError) as caught:
        decode_request(text)
    assert (caught.value.signal, caught.value.sub_signal, caught.value.message_id) == known
    assert str(caught.value)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0),
        (65536, 65536),
        (-1, -1),
        (2**53 + 1, 2**53 + 1),
        (2**64, 2**64),
        (81.0, 81),
        (1e21, 10**21),
        ("81", 81),
        (None, 0),  # how JavaScript writes NaN
        ("", 0),
    ],
)
def test_a_message_id_is_any_integer(written: Any, expected: int) -> None:
    assert decode_request(request_text("MR", {}, message_id=written)).message_id == expected


@pytest.mark.parametrize("written", [0.5, True, "x", [], {}])
def test_a_message_id_that_is_no_integer_is_refused(written: Any) -> None:
    with pytest.raises(JsonError, match="messageId is not an integer"):
        decode_request(request_text("MR", {}, message_id=written))


def test_connect() -> None:
    content = {"userName": "alice", "password": "cGFzcw==", "clientIdentifier": "device", "willTopic": ""}
    frame = decode_request(request_text("NONE", content, signal="CONNECT", message_id=0))
    assert frame == Frame(
        Signal.CONNECT,
        SubSignal.NONE,
        0,
        b'{"userName":"alice","password":"cGFzcw==","clientIdentifier":"device"}',
    )
    assert (
        decode_request('{"signal":"CONNECT"}').body == b'{"userName":"","password":"","clientIdentifier":""}'
    )


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ({"clearSession": 1}, b"\1"),
        ({"clearSession": True}, b"\1"),
        ({"clearSession": "1"}, b"\1"),
        ({"clearSession": 0}, b"\0"),
        ({"clearSession": False}, b"\0"),
        ({}, b"\0"),
        ("", b"\0"),
        (None, b"\0"),
    ],
)
def test_disconnect(content: Any, body: bytes) -> None:
    frame = decode_request(request_text("NONE", content, signal="DISCONNECT", message_id=3))
    assert frame == Frame(Signal.DISCONNECT, SubSignal.NONE, 3, body)


@pytest.mark.parametrize(
    ("content", "body"),
    [({"interval": 30000}, b'{"interval":30000}'), ("", b'{"interval":0}'), ({}, b'{"interval":0}')],
)
def test_ping(content: Any, body: bytes) -> None:
    frame = decode_request(request_text("", content, signal="PING", message_id=4))
    assert frame == Frame(Signal.PING, SubSignal.NONE, 4, body)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"half \ud83d", "half \ufffd"),
        (r"\ude00 half", "\ufffd half"),
        (r"\ud83d\ud83d\ude00", "\ufffd😀"),
        (r"\uD83D\uDE00 whole \uDBFF", "😀 whole \ufffd"),
        (r"\uDBFF\uDFFF last \udc00", "\U0010ffff last \ufffd"),
        (r"\\ud83d is text, \ud83d is not", "\\ud83d is text, \ufffd is not"),
    ],
)
def test_lone_surrogates_read_as_replacement_characters(written: str, read: str) -> None:
    content = f'{{"targetUserId":"bob","reason":"{written}"}}'
    for text in (content, json.dumps(content)):
        frame = decode_request(f'{{"signal":"PUBLISH","subSignal":"FAR","content":{text}}}')
        assert pb.AddFriendRequest.FromString(frame.body).reason == read


@pytest.mark.parametrize("depth", [2_000, 200_000])
@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_deep_nesting_is_refused(bracket: str, depth: int) -> None:
    for text in (bracket * depth, '{"content":' + json.dumps(bracket * depth) + "}"):
        with pytest.raises(JsonError, match="not JSON"):
            decode_request(text)


def check_only_json_error(text: str) -> None:
    try:
        read = decode_request(text)
    except JsonError as error:
        read = Frame(error.signal, error.sub_signal, error.message_id, str(error).encode())
        assert read.body
    assert read.signal in set(Signal)
    assert read.sub_signal in set(SubSignal)
    assert type(read.message_id) is int
    assert type(read.body) is bytes


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("QUJD"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.text() | st.text(st.characters(categories=["Cs", "Lu"])))
def test_any_text_is_a_request_or_a_json_error(text: str) -> None:
    check_only_json_error(text)


@given(
    st.sampled_from([signal.name for signal in Signal]),
    st.sampled_from([sub_signal.name for sub_signal in SubSignal]),
    st.integers(-1, 65536),
    any_json,
    st.booleans(),
)
def test_any_json_is_a_request_or_a_json_error(
    signal: str, sub_signal: str, message_id: int, content: Any, as_text: bool
) -> None:
    check_only_json_error(json.dumps(content))
    check_only_json_error(
        request_text(sub_signal, json.dumps(content) if as_text else content, signal, message_id)
    )


@settings(max_examples=400)
@given(st.data())
def test_a_spoilt_request_is_a_request_or_a_json_error(data: st.DataObject) -> None:
    """Put any value at any place of a valid request, then any character at any place of its text."""
    sub_signal, content, _ = data.draw(st.sampled_from(REQUESTS))
    request = json.loads(request_text(sub_signal, content))
    place: Any = request
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(any_json)
    text = json.dumps(request)
    check_only_json_error(text)
    at = data.draw(st.integers(0, len(text)))
    check_only_json_error(
        text[:at] + data.draw(st.text(max_size=2)) + text[at + data.draw(st.integers(0, 3)) :]
    )
