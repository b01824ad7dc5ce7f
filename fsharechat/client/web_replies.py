"""What the server tells web clients: the JSON of contract.md sections 4 and 7 to protobuf messages and bytes."""

import base64
import binascii
from collections.abc import Callable, Mapping
from struct import pack
from typing import Any

import orjson

from fsharechat.client.errors import InvalidReply, RequestError
from fsharechat.client.models import (
    FriendRequestsChanged,
    FriendsChanged,
    MessageRecalled,
    MessagesWaiting,
    Notice,
    ReportsChanged,
    SettingsChanged,
)
from fsharechat.client.transport import Body
from fsharechat.client.transport_tcp import stream_part
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal, UserResultCode

Json = Any
_WRONG = (KeyError, TypeError, ValueError, AttributeError, binascii.Error)
"""What the wrong JSON raises in a decoder below; orjson's error is a ValueError."""


def accepted(content: str) -> pb.ConnectAckPayload:
    """Decode the content of an accepting CONNECT_ACK. Raises InvalidReply."""
    try:
        answer = orjson.loads(content)
        return pb.ConnectAckPayload(
            msg_head=int(answer["messageHead"]), friend_head=int(answer["friendHead"])
        )
    except _WRONG as error:
        raise InvalidReply(f"CONNECT_ACK: {error!r}") from error


def reply(sub_signal: SubSignal, content: str, me: str) -> Body:
    """Decode the content of a PUB_ACK for the user `me`. Raises RequestError or InvalidReply."""
    if content == "":
        raise RequestError(sub_signal, None)
    try:
        answer = orjson.loads(content)
        decoder = _REPLIES.get(sub_signal)
        if decoder is not None:
            return decoder(answer, me)
        accepted = answer["code"] == 200
    except _WRONG as error:
        raise InvalidReply(f"{sub_signal.name}: {error!r}") from error
    if not accepted:
        raise RequestError(sub_signal, None)
    return b""


def notice(sub_signal: SubSignal, content: str) -> Notice | None:
    """Decode a notification; None when its kind is unknown. Raises InvalidReply."""
    if sub_signal is SubSignal.SAI:
        return stream_part(content)
    decoder = _NOTICES.get(sub_signal)
    if decoder is None:
        return None
    try:
        return decoder(orjson.loads(content))
    except _WRONG as error:
        raise InvalidReply(f"{sub_signal.name}: {error!r}") from error


def message(item: Json) -> pb.Message:
    """Decode one message object."""
    content = item["content"]
    return pb.Message(
        conversation=pb.Conversation(type=item["conversationType"], target=item["target"], line=item["line"]),
        from_user=item["from"],
        content=pb.MessageContent(
            type=content["type"],
            searchable_content=content["searchableContent"],
            push_content=content["pushContent"],
            content=content["content"],
            data=base64.b64decode(content["binaryContent"], validate=True),
            media_type=content["mediaType"],
            remote_media_url=content["remoteMediaUrl"],
            mentioned_type=content["mentionedType"],
            mentioned_target=content["mentionedTargets"],
        ),
        message_id=int(item["messageId"]),
        server_timestamp=int(item["timestamp"]),
        to=item["tos"] or [],  # "" where there are none
        local_message_id=int(item["localMessageId"]),
    )


def _pull(answer: Json, me: str) -> Body:
    items = answer["messageResponseList"]
    if not answer["messageCount"] == answer["count"] == len(items):
        raise ValueError(
            f"{len(items)} messages, messageCount {answer['messageCount']}, count {answer['count']}"
        )
    return pb.PullMessageResult(
        message=[message(item) for item in items], current=int(answer["current"]), head=int(answer["head"])
    )


def _user(item: Json) -> pb.User:
    return pb.User(
        uid=item["uid"],
        name=item["name"],
        display_name=item["displayName"],
        portrait=item["portrait"],
        mobile=item["mobile"],
        email=item["email"],
        address=item["address"],
        company=item["company"],
        extra=item["extra"],
        update_dt=int(item["updateDt"]),
        gender=item["gender"],
        social=item["social"],
        type=item["type"],
    )


