"""The JSON texts of web clients (contract.md sections 2, 4 and 7); no other module of the server knows them.

The rest of the server speaks frames with protobuf bodies, as TCP clients do. `decode_request` turns a web client's
text into such a frame. The `encode_` functions turn an answer for a TCP client into the text for a web client. The
table of requests (signals.py) says what `content` holds.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from google.protobuf.message import Message

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.frames import OVERLONG, Frame
from fsharechat.protocol.shapes.messages import joined
from fsharechat.protocol.shapes.objects import ServerObject, id64
from fsharechat.protocol.shapes.payloads import escape
from fsharechat.protocol.shapes.reading import JsonError, flag, int64, integer, loads, string
from fsharechat.protocol.signals import NOTIFICATIONS, REQUESTS, Signal, SubSignal, Unserved

HEARTBEAT = "心跳内容"
"""The heartbeat of web clients, about every 25 s (section 2). It is not JSON: compare with it before decoding."""

CONNECTED = ServerObject(pb.ConnectAckPayload, id64("messageHead=msg_head"), "friendHead")
"""The content of an accepting CONNECT_ACK."""

Json = dict[str, Any]

_SIGNALS = {signal.name: int(signal) for signal in Signal}
_SUB_SIGNALS = {sub_signal.name: int(sub_signal) for sub_signal in SubSignal}
_PUBLISH = int(Signal.PUBLISH)

_READERS: Mapping[int, tuple[type, Callable[[Any], Message]]] = {
    number: (row.request.json, row.request.read) for number, row in REQUESTS.items()
}
_UNSERVED = frozenset(int(sub_signal) for sub_signal in SubSignal if isinstance(sub_signal.row, Unserved))


def decode_request(text: str) -> Frame:
    """Return the frame whose body is the bytes a TCP client would have sent.

    `content` is an object or array, or the JSON text of one. 64-bit numbers may be strings, absent strings
    are "", absent numbers 0. Raises JsonError, and nothing else, for any text that is not a request of these
    sections.
    """
    signal = sub_signal = message_id = 0
    try:
        request = loads(text)
        if type(request) is not dict:
            raise JsonError("a request is a JSON object")
        # This is the hot path: it avoids function calls.
        name = request.get("signal")
        signal = _SIGNALS.get(name, 0) if type(name) is str else 0
        name = request.get("subSignal")
        sub_signal = _SUB_SIGNALS.get(name, 0) if type(name) is str else 0
        number = request.get("messageId")
        message_id = number if type(number) is int else integer(request, "messageId")
        content = request.get("content")
        if type(content) is str:
            content = loads(content) if content else None
        if signal != _PUBLISH:
            return Frame(signal, sub_signal, message_id, _control_body(signal, request, content))
        reader = _READERS.get(sub_signal)
        if reader is None:
            if sub_signal in _UNSERVED:
                return Frame(signal, sub_signal, message_id, b"")
            raise JsonError("the sub-signal is not a request")
        kind, read = reader
        if type(content) is not kind:
            raise JsonError("content is not an object" if kind is dict else "content is not an array")
        return Frame(signal, sub_signal, message_id, read(content).SerializeToString())
    except JsonError as error:
        error.signal, error.sub_signal, error.message_id = signal, sub_signal, message_id
        raise


def _control_body(signal: int, request: Json, content: Any) -> bytes:
    build = _CONTROLS.get(signal)
    if build is None:
        raise JsonError("the signal is not one that clients send")
    if request.get("subSignal") not in _NO_SUB_SIGNAL:
        raise JsonError("only PUBLISH has a sub-signal")
    if content is None:
        content = {}
    if type(content) is not dict:
        raise JsonError("content is not an object")
    return build(content)


def _connect(content: Json) -> bytes:
    return orjson.dumps({key: string(content, key) for key in ("userName", "password", "clientIdentifier")})


def _disconnect(content: Json) -> bytes:
    return b"\1" if flag(content, "clearSession") else b"\0"


def _ping(content: Json) -> bytes:
    return orjson.dumps({"interval": int64(content, "interval")})


_NO_SUB_SIGNAL = (None, "", "NONE")

_CONTROLS: Mapping[int, Callable[[Json], bytes]] = {
    Signal.CONNECT: _connect,
    Signal.DISCONNECT: _disconnect,
    Signal.PING: _ping,
}

_FIELD = r'\s*"(?:signal|subSignal|messageId)"\s*:\s*(?:"[^"\\]*"|[-+.0-9eE]+)\s*'
_HEAD = re.compile(rf"\s*\{{{_FIELD}(?:,{_FIELD})*(?=,)")


def decode_overlong(start: str) -> Frame | None:
    """Return a frame for a PUBLISH that was skipped, with OVERLONG as its signal (section 8).

    None if the beginning lacks what an answer needs: signal, sub-signal and message id. Web clients write them before
    `content` (section 2).
    """
    head = _HEAD.match(start)
    if head is None:
        return None
    try:
        request = loads(head[0] + "}")
        message_id = integer(request, "messageId")
    except JsonError:
        return None
    sub_signal = _SUB_SIGNALS.get(str(request.get("subSignal")), 0)
    if request.get("signal") != Signal.PUBLISH.name or not sub_signal or "messageId" not in request:
        return None
    return Frame(OVERLONG, sub_signal, message_id, b"")


def _head(signal: Signal, sub_signal: SubSignal) -> str:
    """Return the text of a frame up to the number of its message id."""
    return f'{{"signal":"{signal.name}","subSignal":"{sub_signal.name}","messageId":'


_REPLY_HEADS = {int(sub_signal): _head(Signal.PUB_ACK, sub_signal) for sub_signal in SubSignal}
_PULL_HEAD = _REPLY_HEADS[SubSignal.MP].encode()
_PING_HEAD = _head(Signal.PING, SubSignal.NONE)
_NOTIFICATIONS = {
    number: (f'{_head(Signal.PUBLISH, SubSignal(number))}0,"content":"', row.payload.encode)
    for number, row in NOTIFICATIONS.items()
}


def encode_reply(
    sub_signal: int, message_id: int, code: int, payload: bytes, *, viewer: str, request: bytes
) -> str:
    """Return the PUB_ACK text that answers a PUBLISH.

    `code` and `payload` are those of a TCP client's PUB_ACK. `viewer` is the user who gets the text, and `request`
    the protobuf body of the request. If the request failed, the content is "" where the payload has a type, else an
    object with code 400. A transparent push is sent as the reply to an MP with message id 0.
    """
    row = REQUESTS.get(sub_signal)
    if row is None:
        content = ""
    elif code:
        content = row.reply.failed
    else:
        content = row.reply.encode(payload, viewer, request)
    return f'{_REPLY_HEADS[sub_signal]}{message_id},"content":"{content}"}}'


def encode_pull(message_id: int, messages: Sequence[bytes], current: int, head: int) -> str:
    """Return the PUB_ACK/MP text of a pull from pieces made by `encode_message`."""
    return (b'%b%d,"content":"%b"}' % (_PULL_HEAD, message_id, joined(messages, current, head))).decode()


def encode_notification(sub_signal: int, body: bytes) -> str:
    """Return the PUBLISH text of a notification. `body` is the body for a TCP client."""
    head, encode = _NOTIFICATIONS[sub_signal]
    return f'{head}{encode(body, "", b"")}"}}'


def encode_connect_ack(sub_signal: int, payload: bytes | None) -> str:
    """Return the CONNECT_ACK text; `payload` is a ConnectAckPayload, None when the connection is refused."""
    content = "" if payload is None else CONNECTED.encode(payload, "", b"")
    return f'{_head(Signal.CONNECT_ACK, SubSignal(sub_signal))}0,"content":"{content}"}}'


def encode_ping(message_id: int, body: bytes) -> str:
    """Return the text that answers a PING. `body` is the text of the answer, UTF-8."""
    return f'{_PING_HEAD}{message_id},"content":"{escape(body.decode()).decode()}"}}'
