"""What the server is to reach, on a machine with two cores, beside what was measured."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from .report import text_table
from .results import ScenarioRow, shorten


class BenchGoal(NamedTuple):
    """A bound of a figure. `row` is a pattern for the name of its row; `least`: the figure must not be below."""

    row: str
    figure: str
    bound: float
    least: bool = False

    def met_by(self, figure: float) -> bool:
        return figure >= self.bound if self.least else figure <= self.bound


GOALS = (
    BenchGoal("pairs 50x8 tcp", "msg/s", 25_000, least=True),
    BenchGoal("pairs 50x8 ws", "msg/s", 16_000, least=True),
    BenchGoal("pairs 200x1 tcp", "msg/s", 10_000, least=True),
    BenchGoal("pairs 200x1 ws", "msg/s", 8500, least=True),
    BenchGoal("pairs 10x1 tcp", "p50 ms", 1.5),
    BenchGoal("pairs 10x1 tcp", "p99 ms", 4),
    BenchGoal("pairs 10x1 ws", "p50 ms", 1.5),
    BenchGoal("pairs 10x1 ws", "p99 ms", 4),
    BenchGoal("idle 15,000 tcp", "PSS bytes each", 3072),
    BenchGoal("idle 15,000 ws", "PSS bytes each", 12_288),
    BenchGoal("group 1,000 members, 1,000 online", "cpu us/copy", 10),
    BenchGoal("group 5,000 members, 50 online", "cpu ms/msg", 2),
    BenchGoal("storm 10,000 devices, 20 messages each", "cpu ms/device", 0.6),
    BenchGoal("history [0-9,]{9,} messages, warm", "cpu ms/page", 0.5),
)


def goals_rows(rows: Sequence[ScenarioRow]) -> list[list[str]]:
    """Return a row for each goal: what, the bound, what was measured, and whether that meets it."""
    table = []
    for goal in GOALS:
        found = next((row for row in rows if re.fullmatch(goal.row, row.name)), None)
        name = found.name if found else goal.row.replace("[0-9,]{9,}", "1,000,000 or more")
        bound = f"{'at least' if goal.least else 'at most'} {goal.bound:,g}"
        if found is None or goal.figure not in found.figures:
            table.append([name, goal.figure, bound, "-", "not measured"])
        else:
            figure = found.figures[goal.figure]
            table.append([name, goal.figure, bound, shorten(figure), "yes" if goal.met_by(figure) else "no"])
    return table


HEADING = ["what", "figure", "goal", "measured", "met"]


def goals_table(rows: Sequence[ScenarioRow]) -> str:
    return text_table([HEADING, *goals_rows(rows)])
