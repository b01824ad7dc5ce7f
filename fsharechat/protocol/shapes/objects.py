"""JSON objects and arrays, and the protobuf messages that they stand for.

    Object(pb.Friend, "friendUid=uid", "alias", "state", "timestamp=update_dt")

is an object with these four keys. `key=field` names the field of the message for a key. A key alone stands for the
field of that name, written with underscores. The message gives the type of a value.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from fsharechat.protocol.bodies import MAX_ITEMS
from fsharechat.protocol.shapes.payloads import Body, Payload, escaped_json
from fsharechat.protocol.shapes.reading import (
    JsonError,
    int32,
    int64,
    loose_string,
    nested,
    objects,
    string,
    string_list,
    strings,
    whole,
)

Read = Callable[[dict[str, Any], str], Any]
"""Reads the value of a key from a JSON object. Raises JsonError."""

Write = Callable[[Any], Any]
"""Reads the value of a key from a message."""

_READERS: dict[int, Read] = {
    FieldDescriptor.TYPE_STRING: string,
    FieldDescriptor.TYPE_INT32: int32,
    FieldDescriptor.TYPE_INT64: int64,
}


class Shape(Payload):
    """JSON that stands for one protobuf message."""

    kind: type[Message]
    json: type = dict
    """The type in JSON: dict or list."""

    @abstractmethod
    def read(self, source: Any) -> Message:
        """Return the message; `source` is of type `json`. Raises JsonError."""

    @abstractmethod
    def write(self, message: Any) -> Any:
        """Return the JSON value of a message. Raises ValueError if it has none."""

    def encode(self, payload: bytes, viewer: str, request: bytes) -> str:
        return escaped_json(self.write(self.kind.FromString(payload))).decode()

    def decode(self, content: str, viewer: str) -> Body:
        answer = orjson.loads(content)
        if type(answer) is not self.json:
            raise JsonError("not of the right type")
        return self.read(answer)


class Field:
    """A key of an object, and its field of the message."""

    def __init__(
        self,
        key: str,
        read: Read | None = None,
        write: Write | None = None,
        web: str = "",
        is_read: bool = True,
        is_needed: bool = True,
    ) -> None:
        """Without `read`, the type of the field decides. Without `write`, the value is written as it is.

        `is_needed` is False for a key that servers of an earlier version do not write.
        """
        self.key, _, field = key.partition("=")
        self.field = field or re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), self.key)
        self.read = read
        self.write = write
        self.web = f'"{self.key}"{web}'
        self.is_read = is_read
        self.is_needed = is_needed
        self.is_rare = False

    def reader(self, kind: type[Message]) -> Read:
        if self.read is not None:
            return self.read
        descriptor = kind.DESCRIPTOR.fields_by_name[self.field]
        return strings if descriptor.is_repeated else _READERS[descriptor.type]


def maybe(key: str) -> Field:
    """Return a string whose field stays unset when it is ""."""
    return Field(key, lambda source, key: string(source, key) or None)


def added(key: str) -> Field:
    """Return an integer that stays unset when it is 0. Servers of an earlier version do not write it."""
    return Field(key, lambda source, key: int64(source, key) or None, is_needed=False)


def rare(key: str) -> Field:
    """Return an integer that is neither set nor written when it is 0: only who asks for something new gets it."""
    field = added(key)
    field.is_rare = True
    return field


def loose(key: str) -> Field:
    """Return a string that clients may write as an integer."""
    return Field(key, loose_string)


def id64(key: str) -> Field:
    """Return an integer of 64 bits that is written as a string (section 2)."""
    field = Field(key, int64, web=': "…"')
    field.write = lambda message: str(getattr(message, field.field))
    return field


def ids64(key: str) -> Field:
    """Return an array of integers of 64 bits that are written as strings."""

    def read(source: dict[str, Any], key: str) -> list[int]:
        found = source.get(key) or []
        if type(found) is not list or len(found) > MAX_ITEMS:
            raise JsonError(f"{key} is not an array of ids")
        return [int64({key: one}, key) for one in found]

    field = Field(key, read, web=': ["…"]')
    field.write = lambda message: list(map(str, getattr(message, field.field)))
    return field


def texts(key: str) -> Field:
    """Return an array of strings."""
    field = Field(key, web=": […]")
    field.write = lambda message: list(getattr(message, field.field))
    return field


def part(key: str, shape: "Object") -> Field:
    """Return an object inside an object."""
    field = Field(key, lambda source, key: shape.read(nested(source, key)), web=f": {shape.web}")
    field.write = lambda message: shape.write(getattr(message, field.field))
    return field


def parts(key: str, shape: "Object") -> Field:
    """Return an array of objects inside an object."""
    field = Field(
        key, lambda source, key: list(map(shape.read, objects(source, key))), web=f": [{shape.web}]"
    )
    field.write = lambda message: list(map(shape.write, getattr(message, field.field)))
    return field


def written(key: str, write: Write) -> Field:
    """Return a key without a field: it is written, but never read."""
    return Field(key, write=write, is_read=False)


class Object(Shape):
    """A JSON object. Its keys are written in the order in which they are named.

    In an object from a client, absent strings are "" and absent numbers 0.
    """

    complete = False
    """Whether all keys must be there."""

    def __init__(self, kind: type[Message], *fields: str | Field) -> None:
        self.kind = kind
        made = [Field(field) if isinstance(field, str) else field for field in fields]
        self.web = f"{{{', '.join(field.web for field in made)}}}"
        self._reads = [(field.field, field.key, field.reader(kind)) for field in made if field.is_read]
        self._keys = [field.key for field in made if field.is_read and field.is_needed]
        self._order = dict.fromkeys(field.key for field in made)
        plain = [field for field in made if field.write is None]
        self._plain = [field.key for field in plain]
        self._values = _values_of([field.field for field in plain])
        self._rare = [field.key for field in made if field.is_rare]
        self._writes = [(field.key, field.write) for field in made if field.write is not None]

    def read(self, source: Any) -> Message:
        if self.complete:
            whole(source, self._keys)
        return self.kind(**{field: read(source, key) for field, key, read in self._reads})

    def write(self, message: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._order.copy()
        found.update(zip(self._plain, self._values(message), strict=True))
        for key, write in self._writes:
            found[key] = write(message)
        for key in self._rare:
            if not found[key]:
                del found[key]
        return found


class ServerObject(Object):
    """A JSON object that a server writes."""

    complete = True


def _values_of(fields: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    """Return a function that reads the values of fields from a message, without a step of Python for each."""
    if len(fields) > 1:
        return attrgetter(*fields)
    return lambda message: [getattr(message, field) for field in fields]


class Array(Shape):
    """A JSON array of objects, for a message whose only field is repeated."""

    json = list

    def __init__(self, kind: type[Message], field: str, item: Object) -> None:
        self.kind = kind
        self.web = f"[{item.web}]"
        self.field = field
        self.item = item

    def read(self, source: Any) -> Message:
        return self.kind(**{self.field: list(map(self.item.read, source))})

    def write(self, message: Any) -> list[Any]:
        return list(map(self.item.write, getattr(message, self.field)))


class Ids(Shape):
    """A JSON array of strings, for a message whose only field is repeated, with one string in each item."""

    json = list
    web = '["id", …]'

    def __init__(self, kind: type[Message], field: str, inner: str) -> None:
        self.kind = kind
        self._field = field
        self._inner = inner

    def read(self, source: Any) -> Message:
        return self.kind(**{self._field: [{self._inner: text} for text in string_list(source, "content")]})

    def write(self, message: Any) -> list[str]:
        return [getattr(item, self._inner) for item in getattr(message, self._field)]


class Within(Shape):
    """A JSON object for one field: web clients cannot name the others. A repeated field has one item."""

    def __init__(self, kind: type[Message], field: str, shape: Object) -> None:
        self.kind = kind
        self.web = shape.web
        self._field = field
        self._shape = shape
        self._repeated = kind.DESCRIPTOR.fields_by_name[field].is_repeated

    def read(self, source: Any) -> Message:
        inner = self._shape.read(source)
        return self.kind(**{self._field: [inner] if self._repeated else inner})

    def write(self, message: Any) -> dict[str, Any]:
        inner = getattr(message, self._field)
        if self._repeated:
            if len(inner) != 1:
                raise ValueError(f"over WebSocket {self._field} has exactly one item, not {len(inner)}")
            inner = inner[0]
        return self._shape.write(inner)
