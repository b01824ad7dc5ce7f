"""Stored messages and pulls of them, as web clients read them (contract.md section 7, "JSON objects")."""

import binascii
from collections.abc import Sequence

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.json.writing import escaped_json, head
from fsharechat.protocol.signals import Signal, SubSignal

_PULL = head(Signal.PUB_ACK, SubSignal.MP).encode()
_SENT = 1
_UNREAD = 5


def encode_message(message: bytes, viewer_is_sender: bool) -> bytes:
    """Return the JSON object of one Message, escaped for standing inside a JSON string and without quotes.

    It depends on the viewer only by `viewer_is_sender`, so it can be kept and joined for many pulls.
    """
    return _encode(pb.Message.FromString(message), viewer_is_sender)


def encode_pull(message_id: int, messages: Sequence[bytes], current: int, head: int) -> str:
    """Return the PUB_ACK/MP text of a pull from pieces made by `encode_message`."""
    return (b'%b%d,"content":"%b"}' % (_PULL, message_id, _pull(messages, current, head))).decode()


def encode_pull_content(payload: bytes, viewer: str) -> bytes:
    """Return the pull object of a PullMessageResult, escaped."""
    result = pb.PullMessageResult.FromString(payload)
    pieces = [_encode(message, message.from_user == viewer) for message in result.message]
    return _pull(pieces, result.current, result.head)


def _pull(pieces: Sequence[bytes], current: int, head: int) -> bytes:
    count = len(pieces)
    return (
        rb"{\"current\":\"%d\",\"head\":\"%d\",\"messageCount\":%d,\"count\":%d,\"messageResponseList\":[%b]}"
        % (current, head, count, count, b",".join(pieces))
    )


def _encode(message: pb.Message, viewer_is_sender: bool) -> bytes:
    conversation = message.conversation
    content = message.content
    data = content.data
    return escaped_json(
        {
            "conversationType": conversation.type,
            "target": conversation.target,
            "line": conversation.line,
            "from": message.from_user,
            "tos": _receivers(message),
            "messageId": str(message.message_id),
            "localMessageId": str(message.local_message_id),
            "direction": 0 if viewer_is_sender else 1,
            "status": _SENT if viewer_is_sender else _UNREAD,
            "timestamp": message.server_timestamp,
            "content": {
                "type": content.type,
                "searchableContent": content.searchable_content,
                "pushContent": content.push_content,
                "content": content.content,
                "binaryContent": binascii.b2a_base64(data, newline=False).decode() if data else "",
                "localContent": "",
                "mediaType": content.media_type,
                "remoteMediaUrl": content.remote_media_url,
                "localMediaPath": "",
                "mentionedType": content.mentioned_type,
                "mentionedTargets": list(content.mentioned_target),
            },
        }
    )


def _receivers(message: pb.Message) -> list[str]:
    """Return `to_user` and `to` as one list: TCP clients name one receiver in the first, several in `to`."""
    to_user = message.to_user
    receivers = list(message.to)
    if to_user and to_user not in receivers:
        receivers.insert(0, to_user)
    return receivers
