"""Results of scenarios: rows of named figures, in JSON files that can be compared, and as tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from .cpu import CpuTimes
from .histogram import LatencyHistogram
from .link import BenchError
from .load import CaseResult
from .media import MediaResult
from .report import text_table


@dataclass(frozen=True, slots=True)
class ScenarioRow:
    """What was measured in one case of a scenario.

    `figures` are by name and unit, such as `cpu us/msg`: the CPU time of our processes, user and system.
    `latencies` are those of an open loop.
    """

    scenario: str
    case: str
    figures: Mapping[str, float]
    latencies: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.scenario} {self.case}"

    @property
    def histogram(self) -> LatencyHistogram:
        return LatencyHistogram.load(self.latencies)


@dataclass(frozen=True, slots=True)
class RunResults:
    """All rows of a run, and the facts about the machine on which they depend."""

    machine: Mapping[str, str]
    rows: Sequence[ScenarioRow]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(self, option=orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, path: Path) -> "RunResults":
        """Read what `write` has written. Raises BenchError."""
        try:
            found: dict[str, Any] = orjson.loads(path.read_bytes())
            return cls(found["machine"], [ScenarioRow(**row) for row in found["rows"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchError(f"{path} holds no results of scripts/bench: {error}") from None


def load_figures(cpu: CpuTimes) -> dict[str, float]:
    """Return what was used meanwhile, as shares of a core."""
    return {
        "our cpu %": cpu.ours / cpu.clock * 100,
        "own cpu %": cpu.generator / cpu.clock * 100,
        "others %": cpu.others / cpu.clock * 100,
    }


def row_of_case(result: CaseResult) -> ScenarioRow:
    figures = {
        "msg/s": result.per_second,
        "p50 ms": result.p50_ms,
        "p99 ms": result.p99_ms,
        "cpu us/msg": result.our_cpu_us,
        "our cpu %": result.our_cpu_share * 100,
        "own cpu %": result.generator_cpu_share * 100,
        "others %": result.others_cpu_share * 100,
    }
    return ScenarioRow("pairs", f"{result.case} {result.transport}", figures)


def row_of_media(result: MediaResult) -> ScenarioRow:
    figures = {
        "packets/s": result.packets,
        "arrived %": result.arrived * 100,
        "cpu us/packet": result.us,
        "cpu ms/join": result.join_ms,
    }
    return ScenarioRow("media", f"{result.receivers} receivers", figures)


def figures_table(rows: Iterable[ScenarioRow]) -> str:
    """Return the rows of a scenario as a table."""
    shown = list(rows)
    names = list(dict.fromkeys(name for row in shown for name in row.figures))
    table = [["case", *names]]
    table += [
        [row.case, *(shorten(row.figures[name]) if name in row.figures else "-" for name in names)]
        for row in shown
    ]
    return text_table(table)


def shorten(figure: float) -> str:
    """Return three digits of a figure, or all before the point."""
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def compare(before: RunResults, after: RunResults) -> str:
    """Return the ratios of all figures that both runs have, with a note where the machines differ."""
    lines = [
        f"note: {name} was {before.machine.get(name)}, and is {after.machine.get(name)}"
        for name in dict.fromkeys((*before.machine, *after.machine))
        if _fact(before, name) != _fact(after, name)
    ]
    old = {row.name: row for row in before.rows}
    table = [["scenario", "figure", "before", "after", "ratio"]]
    for row in after.rows:
        known = old.pop(row.name, None)
        if known is None:
            lines.append(f"only after: {row.name}")
            continue
        for name, figure in row.figures.items():
            if name in known.figures:
                was = known.figures[name]
                ratio = f"{figure / was:.2f}" if was else "-"
                table.append([row.name, name, shorten(was), shorten(figure), ratio])
    lines += [f"only before: {name}" for name in old]
    return "\n".join([text_table(table), *lines])


def _fact(results: RunResults, name: str) -> str:
    """Return a fact without what differs from run to run."""
    fact = results.machine.get(name, "")
    return fact.split(", load ")[0].split(", a 4 KiB write")[0]
