"""Requests as web clients write them: protobuf messages to the JSON of contract.md section 7."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from fsharechat.client.transport import Body
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal

Json = Any


def request(sub_signal: SubSignal, body: Body) -> Json:
    """Return the content of a request. Raises ValueError when the web contract has no such request."""
    builder = _BUILDERS.get(sub_signal)
    if builder is None or not isinstance(body, Message):
        raise ValueError(f"there is no {sub_signal.name} over WebSocket")
    if not body.IsInitialized():
        raise ValueError(f"{sub_signal.name}: the {type(body).__name__} lacks a required field")
    if "notify_content" in body.DESCRIPTOR.fields_by_name and body.HasField("notify_content"):
        raise ValueError(f"{sub_signal.name}: there is no notice of one's own over WebSocket")
    return builder(body)


def _message(message: pb.Message) -> Json:
    local_id = str(message.local_message_id)
    return {
        "conversationType": message.conversation.type,
        "target": message.conversation.target,
        "line": message.conversation.line,
        "from": message.from_user,
        "tos": list(message.to) or ([message.to_user] if message.to_user else []),
        "messageId": local_id,  # as deployed web clients do: they know no other id yet
        "localMessageId": local_id,
        "direction": 0,
        "status": 0,
        "timestamp": str(message.server_timestamp),
        "content": _content(message.content),
    }


def _content(content: pb.MessageContent) -> Json:
    return {
        "type": content.type,
        "searchableContent": content.searchable_content,
        "pushContent": content.push_content,
        "content": content.content,
        "binaryContent": base64.b64encode(content.data).decode(),
        "localContent": "",
        "mediaType": content.media_type,
        "remoteMediaUrl": content.remote_media_url,
        "localMediaPath": "",
        "mentionedType": content.mentioned_type,
        "mentionedTargets": list(content.mentioned_target),
    }


def _pull(request: pb.PullMessageRequest) -> Json:
    # pullType 1 names the seq to start with, pullType 0 the last one known (as at the first login).
    if request.id == 0:
        return {"messageId": "0", "type": request.type, "pullType": 0, "sendMessageCount": 0}
    return {"messageId": str(request.id + 1), "type": request.type, "pullType": 1, "sendMessageCount": 0}


def _load(request: pb.LoadRemoteMessages) -> Json:
    return {
        "beforeUid": str(request.before_uid),
        "count": request.count,
        "conversation": {
            "conversationType": request.conversation.type,
            "target": request.conversation.target,
            "line": request.conversation.line,
        },
    }


def _info(request: pb.ModifyMyInfoRequest) -> Json:
    if len(request.entry) != 1:
        raise ValueError("MMI over WebSocket changes exactly one field")
    return {"type": request.entry[0].type, "value": request.entry[0].value}


def _create_group(request: pb.CreateGroupRequest) -> Json:
    info = request.group.group_info
    return {
        "groupInfo": {
            "target": info.target_id,
            "name": info.name,
            "portrait": info.portrait,
            "owner": info.owner,
            "type": info.type,
            "extra": info.extra,
        },
        "groupMembers": [{"memberId": m.member_id, "type": m.type} for m in request.group.members],
    }


def _add_members(request: pb.AddGroupMemberRequest) -> Json:
    return {
        "groupId": request.group_id,
        "groupMembers": [{"memberId": m.member_id, "type": m.type} for m in request.added_member],
    }


def _version(request: pb.Version) -> Json:
    return {"version": request.version}


def _uids(request: pb.PullUserRequest) -> Json:
    return [entry.uid for entry in request.request]


def _target_and_reason(request: pb.AddFriendRequest) -> Json:
    return {"targetUserId": request.target_uid, "reason": request.reason}


def _group_id(request: pb.QuitGroupRequest | pb.DismissGroupRequest) -> Json:
    return {"groupId": request.group_id}


_BUILDERS: Mapping[SubSignal, Callable[[Any], Json]] = {
    SubSignal.MS: _message,
    SubSignal.MP: _pull,
    SubSignal.LRM: _load,
    SubSignal.MR: lambda r: {"messageUid": str(r.id)},
    SubSignal.US: lambda r: {"keyword": r.keyword, "fuzzy": r.fuzzy, "page": r.page},
    SubSignal.UPUI: _uids,
    SubSignal.MMI: _info,
    SubSignal.FAR: _target_and_reason,
    SubSignal.FHR: lambda r: {"targetUid": r.target_uid, "status": r.status},
    SubSignal.FRP: _version,
    SubSignal.FRUS: _version,
    SubSignal.FP: _version,
    SubSignal.FALS: _target_and_reason,
    SubSignal.GC: _create_group,
    SubSignal.GPGI: _uids,
    SubSignal.GPGM: lambda r: {"groupId": r.target, "version": r.head},
    SubSignal.GAM: _add_members,
    SubSignal.GKM: lambda r: {"groupId": r.group_id, "memberIds": list(r.removed_member)},
    SubSignal.GQ: _group_id,
    SubSignal.GD: _group_id,
    SubSignal.GMI: lambda r: {"groupId": r.group_id, "type": r.type, "value": r.value},
    SubSignal.GMURL: lambda r: {"mediaType": r.type, "key": r.key},
    SubSignal.MDR: lambda r: {"date": r.date, "target": r.target},
    SubSignal.MRR: lambda r: {
        "type": r.type,
        "line": r.line,
        "target": r.target,
        "date": r.date,
        "tos": list(r.tos),
    },
    SubSignal.MRP: lambda r: {"id": str(r.id), "type": r.type},
    SubSignal.UG: _version,
    SubSignal.UP: lambda r: {"scope": r.scope, "key": r.key, "value": r.value},
    SubSignal.FDL: lambda r: {"targetUserId": r.target_uid},
    SubSignal.BLU: lambda r: {"targetUserId": r.target_uid, "status": r.status},
}