def _user_result(item: Json) -> pb.UserResult:
    user = _user(item)
    # The web form has no code: a user that does not exist has nothing but its uid.
    found = bool(user.name or user.display_name or user.update_dt)
    return pb.UserResult(user=user, code=UserResultCode.OK if found else UserResultCode.NOT_FOUND)


def _friend_request(item: Json, me: str) -> pb.FriendRequest:
    found = pb.FriendRequest(
        from_uid=item["from"],
        to_uid=item["target"],
        reason=item["reason"],
        status=item["status"],
        update_dt=int(item["timestamp"]),
    )
    if found.to_uid == me:
        found.to_read_status = bool(item["readStatus"])
    else:
        found.from_read_status = bool(item["readStatus"])
    return found


def _friend(item: Json) -> pb.Friend:
    return pb.Friend(
        uid=item["friendUid"], state=item["state"], update_dt=int(item["timestamp"]), alias=item["alias"]
    )


def _group(item: Json) -> pb.GroupInfo:
    return pb.GroupInfo(
        target_id=item["target"],
        name=item["name"],
        portrait=item["portrait"],
        owner=item["owner"],
        type=item["type"],
        member_count=item["memberCount"],
        extra=item["extra"],
        update_dt=int(item["updateDt"]),
    )


def _member(item: Json) -> pb.GroupMember:
    return pb.GroupMember(
        member_id=item["memberId"], alias=item["alias"], type=item["type"], update_dt=int(item["updateDt"])
    )


def _reports(answer: Json, me: str) -> Body:
    return pb.PullMessageReportResult(
        report=[
            pb.MessageReport(
                report_type=item["reportType"], uid=item["uid"], date=int(item["date"]), target=item["target"]
            )
            for item in answer["messageReportList"]
        ],
        current=int(answer["current"]),
        head=int(answer["head"]),
    )


def _settings(answer: Json, me: str) -> Body:
    return pb.GetUserSettingResult(
        entry=[
            pb.UserSettingEntry(
                scope=item["scope"], key=item["key"], value=item["value"], update_dt=int(item["updateDt"])
            )
            for item in answer
        ]
    )


def _upload(answer: Json, me: str) -> Body:
    return pb.GetMinioUploadUrlResult(
        domain=answer["domain"], url=answer["url"], server=answer["server"], port=int(answer["port"])
    )


_REPLIES: Mapping[SubSignal, Callable[[Json, str], Body]] = {
    SubSignal.MS: lambda a, me: pack(">qq", int(a["messageId"]), int(a["timestamp"])),
    SubSignal.MP: _pull,
    SubSignal.LRM: _pull,
    SubSignal.US: lambda a, me: pb.SearchUserResult(entry=[_user(item) for item in a]),
    SubSignal.UPUI: lambda a, me: pb.PullUserResult(result=[_user_result(item) for item in a]),
    SubSignal.FRP: lambda a, me: pb.GetFriendRequestResult(entry=[_friend_request(item, me) for item in a]),
    SubSignal.FP: lambda a, me: pb.GetFriendsResult(entry=[_friend(item) for item in a]),
    SubSignal.GPGI: lambda a, me: pb.PullGroupInfoResult(info=[_group(item) for item in a]),
    SubSignal.GPGM: lambda a, me: pb.PullGroupMemberResult(member=[_member(item) for item in a]),
    SubSignal.GMURL: _upload,
    SubSignal.MRP: _reports,
    SubSignal.UG: _settings,
    SubSignal.UP: lambda a, me: pack(">q", int(a["version"])),
}

_NOTICES: Mapping[SubSignal, Callable[[Json], Notice]] = {
    SubSignal.MN: lambda n: MessagesWaiting(int(n["messageHead"])),
    SubSignal.RMN: lambda n: MessageRecalled(int(n["messageUid"]), n["fromUser"]),
    SubSignal.FRN: lambda n: FriendRequestsChanged(int(n["version"])),
    SubSignal.FN: lambda n: FriendsChanged(int(n["head"])),
    SubSignal.MRN: lambda n: ReportsChanged(int(n["messageHead"]), n["type"]),
    SubSignal.UN: lambda n: SettingsChanged(int(n["version"])),
}
