"""Java's .properties files (java.util.Properties.load), as far as settings need them."""

import re
from collections.abc import Iterator

_COMMENT = re.compile(r"\s*[#!]")
_KEY = re.compile(r"\s*((?:\\.|[^\s:=\\])*)\s*[:=]?\s*", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def parse(text: str) -> dict[str, str]:
    """Return the values by key. If a key is there twice, the last one counts."""
    found: dict[str, str] = {}
    for line in _lines(text):
        key = _KEY.match(line)
        assert key is not None  # it matches anything
        if key[1]:
            found[_plain(key[1])] = _plain(line[key.end() :]).strip()
    return found


def _lines(text: str) -> Iterator[str]:
    """Yield lines without comments; one that ends in an odd number of backslashes goes on in the next."""
    whole = ""
    for line in text.splitlines():
        if not whole and (_COMMENT.match(line) or not line.strip()):
            continue
        whole += line.lstrip() if whole else line
        if (len(whole) - len(whole.rstrip("\\"))) % 2:
            whole = whole[:-1]
            continue
        yield whole
        whole = ""
    if whole:
        yield whole


def _plain(text: str) -> str:
    return _ESCAPE.sub(
        lambda found: chr(int(found[1][1:], 16)) if len(found[1]) == 5 else _ESCAPES.get(found[1], found[1]),
        text,
    )
