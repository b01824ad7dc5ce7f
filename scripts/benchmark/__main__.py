"""The command line of `scripts/bench`."""

import argparse
import asyncio
import dataclasses
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import uvloop

from .idle import WARM_UP_CONNECTIONS, IdleResult, run_idle
from .link import BenchError
from .load import Case, CaseResult, run_case
from .login import log_in
from .report import case_table, filesystem_of, idle_table, machine
from .sampler import summary
from .server import Server

CASES = (Case(50, 8), Case(200, 1), Case(10, 1))
TRANSPORTS = ("tcp", "ws")
IDLE_CONNECTIONS = 5_000
_DEVICES = 10
_SPARE_FILES = 200
_NOISE = 0.2
"""Share of a core beside server and generator from which a row is not to be trusted."""
_FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "bench"


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_smoke(arguments))
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
    smoke = parser.add_subparsers(required=True, metavar="smoke").add_parser(
        "smoke", help="messages a second, latencies, CPU and memory; see docs/benchmark.md"
    )
    smoke.add_argument("--seconds", type=float, default=6.0, help="measured time of each case (6)")
    smoke.add_argument("--only", choices=TRANSPORTS, help="one transport")
    smoke.add_argument(
        "--case",
        type=_case,
        action="append",
        metavar="PAIRSxWINDOW",
        help="this case instead of the three; again for more",
    )
    smoke.add_argument("--no-idle", action="store_true", help="leave out the memory of idle connections")
    smoke.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    smoke.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="sample the server's stacks into FILE; needs --only and one --case",
    )
    arguments = parser.parse_args()
    if arguments.profile is not None and (arguments.only is None or len(arguments.case or ()) != 1):
        parser.error("--profile needs --only and exactly one --case")
    if arguments.profile is not None:
        arguments.profile = arguments.profile.resolve()
    if arguments.seconds <= 0:
        parser.error("--seconds must be above 0")
    return arguments


def _case(text: str) -> Case:
    pairs, _, window = text.partition("x")
    try:
        case = Case(int(pairs), int(window))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not PAIRSxWINDOW, such as 50x8") from None
    if case.pairs < 1 or case.window < 1:
        raise argparse.ArgumentTypeError("pairs and window are at least 1")
    return case


async def _smoke(arguments: argparse.Namespace) -> None:
    for folder in (_FOLDER, *(file.parent for file in (arguments.json, arguments.profile) if file)):
        folder.mkdir(parents=True, exist_ok=True)
    if (kind := filesystem_of(_FOLDER)) in ("tmpfs", "ramfs"):
        raise BenchError(
            f"{_FOLDER} is on {kind}: a commit costs nothing there, so the numbers would mean nothing"
        )
    facts = machine(_FOLDER)
    for name, value in facts.items():
        print(f"{name}: {value}")
    files = _raise_file_limit()
    transports = (arguments.only,) if arguments.only else TRANSPORTS
    cases = [
        await _run_case(case, transport, arguments.seconds, arguments.profile)
        for case in arguments.case or CASES
        for transport in transports
    ]
    print(f"\nClosed loop, 100-byte texts, {arguments.seconds:g} s (in parentheses the design's prototype):")
    print(case_table(cases))
    _print_oddities(cases)
    idle: list[IdleResult] = []
    if arguments.profile is not None:
        print(f"\nProfile ({arguments.profile}; the rates above are slowed down by it):")
        print(summary(arguments.profile.read_text().splitlines()))
    elif not arguments.no_idle:
        idle = await _idle(transports, files)
        print("\nIdle connections, authenticated:")
        print(idle_table(idle))
    if arguments.json is not None:
        results = {"machine": facts, "cases": cases, "idle": [_with_bytes(result) for result in idle]}
        arguments.json.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def _raise_file_limit() -> int:
    """Raise the limit of open files, which the server inherits, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def _run_case(case: Case, transport: str, seconds: float, profile: Path | None) -> CaseResult:
    print(f"{case} over {transport} ...", flush=True)
    async with _data_folder() as data, _running(data, profile) as server:
        accounts = await log_in(server.http, 2 * case.pairs)
        return await run_case(case, transport, server, accounts, seconds)


async def _idle(transports: tuple[str, ...], files: int) -> list[IdleResult]:
    """Log in on one server and measure on fresh ones, without memory that logins have freed."""
    count = min(IDLE_CONNECTIONS, files - WARM_UP_CONNECTIONS - _SPARE_FILES)
    if count < IDLE_CONNECTIONS:
        print(
            f"only {files} open files are allowed, so {count} idle connections instead of {IDLE_CONNECTIONS}"
        )
    async with _data_folder() as data:
        print("logging in for the idle connections ...", flush=True)
        async with _running(data) as server:
            users = -(-(count + WARM_UP_CONNECTIONS) // _DEVICES)
            accounts = (await log_in(server.http, users, _DEVICES))[: count + WARM_UP_CONNECTIONS]
        results = []
        for transport in transports:
            print(f"{count} idle over {transport} ...", flush=True)
            async with _running(data) as server:
                results.append(await run_idle(transport, server, accounts))
    return results


@asynccontextmanager
async def _data_folder() -> AsyncIterator[Path]:
    """A new folder, kept when the run fails."""
    folder = Path(tempfile.mkdtemp(dir=_FOLDER))
    keep = False
    try:
        yield folder / "data"
    except BenchError as error:
        keep = True
        raise BenchError(f"{error}\nthe server's data and log are kept in {folder}") from None
    finally:
        if not keep:
            shutil.rmtree(folder)


@asynccontextmanager
async def _running(data: Path, profile: Path | None = None) -> AsyncIterator[Server]:
    """A running server on `data`; its last log lines join an error."""
    server = Server(data, profile)
    try:
        await server.start()
        yield server
    except BenchError as error:
        raise BenchError(f"{error}\nthe server's last log lines:\n{server.log_tail()}") from None
    finally:
        await server.stop()


def _print_oddities(results: list[CaseResult]) -> None:
    for result in results:
        if result.repeated_notifications:
            repeated = result.repeated_notifications
            print(f"{result.case} over {result.transport}: {repeated} MNs stood for messages already fetched")
        if result.others_cpu_share > _NOISE:
            share = result.others_cpu_share
            print(
                f"{result.case} over {result.transport}: other processes took {share:.0%} of a core meanwhile"
            )
        if result.generator_cpu_share > 0.9:
            print(f"{result.case} over {result.transport}: the generator was the limit, not the server")


def _with_bytes(result: IdleResult) -> dict[str, object]:
    return {**dataclasses.asdict(result), "bytes_each": result.bytes_each}


if __name__ == "__main__":
    sys.exit(main())
