"""An import from the original (`fsharechat import-data`): its rate, CPU time and memory, and a kill in the middle."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from fsharechat.store.state import IMPORT_FACT
from tools.services.catalogue import ServiceSet
from tools.services.places import ROOT
from tools.services.process import ProcessIdentity
from tools.testing.original_forms import connect_mysql, fill_mysql

from .link import BenchError
from .made import DATABASE
from .results import ScenarioRow
from .server import BenchServer, ProcessGroup, with_tools

_SET = "bench-import"
_SECONDS = 1.0
"""Between two looks at the import."""
_MIDDLE = 0.5
_KINDS = {"messages": "t_messages", "inbox entries": "t_user_messages"}
_MIB = 1 << 20
_LAST_LINES = 2000


class ImportMoment(NamedTuple):
    """How far an import is: rows read by kind, and what it has used. CPU time counts all its processes."""

    clock: float
    cpu: float
    rows: dict[str, int]
    pss: int
    rss: int


@dataclass
class WatchedImport:
    """What was seen of an import."""

    moments: list[ImportMoment] = field(default_factory=list)
    killed_at: int = 0
    """Rows that had been read at the kill, 0 without one."""
    cpu: float = 0.0
    """Of the processes that have ended, s."""
    written: int = 0
    """Bytes that went to the disk, of all processes."""
    report: str = ""
    """What the last process printed."""

    def look(self, server: BenchServer, data: Path) -> None:
        """Take note of a moment; of none while the database is not there or the process is at its end."""
        try:
            cpu = self.cpu + sum(group.cpu_seconds() for group in server.groups)
            rss, pss = server.memory()
        except (BenchError, OSError):
            return
        rows = rows_read(data / DATABASE) or (self.moments[-1].rows if self.moments else {})
        self.moments.append(ImportMoment(time.perf_counter(), cpu, rows, pss, rss))

    @property
    def read(self) -> int:
        return sum(self.moments[-1].rows.values()) if self.moments else 0

    def between(self, kind: str, first: float, last: float) -> list[ImportMoment]:
        """Return the moments from one part of a kind's rows to another, each from 0 to 1."""
        whole = self.moments[-1].rows.get(kind, 0)
        found: list[ImportMoment] = []
        for moment in self.moments:
            if (rows := moment.rows.get(kind, 0)) and first * whole <= rows <= last * whole:
                found.append(moment)
            if rows == whole:
                break  # from here on other kinds are read
        return found


def rows_read(database: Path) -> dict[str, int]:
    """Return the rows of each kind that an import has read by now; nothing before it begins and after its end."""
    if not database.exists():
        return {}
    found: dict[str, int] = {}
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            facts = connection.execute(
                "SELECT name, value FROM facts WHERE name LIKE ?", (f"{IMPORT_FACT}:%",)
            )
            for name, value in facts:
                table = str(name).removeprefix(f"{IMPORT_FACT}:").rstrip("0123456789").rstrip("_")
                kind = next((kind for kind, one in _KINDS.items() if one == table), "others")
                found[kind] = found.get(kind, 0) + int(orjson.loads(value)[1])
    except sqlite3.Error:
        return {}  # it is being made, or locked
    return found


