"""Frames of servers, checked, and in one form for both transports: that of the web objects, with ids as numbers.

Everything that arrives in any test goes through here: over TCP through the strict proto2 parser, over WebSocket
through the JSON schemas.
"""

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from tools.conformance import shapes
from tools.wire import proto2
from tools.wire.contract import name_of

_NO_PAYLOAD = frozenset(shapes.PLAIN) - {"GC"}


class Malformed(ValueError):
    """The server sent something that the contract does not allow."""


class CutOff(Malformed):
    """The connection ended inside a frame. Only a killed process may do that."""


class ArrivedFrame(NamedTuple):
    """A frame of the server."""

    signal: str
    sub: str
    message_id: int
    failed: bool
    """Whether it refuses a request."""
    code: int | None
    """The code of a PUB_ACK; over WebSocket there is none."""
    content: Any
    """The payload, in one form for both transports, None if there is none."""
    raw: Any
    """The body's bytes, or the content's text."""


def of_tcp(signal: int, sub: int, message_id: int, body: bytes, viewer: str) -> ArrivedFrame:
    """Return a checked TCP frame. `viewer` is the user who got it. Raises Malformed."""
    try:
        names = name_of("signal", signal), name_of("sub-signal", sub)
        return ArrivedFrame(*names, message_id, *_of_tcp(*names, message_id, body, viewer), body)
    except (
        ValueError,
        LookupError,
    ) as error:  # from the parsers, and for frames that are too short or out of place
        raise Malformed(f"signal {signal}, sub-signal {sub}: {error}") from None


def _of_tcp(signal: str, sub: str, message_id: int, body: bytes, viewer: str) -> tuple[bool, int | None, Any]:
    match signal:
        case "PUB_ACK":
            code, payload = body[0], body[1:]
            if code:
                _require(not payload, "a refused request carries the code alone")
                return True, code, None
            if sub in _NO_PAYLOAD:
                _require(not payload, "a payload where there is none")
                return False, code, None
            return False, code, _PAYLOADS[sub](payload, viewer)
        case "PUBLISH":
            _require(message_id == 0, "a notification has message id 0")
            return False, None, _NOTIFICATIONS[sub](body)
        case "CONNECT_ACK":
            _require(message_id == 0, "a CONNECT_ACK has message id 0")
            if sub != "CONNECTION_ACCEPTED":
                _require(body == b"\0", "a refusal has the one-byte body 00")
                return True, None, None
            ack = proto2.decode("ConnectAckPayload", body)
            heads = {"messageHead": "msg_head", "friendHead": "friend_head"}
            more = {
                "requestHead": "friend_rq_head",
                "settingHead": "setting_head",
                "serverTime": "server_time",
            }
            return False, None, {key: ack.get(name, 0) for key, name in (heads | more).items()}
        case "PING":
            _require(bool(body.decode()), "an empty PING")
            return False, None, body.decode()
    raise Malformed(f"{signal} is nothing that servers say")


def of_web(text: str, viewer: str) -> ArrivedFrame:
    """Return a checked WebSocket frame. Raises Malformed."""
    try:
        frame = shapes.parse(text, shapes.FRAME, "a frame")
        signal, sub, message_id = frame["signal"], frame["subSignal"], frame["messageId"]
        content = frame["content"]
        return ArrivedFrame(
            signal, sub, message_id, *_of_web(signal, sub, message_id, content, viewer), content
        )
    except (shapes.ShapeError, KeyError) as error:
        raise Malformed(str(error)) from None


def _of_web(signal: str, sub: str, message_id: int, text: str, viewer: str) -> tuple[bool, int | None, Any]:
    what = f"{signal} {sub}"
    match signal:
        case "PUB_ACK":
            if sub in shapes.PLAIN:
                answer = shapes.parse(text, {"anyOf": [shapes.OK, shapes.FAILED]}, what)
                return answer["code"] != 200, None, None
            if text == "":
                return True, None, None
            value = shapes.parse(text, shapes.TYPED[sub], what)
            return False, None, _numbers(value, viewer)
        case "PUBLISH":
            _require(message_id == 0, "a notification has message id 0")
            return False, None, _numbers(shapes.parse(text, shapes.NOTIFICATIONS[sub], what), viewer)
        case "CONNECT_ACK":
            _require(message_id == 0, "a CONNECT_ACK has message id 0")
            if sub != "CONNECTION_ACCEPTED":
                _require(text == "", "a refusal has no content")
                return True, None, None
            return False, None, _numbers(shapes.parse(text, shapes.CONNECTED, what), viewer)
        case "PING":
            _require(text != "", "an empty PING")
            return False, None, text
    raise Malformed(f"{signal} is nothing that servers say")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Malformed(what)


