"""Trying rows against a server, many at once."""

import asyncio
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tools.conformance.checks import Skip
from tools.conformance.rows import Row
from tools.conformance.world import Target, World

PASS, FAIL, SKIP = "pass", "FAIL", "skip"
ROW_SECONDS = 120.0
"""The time limit of a row, s. Its waits have shorter limits."""

_HERE = Path(__file__).parent


class RowResult(NamedTuple):
    """The result of a row over a transport, and its seconds."""

    row: Row
    transport: str
    outcome: str
    reason: str
    seconds: float


async def attempt(target: Target, row: Row, transport: str) -> None:
    """Try a row. Raises its failure, or Skip."""
    async with asyncio.timeout(ROW_SECONDS), World.on(target, transport) as world:
        await row.trial(world)


async def run(
    target: Target, rows: Iterable[Row], at_once: int, done: Callable[[RowResult], None]
) -> list[RowResult]:
    """Try rows over each of their transports, so many at once. `done` gets each result. Return all in order."""
    room = asyncio.Semaphore(at_once)

    async def one(row: Row, transport: str) -> RowResult:
        async with room:
            begun = time.monotonic()
            outcome, reason = PASS, ""
            try:
                await attempt(target, row, transport)
            except Skip as skip:
                outcome, reason = SKIP, str(skip)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is the row's result
                outcome, reason = FAIL, explain(error)
        result = RowResult(row, transport, outcome, reason, time.monotonic() - begun)
        done(result)
        return result

    return list(await asyncio.gather(*(one(row, transport) for row in rows for transport in row.over)))


def explain(error: BaseException) -> str:
    """Return the error, and its place in the suite."""
    places = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent == _HERE and Path(frame.filename).name.startswith("rows_")
    ]
    where = f" ({Path(places[-1].filename).name}:{places[-1].lineno}: {places[-1].line})" if places else ""
    name = "" if type(error) is AssertionError else f"{type(error).__name__}: "
    return f"{name}{error}{where}"
