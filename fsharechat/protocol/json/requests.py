"""From a web client's text to the frame a TCP client would have sent (contract.md sections 2, 4 and 7)."""

from collections.abc import Callable
from typing import Any

import orjson
from google.protobuf.message import Message

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.frames import Frame
from fsharechat.protocol.json.reading import (
    JsonError,
    Object,
    base64_bytes,
    flag,
    int32,
    int64,
    integer,
    loads,
    loose_string,
    nested,
    objects,
    string,
    string_list,
    strings,
)
from fsharechat.protocol.signals import TRANSPARENT_TYPES, PersistFlag, Signal, SubSignal

_SIGNALS = {signal.name: int(signal) for signal in Signal}
_SUB_SIGNALS = {sub_signal.name: int(sub_signal) for sub_signal in SubSignal}
_PUBLISH = int(Signal.PUBLISH)
_STORED = int(PersistFlag.STORED_AND_COUNTED)
_TRANSPARENT = int(PersistFlag.TRANSPARENT)
_VERSION_MARGIN_MS = 1000


def decode_request(text: str) -> Frame:
    """Return the frame whose body is the bytes a TCP client would have sent.

    `content` is an object or array, or the JSON text of one. 64-bit numbers may be strings, absent strings
    are "", absent numbers 0. Raises JsonError, and nothing else, for any text that is not a request of these
    sections.
    """
    signal = sub_signal = message_id = 0
    try:
        request = loads(text)
        if type(request) is not dict:
            raise JsonError("a request is a JSON object")
        signal = signal_of(request)
        sub_signal = sub_signal_of(request)
        message_id = integer(request, "messageId")
        content = request.get("content")
        if type(content) is str:
            content = loads(content) if content else None
        if signal == _PUBLISH:
            return Frame(signal, sub_signal, message_id, _publish_body(sub_signal, content))
        return Frame(signal, sub_signal, message_id, _control_body(signal, request, content))
    except JsonError as error:
        error.signal, error.sub_signal, error.message_id = signal, sub_signal, message_id
        raise


def signal_of(request: Object) -> int:
    """Return the number of the signal, 0 when it is missing or unknown."""
    return _number_of(_SIGNALS, request.get("signal"))


def sub_signal_of(request: Object) -> int:
    """Return the number of the sub-signal, 0 when it is missing or unknown."""
    return _number_of(_SUB_SIGNALS, request.get("subSignal"))


def _number_of(names: dict[str, int], name: object) -> int:
    return names.get(name, 0) if type(name) is str else 0


def _publish_body(sub_signal: int, content: Any) -> bytes:
    if sub_signal == SubSignal.GQNUT:  # answered with code 254 whatever it asks for
        return b""
    row = _REQUESTS.get(sub_signal)
    if row is None:
        raise JsonError("the sub-signal is not a request")
    kind, build = row
    if type(content) is not kind:
        raise JsonError("content is not an object" if kind is dict else "content is not an array")
    return build(content).SerializeToString()


def _control_body(signal: int, request: Object, content: Any) -> bytes:
    build = _CONTROLS.get(signal)
    if build is None:
        raise JsonError("the signal is not one that clients send")
    if request.get("subSignal") not in _NO_SUB_SIGNAL:
        raise JsonError("only PUBLISH has a sub-signal")
    if content is None:
        content = {}
    if type(content) is not dict:
        raise JsonError("content is not an object")
    return build(content)


def _connect(content: Object) -> bytes:
    return orjson.dumps({key: string(content, key) for key in ("userName", "password", "clientIdentifier")})


def _disconnect(content: Object) -> bytes:
    return b"\1" if flag(content, "clearSession") else b"\0"


def _ping(content: Object) -> bytes:
    return orjson.dumps({"interval": int64(content, "interval")})


def _message(content: Object) -> pb.Message:
    """The hot path: setting fields costs half as much as building the parts and copying them."""
    message = pb.Message()
    conversation = message.conversation
    conversation.type = int32(content, "conversationType")
    conversation.target = string(content, "target")
    conversation.line = int32(content, "line")
    message.from_user = string(content, "from")
    _fill_content(message.content, nested(content, "content"))
    if content.get("tos", "") != "":
        message.to.extend(strings(content, "tos"))
    if local_id := int64(content, "localMessageId") or int64(content, "messageId"):
        message.local_message_id = local_id
    return message


