"""How large an answer is where it is largest: as the JSON text of a web client (contract.md sections 2 and 7)."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import orjson

T = TypeVar("T")

MAX_ANSWER_BYTES = 1 << 20
"""The most that an answer which is a list weighs, as it is sent: a quarter of what a connection may have waiting."""


MAX_ENTRIES_BYTES = MAX_ANSWER_BYTES - 1024
"""The most that its entries weigh together; the rest is what stands around them."""

# What an entry of a list weighs beside its texts: names, numbers and punctuation.
FRIEND_REQUEST = 140
FRIEND = 90
USER = 340
GROUP = 210
MEMBER = 105
SETTING = 95


def sent_size(*texts: str) -> int:
    """Return how many bytes texts take as they are sent: over WebSocket JSON stands inside a JSON string.

    A control character is 7 bytes there, a quotation mark 4.
    """
    return (
        len(orjson.dumps(orjson.dumps("".join(texts)).decode())) - 6
    )  # without the quotation marks around it


def fitting(sized: Iterable[tuple[T, int]], most: int = MAX_ENTRIES_BYTES) -> Iterator[T]:
    """Give the first ones that weigh `most` bytes together."""
    total = 0
    for one, size in sized:
        total += size
        if total > most:
            return
        yield one
