"""The JSON a web client writes and reads (contract.md sections 2 and 7), as written there."""

import base64
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message

from fsharechat.client import InvalidReply, RequestError, web
from fsharechat.client.transport_ws import WebSocketTransport
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Signal, SubSignal
from tests.unit.client.fake_peer import ME, stored, web_message

BIG = 588437610496000001
GROUP = pb.Conversation(type=1, target="g1", line=0)

REQUESTS: list[tuple[SubSignal, Message, Any]] = [
    (
        SubSignal.MP,
        pb.PullMessageRequest(id=0, type=0),
        {"messageId": "0", "type": 0, "pullType": 0, "sendMessageCount": 0},
    ),
    (
        SubSignal.MP,
        pb.PullMessageRequest(id=41, type=0),
        {"messageId": "42", "type": 0, "pullType": 1, "sendMessageCount": 0},
    ),
    (
        SubSignal.LRM,
        pb.LoadRemoteMessages(conversation=GROUP, before_uid=BIG, count=20),
        {
            "beforeUid": str(BIG),
            "count": 20,
            "conversation": {"conversationType": 1, "target": "g1", "line": 0},
        },
    ),
    (SubSignal.MR, pb.INT64Buf(id=BIG), {"messageUid": str(BIG)}),
    (
        SubSignal.US,
        pb.SearchUserRequest(keyword="安", fuzzy=1, page=2),
        {"keyword": "安", "fuzzy": 1, "page": 2},
    ),
    (
        SubSignal.UPUI,
        pb.PullUserRequest(request=[pb.UserRequest(uid="a"), pb.UserRequest(uid="b")]),
        ["a", "b"],
    ),
    (
        SubSignal.MMI,
        pb.ModifyMyInfoRequest(entry=[pb.InfoEntry(type=0, value="v")]),
        {"type": 0, "value": "v"},
    ),
    (
        SubSignal.FAR,
        pb.AddFriendRequest(target_uid="a", reason="hi"),
        {"targetUserId": "a", "reason": "hi"},
    ),
    (SubSignal.FHR, pb.HandleFriendRequest(target_uid="a", status=1), {"targetUid": "a", "status": 1}),
    (SubSignal.FDL, pb.DeleteFriendRequest(target_uid="a"), {"targetUserId": "a"}),
    (
        SubSignal.BLU,
        pb.BlacklistUserRequest(target_uid="a", status=1),
        {"targetUserId": "a", "status": 1},
    ),
    (
        SubSignal.SRA,
        pb.StreamAnswerRequest(target_uid="a", stream_id="i", delta="d", done=0),
        {"targetUserId": "a", "streamId": "i", "delta": "d", "done": 0},
    ),
    (SubSignal.FRP, pb.Version(version=5), {"version": 5}),
    (SubSignal.FRUS, pb.Version(version=5), {"version": 5}),
    (SubSignal.FP, pb.Version(version=5), {"version": 5}),
    (
        SubSignal.FALS,
        pb.AddFriendRequest(target_uid="a", reason="alias"),
        {"targetUserId": "a", "reason": "alias"},
    ),
    (
        SubSignal.GC,
        pb.CreateGroupRequest(
            group=pb.Group(
                group_info=pb.GroupInfo(name="n", type=2),
                members=[pb.GroupMember(member_id="a", type=0)],
            )
        ),
        {
            "groupInfo": {"target": "", "name": "n", "portrait": "", "owner": "", "type": 2, "extra": ""},
            "groupMembers": [{"memberId": "a", "type": 0}],
        },
    ),
    (SubSignal.GPGI, pb.PullUserRequest(request=[pb.UserRequest(uid="g1")]), ["g1"]),
    (SubSignal.GPGM, pb.PullGroupMemberRequest(target="g1", head=3), {"groupId": "g1", "version": 3}),
    (
        SubSignal.GAM,
        pb.AddGroupMemberRequest(group_id="g1", added_member=[pb.GroupMember(member_id="a", type=0)]),
        {"groupId": "g1", "groupMembers": [{"memberId": "a", "type": 0}]},
    ),
    (
        SubSignal.GKM,
        pb.RemoveGroupMemberRequest(group_id="g1", removed_member=["a"]),
        {"groupId": "g1", "memberIds": ["a"]},
    ),
    (SubSignal.GQ, pb.QuitGroupRequest(group_id="g1"), {"groupId": "g1"}),
    (SubSignal.GD, pb.DismissGroupRequest(group_id="g1"), {"groupId": "g1"}),
    (
        SubSignal.GMI,
        pb.ModifyGroupInfoRequest(group_id="g1", type=0, value="n"),
        {"groupId": "g1", "type": 0, "value": "n"},
    ),
    (
        SubSignal.GMURL,
        pb.GetMinioUploadUrlRequest(type=1, key="a b.png"),
        {"mediaType": 1, "key": "a b.png"},
    ),
    (SubSignal.MDR, pb.DeliveryReport(date=7, target="a"), {"date": 7, "target": "a"}),
    (
        SubSignal.MRR,
        pb.ReadReport(type=1, line=0, target="g1", date=7, tos=["a"]),
        {"type": 1, "line": 0, "target": "g1", "date": 7, "tos": ["a"]},
    ),
    (SubSignal.MRP, pb.PullMessageReportRequest(id=4, type=2), {"id": "4", "type": 2}),
    (SubSignal.UG, pb.Version(version=5), {"version": 5}),
    (
        SubSignal.UP,
        pb.ModifyUserSettingReq(scope=1, key="0-0-a", value="1"),
        {"scope": 1, "key": "0-0-a", "value": "1"},
    ),
]


