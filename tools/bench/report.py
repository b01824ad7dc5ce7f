"""The printed report: the machine, a row for each case, idle connections, and the prototype's figures."""

import os
import platform
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from . import cluster, single
from .idle import IdleResult
from .load import CaseResult
from .stats import percentile

_SYNCS = 40


class Known(NamedTuple):
    """The figure of the prototype, None if there is none, and the aim."""

    per_second: float | None = None
    cpu_us: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    aim: str = "-"


KNOWN = {
    (single.KIND, "tcp", "50x8"): Known(per_second=28_000, cpu_us=33, aim="14,000"),
    (single.KIND, "ws", "50x8"): Known(per_second=16_000, cpu_us=57, aim="8,000"),
    (single.KIND, "tcp", "200x1"): Known(per_second=8_200, cpu_us=117),
    (single.KIND, "ws", "200x1"): Known(per_second=6_700, cpu_us=139),
    (single.KIND, "tcp", "10x1"): Known(p50_ms=2.0, p99_ms=4.4),
    (single.KIND, "ws", "10x1"): Known(p50_ms=2.2, p99_ms=4.5),
    (cluster.KIND, "tcp", "50x8"): Known(aim="4,000"),
    (cluster.KIND, "ws", "50x8"): Known(aim="4,000"),
    (cluster.KIND, "tcp", "10x1"): Known(aim="p50 10 ms"),
    (cluster.KIND, "ws", "10x1"): Known(aim="p50 10 ms"),
}


def machine(folder: Path) -> dict[str, str]:
    """Return the facts about the machine on which the numbers depend. `folder` holds the server's data."""
    return {
        "cpu": f"{os.cpu_count()} x {cpu_model()}, load {os.getloadavg()[0]:.2f}",
        "kernel": platform.release(),
        "python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "disk": f"{filesystem_of(folder)}, a 4 KiB write and fdatasync takes {_sync_ms(folder):.2f} ms",
    }


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def filesystem_of(folder: Path) -> str:
    """Return the type of the file system that `folder` is on."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, found, *_ = line.split()
        if folder.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def _sync_ms(folder: Path) -> float:
    """Return the median time of a small durable append."""
    path = folder / "sync"
    times = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for _ in range(_SYNCS):
            begin = time.perf_counter()
            os.write(descriptor, bytes(4096))
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - begin) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return percentile(sorted(times), 50)


def case_table(results: Iterable[CaseResult]) -> str:
    """Return the table of the closed loops; the prototype's figure follows each number in parentheses."""
    rows = [
        [
            *("case", "wire", "server", "msg/s", "aim", "p50 ms", "p99 ms", "ack p50", "our us/msg"),
            *("our cpu", "services", "own cpu", "others", "msg/MN"),
        ]
    ]
    for result in results:
        known = KNOWN.get((result.server.split()[0], result.transport, result.case), Known())
        rows.append(
            [
                result.case,
                result.transport,
                result.server,
                _beside(f"{result.per_second:,.0f}", known.per_second),
                known.aim,
                _beside(f"{result.p50_ms:.2f}", known.p50_ms),
                _beside(f"{result.p99_ms:.2f}", known.p99_ms),
                f"{result.ack_p50_ms:.2f}",
                _beside(f"{result.our_cpu_us:.0f}", known.cpu_us),
                f"{result.our_cpu_share:.0%}",
                f"{result.services_cpu_share:.0%}",
                f"{result.generator_cpu_share:.0%}",
                f"{result.others_cpu_share:.0%}",
                f"{result.messages_per_notification:.1f}",
            ]
        )
    return text_table(rows)


def cpu_table(results: Sequence[CaseResult]) -> str:
    """Return the table of microseconds for each message, by kind of process, of servers of several kinds.

    It is empty if there is no such time.
    """
    several = [result for result in results if len(result.group_cpu_us) > 1]
    if not several:
        return ""
    names = list(dict.fromkeys(name for result in several for name in result.group_cpu_us))
    rows = [["case", "wire", "server", *names]]
    for result in several:
        figures = (result.group_cpu_us.get(name) for name in names)
        rows.append(
            [
                *(result.case, result.transport, result.server),
                *("-" if figure is None else f"{figure:.0f}" for figure in figures),
            ]
        )
    return text_table(rows)


def idle_table(results: Iterable[IdleResult]) -> str:
    rows = [
        ["idle", "wire", "bytes each", "PSS before", "PSS after", "RSS before", "RSS after", "connects/s"]
    ]
    for result in results:
        sizes = (result.pss_before, result.pss_after, result.rss_before, result.rss_after)
        rows.append(
            [
                f"{result.connections:,}",
                result.transport,
                f"{result.bytes_each:,.0f}",
                *(f"{size / 2**20:.1f} MiB" for size in sizes),
                f"{result.connections / result.connect_seconds:,.0f}",
            ]
        )
    return text_table(rows)


def _beside(number: str, prototype: float | None) -> str:
    return number if prototype is None else f"{number} ({prototype:,g})"


def text_table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
