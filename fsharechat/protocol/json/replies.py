"""Answers to web clients: CONNECT_ACK, PING and PUB_ACK (contract.md sections 2, 4 and 7)."""

from collections.abc import Callable
from struct import Struct
from typing import Any

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.json.messages import encode_pull_content
from fsharechat.protocol.json.writing import escape, escaped_json, head
from fsharechat.protocol.signals import Signal, SubSignal, UserResultCode

_unpack_sent = Struct(">qq").unpack
_unpack_version = Struct(">q").unpack

_HEADS: dict[int, str] = {sub_signal: head(Signal.PUB_ACK, sub_signal) for sub_signal in SubSignal}
_PING_HEAD = head(Signal.PING, SubSignal.NONE)


def encode_reply(
    sub_signal: int, message_id: int, code: int, payload: bytes, *, viewer: str, request: bytes
) -> str:
    """Return the PUB_ACK text that answers a PUBLISH.

    `code` and `payload` are what a TCP client's PUB_ACK would hold, `viewer` is the user it goes to and
    `request` the protobuf body it answers. A failed request is answered by "" if it has a typed payload,
    otherwise by code 400. A transparent push is the reply of an MP with message id 0.
    """
    encode = _ENCODERS.get(sub_signal, _nothing)
    if code:
        encode = _error if encode is _ok else _nothing
    return f'{_HEADS[sub_signal]}{message_id},"content":"{encode(payload, viewer, request)}"}}'


def encode_connect_ack(sub_signal: int, payload: bytes | None) -> str:
    """Return the CONNECT_ACK text; `payload` is a ConnectAckPayload, None when the connection is refused."""
    content = ""
    if payload is not None:
        ack = pb.ConnectAckPayload.FromString(payload)
        content = rf"{{\"messageHead\":\"{ack.msg_head}\",\"friendHead\":{ack.friend_head}}}"
    return f'{head(Signal.CONNECT_ACK, SubSignal(sub_signal))}0,"content":"{content}"}}'


def encode_ping(message_id: int, body: bytes) -> str:
    """Return the text that answers a PING; `body` is the answer's text, UTF-8."""
    return f'{_PING_HEAD}{message_id},"content":"{escape(body.decode()).decode()}"}}'


def _ok(payload: bytes, viewer: str, request: bytes) -> str:
    return _SUCCESS


def _error(payload: bytes, viewer: str, request: bytes) -> str:
    return _ERROR


def _nothing(payload: bytes, viewer: str, request: bytes) -> str:
    return ""


def _sent(payload: bytes, viewer: str, request: bytes) -> str:
    message_id, timestamp = _unpack_sent(payload)
    return rf"{{\"messageId\":\"{message_id}\",\"timestamp\":{timestamp}}}"


def _pulled(payload: bytes, viewer: str, request: bytes) -> str:
    return encode_pull_content(payload, viewer).decode()


def _search_result(payload: bytes, viewer: str, request: bytes) -> str:
    return _text([_user(user) for user in pb.SearchUserResult.FromString(payload).entry])


def _users(payload: bytes, viewer: str, request: bytes) -> str:
    """Leave out the not modified, which hold a uid alone.

    An unknown user stays, as an object with a uid and nothing else: a client that asks for one looks at the first.
    """
    results = pb.PullUserResult.FromString(payload).result
    return _text([_user(result.user) for result in results if result.code != UserResultCode.NOT_MODIFIED])


def _user(user: pb.User) -> dict[str, Any]:
    return {
        "uid": user.uid,
        "name": user.name,
        "displayName": user.display_name,
        "gender": user.gender,
        "portrait": user.portrait,
        "mobile": user.mobile,
        "email": user.email,
        "address": user.address,
        "company": user.company,
        "social": user.social,
        "extra": user.extra,
        "friendAlias": "",
        "groupAlias": "",
        "updateDt": user.update_dt,
        "type": user.type,
    }


def _friend_requests(payload: bytes, viewer: str, request: bytes) -> str:
    entries = pb.GetFriendRequestResult.FromString(payload).entry
    return _text([_friend_request(entry, entry.from_uid == viewer) for entry in entries])


