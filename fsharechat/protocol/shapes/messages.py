"""Messages and pulls, read and written by hand: this is the hot path (contract.md section 7, "JSON objects")."""

import binascii
from collections.abc import Sequence
from typing import Any

import orjson

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.numbers import TRANSPARENT_TYPES, PersistFlag
from fsharechat.protocol.shapes.objects import Field, Shape
from fsharechat.protocol.shapes.payloads import Body, Payload, replaced
from fsharechat.protocol.shapes.reading import (
    JsonError,
    Object,
    base64_bytes,
    int32,
    int64,
    nested,
    string,
    string_list,
    strings,
    whole,
)

_STORED = int(PersistFlag.STORED_AND_COUNTED)
_TRANSPARENT = int(PersistFlag.TRANSPARENT)
_SENT = 1
_UNREAD = 5
_LEAST, _MOST = -0x80000000, 0x7FFFFFFF
_NONE: tuple[object, ...] = ("", None, [])
"""The text for "no receivers"; most messages name none."""


class MessageToSend(Shape):
    """The message in an MS."""

    kind = pb.Message
    web = "{message}"

    def read(self, source: Object) -> pb.Message:
        """Setting fields costs half as much as building parts and copying them.

        A value of the right type is taken as it is, without a call. The reader of the field reads or refuses all
        others.
        """
        message = pb.Message()
        conversation = message.conversation
        get = source.get
        kind, target, line, sender = get("conversationType"), get("target"), get("line"), get("from")
        if type(kind) is not int or not _LEAST <= kind <= _MOST:
            kind = int32(source, "conversationType")
        conversation.type = kind
        conversation.target = target if type(target) is str else string(source, "target")
        if type(line) is not int or not _LEAST <= line <= _MOST:
            line = int32(source, "line")
        conversation.line = line
        message.from_user = sender if type(sender) is str else string(source, "from")
        _read_content(message.content, nested(source, "content"))
        receivers = get("tos")
        if receivers not in _NONE:
            message.to.extend(string_list(receivers, "tos"))
        if local_id := int64(source, "localMessageId") or int64(source, "messageId"):
            message.local_message_id = local_id
        return message

    def write(self, message: Any) -> Object:
        local_id = str(message.local_message_id)
        conversation = message.conversation
        return {
            "conversationType": conversation.type,
            "target": conversation.target,
            "line": conversation.line,
            "from": message.from_user,
            "tos": list(message.to) or ([message.to_user] if message.to_user else []),
            "messageId": local_id,  # as deployed web clients do: they know no other id yet
            "localMessageId": local_id,
            "direction": 0,
            "status": 0,
            "timestamp": str(message.server_timestamp),
            "content": content_object(message.content),
        }


class NewContent(Field):
    """The content in an ME."""

    def __init__(self, key: str) -> None:
        super().__init__(key, web=": {…}")
        self.read = self._of
        self.write = lambda message: content_object(getattr(message, self.field))

    @staticmethod
    def _of(source: Object, key: str) -> pb.MessageContent:
        content = pb.MessageContent()
        _read_content(content, nested(source, key))
        content.ClearField("persist_flag")  # that of the message stays
        return content


def _read_content(target: pb.MessageContent, content: Object) -> None:
    """Read the content. The JSON has no persist flag, so the type of the message decides whether it is stored.

    Testing whether a field is there costs less than reading a missing one.
    """
    get = content.get
    kind, searchable = get("type"), get("searchableContent")
    if type(kind) is not int or not _LEAST <= kind <= _MOST:
        kind = int32(content, "type")
    target.type = kind
    target.persist_flag = _TRANSPARENT if kind in TRANSPARENT_TYPES else _STORED
    if type(searchable) is not str:
        searchable = string(content, "searchableContent")
    if searchable:
        target.searchable_content = searchable
    if get("pushContent", "") != "" and (push := string(content, "pushContent")):
        target.push_content = push
    if get("content", "") != "" and (text := string(content, "content")):
        target.content = text
    if get("binaryContent", "") != "" and (data := base64_bytes(content, "binaryContent")):
        target.data = data
    if get("mediaType", 0) != 0 and (media_type := int32(content, "mediaType")):
        target.media_type = media_type
    if get("remoteMediaUrl", "") != "" and (url := string(content, "remoteMediaUrl")):
        target.remote_media_url = url
    if get("mentionedType", 0) != 0 and (mentioned_type := int32(content, "mentionedType")):
        target.mentioned_type = mentioned_type
    if get("mentionedTargets") not in _NONE:
        target.mentioned_target.extend(strings(content, "mentionedTargets"))


def content_object(content: pb.MessageContent) -> Object:
    """Return the content object of a message. Texts may be bytes that are not UTF-8 (see `replaced`)."""
    data = content.data
    return {
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
    }


def encode_message(message: bytes, viewer_is_sender: bool) -> bytes:
    """Return the JSON object of one Message, escaped for standing inside a JSON string and without quotes.

    It depends on the viewer only through `viewer_is_sender`, so it can be kept and used in many pulls.
    """
    return _encode(pb.Message.FromString(message), viewer_is_sender)


