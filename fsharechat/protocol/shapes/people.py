"""Users, friends and groups, where JSON and protobuf differ (contract.md section 7)."""

from typing import Any

import orjson

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.numbers import UserResultCode
from fsharechat.protocol.shapes.objects import (
    Array,
    Field,
    Object,
    ServerObject,
    added,
    part,
    written,
)
from fsharechat.protocol.shapes.payloads import Body, escaped_json
from fsharechat.protocol.shapes.reading import int64, nested


def _empty(message: Any) -> str:
    """Write an empty value: for a key that clients look for, or one that the shape fills in later."""
    return ""


USER = ServerObject(
    pb.User,
    *("uid", "name", "displayName", "gender", "portrait", "mobile", "email", "address", "company", "social"),
    *("extra", written("friendAlias", _empty), written("groupAlias", _empty), "updateDt", "type"),
)


class UserProfiles(Array):
    """The users that a client asked for."""

    def __init__(self) -> None:
        super().__init__(pb.PullUserResult, "result", USER)

    def read(self, source: Any) -> pb.PullUserResult:
        """Read users. The JSON has no code: a user that does not exist has only a uid."""
        return pb.PullUserResult(result=[_user_result(item) for item in source])

    def write(self, message: Any) -> list[Any]:
        """Leave out users who are not modified: they hold only a uid.

        An unknown user stays, with only a uid: a client that asks for one user looks at the first one.
        """
        return [
            USER.write(result.user) for result in message.result if result.code != UserResultCode.NOT_MODIFIED
        ]


def _user_result(item: Any) -> pb.UserResult:
    user = USER.read(item)
    assert isinstance(user, pb.User)
    found = bool(user.name or user.display_name or user.update_dt)
    return pb.UserResult(user=user, code=UserResultCode.OK if found else UserResultCode.NOT_FOUND)


class FriendRequests(Array):
    """Friend requests, as one of the two users sees them."""

    def __init__(self) -> None:
        item = ServerObject(
            pb.FriendRequest,
            *(
                written("direction", _empty),
                "from=from_uid",
                "target=to_uid",
                "reason",
                "status",
                written("readStatus", _empty),
            ),
            "timestamp=update_dt",
        )
        super().__init__(pb.GetFriendRequestResult, "entry", item)

    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        entries = pb.GetFriendRequestResult.FromString(payload).entry
        found = [self.item.write(entry) for entry in entries]
        for item, entry in zip(found, entries, strict=True):
            sent = entry.from_uid == viewer
            item["direction"] = 0 if sent else 1
            item["readStatus"] = int(entry.from_read_status if sent else entry.to_read_status)
        return escaped_json(found).decode()

    def decode(self, content: str, viewer: str) -> Body:
        items = orjson.loads(content)
        result = self.read(items)
        assert isinstance(result, pb.GetFriendRequestResult)
        for item, entry in zip(items, result.entry, strict=True):
            if entry.to_uid == viewer:
                entry.to_read_status = bool(item["readStatus"])
            else:
                entry.from_read_status = bool(item["readStatus"])
        return result


class Members(Array):
    """The members of a group. Over TCP the answer does not name the group; the request does."""

    def __init__(self) -> None:
        item = ServerObject(
            pb.GroupMember,
            written("groupId", _empty),
            "memberId",
            "alias",
            "type",
            "updateDt",
            added("silencedUntil"),
        )
        super().__init__(pb.PullGroupMemberResult, "member", item)

    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        found = self.write(pb.PullGroupMemberResult.FromString(payload))
        group_id = pb.PullGroupMemberRequest.FromString(request).target
        for item in found:
            item["groupId"] = group_id
        return escaped_json(found).decode()


_VERSION_MARGIN_MS = 1000


def since(key: str) -> Field:
    """Return the version of an FRP. Web clients also get requests that are a second older."""
    return Field(key, lambda source, key: max(int64(source, key) - _VERSION_MARGIN_MS, 0))


def conversation(key: str) -> Field:
    """Return the conversation of an LRM. Web clients write its type under one of two keys."""
    by_one = Object(pb.Conversation, "conversationType=type", "target", "line")
    by_other = Object(pb.Conversation, "type", "target", "line")
    field = part(key, by_one)
    field.read = lambda source, key: (by_other if "type" in nested(source, key) else by_one).read(source[key])
    return field
