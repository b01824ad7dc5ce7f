"""Sensitive words: no message may contain them (code 242)."""

from collections.abc import Sequence

from fsharechat.folding import fold
from fsharechat.store import copies
from fsharechat.store.unit import Dialect, Query, Unit, change_in, containing, insert_many, select_in

MAX_WORDS = 100_000

MAX_WORD = 64
"""Characters of one word, once it is folded."""

MAX_WRITTEN = 1024
"""Characters of one word as it is written: some are fewer when they are folded."""

VERSION = "words_version"
"""The fact with the version of the words (copies.py)."""
_PAGE = 10_000


class TooManyWords(Exception):
    """There would be more than MAX_WORDS words. Nothing was added."""


def kept(word: str) -> str:
    """Return a word as it is kept; "" where it has no character, or more than MAX_WORD."""
    folded = fold(word).strip() if len(word) <= MAX_WRITTEN else ""
    return folded if len(folded) <= MAX_WORD else ""


def page(_: Dialect, after: str, limit: int) -> Unit[list[str]]:
    """Return up to `limit` words behind the word `after`, in order."""
    sql = "SELECT word FROM sensitive_words WHERE word > ? ORDER BY word LIMIT ?"
    return [word for (word,) in (yield Query(sql, (after, limit))).rows]


def found(_: Dialect, part: str, after: str, limit: int) -> Unit[list[str]]:
    """Return up to `limit` words that contain `part`, behind the word `after`, in order."""
    sql = "SELECT word FROM sensitive_words WHERE word > ? AND word LIKE ? ESCAPE '!' ORDER BY word LIMIT ?"
    return [word for (word,) in (yield Query(sql, (after, containing(part), limit))).rows]


def count(_: Dialect) -> Unit[int]:
    total: int = (yield Query("SELECT COUNT(*) FROM sensitive_words")).rows[0][0]
    return total


def all_words(dialect: Dialect) -> Unit[tuple[bytes, list[str]]]:
    """Return a version and the words. The words may be newer than the version."""
    first = yield from copies.version(dialect, VERSION)
    found: list[str] = []
    while part := (yield from page(dialect, found[-1] if found else "", _PAGE)):
        found += part
    return first, found


def add(dialect: Dialect, words: Sequence[str], new_version: bytes) -> Unit[int]:
    """Keep words, each once. Return how many are new. Raises TooManyWords."""
    yield from copies.set_version(dialect, VERSION, new_version)
    known = {
        row[0] for row in (yield from select_in("SELECT word FROM sensitive_words WHERE word IN ({})", words))
    }
    new = [word for word in dict.fromkeys(words) if word not in known]
    if (yield from count(dialect)) + len(new) > MAX_WORDS:
        raise TooManyWords
    yield from insert_many("sensitive_words", ("word",), [(word,) for word in new])
    return len(new)


def remove(dialect: Dialect, words: Sequence[str], new_version: bytes) -> Unit[int]:
    """Remove words. Return how many existed."""
    yield from copies.set_version(dialect, VERSION, new_version)
    return (yield from change_in("DELETE FROM sensitive_words WHERE word IN ({})", words))
