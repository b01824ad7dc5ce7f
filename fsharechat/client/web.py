"""The `content` of a web client's frames, according to the table of requests (signals.py)."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from fsharechat.client.errors import InvalidReply, RequestError
from fsharechat.client.transport import Body
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.json import CONNECTED
from fsharechat.protocol.shapes.payloads import Failed
from fsharechat.protocol.signals import NOTIFICATIONS, REQUESTS, SubSignal

_WRONG = (KeyError, TypeError, ValueError)
"""The exceptions of the table's decoders for wrong JSON. Errors of orjson and of the shapes are ValueErrors."""


def request(sub_signal: SubSignal, body: Body) -> Any:
    """Return the content of a request. Raises ValueError if the web contract has no such request."""
    row = REQUESTS.get(sub_signal)
    if row is None or not isinstance(body, Message):
        raise ValueError(f"there is no {sub_signal.name} over WebSocket")
    if not body.IsInitialized():
        raise ValueError(f"{sub_signal.name}: the {type(body).__name__} lacks a required field")
    if "notify_content" in body.DESCRIPTOR.fields_by_name and body.HasField("notify_content"):
        raise ValueError(f"{sub_signal.name}: there is no notice of one's own over WebSocket")
    return row.request.write(body)


def accepted(content: str) -> pb.ConnectAckPayload:
    """Decode the content of an accepting CONNECT_ACK. Raises InvalidReply."""
    found = _decoded(CONNECTED.decode, "CONNECT_ACK", content, "")
    assert isinstance(found, pb.ConnectAckPayload)
    return found


def reply(sub_signal: SubSignal, content: str, me: str) -> Body:
    """Decode the content of a PUB_ACK for the user `me`. Raises RequestError or InvalidReply."""
    row = REQUESTS.get(sub_signal)
    if content == "" or row is None:
        raise RequestError(sub_signal, None)
    try:
        return _decoded(row.reply.decode, sub_signal.name, content, me)
    except Failed:
        raise RequestError(sub_signal, None) from None


def notification(sub_signal: SubSignal, content: str) -> Body:
    """Decode the content of a notification. Raises InvalidReply."""
    return _decoded(NOTIFICATIONS[sub_signal].payload.decode, sub_signal.name, content, "")


def _decoded(decode: Callable[[str, str], Body], what: str, content: str, me: str) -> Body:
    try:
        return decode(content, me)
    except _WRONG as error:
        raise InvalidReply(f"{what}: {error!r}") from error
