"""Texts as they are compared where people write one thing in many ways: by case, width and composition."""

import re
import unicodedata
from collections.abc import Iterator

MAX_MARKS = 30
"""Marks in a row that count: those of the stream-safe text format (Unicode Standard Annex #15, section 13)."""

SLICE = 512
"""Characters that are looked at in one go: 1 ms for the most costly ones, each of which decomposes into 18."""


def fold(text: str) -> str:
    """Return a text as words are looked for in it: whatever its case, its width and its composition.

    Of more than MAX_MARKS marks in a row the rest is dropped: to put marks in order takes the square of their number.
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
    """Return whether the character at a place is neither a mark of what is before it, nor composed with it."""
    if text[at].isascii():
        return True
    before = text[max(at - _CONTEXT, 0) : at]
    apart = unicodedata.normalize("NFKC", before) + unicodedata.normalize("NFKC", text[at])
    return not _MARK.match(text, at) and unicodedata.normalize("NFKC", before + text[at]) == apart


def _marks() -> str:
    """Return a class of a regular expression: what stands behind another character when it is decomposed."""
    marks = [
        code
        for code in range(0x300, 0x1F000)  # the first one is 300, the last one 1E94A
        if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])
    ]
    return f"[{''.join(map(chr, marks))}]"


_MARK = re.compile(_marks())
_MARKS = re.compile(f"{_MARK.pattern}{{{MAX_MARKS + 1},}}")
_CONTEXT = 2 * MAX_MARKS
"""Characters that have the one before all the marks among them."""
