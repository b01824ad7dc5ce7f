"""The closed loops on the all-in-one server and on a cluster, and idle connections: `scripts/bench smoke`."""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import NamedTuple

import orjson

from .cluster import Layout, cluster
from .counter import calls_table
from .folders import check_disk, data_folder, raise_file_limit
from .idle import WARM_UP_CONNECTIONS, IdleResult, run_idle
from .load import Case, CaseResult, run_case
from .login import log_in
from .report import case_table, cpu_table, idle_table, machine
from .sampler import summary
from .server import FOLDER, BenchServer
from .single import SAMPLER, Looks, all_in_one

CASES = (Case(50, 8), Case(200, 1), Case(10, 1))
TRANSPORTS = ("tcp", "ws")
IDLE_CONNECTIONS = 5_000
_DEVICES = 10
_SPARE_FILES = 200
_NOISE = 0.2
"""If other processes use more than this share of a core, a row cannot be trusted."""
_SERVICES_WARM_UP = Case(50, 8)
_SERVICES_WARM_UP_SECONDS = 15.0
"""The load before the first case on a cluster, s: Kafka's runtime compiles code that is used often."""


async def run_smoke(arguments: argparse.Namespace) -> None:
    looks: Looks | None = arguments.looks
    for folder in (file.parent for file in (arguments.json, looks and looks.file) if file):
        folder.mkdir(parents=True, exist_ok=True)
    check_disk()
    facts = machine(FOLDER)
    for name, value in facts.items():
        print(f"{name}: {value}")
    files = raise_file_limit()
    transports = (arguments.only,) if arguments.only else TRANSPORTS
    runs = [
        BenchRun(case, transport, arguments.seconds)
        for case in arguments.case or CASES
        for transport in transports
    ]
    users = count()
    cases = [await on_all_in_one(run, users, looks) for run in runs]
    if arguments.cluster is not None:
        on_cluster = await _on_cluster(arguments.cluster, runs, users)
        cases = [result for both in zip(cases, on_cluster, strict=True) for result in both]
    print(f"\nClosed loop, 100-byte texts, {arguments.seconds:g} s (in parentheses the design's prototype):")
    print(case_table(cases))
    _print_oddities(cases)
    if table := cpu_table(cases):
        print(f"\nCPU time for each message by kind of process, microseconds:\n{table}")
    idle: list[IdleResult] = []
    if looks is not None:
        lines = looks.file.read_text().splitlines()
        print(f"\n{looks.file}; the rates above are slowed down by it:")
        print(summary(lines) if looks.module == SAMPLER else calls_table(lines, cases[0].messages))
    elif not arguments.no_idle:
        idle = await _idle(transports, files, users)
        print("\nIdle connections, authenticated:")
        print(idle_table(idle))
    if arguments.json is not None:
        results = {"machine": facts, "cases": cases, "idle": [_with_bytes(result) for result in idle]}
        arguments.json.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


class BenchRun(NamedTuple):
    case: Case
    transport: str
    seconds: float

    async def on(self, server: BenchServer, users: Iterator[int]) -> CaseResult:
        """Run a case with new users."""
        print(f"{self.case} over {self.transport} on {server.name} ...", flush=True)
        accounts = await log_in(server.http, list(islice(users, 2 * self.case.pairs)))
        return await run_case(self.case, self.transport, server, accounts, self.seconds)


async def on_all_in_one(run: BenchRun, users: Iterator[int], looks: Looks | None) -> CaseResult:
    with data_folder() as data:
        async with all_in_one(data, looks) as server:
            return await run.on(server, users)


async def _on_cluster(layout: Layout, runs: Sequence[BenchRun], users: Iterator[int]) -> list[CaseResult]:
    """Run all cases on one cluster: it takes long to start, and even longer to warm up its services."""
    with data_folder() as folder:
        async with cluster(folder, layout) as server:
            print("warming up the services:", flush=True)
            warm_up = BenchRun(_SERVICES_WARM_UP, runs[0].transport, _SERVICES_WARM_UP_SECONDS)
            await warm_up.on(server, users)
            return [await run.on(server, users) for run in runs]


async def _idle(transports: tuple[str, ...], files: int, users: Iterator[int]) -> list[IdleResult]:
    """Log in on one server and measure on new ones, which have no memory freed by logins."""
    connections = min(IDLE_CONNECTIONS, files - WARM_UP_CONNECTIONS - _SPARE_FILES)
    if connections < IDLE_CONNECTIONS:
        print(
            f"only {files} open files are allowed, so {connections} idle connections "
            f"instead of {IDLE_CONNECTIONS}"
        )
    with data_folder() as data:
        print("logging in for the idle connections ...", flush=True)
        async with all_in_one(data) as server:
            needed = connections + WARM_UP_CONNECTIONS
            numbers = list(islice(users, -(-needed // _DEVICES)))
            accounts = (await log_in(server.http, numbers, _DEVICES))[:needed]
        results = []
        for transport in transports:
            print(f"{connections} idle over {transport} ...", flush=True)
            async with all_in_one(data) as server:
                results.append(await run_idle(transport, server, accounts))
    return results


def _print_oddities(results: list[CaseResult]) -> None:
    for result in results:
        name = f"{result.case} over {result.transport} on {result.server}"
        if result.repeated_notifications:
            print(f"{name}: {result.repeated_notifications} MNs stood for messages already fetched")
        if result.echoed_notifications:
            print(f"{name}: {result.echoed_notifications} MNs told senders of their own messages")
        if result.others_cpu_share > _NOISE:
            print(f"{name}: other processes took {result.others_cpu_share:.0%} of a core meanwhile")
        if result.generator_cpu_share > 0.9:
            print(f"{name}: the generator was the limit, not the server")


def _with_bytes(result: IdleResult) -> dict[str, object]:
    return {**dataclasses.asdict(result), "bytes_each": result.bytes_each}
