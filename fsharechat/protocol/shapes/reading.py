"""Typed reading of JSON from clients: each function returns the type that it names, or raises JsonError.

Error texts name the field, never its value: values may be message texts or passwords.
"""

import binascii
import re
from collections.abc import Iterable
from typing import Any

import orjson

from fsharechat.protocol.bodies import MAX_ITEMS

Object = dict[str, Any]

MAX_PARTS = 6 * MAX_ITEMS
"""How many arrays, objects and commas one text may have: as many as a list of MAX_ITEMS objects with four fields."""

_EXACT = 1 << 53  # beyond it a float has lost digits, so it may differ from the number that was written
_DECIMAL = re.compile(r"-?[0-9]{1,19}")
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE = re.compile(f"{_HIGH}(?!{_LOW})|{_LOW}(?<!{_HIGH}{_LOW})")
_BACKSLASH, _STANDS_FOR_IT = "\\\\", "\0"  # JSON has no control characters
_ESCAPED_QUOTE = '\\"'
_UNKNOWN = r"\\ufffd"


class JsonError(ValueError):
    """The text is not a request.

    `signal`, `sub_signal` and `message_id` are 0 where they could not be read.
    """

    signal: int = 0
    sub_signal: int = 0
    message_id: int = 0


def loads(text: str) -> Any:
    """Parse JSON text.

    A browser writes half an emoji as a lone surrogate escape. It is read as U+FFFD, because it has no UTF-8 form.
    """
    if len(text) > MAX_PARTS:
        _check_parts(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        repaired = _without_lone_surrogates(text)
        if repaired is None:
            raise JsonError("not JSON") from error
    try:
        return orjson.loads(repaired)
    except orjson.JSONDecodeError as error:
        raise JsonError("not JSON") from error


def _check_parts(text: str) -> None:
    """Raise JsonError when a text has more than MAX_PARTS parts: each becomes an object, and `[],` is only three
    bytes.

    As below, no step runs Python code for each character.
    """
    if _count(text) <= MAX_PARTS:
        return
    # Most of them may stand in strings, as when somebody sends the text of a program.
    bare = text.replace(_BACKSLASH, "").replace(_ESCAPED_QUOTE, "")
    strings_at_most = 2 * (MAX_PARTS + 1)  # a key and a value each
    if bare.count('"') > 2 * strings_at_most or _count("".join(bare.split('"')[::2])) > MAX_PARTS:
        raise JsonError("not JSON, or of too many parts")


def _count(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def _without_lone_surrogates(text: str) -> str | None:
    """Return the text with U+FFFD for each lone surrogate escape, or None if there is none.

    No step runs Python code for each character: the text may be a mebibyte of anything.
    """
    if _STANDS_FOR_IT in text:
        return None
    # After an escaped backslash there is no escape.
    marked, count = _LONE.subn(_UNKNOWN, text.replace(_BACKSLASH, _STANDS_FOR_IT))
    return marked.replace(_STANDS_FOR_IT, _BACKSLASH) if count else None


def string(source: Object, key: str) -> str:
    """Return a string, "" when it is missing or null."""
    value = source.get(key)
    if type(value) is str:
        return value
    if value is None:
        return ""
    raise JsonError(f"{key} is not a string")


def loose_string(source: Object, key: str) -> str:
    """Return a string that clients may write as an integer: the value of a setting, a gender."""
    value = source.get(key)
    return str(value) if type(value) is int else string(source, key)


def int32(source: Object, key: str) -> int:
    """Return an integer of 32 bits, 0 when it is missing, null or "". Numeric strings are integers too."""
    value = source.get(key)
    if type(value) is int and -0x80000000 <= value <= 0x7FFFFFFF:
        return value
    return _integer(value, key, 1 << 31)


def int64(source: Object, key: str) -> int:
    """Return an integer of 64 bits, 0 when it is missing, null or "". Ids come as strings (section 2)."""
    return _integer(source.get(key), key, 1 << 63)


def integer(source: Object, key: str) -> int:
    """Return an integer of any size, 0 when it is missing, null or "". JavaScript writes large ones as floats."""
    value = source.get(key)
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    return _integer(value, key, 1 << 63)


def _integer(value: object, key: str, bound: int) -> int:
    if value is None or value == "":
        return 0
    number = _whole(value)
    if number is None:
        raise JsonError(f"{key} is not an integer")
    if not -bound <= number < bound:
        raise JsonError(f"{key} is out of range")
    return number


def _whole(value: object) -> int | None:
    if type(value) is int:
        return value
    if type(value) is str and _DECIMAL.fullmatch(value):
        return int(value)
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return None


def flag(source: Object, key: str) -> bool:
    """Return whether a flag, written as a number or a boolean, is set."""
    value = source.get(key)
    return value if type(value) is bool else int32(source, key) != 0


def strings(source: Object, key: str) -> list[str]:
    """Return a list of strings, empty when it is missing, null or "" (clients write `tos` as "")."""
    value = source.get(key)
    return [] if value is None or value == "" else string_list(value, key)


def string_list(value: object, key: str) -> list[str]:
    """Return `value` if it is a list of strings; `key` names it in the error."""
    if type(value) is list and all(type(item) is str for item in _few(value, key)):
        return value
    raise JsonError(f"{key} is not an array of strings")


def _few(items: list[Any], key: str) -> list[Any]:
    if len(items) > MAX_ITEMS:
        raise JsonError(f"{key} has {len(items)} items")
    return items


def base64_bytes(source: Object, key: str) -> bytes:
    """Return the bytes of a base64 text, none when it is missing, null or "". Line breaks are allowed."""
    text = string(source, key)
    if not text:
        return b""
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        raise JsonError(f"{key} is not base64") from error


def nested(source: Object, key: str) -> Object:
    """Return an object inside `source`. It must be there."""
    value = source.get(key)
    if type(value) is dict:
        return value
    raise JsonError(f"{key} is not an object")


def objects(source: Object, key: str) -> list[Object]:
    """Return a list of objects, empty when it is missing, null or ""."""
    value = source.get(key)
    if value is None or value == "":
        return []
    if type(value) is list and all(type(item) is dict for item in _few(value, key)):
        return value
    raise JsonError(f"{key} is not an array of objects")


def whole(value: object, keys: Iterable[str]) -> Object:
    """Return `value` if it is an object with all these keys: a server writes all of them."""
    if type(value) is not dict:
        raise JsonError("not an object")
    for key in keys:
        if key not in value:
            raise JsonError(f"{key} is missing")
    return value
