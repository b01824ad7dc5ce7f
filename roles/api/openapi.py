"""The open API: messages that another system sends to users (contract.md section 8)."""

import binascii
import secrets
from typing import Any

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import TRANSPARENT_TYPES, PersistFlag
from fsharechat.settings import Settings
from roles.api.endpoints import Endpoint
from roles.api.shapes import BadRequest, PushOutcome, PushRequest

MAX_PUSH_BYTES = 32 << 20
"""The largest size of all messages of one push, bytes: each number gets its own message."""


def push_call(asked: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the call to the group role, with the content as the bytes for all clients.

    A push without an id gets one, because a call between processes may be repeated.
    """
    message = asked["content"]
    body = _content(message["content"]).SerializeToString()
    if len(body) * len(asked["mobiles"]) > MAX_PUSH_BYTES:
        raise BadRequest(
            f"mobiles: {len(asked['mobiles'])} messages of this size are more than {MAX_PUSH_BYTES} bytes; "
            "send to fewer numbers at a time"
        )
    return {
        "mobiles": asked["mobiles"],
        "messageId": message["messageId"] if message["messageId"].strip("0") else secrets.token_hex(16),
        "sender": settings.api.notification_name,
        "content": binascii.b2a_base64(body, newline=False).decode(),
    }


def _content(content: dict[str, Any]) -> pb.MessageContent:
    """Return the content, without fields that were not given."""
    kind = content["type"]
    flag = PersistFlag.TRANSPARENT if kind in TRANSPARENT_TYPES else PersistFlag.STORED_AND_COUNTED
    return pb.MessageContent(
        type=kind,
        searchable_content=content["searchableContent"] or None,
        push_content=content["pushContent"] or None,
        content=content["content"] or None,
        data=binascii.a2b_base64(content["binaryContent"]) or None,
        media_type=content["mediaType"] or None,
        remote_media_url=content["remoteMediaUrl"] or None,
        persist_flag=flag,
    )


PUSH = Endpoint(
    "POST",
    "/imopenapi/pushNotificationByMobile",
    "push",
    "Send a message from the user SystemNotification to the users of some numbers.",
    answer=list[PushOutcome],
    tag="Open API",
    body=PushRequest,
    prepare=push_call,
    logged=("mobiles",),
)
