"""The command line of `scripts/bench`."""

import argparse
import asyncio
import dataclasses
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import orjson
import uvloop

from .cluster import Layout, cluster
from .counter import calls_table
from .idle import WARM_UP_CONNECTIONS, IdleResult, run_idle
from .link import BenchError
from .load import Case, CaseResult, run_case
from .login import log_in
from .media import RECEIVERS, media_table, run_media
from .neighbours import LIMITS, MEMBERS, PACE_SECONDS, run_beside_media, run_neighbours, table
from .report import case_table, cpu_table, filesystem_of, idle_table, machine
from .sampler import summary
from .server import FOLDER, BenchServer
from .single import Looks, all_in_one

CASES = (Case(50, 8), Case(200, 1), Case(10, 1))
TRANSPORTS = ("tcp", "ws")
SAMPLER = "tools.bench.sampler"
COUNTER = "tools.bench.counter"
IDLE_CONNECTIONS = 5_000
_DEVICES = 10
_SPARE_FILES = 200
_ROUNDS = 3
"""Of what is measured in turn with nothing beside it."""
_NOISE = 0.2
"""If other processes use more than this share of a core, a row cannot be trusted."""
_SERVICES_WARM_UP = Case(50, 8)
_SERVICES_WARM_UP_SECONDS = 15.0
"""The load before the first case on a cluster, s: Kafka's runtime compiles code that is used often."""


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(arguments.run(arguments))
    except BenchError as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Load on a server that it starts itself."
    )
    commands = parser.add_subparsers(required=True, metavar="smoke|neighbours|media")
    neighbours = commands.add_parser(
        "neighbours", help="the cost for others of a user who does the worst that is allowed"
    )
    neighbours.add_argument("--seconds", type=float, default=10.0, help="measured time beside each (10)")
    neighbours.set_defaults(run=_neighbours)
    media = commands.add_parser("media", help="what it costs to forward the media of calls in groups")
    media.add_argument("--seconds", type=float, default=5.0, help="measured time of each row (5)")
    media.add_argument("--receivers", type=int, action="append", metavar="N", help="this row; again for more")
    media.add_argument(
        "--chat",
        type=int,
        nargs="?",
        const=100,
        metavar="N",
        help="instead: what a pair that chats notices of N receivers (100)",
    )
    media.set_defaults(run=_media)
    smoke = commands.add_parser(
        "smoke", help="messages a second, latencies, CPU and memory; see docs/benchmark.md"
    )
    smoke.set_defaults(run=_smoke)
    smoke.add_argument("--seconds", type=float, default=6.0, help="measured time of each case (6)")
    smoke.add_argument("--only", choices=TRANSPORTS, help="one transport")
    smoke.add_argument(
        "--case",
        type=_case,
        action="append",
        metavar="PAIRSxWINDOW",
        help="this case instead of the three; again for more",
    )
    smoke.add_argument(
        "--cluster",
        type=_layout,
        nargs="?",
        const=Layout(1, 1),
        metavar="NxM",
        help="also on a cluster of N connectors and M group processes (1x1) on real services",
    )
    smoke.add_argument("--no-idle", action="store_true", help="leave out the memory of idle connections")
    smoke.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    smoke.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="sample the all-in-one server's stacks into FILE; needs --only and one --case",
    )
    smoke.add_argument(
        "--calls",
        type=Path,
        metavar="FILE",
        help="count the all-in-one server's calls of Python functions into FILE; as --profile",
    )
    arguments = parser.parse_args()
    if arguments.run is _smoke:
        arguments.looks = _looks(parser, arguments)
    if arguments.seconds <= 0:
        parser.error("--seconds must be above 0")
    return arguments