def _encode(message: pb.Message, viewer_is_sender: bool) -> bytes:
    conversation = message.conversation
    receivers = list(message.to)
    edited = {"editedDt": message.edited_dt} if message.edited_dt else {}
    # TCP clients name one receiver in `to_user`, several in `to`.
    if (receiver := message.to_user) and receiver not in receivers:
        receivers.insert(0, receiver)
    plain = orjson.dumps(
        {
            "conversationType": conversation.type,
            "target": conversation.target,
            "line": conversation.line,
            "from": message.from_user,
            "tos": receivers,
            "messageId": str(message.message_id),
            "localMessageId": str(message.local_message_id),
            "direction": 0 if viewer_is_sender else 1,
            "status": _SENT if viewer_is_sender else _UNREAD,
            "timestamp": message.server_timestamp,
            "content": content_object(message.content),
            **edited,
        },
        default=replaced,
    )
    return orjson.dumps(plain.decode())[1:-1]  # as `escape` does, without the call


def _read_stored(item: Any) -> pb.Message:
    """Return the Message of a JSON object written by `_encode`."""
    whole(item, _KEYS)
    content = whole(item["content"], _CONTENT_KEYS)
    return pb.Message(
        conversation=pb.Conversation(
            type=int32(item, "conversationType"), target=string(item, "target"), line=int32(item, "line")
        ),
        from_user=string(item, "from"),
        content=pb.MessageContent(
            type=int32(content, "type"),
            searchable_content=string(content, "searchableContent"),
            push_content=string(content, "pushContent"),
            content=string(content, "content"),
            data=base64_bytes(content, "binaryContent"),
            media_type=int32(content, "mediaType"),
            remote_media_url=string(content, "remoteMediaUrl"),
            mentioned_type=int32(content, "mentionedType"),
            mentioned_target=strings(content, "mentionedTargets"),
        ),
        message_id=int64(item, "messageId"),
        server_timestamp=int64(item, "timestamp"),
        to=strings(item, "tos"),
        local_message_id=int64(item, "localMessageId"),
        edited_dt=int64(item, "editedDt") or None,
    )


_KEYS = (
    *("conversationType", "target", "line", "from", "content", "messageId", "timestamp", "tos"),
    "localMessageId",
)
_CONTENT_KEYS = (
    *("type", "searchableContent", "pushContent", "content", "binaryContent", "mediaType"),
    *("remoteMediaUrl", "mentionedType", "mentionedTargets"),
)


class PullRequest(Shape):
    """The question of an MP: pullType 1 names the first seq to send, pullType 0 the last that the client knows."""

    kind = pb.PullMessageRequest
    web = '{"messageId": "…", "type", "pullType", "sendMessageCount"}'

    def read(self, source: Object) -> pb.PullMessageRequest:
        """`sendMessageCount` does not count as known entries: it counts messages that are no entries (section 6)."""
        seq = int64(source, "messageId")
        pull_type = int32(source, "pullType")
        if pull_type == 1:
            seq -= 1
        elif pull_type != 0:
            raise JsonError("pullType is neither 0 nor 1")
        return pb.PullMessageRequest(id=min(max(seq, 0), (1 << 63) - 1), type=int32(source, "type"))

    def write(self, message: Any) -> Object:
        seq, pull_type = (str(message.id + 1), 1) if message.id else ("0", 0)  # 0, as at the first login
        return {"messageId": seq, "type": message.type, "pullType": pull_type, "sendMessageCount": 0}


class Pull(Payload):
    """The answer to an MP and an LRM."""

    kind = pb.PullMessageResult
    web = "{pull}"

    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        result = pb.PullMessageResult.FromString(payload)
        pieces = [_encode(message, message.from_user == viewer) for message in result.message]
        return joined(pieces, result.current, result.head).decode()

    def decode(self, content: str, viewer: str) -> pb.PullMessageResult:
        answer = whole(
            orjson.loads(content), ("current", "head", "messageCount", "count", "messageResponseList")
        )
        items = answer["messageResponseList"]
        if type(items) is not list or not answer["messageCount"] == answer["count"] == len(items):
            raise JsonError("messageCount and count are not the number of messages")
        return pb.PullMessageResult(
            message=map(_read_stored, items), current=int64(answer, "current"), head=int64(answer, "head")
        )


def joined(pieces: Sequence[bytes], current: int, head: int) -> bytes:
    """Return the pull object of messages made by `encode_message`, escaped."""
    count = len(pieces)
    return (
        rb"{\"current\":\"%d\",\"head\":\"%d\",\"messageCount\":%d,\"count\":%d,\"messageResponseList\":[%b]}"
        % (current, head, count, count, b",".join(pieces))
    )


class Waiting(Payload):
    """The kind of entries that wait for a device, and the lowest of them: MN and MRN."""

    web = '{"messageHead": "…", "type"}'

    def __init__(self, kind: type[pb.NotifyMessage] | type[pb.NotifyMessageReport]) -> None:
        self.kind: type[pb.NotifyMessage] | type[pb.NotifyMessageReport] = kind

    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        notify = self.kind.FromString(payload)
        return rf"{{\"messageHead\":\"{notify.head}\",\"type\":{notify.type}}}"

    def decode(self, content: str, viewer: str) -> Body:
        notify = whole(orjson.loads(content), ("messageHead", "type"))
        return self.kind(head=int64(notify, "messageHead"), type=int32(notify, "type"))