@pytest.mark.parametrize(("sub", "body", "content"), REQUESTS)
async def test_requests(sub: SubSignal, body: Message, content: Any) -> None:
    transport = WebSocketTransport("ws://h/", ME)
    frame = orjson.loads(transport.encode(Signal.PUBLISH, sub, 81, body))
    assert frame == {"signal": "PUBLISH", "subSignal": sub.name, "messageId": 81, "content": content}


def test_a_message_is_written_as_web_clients_do() -> None:
    message = pb.Message(
        conversation=GROUP,
        from_user=ME,
        content=pb.MessageContent(
            type=3, data=b"\x00\xff", searchable_content="digest", mentioned_target=["a"]
        ),
        to=["a", "b"],
        local_message_id=BIG,
    )
    written = web.request(SubSignal.MS, message)
    assert (written["conversationType"], written["target"], written["line"]) == (1, "g1", 0)
    assert (written["from"], written["tos"]) == (ME, ["a", "b"])
    assert written["messageId"] == written["localMessageId"] == str(BIG)
    assert written["content"]["binaryContent"] == base64.b64encode(b"\x00\xff").decode()
    assert written["content"]["searchableContent"] == "digest"
    assert written["content"]["mentionedTargets"] == ["a"]
    message.to[:] = []
    message.to_user = "c"
    assert web.request(SubSignal.MS, message)["tos"] == ["c"]


def test_requests_the_web_contract_does_not_have() -> None:
    with pytest.raises(ValueError, match="no GQNUT"):
        web.request(SubSignal.GQNUT, b"")
    with pytest.raises(ValueError, match="required"):
        web.request(SubSignal.FHR, pb.HandleFriendRequest(target_uid="a"))
    two = pb.ModifyMyInfoRequest(entry=[pb.InfoEntry(type=0, value="a"), pb.InfoEntry(type=1, value="b")])
    with pytest.raises(ValueError, match="exactly one"):
        web.request(SubSignal.MMI, two)


