"""The contents of clients' frames: the JSON of CONNECT, messages and pulls, for both transports."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tools.wire import crypto, proto2

TEXT, TYPING = 1, 91
STORED, TRANSPARENT = 3, 4
"""Persist flags."""
PRIVATE, GROUP, CHAT_ROOM, CHANNEL = range(4)
PING_INTERVAL = {"interval": 30_000}
"""The interval in clients' PINGs, ms."""

Object = dict[str, Any]


class DeviceCredentials(Protocol):
    """The result of a device's login."""

    @property
    def user_id(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def user_token(self) -> str: ...
    @property
    def secret(self) -> str: ...


@dataclass(frozen=True)
class WireAccount:
    """A logged-in device."""

    user_id: str
    client_id: str
    user_token: str
    secret: str


def connect_body(who: DeviceCredentials, **changes: object) -> Object:
    """Return the JSON of a CONNECT (contract.md section 4)."""
    body = {
        "userName": who.user_id,
        "password": crypto.password(who.user_token, who.secret),
        "clientIdentifier": who.client_id,
    }
    return {**body, **changes}


@dataclass(frozen=True)
class Draft:
    """A message to send. `content` has the keys of web clients."""

    target: str
    content: Mapping[str, Any]
    local_id: int
    kind: int = PRIVATE
    line: int = 0
    to: Sequence[str] = ()
    flag: int | None = STORED
    """The persist flag over TCP: web clients have none."""
    sender: str = ""
    """The sender that the client claims."""

    def fields(self) -> proto2.Fields:
        """Return the message in the form of TCP clients."""
        return {
            "conversation": {"type": self.kind, "target": self.target, "line": self.line},
            "from_user": self.sender,
            "content": proto_content(self.content, self.flag),
            "to": list(self.to),
            "local_message_id": self.local_id,
        }

    def body(self) -> bytes:
        """Return the body of an MS over TCP."""
        return proto2.encode("Message", self.fields())

    def web(self) -> Object:
        """Return the content of an MS over WebSocket."""
        return {
            "conversationType": self.kind,
            "target": self.target,
            "line": self.line,
            "from": self.sender,
            "tos": list(self.to) or "",
            "messageId": str(self.local_id),
            "localMessageId": str(self.local_id),
            "content": web_content(self.content),
        }


def text_message(target: str, said: str, local_id: int = 0, flag: int = STORED) -> bytes:
    """Return the body of an MS with a text, over TCP."""
    return Draft(target, text(said), local_id, flag=flag).body()


def web_text(target: str, said: str, local_id: int = 0) -> Object:
    """Return the content of an MS with a text, over WebSocket."""
    return Draft(target, text(said), local_id).web()


def pull_body(after: int) -> bytes:
    """Return the body of an MP for the entries after a seq, over TCP."""
    return proto2.encode("PullMessageRequest", {"id": after, "type": 0})


def web_pull(after: int) -> Object:
    """Return the content of such an MP over WebSocket, as notified clients send it."""
    return {"messageId": str(after + 1), "type": 0, "pullType": 1, "sendMessageCount": 0}


def text(said: str, **more: object) -> Object:
    """Return the content of a text message, in the keys of web clients."""
    return {"type": TEXT, "searchableContent": said, **more}


_CONTENT = {
    "type": "type",
    "searchableContent": "searchable_content",
    "pushContent": "push_content",
    "content": "content",
    "binaryContent": "data",
    "mediaType": "media_type",
    "remoteMediaUrl": "remote_media_url",
    "mentionedType": "mentioned_type",
    "mentionedTargets": "mentioned_target",
}


def proto_content(content: Mapping[str, Any], flag: int | None) -> proto2.Fields:
    """Return a content in the form of TCP clients, with a persist flag unless it is None."""
    fields = {_CONTENT[key]: value for key, value in content.items()}
    return fields if flag is None else {**fields, "persist_flag": flag}


def web_content(content: Mapping[str, Any]) -> Object:
    """Return a content in the form of web clients."""
    data = content.get("binaryContent", b"")
    return {**content, "binaryContent": base64.b64encode(data).decode()}


def new_local_id() -> int:
    """Return a local id that no other message has."""
    return secrets.randbelow(1 << 62) + 1