async def run_import(
    source: str, data: Path, kill_at: float = _MIDDLE, every: float = _SECONDS
) -> tuple[WatchedImport, list[ScenarioRow]]:
    """Import a MySQL database into an embedded store; kill the import at a part of its rows, and let it go on.

    `every` is the time between two looks at it, s. Raises BenchError if the import fails, if its own check finds
    something, or if rows are missing.
    """
    rows = await asyncio.to_thread(_rows_of, source)
    watched = WatchedImport()
    began = time.perf_counter()
    await _run(source, data, watched, max(1, int(sum(rows.values()) * kill_at)), every)
    if not watched.killed_at:
        raise BenchError("the import was over before it was killed: take more rows")
    await _run(source, data, watched, 0, every)
    seconds = time.perf_counter() - began
    if not watched.report.endswith("ok   the counts and a sample are right\n"):
        raise BenchError(f"the import says:\n{watched.report[-_LAST_LINES:]}")
    with closing(sqlite3.connect(f"file:{data / DATABASE}?mode=ro", uri=True)) as connection:
        for table, kind in (("messages", "messages"), ("inbox", "inbox entries")):
            (found,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
            if found != rows[kind]:
                raise BenchError(f"the source has {rows[kind]:,} {kind}, and the store {found:,}")
    return watched, _rows(watched, seconds, (data / DATABASE).stat().st_size)


async def _run(source: str, data: Path, watched: WatchedImport, until: int, every: float) -> None:
    """Run the import, and kill it when it has read `until` rows, 0 for never."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "fsharechat", "import-data", "--data", str(data), "-"),
        cwd=data.parent,
        env=with_tools(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
    )
    identity = ProcessIdentity.of(process.pid)
    assert process.stdin is not None
    assert process.stdout is not None
    assert identity is not None
    process.stdin.write(f"{source}\n".encode())
    process.stdin.close()
    server = BenchServer("import", "", {}, [ProcessGroup("import", (identity,))], [])
    reading = asyncio.create_task(process.stdout.read())
    ended = asyncio.create_task(process.wait())
    written = 0
    try:
        while not (await asyncio.wait([ended], timeout=every))[0]:
            watched.look(server, data)
            written = _written(process.pid) or written
            if until and watched.read >= until:
                watched.killed_at = watched.read
                process.kill()
                await ended
    finally:
        if process.returncode is None:
            process.kill()
            await ended
    watched.report = (await reading).decode()
    watched.written += written
    watched.cpu = watched.moments[-1].cpu if watched.moments else 0.0
    if process.returncode and not until:
        raise BenchError(
            f"the import ended with exit code {process.returncode}:\n{watched.report[-_LAST_LINES:]}"
        )


def _written(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def _rows(watched: WatchedImport, seconds: float, size: int) -> list[ScenarioRow]:
    moments = watched.moments
    rows = []
    for kind in _KINDS:
        for name, first, last in (("first tenth", 0.0, 0.1), ("last tenth", 0.9, 1.0)):
            part = watched.between(kind, first, last)
            if len(part) > 1 and (read := part[-1].rows[kind] - part[0].rows[kind]):
                figures = {
                    "rows/s": read / (part[-1].clock - part[0].clock),
                    "cpu us/row": (part[-1].cpu - part[0].cpu) / read * 1e6,
                    "peak PSS MiB": max(moment.pss for moment in part) / _MIB,
                    "peak RSS MiB": max(moment.rss for moment in part) / _MIB,
                }
                rows.append(ScenarioRow("import", f"{kind}, {name}", figures))
    whole = {
        "rows/s": watched.read / seconds,
        "cpu us/row": watched.cpu / watched.read * 1e6,
        "peak PSS MiB": max(moment.pss for moment in moments) / _MIB,
        "peak RSS MiB": max(moment.rss for moment in moments) / _MIB,
        "rows": float(watched.read),
        "minutes": seconds / 60,
        "killed at row": float(watched.killed_at),
        "written MiB": watched.written / _MIB,
        "store MiB": size / _MIB,
    }
    return [*rows, ScenarioRow("import", "whole", whole)]


def _rows_of(source: str) -> dict[str, int]:
    """Count the messages and the entries of inboxes of a source."""
    counts = dict.fromkeys(_KINDS, 0)
    with closing(connect_mysql(source)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        names = [str(name) for (name,) in cursor.fetchall()]
        for name in names:
            for kind, table in _KINDS.items():
                if name.rstrip("0123456789").rstrip("_") == table:
                    cursor.execute(f"SELECT COUNT(*) FROM `{name}`")
                    counts[kind] += int((cursor.fetchone() or (0,))[0])
    return counts


@asynccontextmanager
async def made_source(messages: int, people: int, times: int) -> AsyncIterator[str]:
    """Yield the url of a database of made-up rows, on a MariaDB server that is removed afterwards."""
    await _services("down")  # the rest of a run that was killed
    await _services("up", "mariadb")
    try:
        made = ServiceSet.load(_SET)
        assert made is not None
        (url,) = made.service("mariadb").variables().values()
        print(f"making {messages * times:,} messages ...", flush=True)
        await asyncio.to_thread(fill_mysql, url, messages, people, times)
        yield url
    finally:
        await _services("down")


async def _services(*arguments: str) -> None:
    command = (sys.executable, "-P", "-m", "tools.services", *arguments, "--set", _SET)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=with_tools())
    if code := await process.wait():
        raise BenchError(f"`scripts/services {' '.join(arguments)}` failed with exit code {code}")
