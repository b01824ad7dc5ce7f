"""messages.proto agrees with contract.md section 5, and required fields are on the wire even when they are zero."""

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import EncodeError, Message

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Signal, SubSignal

CONTRACT: dict[str, list[tuple[str, int, str, str]]] = {
    "ConnectAckPayload": [
        ("msg_head", 1, "int64", "optional"),
        ("friend_head", 2, "int64", "optional"),
        ("friend_rq_head", 3, "int64", "optional"),
        ("setting_head", 4, "int64", "optional"),
        ("node_addr", 5, "string", "optional"),
        ("node_port", 6, "int32", "optional"),
        ("server_time", 7, "int64", "optional"),
    ],
    "Conversation": [
        ("type", 1, "int32", "required"),
        ("target", 2, "string", "required"),
        ("line", 3, "int32", "required"),
    ],
    "MessageContent": [
        ("type", 1, "int32", "required"),
        ("searchable_content", 2, "string", "optional"),
        ("push_content", 3, "string", "optional"),
        ("content", 4, "string", "optional"),
        ("data", 5, "bytes", "optional"),
        ("media_type", 6, "int32", "optional"),
        ("remote_media_url", 7, "string", "optional"),
        ("persist_flag", 8, "int32", "optional"),
        ("expire_duration", 9, "int32", "optional"),
        ("mentioned_type", 10, "int32", "optional"),
        ("mentioned_target", 11, "string", "repeated"),
    ],
    "Message": [
        ("conversation", 1, "Conversation", "required"),
        ("from_user", 2, "string", "required"),
        ("content", 3, "MessageContent", "required"),
        ("message_id", 4, "int64", "optional"),
        ("server_timestamp", 5, "int64", "optional"),
        ("to_user", 6, "string", "optional"),
        ("to", 7, "string", "repeated"),
        ("local_message_id", 8, "int64", "optional"),
        ("edited_dt", 9, "int64", "optional"),
    ],
    "PullMessageRequest": [
        ("id", 1, "int64", "required"),
        ("type", 2, "int32", "required"),
        ("delay", 3, "int64", "optional"),
    ],
    "PullMessageResult": [
        ("message", 1, "Message", "repeated"),
        ("current", 2, "int64", "required"),
        ("head", 3, "int64", "required"),
    ],
    "NotifyMessage": [
        ("type", 1, "int32", "required"),
        ("head", 2, "int64", "required"),
        ("target", 3, "string", "optional"),
    ],
    "NotifyRecallMessage": [("id", 1, "int64", "required"), ("from_user", 2, "string", "required")],
    "LoadRemoteMessages": [
        ("conversation", 1, "Conversation", "required"),
        ("before_uid", 2, "int64", "required"),
        ("count", 3, "int32", "required"),
    ],
    "INT64Buf": [("id", 1, "int64", "required")],
    "Version": [("version", 1, "int64", "required")],
    "UserRequest": [("uid", 1, "string", "required"), ("update_dt", 2, "int64", "optional")],
    "PullUserRequest": [("request", 1, "UserRequest", "repeated")],
    "User": [
        ("uid", 1, "string", "required"),
        ("name", 2, "string", "optional"),
        ("display_name", 3, "string", "optional"),
        ("portrait", 4, "string", "optional"),
        ("mobile", 5, "string", "optional"),
        ("email", 6, "string", "optional"),
        ("address", 7, "string", "optional"),
        ("company", 8, "string", "optional"),
        ("extra", 9, "string", "optional"),
        ("update_dt", 10, "int64", "optional"),
        ("gender", 11, "int32", "optional"),
        ("social", 12, "string", "optional"),
        ("type", 13, "int32", "optional"),
    ],
    "UserResult": [("user", 1, "User", "required"), ("code", 2, "int32", "required")],
    "PullUserResult": [("result", 1, "UserResult", "repeated")],
    "SearchUserRequest": [
        ("keyword", 1, "string", "required"),
        ("fuzzy", 2, "int32", "optional"),
        ("page", 3, "int32", "optional"),
    ],
    "SearchUserResult": [("entry", 1, "User", "repeated")],
    "InfoEntry": [("type", 1, "int32", "required"), ("value", 2, "string", "required")],
    "ModifyMyInfoRequest": [("entry", 1, "InfoEntry", "repeated")],
    "AddFriendRequest": [("target_uid", 1, "string", "required"), ("reason", 2, "string", "required")],
    "HandleFriendRequest": [("target_uid", 1, "string", "required"), ("status", 2, "int32", "required")],
    "DeleteFriendRequest": [("target_uid", 1, "string", "required")],
    "BlacklistUserRequest": [("target_uid", 1, "string", "required"), ("status", 2, "int32", "required")],
    "StreamAnswerRequest": [
        ("target_uid", 1, "string", "required"),
        ("stream_id", 2, "string", "required"),
        ("delta", 3, "string", "required"),
        ("done", 4, "int32", "required"),
    ],
    "Friend": [
        ("uid", 1, "string", "required"),
        ("state", 2, "int32", "required"),
        ("update_dt", 3, "int64", "required"),
        ("alias", 4, "string", "optional"),
    ],
    "GetFriendsResult": [("entry", 1, "Friend", "repeated")],
    "FriendRequest": [
        ("from_uid", 1, "string", "optional"),
        ("to_uid", 2, "string", "required"),
        ("reason", 3, "string", "required"),
        ("status", 4, "int32", "optional"),
        ("update_dt", 5, "int64", "optional"),
        ("from_read_status", 6, "bool", "optional"),
        ("to_read_status", 7, "bool", "optional"),
    ],
    "GetFriendRequestResult": [("entry", 1, "FriendRequest", "repeated")],
    "GroupInfo": [
        ("target_id", 1, "string", "optional"),
        ("name", 2, "string", "required"),
        ("portrait", 3, "string", "optional"),
        ("owner", 4, "string", "optional"),
        ("type", 5, "int32", "required"),
        ("member_count", 6, "int32", "optional"),
        ("extra", 7, "string", "optional"),
        ("update_dt", 8, "int64", "optional"),
        ("member_update_dt", 9, "int64", "optional"),
    ],
    "GroupMember": [
        ("member_id", 1, "string", "required"),
        ("alias", 2, "string", "optional"),
        ("type", 3, "int32", "required"),
        ("update_dt", 4, "int64", "optional"),
        ("silenced_until", 5, "int64", "optional"),
    ],
    "Group": [("group_info", 1, "GroupInfo", "required"), ("members", 2, "GroupMember", "repeated")],
    "CreateGroupRequest": [
        ("group", 1, "Group", "required"),
        ("to_line", 2, "int32", "repeated"),
        ("notify_content", 3, "MessageContent", "optional"),
    ],
    "AddGroupMemberRequest": [
        ("group_id", 1, "string", "required"),
        ("added_member", 2, "GroupMember", "repeated"),
        ("to_line", 3, "int32", "repeated"),
        ("notify_content", 4, "MessageContent", "optional"),
    ],
    "RemoveGroupMemberRequest": [
        ("group_id", 1, "string", "required"),
        ("removed_member", 2, "string", "repeated"),
        ("to_line", 3, "int32", "repeated"),
        ("notify_content", 4, "MessageContent", "optional"),
    ],
    "QuitGroupRequest": [
        ("group_id", 1, "string", "required"),
        ("to_line", 2, "int32", "repeated"),
        ("notify_content", 3, "MessageContent", "optional"),
    ],
    "DismissGroupRequest": [
        ("group_id", 1, "string", "required"),
        ("to_line", 2, "int32", "repeated"),
        ("notify_content", 3, "MessageContent", "optional"),
    ],
    "ModifyGroupInfoRequest": [
        ("group_id", 1, "string", "required"),
        ("type", 2, "int32", "required"),
        ("value", 3, "string", "required"),
        ("to_line", 4, "int32", "repeated"),
        ("notify_content", 5, "MessageContent", "optional"),
    ],
    "PullGroupMemberRequest": [("target", 1, "string", "required"), ("head", 2, "int64", "required")],
    "PullGroupInfoResult": [("info", 1, "GroupInfo", "repeated")],
    "PullGroupMemberResult": [("member", 1, "GroupMember", "repeated")],
    "GetMinioUploadUrlRequest": [
        ("type", 1, "int32", "required"),
        ("key", 2, "string", "required"),
        ("size", 3, "int64", "optional"),
    ],
    "GetMinioUploadUrlResult": [
        ("domain", 1, "string", "optional"),
        ("server", 2, "string", "optional"),
        ("port", 3, "int32", "optional"),
        ("url", 4, "string", "required"),
        ("offset", 5, "int64", "optional"),
        ("length", 6, "int64", "optional"),
    ],
    "DeliveryReport": [
        ("date", 1, "int64", "required"),
        ("target", 2, "string", "required"),
        ("uid", 3, "string", "optional"),
        ("rid", 4, "int64", "optional"),
    ],
    "ReadReport": [
        ("type", 1, "int32", "optional"),
        ("line", 2, "int32", "optional"),
        ("target", 3, "string", "required"),
        ("date", 4, "int64", "required"),
        ("uid", 5, "string", "optional"),
        ("rid", 6, "int64", "optional"),
        ("tos", 7, "string", "repeated"),
    ],
    "NotifyMessageReport": [("type", 1, "int32", "required"), ("head", 2, "int64", "required")],
    "PullMessageReportRequest": [("id", 1, "int64", "required"), ("type", 2, "int32", "required")],
    "MessageReport": [
        ("report_type", 1, "int32", "required"),
        ("uid", 2, "string", "required"),
        ("date", 3, "int64", "required"),
        ("target", 4, "string", "required"),
    ],
    "PullMessageReportResult": [
        ("report", 1, "MessageReport", "repeated"),
        ("current", 2, "int64", "required"),
        ("head", 3, "int64", "required"),
    ],
    "UserSettingEntry": [
        ("scope", 1, "int32", "required"),
        ("key", 2, "string", "required"),
        ("value", 3, "string", "required"),
        ("update_dt", 4, "int64", "required"),
    ],
    "GetUserSettingResult": [("entry", 1, "UserSettingEntry", "repeated")],
    "TurnResult": [
        ("url", 1, "string", "repeated"),
        ("username", 2, "string", "required"),
        ("credential", 3, "string", "required"),
        ("ttl", 4, "int32", "required"),
    ],
    "MyGroupsRequest": [("version", 1, "int64", "required"), ("after", 2, "string", "optional")],
    "MyGroup": [
        ("group_info", 1, "GroupInfo", "required"),
        ("type", 2, "int32", "required"),
        ("alias", 3, "string", "optional"),
    ],
    "MyGroupsResult": [
        ("group", 1, "MyGroup", "repeated"),
        ("version", 2, "int64", "required"),
        ("next", 3, "string", "optional"),
    ],
    "ModifyGroupAliasRequest": [
        ("group_id", 1, "string", "required"),
        ("alias", 2, "string", "required"),
        ("to_line", 3, "int32", "repeated"),
        ("notify_content", 4, "MessageContent", "optional"),
    ],
    "TransferGroupRequest": [
        ("group_id", 1, "string", "required"),
        ("new_owner", 2, "string", "required"),
        ("to_line", 3, "int32", "repeated"),
        ("notify_content", 4, "MessageContent", "optional"),
    ],
    "SetMemberTypeRequest": [
        ("group_id", 1, "string", "required"),
        ("type", 2, "int32", "required"),
        ("member_id", 3, "string", "repeated"),
        ("to_line", 4, "int32", "repeated"),
        ("notify_content", 5, "MessageContent", "optional"),
        ("until", 6, "int64", "optional"),
    ],
    "UserDevice": [
        ("client_id", 1, "string", "required"),
        ("kind", 2, "string", "optional"),
        ("name", 3, "string", "optional"),
        ("login_dt", 4, "int64", "required"),
        ("seen_dt", 5, "int64", "required"),
        ("online", 6, "int32", "required"),
        ("current", 7, "int32", "required"),
    ],
    "UserDevicesResult": [("device", 1, "UserDevice", "repeated")],
    "EndDeviceRequest": [("client_id", 1, "string", "required")],
    "EditMessageRequest": [
        ("id", 1, "int64", "required"),
        ("content", 2, "MessageContent", "required"),
    ],
    "NotifyEditedMessage": [("id", 1, "int64", "required"), ("from_user", 2, "string", "required")],
    "MessageIds": [("id", 1, "int64", "repeated")],
    "ReactRequest": [("id", 1, "int64", "required"), ("emoji", 2, "string", "repeated")],
    "Reactions": [
        ("id", 1, "int64", "required"),
        ("uid", 2, "string", "required"),
        ("emoji", 3, "string", "repeated"),
        ("update_dt", 4, "int64", "required"),
    ],
    "ReactionsResult": [("entry", 1, "Reactions", "repeated")],
    "GroupReadersRequest": [("group_id", 1, "string", "required"), ("line", 2, "int32", "optional")],
    "GroupReader": [("uid", 1, "string", "required"), ("date", 2, "int64", "required")],
    "GroupReadersResult": [("reader", 1, "GroupReader", "repeated")],
    "ReportAbuseRequest": [
        ("uid", 1, "string", "optional"),
        ("id", 2, "int64", "optional"),
        ("reason", 3, "string", "required"),
    ],
    "ModifyUserSettingReq": [
        ("scope", 1, "int32", "required"),
        ("key", 2, "string", "required"),
        ("value", 3, "string", "required"),
    ],
}