def _friend_request(entry: pb.FriendRequest, viewer_is_sender: bool) -> dict[str, Any]:
    return {
        "direction": 0 if viewer_is_sender else 1,
        "from": entry.from_uid,
        "target": entry.to_uid,
        "reason": entry.reason,
        "status": entry.status,
        "readStatus": int(entry.from_read_status if viewer_is_sender else entry.to_read_status),
        "timestamp": entry.update_dt,
    }


def _friends(payload: bytes, viewer: str, request: bytes) -> str:
    return _text(
        [
            {
                "friendUid": friend.uid,
                "alias": friend.alias,
                "state": friend.state,
                "timestamp": friend.update_dt,
            }
            for friend in pb.GetFriendsResult.FromString(payload).entry
        ]
    )


def _groups(payload: bytes, viewer: str, request: bytes) -> str:
    return _text(
        [
            {
                "target": info.target_id,
                "name": info.name,
                "portrait": info.portrait,
                "owner": info.owner,
                "type": info.type,
                "memberCount": info.member_count,
                "extra": info.extra,
                "updateDt": info.update_dt,
            }
            for info in pb.PullGroupInfoResult.FromString(payload).info
        ]
    )


def _group_members(payload: bytes, viewer: str, request: bytes) -> str:
    """The payload does not say which group it is of; the request does."""
    group_id = pb.PullGroupMemberRequest.FromString(request).target
    return _text(
        [
            {
                "groupId": group_id,
                "memberId": member.member_id,
                "alias": member.alias,
                "type": member.type,
                "updateDt": member.update_dt,
            }
            for member in pb.PullGroupMemberResult.FromString(payload).member
        ]
    )


def _upload_url(payload: bytes, viewer: str, request: bytes) -> str:
    result = pb.GetMinioUploadUrlResult.FromString(payload)
    return _text({"domain": result.domain, "url": result.url, "server": result.server, "port": result.port})


def _reports(payload: bytes, viewer: str, request: bytes) -> str:
    result = pb.PullMessageReportResult.FromString(payload)
    reports = [
        {"reportType": report.report_type, "uid": report.uid, "date": report.date, "target": report.target}
        for report in result.report
    ]
    return _text(
        {
            "current": str(result.current),
            "head": str(result.head),
            "messageCount": len(reports),
            "messageReportList": reports,
        }
    )


def _settings(payload: bytes, viewer: str, request: bytes) -> str:
    return _text(
        [
            {"scope": entry.scope, "key": entry.key, "value": entry.value, "updateDt": entry.update_dt}
            for entry in pb.GetUserSettingResult.FromString(payload).entry
        ]
    )


def _setting_version(payload: bytes, viewer: str, request: bytes) -> str:
    return rf"{{\"version\":\"{_unpack_version(payload)[0]}\"}}"


def _text(value: Any) -> str:
    return escaped_json(value).decode()


_SUCCESS = _text({"code": 200, "message": "success", "result": None})
_ERROR = _text({"code": 400, "message": "error", "result": None})

_ENCODERS: dict[int, Callable[[bytes, str, bytes], str]] = {
    SubSignal.MS: _sent,
    SubSignal.MP: _pulled,
    SubSignal.LRM: _pulled,
    SubSignal.MR: _ok,
    SubSignal.US: _search_result,
    SubSignal.UPUI: _users,
    SubSignal.MMI: _ok,
    SubSignal.FAR: _ok,
    SubSignal.FHR: _ok,
    SubSignal.FRP: _friend_requests,
    SubSignal.FRUS: _ok,
    SubSignal.FP: _friends,
    SubSignal.FALS: _ok,
    SubSignal.GC: _ok,
    SubSignal.GPGI: _groups,
    SubSignal.GPGM: _group_members,
    SubSignal.GAM: _ok,
    SubSignal.GKM: _ok,
    SubSignal.GQ: _ok,
    SubSignal.GD: _ok,
    SubSignal.GMI: _ok,
    SubSignal.GMURL: _upload_url,
    SubSignal.MDR: _ok,
    SubSignal.MRR: _ok,
    SubSignal.MRP: _reports,
    SubSignal.UG: _settings,
    SubSignal.UP: _setting_version,
    SubSignal.FDL: _ok,
    SubSignal.BLU: _ok,
}
