"""The payloads of answers and notifications: protobuf or bytes over TCP, the text of `content` over WebSocket."""

from abc import ABC, abstractmethod
from struct import Struct
from typing import Any

import orjson
from google.protobuf.message import Message

from fsharechat.protocol.shapes.reading import int64, whole


def escape(text: str) -> bytes:
    """Return `text` as it stands between the quotes of a JSON string."""
    return orjson.dumps(text)[1:-1]


def escaped_json(value: Any) -> bytes:
    """Return the JSON text of `value`, escaped."""
    return escape(orjson.dumps(value, default=replaced).decode())


def replaced(value: Any) -> str:
    """Return the text of a protobuf string that is not UTF-8: the runtime gives it as bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"{type(value).__name__} has no JSON form")


Body = Message | bytes
"""A payload over TCP (section 7): a protobuf message, or bytes where the contract names bytes."""


class Payload(ABC):
    """One payload, in both directions."""

    kind: type[Message] | None = None
    """The protobuf message. None where the contract names bytes, or no payload."""

    tcp = ""
    """What the bytes mean, in words, for the documentation."""

    web: str
    """What it looks like over WebSocket, for the documentation."""

    failed = ""
    """The content that a web client gets when its request is refused, escaped."""

    @abstractmethod
    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        """Return the content for a web client, escaped for standing inside a JSON string.

        `viewer` is the user who gets it, `request` the protobuf body of the request.
        """

    @abstractmethod
    def decode(self, content: str, viewer: str) -> Body:
        """Return the payload that a TCP client would get. Raises ValueError if the content is not of this shape."""


class Done(Payload):
    """Over TCP nothing, except for the id of a new group. Over WebSocket an object that says how the request went."""

    failed = escaped_json({"code": 400, "message": "error", "result": None}).decode()
    _success = escaped_json({"code": 200, "message": "success", "result": None}).decode()

    web = "ok"

    def __init__(self, tcp: str = "nothing") -> None:
        """`tcp` describes the answer over TCP."""
        self.tcp = tcp

    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        return self._success

    def decode(self, content: str, viewer: str) -> Body:
        """Return an empty payload. Raises Failed if the content says that the request was refused."""
        if whole(orjson.loads(content), ("code",))["code"] != 200:
            raise Failed
        return b""


class Failed(Exception):
    """The content says that the request was refused."""


class Long(Payload):
    """8 bytes over TCP, `{key: "number"}` over WebSocket."""

    tcp = "8 bytes"
    _struct = Struct(">q")

    def __init__(self, key: str) -> None:
        self.web = f'{{"{key}": "…"}}'
        self._key = key

    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        return rf"{{\"{self._key}\":\"{self._struct.unpack(payload)[0]}\"}}"

    def decode(self, content: str, viewer: str) -> Body:
        return self._struct.pack(int64(whole(orjson.loads(content), (self._key,)), self._key))


class Sent(Payload):
    """The answer to an MS: id and time in ms of the message, 8 bytes each."""

    tcp = "16 bytes"
    web = '{"messageId": "…", "timestamp"}'
    _struct = Struct(">qq")

    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        message_id, timestamp = self._struct.unpack(payload)
        return rf"{{\"messageId\":\"{message_id}\",\"timestamp\":{timestamp}}}"

    def decode(self, content: str, viewer: str) -> Body:
        answer = whole(orjson.loads(content), ("messageId", "timestamp"))
        return self._struct.pack(int64(answer, "messageId"), int64(answer, "timestamp"))


class Text(Payload):
    """JSON that is the same over TCP and over WebSocket."""

    tcp = web = '{"i", "d", "f", "t"}'

    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        return escape(payload.decode()).decode()

    def decode(self, content: str, viewer: str) -> Body:
        return content.encode()