SIGNALS = "NONE SUB AUTH PING PUSH CONTACT CONNECT CONNECT_ACK DISCONNECT PUBLISH PUB_ACK"

SUB_SIGNALS = """
    NONE CONNECTION_ACCEPTED CONNECTION_REFUSED_UNACCEPTABLE_PROTOCOL_VERSION
    CONNECTION_REFUSED_IDENTIFIER_REJECTED CONNECTION_REFUSED_SERVER_UNAVAILABLE
    CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD CONNECTION_REFUSED_NOT_AUTHORIZED
    CONNECTION_REFUSED_UNEXPECT_NODE CONNECTION_REFUSED_SESSION_NOT_EXIST
    US FAR UPUI FRN FRUS FRP FHR FP MN MS MP FN GC GPGI GPGM GAM GKM GQ GMI MMI GQNUT MR RMN LRM GD GMURL
    FALS MRN MRP MRR MDR SAI UG UP UN FDL BLU TURN GML GMA GTG GSM UDL UDK ME MEN MGI REA REN REL GRL RPA
"""

TYPES = {
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
}


def type_name(field: FieldDescriptor) -> str:
    return field.message_type.name if field.message_type else TYPES[field.type]


def label(field: FieldDescriptor) -> str:
    if field.is_repeated:
        return "repeated"
    return "required" if field.is_required else "optional"


