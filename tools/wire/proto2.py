"""A strict proto2 codec over the tables of contract.md.

It reports errors that other parsers accept: unknown field numbers, wrong wire types, missing required fields, a
single field that comes twice, text that is not UTF-8, numbers out of range.
"""

from collections.abc import Mapping
from typing import Any

from tools.wire.contract import MESSAGES, ContractField

Fields = dict[str, Any]
"""A message by field names: int, str, bytes, bool, dicts, and lists of these where a field is repeated."""

_VARINT, _LENGTH = 0, 2
_MOST_OF_A_NUMBER = 10
_BOUNDS = {"i32": 1 << 31, "i64": 1 << 63}


class ProtoError(ValueError):
    """The bytes are not such a message."""


def decode(message: str, data: bytes) -> Fields:
    """Return the fields on the wire. Repeated ones are always there. Raises ProtoError."""
    table = MESSAGES[message]
    found: Fields = {field.name: [] for field in table.values() if field.repeated}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at, message)
        field = table.get(tag >> 3)
        if field is None:
            raise ProtoError(f"{message} has no field {tag >> 3}")
        where = f"{message}.{field.name}"
        numeric = field.kind in ("i32", "i64", "bool")
        if tag & 7 != (_VARINT if numeric else _LENGTH):
            raise ProtoError(f"{where} has wire type {tag & 7}")
        number, at = _varint(data, at, where)
        value: Any
        if numeric:
            value = _number(field.kind, number, where)
        else:
            if at + number > len(data):
                raise ProtoError(f"{where} ends behind the message")
            value = _value(field.kind, data[at : at + number], where)
            at += number
        if field.repeated:
            found[field.name].append(value)
        elif field.name in found:
            raise ProtoError(f"{where} is there twice")
        else:
            found[field.name] = value
    for field in table.values():
        if field.required and field.name not in found:
            raise ProtoError(f"{message} lacks the required field {field.name}")
    return found


def _varint(data: bytes, at: int, where: str) -> tuple[int, int]:
    try:
        number, end = read_varint(data, at)
    except IndexError:
        raise ProtoError(f"{where}: a number is cut off") from None
    if end - at > _MOST_OF_A_NUMBER:
        raise ProtoError(f"{where}: a number is longer than {_MOST_OF_A_NUMBER} bytes")
    if number >> 64:
        raise ProtoError(f"{where}: a number has more than 64 bits")
    return number, end


def _number(kind: str, number: int, where: str) -> int | bool:
    if kind == "bool":
        if number > 1:
            raise ProtoError(f"{where} is no bool: {number}")
        return bool(number)
    signed = number - (1 << 64) if number >> 63 else number
    if not -_BOUNDS[kind] <= signed < _BOUNDS[kind]:
        raise ProtoError(f"{where} is no {kind}: {signed}")
    return signed


def _value(kind: str, data: bytes, where: str) -> Any:
    if kind == "bytes":
        return data
    if kind != "str":
        return decode(kind, data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProtoError(f"{where} is not UTF-8") from None


def encode(message: str, fields: Mapping[str, Any]) -> bytes:
    """Return the bytes of a message. A None is left out, even if it is required."""
    by_name = {field.name: field for field in MESSAGES[message].values()}
    parts = []
    for name, value in fields.items():
        field = by_name[name]
        for one in value if field.repeated else [value]:
            if one is not None:
                parts.append(_field(field, one))
    return b"".join(parts)


def _field(field: ContractField, value: Any) -> bytes:
    if field.kind in ("i32", "i64", "bool"):
        return varint(field.number << 3 | _VARINT) + varint(int(value) & (1 << 64) - 1)
    data = _data(field.kind, value)
    return varint(field.number << 3 | _LENGTH) + varint(len(data)) + data


def _data(kind: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else encode(kind, value)


def varint(number: int) -> bytes:
    """Return a number, at least 0, as a varint."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the varint at `position` and where it ends. Raises IndexError if it does not end."""
    byte = data[position]
    number, shift = byte & 0x7F, 7
    position += 1
    while byte > 0x7F:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        shift += 7
        position += 1
    return number, position
