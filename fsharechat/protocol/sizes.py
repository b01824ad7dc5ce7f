"""The size of an answer in its largest form, the JSON text of a web client (contract.md sections 2 and 7)."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import orjson

T = TypeVar("T")

MAX_ANSWER_BYTES = 1 << 20
"""The largest answer that is a list, bytes as sent: a quarter of what may wait on a connection."""


MAX_ENTRIES_BYTES = MAX_ANSWER_BYTES - 1024
"""The largest size of all its entries together, bytes. The rest is for the text around them."""

# The size of an entry of a list without its texts, bytes: names, numbers and punctuation.
FRIEND_REQUEST = 140
FRIEND = 90
USER = 340
GROUP = 210
MEMBER = 125
SETTING = 95
DEVICE = 150
REACTIONS = 150


def sent_size(*texts: str) -> int:
    """Return how many bytes texts take when they are sent. Over WebSocket they are JSON inside a JSON string.

    There a control character is 7 bytes, and a quotation mark 4.
    """
    return (
        len(orjson.dumps(orjson.dumps("".join(texts)).decode())) - 6
    )  # without the quotation marks around it


def fitting(sized: Iterable[tuple[T, int]], most: int = MAX_ENTRIES_BYTES) -> Iterator[T]:
    """Yield the first items that fit into `most` bytes together."""
    total = 0
    for one, size in sized:
        total += size
        if total > most:
            return
        yield one
