"""The table of requests: one row for each sub-signal (contract.md sections 1, 5, 6 and 7), and the other numbers.

A row says everything about a request except its business. To add a request, write its row here, its handler in a
module of the group role, and its test. If people should use it, write a method of the client too.
"""

from collections.abc import Mapping
from enum import IntEnum

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.numbers import *  # noqa: F403 - they are one set of numbers, imported from here
from fsharechat.protocol.shapes.messages import NewMessage, Pull, PullRequest, Waiting
from fsharechat.protocol.shapes.objects import (
    Answer,
    Array,
    Ids,
    Object,
    Shape,
    Within,
    id64,
    loose,
    maybe,
    part,
    parts,
    texts,
    written,
)
from fsharechat.protocol.shapes.payloads import Done, Long, Payload, Sent, Text
from fsharechat.protocol.shapes.people import (
    USER,
    FriendRequests,
    Members,
    Users,
    conversation,
    since,
)


class Request:
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


Row = Request | Unserved | Notification

_DONE = Done()
_IDS = Ids(pb.PullUserRequest, "request", "uid")
_VERSION = Object(pb.Version, "version")
_TARGET_AND_REASON = Object(pb.AddFriendRequest, "targetUserId=target_uid", "reason")
_MEMBER = Object(pb.GroupMember, "memberId", "type")
_NEW_GROUP = Object(
    pb.GroupInfo,
    *(maybe("target=target_id"), "name", maybe("portrait"), maybe("owner"), "type", maybe("extra")),
)
_GROUP = Answer(
    pb.GroupInfo,
    *("target=target_id", "name", "portrait", "owner", "type", "memberCount", "extra", "updateDt"),
)
_REPORT = Answer(pb.MessageReport, "reportType", "uid", "date", "target")


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
        Request(
            "find users",
            Object(pb.SearchUserRequest, "keyword", "fuzzy", "page"),
            Array(pb.SearchUserResult, "entry", USER),
        ),
    )
    FAR = 10, Request("ask for friendship", _TARGET_AND_REASON, _DONE)
    UPUI = 11, Request("profiles of users", _IDS, Users())
    FRN = 12, Notification("friend requests have changed", Long("version"))
    FRUS = 13, Request("friend requests are read", _VERSION, _DONE)
    FRP = 14, Request("friend requests", Object(pb.Version, since("version")), FriendRequests())
    FHR = 15, Request("answer a friend request", Object(pb.HandleFriendRequest, "targetUid", "status"), _DONE)
    FP = (
        16,
        Request(
            "friends",
            _VERSION,
            Array(
                pb.GetFriendsResult,
                "entry",
                Answer(pb.Friend, "friendUid=uid", "alias", "state", "timestamp=update_dt"),
            ),
        ),
    )
    MN = 17, Notification("messages wait", Waiting(pb.NotifyMessage))
    MS = 18, Request("send a message", NewMessage(), Sent(), numbered=True)
    MP = 19, Request("fetch messages", PullRequest(), Pull(), follow_up=True, by_connector=True)
    FN = 20, Notification("friends have changed", Long("head"))
    GC = (
        21,
        Request(
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
    GPGI = 22, Request("what groups are", _IDS, Array(pb.PullGroupInfoResult, "info", _GROUP))
    GPGM = (
        23,
        Request(
            "members of a group",
            Object(pb.PullGroupMemberRequest, "groupId=target", "version=head"),
            Members(),
        ),
    )
    GAM = (
        24,
        Request(
            "add members",
            Object(pb.AddGroupMemberRequest, "groupId", parts("groupMembers=added_member", _MEMBER)),
            _DONE,
            numbered=True,
        ),
    )
    GKM = (
        25,
        Request(
            "remove members",
            Object(pb.RemoveGroupMemberRequest, "groupId", texts("memberIds=removed_member")),
            _DONE,
            numbered=True,
        ),
    )
    GQ = 26, Request("leave a group", Object(pb.QuitGroupRequest, "groupId"), _DONE, numbered=True)
    GMI = (
        27,
        Request(
            "change what a group is",
            Object(pb.ModifyGroupInfoRequest, "groupId", "type", "value"),
            _DONE,
            numbered=True,
        ),
    )
    MMI = (
        28,
        Request(
            "change one's own profile",
            Within(pb.ModifyMyInfoRequest, "entry", Object(pb.InfoEntry, "type", loose("value"))),
            _DONE,
        ),
    )
    GQNUT = 29, Unserved("an address to upload to, of a kind of storage that is not used")
    MR = 30, Request("take a message back", Object(pb.INT64Buf, id64("messageUid=id")), _DONE)
    RMN = (
        31,
        Notification(
            "a message was taken back", Answer(pb.NotifyRecallMessage, "fromUser", id64("messageUid=id"))
        ),
    )
    LRM = (
        32,
        Request(
            "history of a conversation",
            Object(pb.LoadRemoteMessages, id64("beforeUid"), "count", conversation("conversation")),
            Pull(),
        ),
    )
    GD = 33, Request("dismiss a group", Object(pb.DismissGroupRequest, "groupId"), _DONE, numbered=True)
    GMURL = (
        34,
        Request(
            "an address to upload a file to",
            Object(pb.GetMinioUploadUrlRequest, "mediaType=type", "key"),
            Answer(pb.GetMinioUploadUrlResult, "domain", "url", "server", "port"),
        ),
    )
    FALS = 35, Request("set the alias of a friend", _TARGET_AND_REASON, _DONE)
    MRN = 36, Notification("reports wait", Waiting(pb.NotifyMessageReport))
    MRP = (
        37,
        Request(
            "fetch reports",
            Object(pb.PullMessageReportRequest, id64("id"), "type"),
            Answer(
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
        Request(
            "messages are read",
            Object(pb.ReadReport, "type", "line", "target", "date", texts("tos")),
            _DONE,
            follow_up=True,
        ),
    )
    MDR = (
        39,
        Request("messages are delivered", Object(pb.DeliveryReport, "date", "target"), _DONE, follow_up=True),
    )
    SAI = 40, Notification("a part of what a robot says", Text())
    UG = (
        41,
        Request(
            "settings",
            _VERSION,
            Array(
                pb.GetUserSettingResult,
                "entry",
                Answer(pb.UserSettingEntry, "scope", "key", "value", "updateDt"),
            ),
        ),
    )
    UP = (
        42,
        Request(
            "change a setting",
            Object(pb.ModifyUserSettingReq, "scope", "key", loose("value")),
            Long("version"),
        ),
    )
    UN = 43, Notification("settings have changed", Long("version"))
    FDL = 44, Request("end a friendship", Object(pb.DeleteFriendRequest, "targetUserId=target_uid"), _DONE)
    BLU = (
        45,
        Request(
            "blacklist a user, or no more",
            Object(pb.BlacklistUserRequest, "targetUserId=target_uid", "status"),
            _DONE,
        ),
    )
    # fmt: on


REQUESTS: Mapping[int, Request] = {int(sub): sub.row for sub in SubSignal if isinstance(sub.row, Request)}
NOTIFICATIONS: Mapping[int, Notification] = {
    int(sub): sub.row for sub in SubSignal if isinstance(sub.row, Notification)
}