def _fill_content(target: pb.MessageContent, content: Object) -> None:
    """The JSON has no persist flag, and a message without one would not be stored: the type decides.

    To look whether a field is there costs less than to read what is not there.
    """
    target.type = content_type = int32(content, "type")
    target.persist_flag = _TRANSPARENT if content_type in TRANSPARENT_TYPES else _STORED
    if searchable := string(content, "searchableContent"):
        target.searchable_content = searchable
    if content.get("pushContent", "") != "" and (push := string(content, "pushContent")):
        target.push_content = push
    if content.get("content", "") != "" and (text := string(content, "content")):
        target.content = text
    if content.get("binaryContent", "") != "" and (data := base64_bytes(content, "binaryContent")):
        target.data = data
    if content.get("mediaType", 0) != 0 and (media_type := int32(content, "mediaType")):
        target.media_type = media_type
    if content.get("remoteMediaUrl", "") != "" and (url := string(content, "remoteMediaUrl")):
        target.remote_media_url = url
    if content.get("mentionedType", 0) != 0 and (mentioned_type := int32(content, "mentionedType")):
        target.mentioned_type = mentioned_type
    if content.get("mentionedTargets", "") != "":
        target.mentioned_target.extend(strings(content, "mentionedTargets"))


def _pull_messages(content: Object) -> pb.PullMessageRequest:
    """`sendMessageCount` is no part of what the client claims to have: it counts what makes no entry (section 6)."""
    seq = int64(content, "messageId")
    pull_type = int32(content, "pullType")
    if pull_type == 1:
        seq -= 1
    elif pull_type != 0:
        raise JsonError("pullType is neither 0 nor 1")
    return pb.PullMessageRequest(id=min(max(seq, 0), (1 << 63) - 1), type=int32(content, "type"))


def _load_messages(content: Object) -> pb.LoadRemoteMessages:
    conversation = nested(content, "conversation")
    type_key = "type" if "type" in conversation else "conversationType"
    return pb.LoadRemoteMessages(
        conversation=pb.Conversation(
            type=int32(conversation, type_key),
            target=string(conversation, "target"),
            line=int32(conversation, "line"),
        ),
        before_uid=int64(content, "beforeUid"),
        count=int32(content, "count"),
    )


def _recall(content: Object) -> pb.INT64Buf:
    return pb.INT64Buf(id=int64(content, "messageUid"))


def _search(content: Object) -> pb.SearchUserRequest:
    return pb.SearchUserRequest(
        keyword=string(content, "keyword"), fuzzy=int32(content, "fuzzy"), page=int32(content, "page")
    )


def _ids(content: list[Any]) -> pb.PullUserRequest:
    """Users (UPUI) and groups (GPGI) alike."""
    return pb.PullUserRequest(request=[pb.UserRequest(uid=uid) for uid in string_list(content, "content")])


def _modify_me(content: Object) -> pb.ModifyMyInfoRequest:
    entry = pb.InfoEntry(type=int32(content, "type"), value=loose_string(content, "value"))
    return pb.ModifyMyInfoRequest(entry=[entry])


def _add_friend(content: Object) -> pb.AddFriendRequest:
    return pb.AddFriendRequest(target_uid=string(content, "targetUserId"), reason=string(content, "reason"))


def _handle_friend(content: Object) -> pb.HandleFriendRequest:
    return pb.HandleFriendRequest(target_uid=string(content, "targetUid"), status=int32(content, "status"))


def _delete_friend(content: Object) -> pb.DeleteFriendRequest:
    return pb.DeleteFriendRequest(target_uid=string(content, "targetUserId"))


def _blacklist(content: Object) -> pb.BlacklistUserRequest:
    return pb.BlacklistUserRequest(
        target_uid=string(content, "targetUserId"), status=int32(content, "status")
    )


def _version(content: Object) -> pb.Version:
    return pb.Version(version=int64(content, "version"))


def _friend_requests(content: Object) -> pb.Version:
    return pb.Version(version=max(int64(content, "version") - _VERSION_MARGIN_MS, 0))


def _members(content: Object) -> list[pb.GroupMember]:
    return [
        pb.GroupMember(member_id=string(member, "memberId"), type=int32(member, "type"))
        for member in objects(content, "groupMembers")
    ]


