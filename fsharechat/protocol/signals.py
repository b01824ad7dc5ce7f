"""The table of requests: one row for each sub-signal (contract.md sections 1, 5, 6 and 7), and the other numbers.

A row says everything about a request except its business. To add a request, write its row here, its handler in a
module of the group role, and its test. If people should use it, write a method of the client too.
"""

from collections.abc import Mapping
from enum import IntEnum

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.numbers import *  # noqa: F403 - they are one set of numbers, imported from here
from fsharechat.protocol.shapes.messages import MessageToSend, NewContent, Pull, PullRequest, Waiting
from fsharechat.protocol.shapes.objects import (
    Array,
    Ids,
    Object,
    ServerObject,
    Shape,
    Within,
    id64,
    ids64,
    loose,
    maybe,
    part,
    parts,
    rare,
    texts,
    written,
)
from fsharechat.protocol.shapes.payloads import Done, Long, Payload, Sent, Text
from fsharechat.protocol.shapes.people import (
    USER,
    FriendRequests,
    Members,
    UserProfiles,
    conversation,
    since,
)


class RequestRow:
    """The request in a client's PUBLISH, and the answer in its PUB_ACK."""

    def __init__(
        self,
        does: str,
        request: Shape,
        reply: Payload,
        *,
        numbered: bool = False,
        follow_up: bool = False,
        by_connector: bool = False,
    ) -> None:
        self.does = does
        self.request = request
        self.reply = reply
        self.numbered = numbered
        """The request stores a message. The connector gives the message its id, so a repeated call is recognised."""
        self.follow_up = follow_up
        """The server itself causes this request, or clients send it once for each message. So its limit is wider."""
        self.by_connector = by_connector
        """The connector answers it: it knows what its devices have. It asks the group role only if it must."""


class Unserved:
    """A request that clients may send, and that always gets code 254."""

    def __init__(self, does: str) -> None:
        self.does = does


class Notification:
    """The notification in a PUBLISH of the server."""

    def __init__(self, does: str, payload: Payload) -> None:
        self.does = does
        self.payload = payload


Row = RequestRow | Unserved | Notification

_DONE = Done()
_IDS = Ids(pb.PullUserRequest, "request", "uid")
_VERSION = Object(pb.Version, "version")
_TARGET_AND_REASON = Object(pb.AddFriendRequest, "targetUserId=target_uid", "reason")
_MEMBER = Object(pb.GroupMember, "memberId", "type")
_NEW_GROUP = Object(
    pb.GroupInfo,
    *(maybe("target=target_id"), "name", maybe("portrait"), maybe("owner"), "type", maybe("extra")),
)
_GROUP = ServerObject(
    pb.GroupInfo,
    *("target=target_id", "name", "portrait", "owner", "type", "memberCount", "extra", "updateDt"),
)
_MY_GROUP = ServerObject(pb.MyGroup, part("groupInfo=group_info", _GROUP), "type", "alias")
_MESSAGE_IDS = Object(pb.MessageIds, ids64("messageUids=id"))
_REACTIONS = ServerObject(pb.Reactions, id64("messageUid=id"), "uid", texts("emoji"), "updateDt")
_REPORT = ServerObject(pb.MessageReport, "reportType", "uid", "date", "target")