USER = {
    "uid": "a",
    "name": "n",
    "displayName": "d",
    "gender": 1,
    "portrait": "p",
    "mobile": "138",
    "email": "e",
    "address": "ad",
    "company": "c",
    "social": "s",
    "extra": "x",
    "friendAlias": "",
    "groupAlias": "",
    "updateDt": 9,
    "type": 0,
}
NOBODY = {key: "" if isinstance(value, str) else 0 for key, value in USER.items()} | {"uid": "b"}
A_USER = pb.User(
    uid="a",
    name="n",
    display_name="d",
    gender=1,
    portrait="p",
    mobile="138",
    email="e",
    address="ad",
    company="c",
    social="s",
    extra="x",
    update_dt=9,
    type=0,
)
REPLIES: list[tuple[SubSignal, Any, Any]] = [
    (
        SubSignal.MS,
        {"messageId": str(BIG), "timestamp": 7},
        BIG.to_bytes(8, "big") + (7).to_bytes(8, "big"),
    ),
    (SubSignal.US, [USER], pb.SearchUserResult(entry=[A_USER])),
    (SubSignal.FAR, {"code": 200, "message": "success", "result": None}, b""),
    (
        SubSignal.FP,
        [{"friendUid": "a", "alias": "al", "state": 0, "timestamp": 9}],
        pb.GetFriendsResult(entry=[pb.Friend(uid="a", alias="al", state=0, update_dt=9)]),
    ),
    (
        SubSignal.FRP,
        [
            {
                "direction": 1,
                "from": "a",
                "target": ME,
                "reason": "r",
                "status": 0,
                "readStatus": True,
                "timestamp": 9,
            },
            {
                "direction": 0,
                "from": ME,
                "target": "a",
                "reason": "r",
                "status": 2,
                "readStatus": False,
                "timestamp": 8,
            },
        ],
        pb.GetFriendRequestResult(
            entry=[
                pb.FriendRequest(
                    from_uid="a", to_uid=ME, reason="r", status=0, update_dt=9, to_read_status=True
                ),
                pb.FriendRequest(
                    from_uid=ME, to_uid="a", reason="r", status=2, update_dt=8, from_read_status=False
                ),
            ]
        ),
    ),
    (
        SubSignal.GPGI,
        [
            {
                "target": "g1",
                "name": "n",
                "portrait": "p",
                "owner": "o",
                "type": 2,
                "memberCount": 3,
                "extra": "x",
                "updateDt": 9,
            }
        ],
        pb.PullGroupInfoResult(
            info=[
                pb.GroupInfo(
                    target_id="g1",
                    name="n",
                    portrait="p",
                    owner="o",
                    type=2,
                    member_count=3,
                    extra="x",
                    update_dt=9,
                )
            ]
        ),
    ),
    (
        SubSignal.GPGM,
        [{"groupId": "g1", "memberId": "a", "alias": "al", "type": 1, "updateDt": 9}],
        pb.PullGroupMemberResult(member=[pb.GroupMember(member_id="a", alias="al", type=1, update_dt=9)]),
    ),
    (
        SubSignal.GMURL,
        {"domain": "http://d", "url": "http://u", "server": "s", "port": 9000},
        pb.GetMinioUploadUrlResult(domain="http://d", url="http://u", server="s", port=9000),
    ),
    (
        SubSignal.MRP,
        {
            "current": "5",
            "head": "6",
            "messageCount": 1,
            "messageReportList": [{"reportType": 2, "uid": "a", "date": 7, "target": "g1"}],
        },
        pb.PullMessageReportResult(
            report=[pb.MessageReport(report_type=2, uid="a", date=7, target="g1")], current=5, head=6
        ),
    ),
    (
        SubSignal.UG,
        [{"scope": 1, "key": "0-0-a", "value": "1", "updateDt": 9}],
        pb.GetUserSettingResult(entry=[pb.UserSettingEntry(scope=1, key="0-0-a", value="1", update_dt=9)]),
    ),
    (SubSignal.UP, {"version": 9}, (9).to_bytes(8, "big")),
]


@pytest.mark.parametrize(("sub", "content", "body"), REPLIES)
def test_replies(sub: SubSignal, content: Any, body: Any) -> None:
    assert web.reply(sub, orjson.dumps(content).decode(), ME) == body


def test_users_that_do_not_exist_have_nothing_but_their_uid() -> None:
    result = web.reply(SubSignal.UPUI, orjson.dumps([USER, NOBODY]).decode(), ME)
    assert isinstance(result, pb.PullUserResult)
    assert [(entry.user.uid, entry.code) for entry in result.result] == [("a", 0), ("b", 1)]


def test_a_message_comes_back_as_it_is_over_tcp() -> None:
    sent = stored(BIG, "你好", local_id=BIG + 1)
    content = {
        "current": "5",
        "head": "6",
        "messageCount": 1,
        "count": 1,
        "messageResponseList": [web_message(sent)],
    }
    result = web.reply(SubSignal.MP, orjson.dumps(content).decode(), ME)
    assert isinstance(result, pb.PullMessageResult)
    assert (result.current, result.head) == (5, 6)
    (got,) = result.message
    assert (got.message_id, got.local_message_id) == (BIG, BIG + 1)
    assert got.server_timestamp == sent.server_timestamp
    assert got.content.searchable_content == "你好"
    assert (got.conversation, got.from_user) == (sent.conversation, sent.from_user)


@pytest.mark.parametrize(
    ("sub", "content"),
    [
        (SubSignal.US, ""),
        (SubSignal.FAR, ""),
        (SubSignal.FAR, '{"code":400,"message":"error","result":null}'),
    ],
)
def test_refusals(sub: SubSignal, content: str) -> None:
    with pytest.raises(RequestError) as caught:
        web.reply(sub, content, ME)
    assert caught.value.code is None


@pytest.mark.parametrize(
    ("sub", "content"),
    [
        (SubSignal.MS, "no json"),
        (SubSignal.MS, '{"messageId":"x","timestamp":1}'),
        (SubSignal.MS, "[]"),
        (SubSignal.US, '[{"uid":"a"}]'),
        (SubSignal.FAR, "null"),
        (SubSignal.MP, '{"current":"1","head":"1","messageCount":1,"count":1,"messageResponseList":[]}'),
    ],
)
def test_wrong_json_is_an_invalid_reply(sub: SubSignal, content: str) -> None:
    with pytest.raises(InvalidReply):
        web.reply(sub, content, ME)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"messageHead":"x","friendHead":0}'])
def test_a_wrong_acknowledgement(content: str) -> None:
    with pytest.raises(InvalidReply):
        web.accepted(content)
