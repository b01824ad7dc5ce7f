"""The part of docs/performance.md that holds results, written from JSON files: `scripts/bench page FILE...`."""

from collections.abc import Sequence
from pathlib import Path

from tools.services.places import ROOT

from .goals import HEADING, goals_rows
from .link import BenchError
from .plots import plot_all
from .results import RunResults, ScenarioRow, shorten

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- made by scripts/bench page -->", "<!-- end -->"
_SHARES = ("our cpu %", "own cpu %")


def write_page(files: Sequence[Path], page: Path = PAGE) -> None:
    """Put the results of all files between the marks of the page, with plots in the folder `images` beside it.

    Of rows that several files have, the last one counts. Raises BenchError.
    """
    runs = [RunResults.read(file) for file in files]
    rows = list({row.name: row for run in runs for row in run.rows}.values())
    before, found, rest = page.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise BenchError(f"{page} lacks the lines {BEGIN!r} and {END!r}")
    plots = plot_all(rows, page.parent / "images")
    part = results_part(runs[-1], rows, [plot.name for plot in plots])
    page.write_text(f"{before}{BEGIN}\n{part}{END}{after}")


def results_part(run: RunResults, rows: Sequence[ScenarioRow], plots: Sequence[str]) -> str:
    """Return the text: the machine, the goals, the plots, and a table for each scenario."""
    facts = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    parts = [f"Measured with {facts}.\n", markdown_table([HEADING, *goals_rows(rows)])]
    parts += [f"![{plot.removesuffix('.png').replace('-', ' ')}](images/{plot})\n" for plot in plots]
    for scenario in dict.fromkeys(row.scenario for row in rows):
        some = [row for row in rows if row.scenario == scenario]
        names = [
            name for name in dict.fromkeys(n for row in some for n in row.figures) if name not in _SHARES
        ]
        table = [[scenario, *names]]
        for row in some:
            figures = (shorten(row.figures[name]) if name in row.figures else "" for name in names)
            table.append([row.case, *figures])
        parts.append(markdown_table(table))
    return "\n".join(parts)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    heading, *others = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join((heading, "|" + "---|" * len(rows[0]), *others)) + "\n"
