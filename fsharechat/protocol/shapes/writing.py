"""Putting JSON text into a JSON string: `content` is always a string (contract.md section 2)."""

from typing import Any

import orjson


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