def test_no_message_is_missing_or_added() -> None:
    assert set(pb.DESCRIPTOR.message_types_by_name) == set(CONTRACT)


@pytest.mark.parametrize("name", CONTRACT)
def test_fields_are_those_of_the_contract(name: str) -> None:
    descriptor = pb.DESCRIPTOR.message_types_by_name[name]
    fields = [(field.name, field.number, type_name(field), label(field)) for field in descriptor.fields]
    assert fields == CONTRACT[name]


def zeroed(name: str) -> Message:
    """Return a message whose required fields are set, each to its zero, and no others."""
    message: Message = getattr(pb, name)()
    for field, _, kind, how in CONTRACT[name]:
        if how == "required":
            if kind in CONTRACT:
                getattr(message, field).CopyFrom(zeroed(kind))
            else:
                setattr(message, field, {"string": "", "bytes": b"", "bool": False}.get(kind, 0))
    return message


def zero_bytes(name: str) -> bytes:
    """Return the wire form of `zeroed(name)`, written without the protobuf runtime."""
    wire = b""
    for _, number, kind, how in CONTRACT[name]:
        if how != "required":
            continue
        if kind in CONTRACT:
            inner = zero_bytes(kind)
            wire += bytes([number << 3 | 2, len(inner)]) + inner
        else:
            wire += bytes([number << 3 | (2 if kind in ("string", "bytes") else 0), 0])
    return wire


@pytest.mark.parametrize("name", CONTRACT)
def test_required_zeros_are_on_the_wire(name: str) -> None:
    assert zeroed(name).SerializeToString() == zero_bytes(name)


def test_the_zero_type_of_a_notification_is_on_the_wire() -> None:
    assert pb.NotifyMessage(type=0, head=7).SerializeToString().hex() == "08001007"
    assert pb.PullMessageResult(current=0, head=0).SerializeToString().hex() == "10001800"
    assert pb.Conversation(type=0, target="", line=0).SerializeToString().hex() == "080012001800"


@pytest.mark.parametrize("name", [name for name in CONTRACT if zero_bytes(name)])
def test_a_message_without_its_required_fields_is_not_written(name: str) -> None:
    with pytest.raises(EncodeError):
        getattr(pb, name)().SerializeToString()


def test_signals_are_numbered_as_in_the_contract() -> None:
    assert [signal.name for signal in Signal] == SIGNALS.split()
    assert list(Signal) == list(range(11))


def test_sub_signals_are_numbered_as_in_the_contract() -> None:
    assert [SubSignal(number).name for number in range(61)] == SUB_SIGNALS.split()
