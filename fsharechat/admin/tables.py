"""Tables for a terminal, safe for any names that people have chosen."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], none: str = "") -> str:
    """Return rows in columns, below a line of heads, or `none` if there are no rows."""
    if not rows and none:
        return none
    lines = [list(heads), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def shown(value: object) -> str:
    """Return a value as one line that cannot control the terminal."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(sign if sign.isprintable() else "�" for sign in str(value))


def moment(ms: int | None) -> str:
    """Return a time in ms since the Unix epoch as local time."""
    return "" if ms is None else datetime.fromtimestamp(ms / 1000).strftime("%Y-%m-%d %H:%M:%S")


def _width(text: str) -> int:
    """Return the columns that a text takes: Chinese characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )
