"""Plots of results, as small PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .histogram import PERCENTILES
from .link import BenchError
from .results import ScenarioRow

_INCHES = (6.4, 3.6)
_DPI = 100


def plot_all(rows: Sequence[ScenarioRow], folder: Path) -> list[Path]:
    """Draw what there are rows for, and return the files. Raises BenchError if matplotlib is not installed."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    paced = [row for row in rows if row.scenario == "paced"]
    if paced:
        drawn.append(_latency_by_rate(paced, folder / "bench-latency.png"))
    groups = [row for row in rows if row.scenario == "group"]
    if groups:
        drawn.append(_cost_by_online(groups, folder / "bench-group.png"))
    mixed = [row for row in rows if row.scenario == "mixed" and row.latencies]
    if mixed:
        drawn.append(_by_percentile(mixed, folder / "bench-mixed.png"))
    return drawn


def _latency_by_rate(rows: Sequence[ScenarioRow], path: Path) -> Path:
    figure, axes = _new("Messages a second (open loop, 50 pairs)", "from due to arrival, ms")
    rates = [float(row.case.split()[0]) for row in rows]
    for percent in reversed(PERCENTILES):
        name = f"p{percent:g}"
        axes.plot(rates, [row.figures[f"{name} ms"] for row in rows], marker="o", label=name)
    axes.set_yscale("log")
    return _save(figure, axes, path)


def _cost_by_online(rows: Sequence[ScenarioRow], path: Path) -> Path:
    figure, axes = _new("members online", "CPU of a message, ms")
    for members in dict.fromkeys(row.case.split()[0] for row in rows):
        some = [row for row in rows if row.case.split()[0] == members]
        online = [float(row.case.split()[2].replace(",", "")) for row in some]
        costs = [row.figures["cpu ms/msg"] for row in some]
        axes.plot(online, costs, marker="o", label=f"{members} members")
    axes.set_xscale("log")
    axes.set_yscale("log")
    return _save(figure, axes, path)


def _by_percentile(rows: Sequence[ScenarioRow], path: Path) -> Path:
    figure, axes = _new("percentile", "ms")
    steps = [50, 75, 90, 95, 99, 99.5, 99.9]
    for row in rows:
        times = row.histogram
        axes.plot(range(len(steps)), [times.percentile(step) * 1000 for step in steps], label=row.case)
    axes.set_xticks(range(len(steps)), [f"{step:g}" for step in steps])
    axes.set_yscale("log")
    return _save(figure, axes, path)


def _new(x: str, y: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure  # large, and needed for plots alone
    except ModuleNotFoundError:
        raise BenchError(
            "plots need matplotlib, of the extra `dev`: .venv/bin/pip install -r requirements-dev.txt"
        ) from None
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path) -> Path:
    axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Software": None})
    return path
