"""The last lines on a terminal, so that one of them can be written again where it stands."""

from collections import deque
from dataclasses import dataclass

from prompt_toolkit.utils import get_cwidth

KEPT = 200
_BOLD = "\x1b[1m"
_PLAIN = "\x1b[0m"


@dataclass(slots=True)
class _Line:
    text: str
    key: int
    strong: bool

    def __str__(self) -> str:
        return f"{_BOLD}{self.text}{_PLAIN}\n" if self.strong else f"{self.text}\n"


class Transcript:
    """Everything that is shown must go through it, in order; the prompt stands below its last line."""

    def __init__(self) -> None:
        self._lines: deque[_Line] = deque(maxlen=KEPT)

    def add(self, text: str, *, key: int = 0, strong: bool = False) -> str:
        """Return what to write for a new line. `key` is for `change`; 0 is none."""
        line = _Line(printable(text), key, strong)
        self._lines.append(line)
        return str(line)

    def change(self, key: int, text: str, *, columns: int, rows: int) -> str | None:
        """Return what to write so that the line `key` reads `text`, on a screen that shows `rows` above the prompt.

        None when there is no such line or it has left the screen.
        """
        for index in range(len(self._lines) - 1, -1, -1):
            if self._lines[index].key == key:
                break
        else:
            return None
        below = [self._lines[at] for at in range(index, len(self._lines))]
        up = sum(height(line.text, columns) for line in below)
        below[0].text = printable(text)
        if up > rows:
            return None
        # Up to the line, then everything from there on again: the new text may take more rows or fewer.
        return f"\x1b[{up}A\r\x1b[J{''.join(map(str, below))}"


def height(text: str, columns: int) -> int:
    """Return how many rows a terminal of so many columns uses for a text."""
    rows = 0
    for line in text.split("\n"):
        rows += 1
        used = 0
        for c in line:
            width = get_cwidth(c)
            if used + width > columns:
                rows += 1
                used = 0
            used += width
    return rows


def printable(text: str) -> str:
    """Return `text` without control characters, which would steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