def _create_group(content: Object) -> pb.CreateGroupRequest:
    info = nested(content, "groupInfo")
    group_info = pb.GroupInfo(
        target_id=string(info, "target") or None,
        name=string(info, "name"),
        portrait=string(info, "portrait") or None,
        owner=string(info, "owner") or None,
        type=int32(info, "type"),
        extra=string(info, "extra") or None,
    )
    return pb.CreateGroupRequest(group=pb.Group(group_info=group_info, members=_members(content)))


def _group_members(content: Object) -> pb.PullGroupMemberRequest:
    return pb.PullGroupMemberRequest(target=string(content, "groupId"), head=int64(content, "version"))


def _add_members(content: Object) -> pb.AddGroupMemberRequest:
    return pb.AddGroupMemberRequest(group_id=string(content, "groupId"), added_member=_members(content))


def _kick_members(content: Object) -> pb.RemoveGroupMemberRequest:
    return pb.RemoveGroupMemberRequest(
        group_id=string(content, "groupId"), removed_member=strings(content, "memberIds")
    )


def _quit_group(content: Object) -> pb.QuitGroupRequest:
    return pb.QuitGroupRequest(group_id=string(content, "groupId"))


def _dismiss_group(content: Object) -> pb.DismissGroupRequest:
    return pb.DismissGroupRequest(group_id=string(content, "groupId"))


def _modify_group(content: Object) -> pb.ModifyGroupInfoRequest:
    return pb.ModifyGroupInfoRequest(
        group_id=string(content, "groupId"), type=int32(content, "type"), value=string(content, "value")
    )


def _upload_url(content: Object) -> pb.GetMinioUploadUrlRequest:
    return pb.GetMinioUploadUrlRequest(type=int32(content, "mediaType"), key=string(content, "key"))


def _delivery_report(content: Object) -> pb.DeliveryReport:
    return pb.DeliveryReport(date=int64(content, "date"), target=string(content, "target"))


def _read_report(content: Object) -> pb.ReadReport:
    return pb.ReadReport(
        type=int32(content, "type"),
        line=int32(content, "line"),
        target=string(content, "target"),
        date=int64(content, "date"),
        tos=strings(content, "tos"),
    )


def _pull_reports(content: Object) -> pb.PullMessageReportRequest:
    return pb.PullMessageReportRequest(id=int64(content, "id"), type=int32(content, "type"))


def _modify_setting(content: Object) -> pb.ModifyUserSettingReq:
    return pb.ModifyUserSettingReq(
        scope=int32(content, "scope"), key=string(content, "key"), value=loose_string(content, "value")
    )


_NO_SUB_SIGNAL = (None, "", "NONE")

_CONTROLS: dict[int, Callable[[Object], bytes]] = {
    Signal.CONNECT: _connect,
    Signal.DISCONNECT: _disconnect,
    Signal.PING: _ping,
}

_REQUESTS: dict[int, tuple[type, Callable[[Any], Message]]] = {
    SubSignal.MS: (dict, _message),
    SubSignal.MP: (dict, _pull_messages),
    SubSignal.LRM: (dict, _load_messages),
    SubSignal.MR: (dict, _recall),
    SubSignal.US: (dict, _search),
    SubSignal.UPUI: (list, _ids),
    SubSignal.MMI: (dict, _modify_me),
    SubSignal.FAR: (dict, _add_friend),
    SubSignal.FHR: (dict, _handle_friend),
    SubSignal.FRP: (dict, _friend_requests),
    SubSignal.FRUS: (dict, _version),
    SubSignal.FP: (dict, _version),
    SubSignal.FALS: (dict, _add_friend),
    SubSignal.GC: (dict, _create_group),
    SubSignal.GPGI: (list, _ids),
    SubSignal.GPGM: (dict, _group_members),
    SubSignal.GAM: (dict, _add_members),
    SubSignal.GKM: (dict, _kick_members),
    SubSignal.GQ: (dict, _quit_group),
    SubSignal.GD: (dict, _dismiss_group),
    SubSignal.GMI: (dict, _modify_group),
    SubSignal.GMURL: (dict, _upload_url),
    SubSignal.MDR: (dict, _delivery_report),
    SubSignal.MRR: (dict, _read_report),
    SubSignal.MRP: (dict, _pull_reports),
    SubSignal.UG: (dict, _version),
    SubSignal.UP: (dict, _modify_setting),
    SubSignal.FDL: (dict, _delete_friend),
    SubSignal.BLU: (dict, _blacklist),
}
