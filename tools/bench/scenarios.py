"""The scenarios of `scripts/bench`, and how long each is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from .crowd import IDLE, run_crowd
from .device import BenchDevice, Post
from .folders import check_disk, data_folder, raise_file_limit
from .group import GROUP_CASES, GroupCase, run_group
from .history import cache_folder, made_history, run_history
from .link import BenchError
from .logins import run_logins
from .made import MadeStore
from .media import RECEIVERS, run_media
from .mixed import run_mixed
from .paced import PAIRS, RATES, run_paced
from .report import machine
from .reports import run_reports
from .results import RunResults, ScenarioRow, figures_table, row_of_case, row_of_media
from .server import FOLDER
from .single import all_in_one
from .smoke import CASES, TRANSPORTS, BenchRun, on_all_in_one
from .storm import run_storm

MOST_SECONDS = 1800.0
"""How long all scenarios together may take, s. On a quiet machine with two cores they take about twelve minutes."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each: `seconds` of measured time for each row, and the numbers of what scenarios are made of."""

    seconds: float = 5.0
    group: GroupCase | None = None
    """This group instead of GROUP_CASES."""
    devices: int = 10_000
    messages: int = 1_000_000
    connections: int = IDLE
    logins: int = 2000
    mixed_seconds: float = 60.0


async def _pairs(sizes: Sizes) -> list[ScenarioRow]:
    users = count()
    runs = [BenchRun(case, transport, sizes.seconds) for case in CASES for transport in TRANSPORTS]
    return [row_of_case(await on_all_in_one(run, users, None)) for run in runs]


async def _group(sizes: Sizes) -> list[ScenarioRow]:
    rows = []
    for case in [sizes.group] if sizes.group else GROUP_CASES:
        print(f"a group of {case} ...", flush=True)
        with data_folder() as data:
            rows.append(await run_group(case, data, sizes.seconds))
    return rows


async def _storm(sizes: Sizes) -> list[ScenarioRow]:
    with data_folder() as data:
        return [await run_storm(sizes.devices, data)]


async def _history(sizes: Sizes) -> list[ScenarioRow]:
    return await run_history(sizes.messages, await made_history(sizes.messages, cache_folder()))


async def _idle(sizes: Sizes) -> list[ScenarioRow]:
    rows = []
    for transport in TRANSPORTS:
        print(f"{sizes.connections} idle over {transport} ...", flush=True)
        with data_folder() as data:
            rows += await run_crowd(transport, sizes.connections, data, sizes.seconds)
    return rows


async def _login(sizes: Sizes) -> list[ScenarioRow]:
    with data_folder() as data:
        async with all_in_one(data) as server:
            return [await run_logins(server, range(sizes.logins))]


async def _reports(sizes: Sizes) -> list[ScenarioRow]:
    with data_folder() as data:
        return [await run_reports(data, sizes.seconds)]


async def _media(sizes: Sizes) -> list[ScenarioRow]:
    return [row_of_media(await run_media(number, sizes.seconds)) for number in RECEIVERS]


async def _paced(sizes: Sizes) -> list[ScenarioRow]:
    with data_folder() as data:
        made = MadeStore(data)
        await made.create()
        numbers = range(2 * PAIRS)
        made.put_users(numbers, devices=1)
        post = Post()
        devices = [BenchDevice(number, one, post) for number, one in enumerate(made.accounts(numbers))]
        async with all_in_one(data) as server:
            return await run_paced(RATES, server, devices, post, sizes.seconds)


async def _mixed(sizes: Sizes) -> list[ScenarioRow]:
    with data_folder() as data:
        return await run_mixed(data, sizes.mixed_seconds)


SCENARIOS: Mapping[str, Callable[[Sizes], Awaitable[list[ScenarioRow]]]] = {
    "pairs": _pairs,
    "paced": _paced,
    "group": _group,
    "storm": _storm,
    "history": _history,
    "idle": _idle,
    "login": _login,
    "reports": _reports,
    "media": _media,
    "mixed": _mixed,
}


async def run_scenarios(names: Sequence[str], sizes: Sizes) -> RunResults:
    """Run scenarios one after the other, and print a table of each.

    One that fails stops none of the others; in the end ScenariosFailed has the results of these.
    """
    check_disk()
    raise_file_limit()
    facts = machine(FOLDER)
    for name, value in facts.items():
        print(f"{name}: {value}")
    rows: list[ScenarioRow] = []
    failed = []
    end = time.monotonic() + MOST_SECONDS
    for name in names:
        print(f"\n{name}:", flush=True)
        try:
            async with asyncio.timeout(end - time.monotonic()):
                found = await SCENARIOS[name](sizes)
        except BenchError as error:
            failed.append(f"{name}: {error}")
            continue
        except TimeoutError:
            failed.append(f"{name}: all scenarios together took longer than {MOST_SECONDS:.0f} s")
            continue
        print(figures_table(found), flush=True)
        rows += found
    results = RunResults(facts, rows)
    if failed:
        raise ScenariosFailed("\n".join(failed), results)
    return results


class ScenariosFailed(BenchError):
    """Scenarios failed. `results` are those of the others."""

    def __init__(self, what: str, results: RunResults) -> None:
        super().__init__(what)
        self.results = results
