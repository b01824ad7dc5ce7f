"""Texts in the form in which they are compared: without differences of case, width and composition."""

import re
import unicodedata
from collections.abc import Iterator

MAX_MARKS = 30
"""How many marks in a row count, as in the stream-safe text format (Unicode Standard Annex #15, section 13)."""

SLICE = 512
"""How many characters are searched in one go: 1 ms for the most costly ones, which decompose into 18 each."""


def fold(text: str) -> str:
    """Return a text in the form that is searched: without differences of case, width and composition.

    Marks beyond MAX_MARKS in a row are dropped: the time to sort marks grows with the square of their number.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", _cut_marks(text) if len(text) > MAX_MARKS else text).casefold()


def slices(text: str) -> Iterator[str]:
    """Cut a text into parts of about SLICE characters; `fold` of all the parts is `fold` of the text."""
    if not text.isascii():
        text = _cut_marks(text)
    start = 0
    while start < len(text):
        end = start + SLICE
        while end < len(text) and not _begins_anew(text, end):
            end += 1
        yield text[start:end]
        start = end


def _cut_marks(text: str) -> str:
    return _MARKS.sub(lambda run: run[0][:MAX_MARKS], text)


def _begins_anew(text: str, at: int) -> bool:
    """Return whether the character at a place neither is a mark of the one before it, nor composes with it."""
    if text[at].isascii():
        return True
    before = text[max(at - _CONTEXT, 0) : at]
    apart = unicodedata.normalize("NFKC", before) + unicodedata.normalize("NFKC", text[at])
    return not _MARK.match(text, at) and unicodedata.normalize("NFKC", before + text[at]) == apart


def _marks() -> str:
    """Return a regular expression class of the characters that follow another one in a decomposition."""
    marks = [
        code
        for code in range(0x300, 0x1F000)  # the first one is 300, the last one 1E94A
        if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])
    ]
    return f"[{''.join(map(chr, marks))}]"


_MARK = re.compile(_marks())
_MARKS = re.compile(f"{_MARK.pattern}{{{MAX_MARKS + 1},}}")
_CONTEXT = 2 * MAX_MARKS
"""Characters that include the character before all their marks."""