class SubSignal(IntEnum):
    """The result in a CONNECT_ACK, or the kind of request or notification in a PUBLISH or PUB_ACK (section 1)."""

    row: Row | None

    def __new__(cls, number: int, row: Row | None = None) -> "SubSignal":
        member = int.__new__(cls, number)
        member._value_ = number
        member.row = row
        return member

    NONE = 0
    CONNECTION_ACCEPTED = 1
    CONNECTION_REFUSED_UNACCEPTABLE_PROTOCOL_VERSION = 2
    CONNECTION_REFUSED_IDENTIFIER_REJECTED = 3
    CONNECTION_REFUSED_SERVER_UNAVAILABLE = 4
    CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD = 5
    CONNECTION_REFUSED_NOT_AUTHORIZED = 6
    CONNECTION_REFUSED_UNEXPECT_NODE = 7
    CONNECTION_REFUSED_SESSION_NOT_EXIST = 8

    # fmt: off - a row has its purpose, its request and its answer
    US = (
        9,
        RequestRow(
            "find users",
            Object(pb.SearchUserRequest, "keyword", "fuzzy", "page"),
            Array(pb.SearchUserResult, "entry", USER),
        ),
    )
    FAR = 10, RequestRow("ask for friendship", _TARGET_AND_REASON, _DONE)
    UPUI = 11, RequestRow("profiles of users", _IDS, UserProfiles())
    FRN = 12, Notification("friend requests have changed", Long("version"))
    FRUS = 13, RequestRow("friend requests are read", _VERSION, _DONE)
    FRP = 14, RequestRow("friend requests", Object(pb.Version, since("version")), FriendRequests())
    FHR = (
        15,
        RequestRow("answer a friend request", Object(pb.HandleFriendRequest, "targetUid", "status"), _DONE),
    )
    FP = (
        16,
        RequestRow(
            "friends",
            _VERSION,
            Array(
                pb.GetFriendsResult,
                "entry",
                ServerObject(pb.Friend, "friendUid=uid", "alias", "state", "timestamp=update_dt"),
            ),
        ),
    )
    MN = 17, Notification("messages wait", Waiting(pb.NotifyMessage))
    MS = 18, RequestRow("send a message", MessageToSend(), Sent(), numbered=True)
    MP = 19, RequestRow("fetch messages", PullRequest(), Pull(), follow_up=True, by_connector=True)
    FN = 20, Notification("friends have changed", Long("head"))
    GC = (
        21,
        RequestRow(
            "create a group",
            Within(
                pb.CreateGroupRequest,
                "group",
                Object(pb.Group, part("groupInfo", _NEW_GROUP), parts("groupMembers=members", _MEMBER)),
            ),
            Done("the id of the group"),
            numbered=True,
        ),
    )
    GPGI = 22, RequestRow("what groups are", _IDS, Array(pb.PullGroupInfoResult, "info", _GROUP))
    GPGM = (
        23,
        RequestRow(
            "members of a group",
            Object(pb.PullGroupMemberRequest, "groupId=target", "version=head"),
            Members(),
        ),
    )
    GAM = (
        24,
        RequestRow(
            "add members",
            Object(pb.AddGroupMemberRequest, "groupId", parts("groupMembers=added_member", _MEMBER)),
            _DONE,
            numbered=True,
        ),
    )
    GKM = (
        25,
        RequestRow(
            "remove members",
            Object(pb.RemoveGroupMemberRequest, "groupId", texts("memberIds=removed_member")),
            _DONE,
            numbered=True,
        ),
    )
    GQ = 26, RequestRow("leave a group", Object(pb.QuitGroupRequest, "groupId"), _DONE, numbered=True)
    GMI = (
        27,
        RequestRow(
            "change what a group is",
            Object(pb.ModifyGroupInfoRequest, "groupId", "type", "value"),
            _DONE,
            numbered=True,
        ),
    )
    MMI = (
        28,
        RequestRow(
            "change one's own profile",
            Within(pb.ModifyMyInfoRequest, "entry", Object(pb.InfoEntry, "type", loose("value"))),
            _DONE,
        ),
    )
    GQNUT = 29, Unserved("an address to upload to, of a kind of storage that is not used")
    MR = 30, RequestRow("take a message back", Object(pb.INT64Buf, id64("messageUid=id")), _DONE)
    RMN = (
        31,
        Notification(
            "a message was taken back",
            ServerObject(pb.NotifyRecallMessage, "fromUser", id64("messageUid=id")),
        ),
    )
    LRM = (
        32,
        RequestRow(
            "history of a conversation",
            Object(pb.LoadRemoteMessages, id64("beforeUid"), "count", conversation("conversation")),
            Pull(),
        ),
    )
    GD = 33, RequestRow("dismiss a group", Object(pb.DismissGroupRequest, "groupId"), _DONE, numbered=True)
    GMURL = (
        34,
        RequestRow(
            "an address to upload a file to",
            Object(pb.GetMinioUploadUrlRequest, "mediaType=type", "key", rare("size")),
            ServerObject(
                pb.GetMinioUploadUrlResult,
                *("domain", "url", "server", "port", rare("offset"), rare("length")),
            ),
        ),
    )
    FALS = 35, RequestRow("set the alias of a friend", _TARGET_AND_REASON, _DONE)
    MRN = 36, Notification("reports wait", Waiting(pb.NotifyMessageReport))
    MRP = (
        37,
        RequestRow(
            "fetch reports",
            Object(pb.PullMessageReportRequest, id64("id"), "type"),
            ServerObject(
                pb.PullMessageReportResult,
                id64("current"),
                id64("head"),
                written("messageCount", lambda result: len(result.report)),
                parts("messageReportList=report", _REPORT),
            ),
            follow_up=True,
            by_connector=True,
        ),
    )
    MRR = (
        38,
        RequestRow(
            "messages are read",
            Object(pb.ReadReport, "type", "line", "target", "date", texts("tos")),
            _DONE,
            follow_up=True,
        ),
    )
    MDR = (
        39,
        RequestRow(
            "messages are delivered", Object(pb.DeliveryReport, "date", "target"), _DONE, follow_up=True
        ),
    )
    SAI = 40, Notification("a part of what a robot says", Text())
    UG = (
        41,
        RequestRow(
            "settings",
            _VERSION,
            Array(
                pb.GetUserSettingResult,
                "entry",
                ServerObject(pb.UserSettingEntry, "scope", "key", "value", "updateDt"),
            ),
        ),
    )
    UP = (
        42,
        RequestRow(
            "change a setting",
            Object(pb.ModifyUserSettingReq, "scope", "key", loose("value")),
            Long("version"),
        ),
    )
    UN = 43, Notification("settings have changed", Long("version"))
    FDL = 44, RequestRow("end a friendship", Object(pb.DeleteFriendRequest, "targetUserId=target_uid"), _DONE)
    BLU = (
        45,
        RequestRow(
            "blacklist a user, or no more",
            Object(pb.BlacklistUserRequest, "targetUserId=target_uid", "status"),
            _DONE,
        ),
    )
    TURN = (
        46,
        RequestRow(
            "where calls may be relayed",
            _VERSION,
            ServerObject(pb.TurnResult, texts("urls=url"), "username", "credential", "ttl"),
        ),
    )
    GML = (
        47,
        RequestRow(
            "the groups of the user",
            Object(pb.MyGroupsRequest, "version", maybe("after")),
            ServerObject(
                pb.MyGroupsResult,
                *(id64("version"), "next", parts("groups=group", _MY_GROUP)),
            ),
        ),
    )
    GMA = (
        48,
        RequestRow(
            "set one's own alias in a group",
            Object(pb.ModifyGroupAliasRequest, "groupId", "alias"),
            _DONE,
            numbered=True,
        ),
    )
    GTG = (
        49,
        RequestRow(
            "hand a group over",
            Object(pb.TransferGroupRequest, "groupId", "newOwner"),
            _DONE,
            numbered=True,
        ),
    )
    GSM = (
        50,
        RequestRow(
            "set the type of members",
            Object(pb.SetMemberTypeRequest, "groupId", "type", texts("memberIds=member_id"), "until"),
            _DONE,
            numbered=True,
        ),
    )
    UDL = (
        51,
        RequestRow(
            "the user's own devices",
            _VERSION,
            Array(
                pb.UserDevicesResult,
                "device",
                ServerObject(
                    pb.UserDevice, *("clientId", "kind", "name", "loginDt", "seenDt", "online", "current")
                ),
            ),
        ),
    )
    UDK = 52, RequestRow("log another own device out", Object(pb.EndDeviceRequest, "clientId"), _DONE)
    ME = (
        53,
        RequestRow(
            "give a message a new content",
            Object(pb.EditMessageRequest, id64("messageUid=id"), NewContent("content")),
            _DONE,
        ),
    )
    MEN = (
        54,
        Notification(
            "a message has a new content",
            ServerObject(pb.NotifyEditedMessage, "fromUser", id64("messageUid=id")),
        ),
    )
    MGI = 55, RequestRow("messages by their ids", _MESSAGE_IDS, Pull())
    REA = (
        56,
        RequestRow(
            "react to a message", Object(pb.ReactRequest, id64("messageUid=id"), texts("emoji")), _DONE
        ),
    )
    REN = 57, Notification("a user has reacted to a message", _REACTIONS)
    REL = (
        58,
        RequestRow("reactions to messages", _MESSAGE_IDS, Array(pb.ReactionsResult, "entry", _REACTIONS)),
    )
    GRL = (
        59,
        RequestRow(
            "who has read how far in a group",
            Object(pb.GroupReadersRequest, "groupId", "line"),
            Array(pb.GroupReadersResult, "reader", ServerObject(pb.GroupReader, "uid", "date")),
        ),
    )
    RPA = (
        60,
        RequestRow(
            "report a user or a message to the administrators",
            Object(pb.ReportAbuseRequest, maybe("uid"), id64("messageUid=id"), "reason"),
            _DONE,
        ),
    )
    SRA = (
        63,
        RequestRow(
            "a robot streams a part of its answer",
            Object(
                pb.StreamAnswerRequest,
                "targetUserId=target_uid",
                "streamId=stream_id",
                loose("delta"),
                "done",
            ),
            _DONE,
            follow_up=True,
        ),
    )
    # fmt: on


REQUESTS: Mapping[int, RequestRow] = {
    int(sub): sub.row for sub in SubSignal if isinstance(sub.row, RequestRow)
}
NOTIFICATIONS: Mapping[int, Notification] = {
    int(sub): sub.row for sub in SubSignal if isinstance(sub.row, Notification)
}
