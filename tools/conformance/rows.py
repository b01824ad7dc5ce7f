"""The list of rows, with their transports."""

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tools.conformance.world import World

Trial = Callable[[World], Awaitable[None]]

BOTH = ("tcp", "ws")
TCP = ("tcp",)
WS = ("ws",)
HTTP = ("http",)


class Row(NamedTuple):
    """A sentence or a table row of the contract: `section` is its number there."""

    section: str
    title: str
    over: tuple[str, ...]
    trial: Trial

    @property
    def name(self) -> str:
        """The row's name as part of an identifier: "8_owners_of_normal_groups_cannot_quit"."""
        return re.sub(r"\W+", "_", f"{self.section} {self.title}").strip("_")


ROWS: list[Row] = []


def row(title: str, over: tuple[str, ...] = BOTH) -> Callable[[Trial], Trial]:
    """Make a row of a trial; the title begins with the section's number."""
    section, _, rest = title.partition(" ")

    def add(trial: Trial) -> Trial:
        new = Row(section, rest, over, trial)
        assert all(new.name != one.name for one in ROWS), f"{title} is there twice"
        ROWS.append(new)
        return trial

    return add