_IDS = ("messageId", "localMessageId", "current", "head", "messageHead", "version", "messageUid")


def _numbers(value: Any, viewer: str) -> Any:
    """Return web objects with ids as numbers, and data as bytes."""
    if isinstance(value, list):
        return [_numbers(one, viewer) for one in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {
        key: int(one) if key in _IDS else _numbers(one, viewer) for key, one in value.items()
    }
    if "binaryContent" in found:
        found["binaryContent"] = base64.b64decode(found["binaryContent"])
    if "messageResponseList" in found:
        count = len(found["messageResponseList"])
        _require(found["messageCount"] == found["count"] == count, "the counts of a pull are its messages")
    if "messageReportList" in found:
        _require(found["messageCount"] == len(found["messageReportList"]), "a count is that of its reports")
    if "direction" in found:
        _require(found["direction"] == (found["from"] != viewer), "direction 0 is what the viewer sent")
    return found


# TCP payloads in the form of the web objects


def _message(one: proto2.Fields) -> dict[str, Any]:
    where, content = one["conversation"], one["content"]
    to_user = one.get("to_user", "")
    return {
        "conversationType": where["type"],
        "target": where["target"],
        "line": where["line"],
        "from": one["from_user"],
        "tos": [*([to_user] if to_user and to_user not in one["to"] else []), *one["to"]],
        "messageId": one.get("message_id", 0),
        "localMessageId": one.get("local_message_id", 0),
        "timestamp": one.get("server_timestamp", 0),
        **({"editedDt": one["edited_dt"]} if "edited_dt" in one else {}),
        "content": {
            "type": content["type"],
            "searchableContent": content.get("searchable_content", ""),
            "pushContent": content.get("push_content", ""),
            "content": content.get("content", ""),
            "binaryContent": content.get("data", b""),
            "mediaType": content.get("media_type", 0),
            "remoteMediaUrl": content.get("remote_media_url", ""),
            "mentionedType": content.get("mentioned_type", 0),
            "mentionedTargets": content["mentioned_target"],
        },
    }


def _pulled(payload: bytes, _: str) -> Any:
    result = proto2.decode("PullMessageResult", payload)
    messages = [_message(one) for one in result["message"]]
    return {"current": result["current"], "head": result["head"], "messageResponseList": messages}


def _user(one: proto2.Fields) -> dict[str, Any]:
    texts = {"displayName": "display_name"} | {
        name: name
        for name in ("uid", "name", "portrait", "mobile", "email", "address", "company", "social", "extra")
    }
    numbers = {"gender": "gender", "updateDt": "update_dt", "type": "type"}
    return {key: one.get(name, "") for key, name in texts.items()} | {
        key: one.get(name, 0) for key, name in numbers.items()
    }


def _users(payload: bytes, _: str) -> Any:
    results = proto2.decode("PullUserResult", payload)["result"]
    _require({one["code"] for one in results} <= {0, 1, 2}, "a code of a UserResult")
    return [{**_user(one["user"]), "code": one["code"]} for one in results]


def _found_users(payload: bytes, _: str) -> Any:
    return [_user(one) for one in proto2.decode("SearchUserResult", payload)["entry"]]


def _friend_requests(payload: bytes, viewer: str) -> Any:
    return [
        {
            "from": one["from_uid"],
            "target": one["to_uid"],
            "reason": one["reason"],
            "status": one.get("status", 0),
            "readStatus": int(
                one.get("from_read_status" if one["from_uid"] == viewer else "to_read_status", 0)
            ),
            "timestamp": one["update_dt"],
        }
        for one in proto2.decode("GetFriendRequestResult", payload)["entry"]
    ]


def _friends(payload: bytes, _: str) -> Any:
    return [
        {
            "friendUid": one["uid"],
            "alias": one.get("alias", ""),
            "state": one["state"],
            "timestamp": one["update_dt"],
        }
        for one in proto2.decode("GetFriendsResult", payload)["entry"]
    ]


def _groups(payload: bytes, _: str) -> Any:
    return [_group(one) for one in proto2.decode("PullGroupInfoResult", payload)["info"]]


def _group(one: Any) -> Any:
    return {
        "target": one.get("target_id", ""),
        "name": one["name"],
        "portrait": one.get("portrait", ""),
        "owner": one.get("owner", ""),
        "type": one["type"],
        "memberCount": one.get("member_count", 0),
        "extra": one.get("extra", ""),
        "updateDt": one.get("update_dt", 0),
    }


def _my_groups(payload: bytes, _: str) -> Any:
    result = proto2.decode("MyGroupsResult", payload)
    return {
        "version": result["version"],
        "next": result.get("next", ""),
        "groups": [
            {"groupInfo": _group(one["group_info"]), "type": one["type"], "alias": one.get("alias", "")}
            for one in result["group"]
        ],
    }


def _members(payload: bytes, _: str) -> Any:
    return [
        {
            "memberId": one["member_id"],
            "alias": one.get("alias", ""),
            "type": one["type"],
            "updateDt": one.get("update_dt", 0),
            "silencedUntil": one.get("silenced_until", 0),
        }
        for one in proto2.decode("PullGroupMemberResult", payload)["member"]
    ]


def _upload(payload: bytes, _: str) -> Any:
    one = proto2.decode("GetMinioUploadUrlResult", payload)
    texts = {key: one.get(key, "") for key in ("domain", "server", "url")}
    return {**texts, "port": one.get("port", 0)}


def _reports(payload: bytes, _: str) -> Any:
    result = proto2.decode("PullMessageReportResult", payload)
    return {
        "current": result["current"],
        "head": result["head"],
        "messageReportList": [
            {
                "reportType": one["report_type"],
                "uid": one["uid"],
                "date": one["date"],
                "target": one["target"],
            }
            for one in result["report"]
        ],
    }


def _settings(payload: bytes, _: str) -> Any:
    return [
        {"scope": one["scope"], "key": one["key"], "value": one["value"], "updateDt": one["update_dt"]}
        for one in proto2.decode("GetUserSettingResult", payload)["entry"]
    ]


def _turn(payload: bytes, _: str) -> Any:
    one = proto2.decode("TurnResult", payload)
    texts = {key: one[key] for key in ("username", "credential", "ttl")}
    return {"urls": list(one["url"]), **texts}


def _devices(payload: bytes, _: str) -> Any:
    return [
        {
            "clientId": one["client_id"],
            "kind": one.get("kind", ""),
            "name": one.get("name", ""),
            "loginDt": one["login_dt"],
            "seenDt": one["seen_dt"],
            "online": one["online"],
            "current": one["current"],
        }
        for one in proto2.decode("UserDevicesResult", payload)["device"]
    ]


def _reactions(one: Any) -> Any:
    return {
        "messageUid": one["id"],
        "uid": one["uid"],
        "emoji": list(one["emoji"]),
        "updateDt": one["update_dt"],
    }


def _int64s(data: bytes, *names: str) -> dict[str, int]:
    _require(len(data) == 8 * len(names), f"{len(data)} bytes are not {len(names)} numbers")
    return {name: int.from_bytes(data[8 * n : 8 * n + 8], "big", signed=True) for n, name in enumerate(names)}


_PAYLOADS: dict[str, Callable[[bytes, str], Any]] = {
    "MS": lambda payload, _: _int64s(payload, "messageId", "timestamp"),
    "MP": _pulled,
    "LRM": _pulled,
    "US": _found_users,
    "UPUI": _users,
    "FRP": _friend_requests,
    "FP": _friends,
    "GC": lambda payload, _: payload.decode(),
    "GPGI": _groups,
    "GPGM": _members,
    "GMURL": _upload,
    "MRP": _reports,
    "UG": _settings,
    "UP": lambda payload, _: _int64s(payload, "version"),
    "TURN": _turn,
    "GML": _my_groups,
    "UDL": _devices,
    "MGI": _pulled,
    "REL": lambda payload, _: [_reactions(one) for one in proto2.decode("ReactionsResult", payload)["entry"]],
}


def _notify(body: bytes) -> Any:
    one = proto2.decode("NotifyMessage", body)
    return {"messageHead": one["head"], "type": one["type"]}


def _notify_recall(body: bytes) -> Any:
    one = proto2.decode("NotifyRecallMessage", body)
    return {"fromUser": one["from_user"], "messageUid": one["id"]}


def _notify_edit(body: bytes) -> Any:
    one = proto2.decode("NotifyEditedMessage", body)
    return {"fromUser": one["from_user"], "messageUid": one["id"]}


def _notify_reports(body: bytes) -> Any:
    one = proto2.decode("NotifyMessageReport", body)
    return {"messageHead": one["head"], "type": one["type"]}


_NOTIFICATIONS: dict[str, Callable[[bytes], Any]] = {
    "MN": _notify,
    "RMN": _notify_recall,
    "MEN": _notify_edit,
    "REN": lambda body: _reactions(proto2.decode("Reactions", body)),
    "MRN": _notify_reports,
    "FRN": lambda body: _int64s(body, "version"),
    "FN": lambda body: _int64s(body, "head"),
    "UN": lambda body: _int64s(body, "version"),
    "SAI": lambda body: json.loads(body),
}