def _looks(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Looks | None:
    """Return the program that looks at the server."""
    wanted = [
        Looks(module, file.resolve())
        for module, file in ((SAMPLER, arguments.profile), (COUNTER, arguments.calls))
        if file is not None
    ]
    if not wanted:
        return None
    if arguments.only is None or len(arguments.case or ()) != 1 or arguments.cluster or len(wanted) > 1:
        parser.error(
            "--profile and --calls need --only and exactly one --case, and do without --cluster and each other"
        )
    return wanted[0]


def _case(text: str) -> Case:
    pairs, _, window = text.partition("x")
    try:
        case = Case(int(pairs), int(window))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not PAIRSxWINDOW, such as 50x8") from None
    if case.pairs < 1 or case.window < 1:
        raise argparse.ArgumentTypeError("pairs and window are at least 1")
    return case


def _layout(text: str) -> Layout:
    try:
        return Layout.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def _smoke(arguments: argparse.Namespace) -> None:
    looks: Looks | None = arguments.looks
    for folder in (FOLDER, *(file.parent for file in (arguments.json, looks and looks.file) if file)):
        folder.mkdir(parents=True, exist_ok=True)
    if (kind := filesystem_of(FOLDER)) in ("tmpfs", "ramfs"):
        raise BenchError(
            f"{FOLDER} is on {kind}: a commit costs nothing there, so the numbers would mean nothing"
        )
    facts = machine(FOLDER)
    for name, value in facts.items():
        print(f"{name}: {value}")
    files = _raise_file_limit()
    transports = (arguments.only,) if arguments.only else TRANSPORTS
    runs = [
        _BenchRun(case, transport, arguments.seconds)
        for case in arguments.case or CASES
        for transport in transports
    ]
    users = count()
    cases = [await _on_all_in_one(run, users, looks) for run in runs]
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


async def _neighbours(arguments: argparse.Namespace) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, value in machine(FOLDER).items():
        print(f"{name}: {value}")
    _raise_file_limit()
    with _data_folder() as data:
        async with all_in_one(data, more=LIMITS) as server:
            results = await run_neighbours(server, range(MEMBERS + 2), arguments.seconds)
    print(
        f"\nA message each {PACE_SECONDS * 1000:.0f} ms over TCP, for {arguments.seconds:g} s:\n{table(results)}"
    )


async def _media(arguments: argparse.Namespace) -> None:
    for name, value in machine(FOLDER.parent).items():
        print(f"{name}: {value}")
    _raise_file_limit()
    if arguments.chat:
        await _chat_beside_media(arguments.chat, arguments.seconds)
        return
    results = [await run_media(number, arguments.seconds) for number in arguments.receivers or RECEIVERS]
    print(
        f"\nOne participant sends video of 1.5 Mbit/s and sound, for {arguments.seconds:g} s:\n{media_table(results)}"
    )


async def _chat_beside_media(receivers: int, seconds: float) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _data_folder() as data:
        async with all_in_one(data, more=LIMITS) as server:
            results = await run_beside_media(server, range(2), receivers, seconds, _ROUNDS)
    print(f"\nA message each {PACE_SECONDS * 1000:.0f} ms over TCP, for {seconds:g} s:\n{table(results)}")


def _raise_file_limit() -> int:
    """Raise the limit of open files, which the server inherits, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class _BenchRun(NamedTuple):
    case: Case
    transport: str
    seconds: float

    async def on(self, server: BenchServer, users: Iterator[int]) -> CaseResult:
        """Run a case with new users."""
        print(f"{self.case} over {self.transport} on {server.name} ...", flush=True)
        accounts = await log_in(server.http, list(islice(users, 2 * self.case.pairs)))
        return await run_case(self.case, self.transport, server, accounts, self.seconds)


async def _on_all_in_one(run: _BenchRun, users: Iterator[int], looks: Looks | None) -> CaseResult:
    with _data_folder() as data:
        async with all_in_one(data, looks) as server:
            return await run.on(server, users)


async def _on_cluster(layout: Layout, runs: Sequence[_BenchRun], users: Iterator[int]) -> list[CaseResult]:
    """Run all cases on one cluster: it takes long to start, and even longer to warm up its services."""
    with _data_folder() as folder:
        async with cluster(folder, layout) as server:
            print("warming up the services:", flush=True)
            warm_up = _BenchRun(_SERVICES_WARM_UP, runs[0].transport, _SERVICES_WARM_UP_SECONDS)
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
    with _data_folder() as data:
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


@contextmanager
def _data_folder() -> Iterator[Path]:
    """A new folder, kept when the run fails."""
    folder = Path(tempfile.mkdtemp(dir=FOLDER))
    data = folder / "data"
    data.mkdir()
    keep = False
    try:
        yield data
    except BenchError as error:
        keep = True
        raise BenchError(f"{error}\nthe server's data and log are kept in {folder}") from None
    finally:
        if not keep:
            shutil.rmtree(folder)


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


if __name__ == "__main__":
    sys.exit(main())
