"""The contents of messages as clients send them, in the keys of web clients."""

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from tools.conformance import proto2

TEXT, TYPING = 1, 91

Object = dict[str, Any]


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
    """Return a content as TCP clients send it, with a persist flag unless that is None."""
    fields = {_CONTENT[key]: value for key, value in content.items()}
    return fields if flag is None else {**fields, "persist_flag": flag}


def web_content(content: Mapping[str, Any]) -> Object:
    """Return a content as web clients send it."""
    data = content.get("binaryContent", b"")
    return {**content, "binaryContent": base64.b64encode(data).decode()}


def new_local_id() -> int:
    """Return a local id that no other message has."""
    return secrets.randbelow(1 << 62) + 1
