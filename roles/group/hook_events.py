"""Events as webhooks tell them: JSON, and which hook wants which (docs/webhooks.md)."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.shapes.messages import content_object
from fsharechat.protocol.shapes.payloads import replaced
from fsharechat.protocol.signals import ConversationType, UserType
from fsharechat.settings_hooks import HookSettings
from fsharechat.store.messages import is_directed_key, undirected_key
from fsharechat.store.unit import Row
from fsharechat.store.users import PROFILE
from fsharechat.store.webhooks import MESSAGE_STORED, NotedEvent

VERSION = 1
"""The version of the form of events. It changes only if receivers must change. New keys do not change it."""

_ABOUT_USERS = "user."


class HookPlace(NamedTuple):
    """Whom an event concerns. Events of one `lane` are told in order."""

    lane: str
    group: str
    users: tuple[str, ...]


def place_of(sender: str, conversation: str) -> HookPlace:
    """Return the place of a message from its conversation key."""
    if is_directed_key(conversation):
        conversation = undirected_key(conversation)
    kind, _, rest = conversation.partition("|")
    target = rest.partition("|")[2]
    if kind == str(int(ConversationType.GROUP)):
        return HookPlace(f"group {target}", target, (sender,))
    other = target.removeprefix(f"{sender}|")
    if other == target:
        other = target.removesuffix(f"|{sender}")
    return HookPlace(conversation, "", (sender, other))


def place_of_event(event: NotedEvent) -> HookPlace:
    if event.kind.startswith(_ABOUT_USERS):
        return HookPlace(f"user {event.about}", "", (event.about,))
    users = (event.data.get("operator", ""), *event.data.get("members", ()))
    return HookPlace(f"group {event.about}", event.about, users)


def wants(hook: HookSettings, place: HookPlace, event: NotedEvent | None) -> bool:
    """Return whether a hook is for a message or an event. Events of users are in no conversation."""
    if event is not None and event.kind.startswith(_ABOUT_USERS):
        return not hook.users or event.about in hook.users
    return hook.wants(place.group, place.users)


def message_event(message: pb.Message, *, content: bool) -> bytes:
    """Return the body that tells of a stored message, with its content or without."""
    data = message_data(message)
    if content:
        data["content"] = content_object(message.content)
    return event_body(f"msg_{message.message_id}", MESSAGE_STORED, message.server_timestamp, data)


def message_data(message: pb.Message) -> dict[str, Any]:
    """Return what webhooks say of a message, without its content."""
    where = message.conversation
    return {
        "messageId": str(message.message_id),
        "conversation": {
            "type": "group" if where.type == ConversationType.GROUP else "private",
            "target": where.target,
            "line": where.line,
        },
        "from": message.from_user,
        "to": sorted({uid for uid in (message.to_user, *message.to) if uid}, key=str),
        "sentAt": message.server_timestamp,
        "editedAt": message.edited_dt,
        "contentType": message.content.type,
    }


def noted_event(event: NotedEvent, user: Row | None) -> bytes:
    """Return the body that tells of another event. `user`: the PROFILE columns of the user that it is about."""
    if event.kind.startswith(_ABOUT_USERS):
        data: dict[str, Any] = {"uid": event.about}
        if user is not None:
            profile = dict(zip(PROFILE, user, strict=True))
            data["name"] = profile["name"]
            data["displayName"] = profile["display_name"]
            data["robot"] = profile["type"] == UserType.ROBOT
    else:
        data = {"group": event.about, **event.data}
    return event_body(id_of(event), event.kind, event.at_ms, data)


def id_of(event: NotedEvent) -> str:
    return f"evt_{event.id}"


def dump(data: dict[str, Any]) -> bytes:
    return orjson.dumps(data, default=replaced)


def event_body(id: str, kind: str, at_ms: int, data: dict[str, Any]) -> bytes:
    """Return the JSON of one event. `at_ms` is its time."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return dump(
        {
            "id": id,
            "type": kind,
            "version": VERSION,
            "timestamp": at.replace("+00:00", "Z"),
            "data": data,
        }
    )
