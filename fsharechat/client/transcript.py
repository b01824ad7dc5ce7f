"""The last lines on a terminal, so that one of them can be rewritten in its place."""

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
    """All shown lines must go through it, in order. The prompt stands below the last one."""

    def __init__(self) -> None:
        self._lines: deque[_Line] = deque(maxlen=KEPT)

    def add(self, text: str, *, key: int = 0, strong: bool = False) -> str:
        """Return the output for a new line. `key` is for `change`; 0 is none."""
        line = _Line(printable(text), key, strong)
        self._lines.append(line)
        return str(line)

    def change(self, key: int, text: str, *, columns: int, rows: int) -> str | None:
        """Return the output that changes the line `key` to `text`, on a screen with `rows` above the prompt.

        None if there is no such line, or it has left the screen.
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
        # Go up to the line, and write everything from there again: the new text may take more or fewer rows.
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
    """Return `text` without control characters, which would control the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
