"""The few bodies that a connector reads itself: those in which devices describe themselves."""

from typing import NamedTuple

import orjson

MAX_PING_BYTES = 1024
"""The largest PING that is parsed, bytes: it holds one number, and larger JSON could become many objects."""

MAX_ID_LENGTH = 255
MAX_INTERVAL_MS = 86_400_000


class Connect(NamedTuple):
    """The content of a CONNECT (contract.md section 4)."""

    uid: str
    password: str
    client_id: str

    @classmethod
    def read(cls, body: bytes) -> "Connect | None":
        """Return the CONNECT in a body, None if it is none."""
        try:
            request = orjson.loads(body)
            said = cls(request["userName"], request["password"], request["clientIdentifier"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
        texts = all(isinstance(text, str) for text in said)
        return said if texts and max(len(said.uid), len(said.client_id)) <= MAX_ID_LENGTH else None


def ping_interval(body: bytes) -> int | None:
    """Return the interval of a PING in ms, if it has a sensible one (up to MAX_INTERVAL_MS)."""
    if len(body) > MAX_PING_BYTES:
        return None
    try:
        interval = orjson.loads(body)["interval"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return interval if type(interval) is int and 0 < interval <= MAX_INTERVAL_MS else None
