"""A line is written again where it stands; checked on a small terminal."""

import re

import pytest

from fsharechat.client.transcript import Transcript, height

COLUMNS = 10
ROWS = 8


class Tty:
    """Enough of a terminal: wrapping, scrolling, cursor up and erase below. Only narrow characters."""

    def __init__(self) -> None:
        self.rows = [""]
        self.at = 0

    def write(self, text: str) -> None:
        for part in re.findall(r"\x1b\[\d*[A-Z]|\x1b\[\d*m|\r|\n|[^\x1b\r\n]", text):
            if part == "\n":
                self._down()
            elif part == "\r":
                pass  # the cursor only ever goes up at the start of a row
            elif part[0] == "\x1b" and part.endswith("A"):
                assert self.at - int(part[2:-1]) >= max(0, len(self.rows) - ROWS), (
                    "beyond the top of the screen"
                )
                self.at -= int(part[2:-1])
            elif part == "\x1b[J":
                del self.rows[self.at + 1 :]
                self.rows[self.at] = ""
            elif part[0] != "\x1b":
                if len(self.rows[self.at]) == COLUMNS:
                    self._down()
                self.rows[self.at] += part

    def _down(self) -> None:
        self.at += 1
        if self.at == len(self.rows):
            self.rows.append("")


def shown(*lines: str) -> tuple[Tty, Transcript]:
    tty, transcript = Tty(), Transcript()
    for key, line in enumerate(lines, 1):
        tty.write(transcript.add(line, key=key))
    return tty, transcript


@pytest.mark.parametrize("text", ["short", "now a much longer one", "two\nlines", ""])
def test_a_line_is_replaced_and_the_others_stay(text: str) -> None:
    tty, transcript = shown("first", "second line, long", "third")
    rewritten = transcript.change(2, text, columns=COLUMNS, rows=ROWS)
    assert rewritten is not None
    tty.write(rewritten)
    expected, _ = shown("first", text, "third")
    assert tty.rows == expected.rows
    assert tty.at == len(tty.rows) - 1


def test_a_line_that_left_the_screen_is_not_reached() -> None:
    _, transcript = shown(*"abcdefghijkl")
    assert transcript.change(1, "new", columns=COLUMNS, rows=ROWS) is None
    assert transcript.change(12, "new", columns=COLUMNS, rows=ROWS) is not None
    assert transcript.change(99, "new", columns=COLUMNS, rows=ROWS) is None


def test_a_line_that_was_not_reached_is_right_when_another_above_it_is_written_again() -> None:
    tty, transcript = shown("a", "b", "c")
    assert transcript.change(2, "B", columns=COLUMNS, rows=1) is None
    rewritten = transcript.change(1, "A", columns=COLUMNS, rows=ROWS)
    assert rewritten is not None
    tty.write(rewritten)
    assert tty.rows == ["A", "B", "c", ""]


def test_what_is_shown_cannot_steer_the_terminal() -> None:
    _, transcript = shown("a")
    assert "\x1b" not in transcript.add("\x1b[2Jgone\a")
    rewritten = transcript.change(1, "\x1b[2Jgone", columns=COLUMNS, rows=ROWS)
    assert rewritten is not None
    assert "\x1b[2J" not in rewritten


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", 1),
        ("1234567890", 1),
        ("12345678901", 2),
        ("你好你好你", 1),
        ("1你好你好你", 2),
        ("a\nb", 2),
        ("a\n", 2),
    ],
)
def test_heights(text: str, rows: int) -> None:
    assert height(text, COLUMNS) == rows
