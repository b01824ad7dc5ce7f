"""The command line of `scripts/bench`."""

import argparse
import asyncio
import dataclasses
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from .cluster import Layout
from .folders import check_disk, data_folder, raise_file_limit
from .gate import (
    baseline,
    bound,
    conversions_baseline,
    more_conversions,
    renew,
    run_conversions,
    run_gate,
)
from .goals import goals_table
from .group import GroupCase
from .link import BenchError
from .load import Case
from .media import RECEIVERS, media_table, run_media
from .moved import made_source, run_import
from .neighbours import LIMITS, MEMBERS, PACE_SECONDS, run_beside_media, run_neighbours, table
from .page import write_page
from .report import machine
from .results import RunResults, compare, figures_table
from .scenarios import SCENARIOS, ScenariosFailed, Sizes, run_scenarios
from .server import FOLDER
from .single import COUNTER, SAMPLER, Looks, all_in_one
from .smoke import TRANSPORTS, run_smoke

_ROUNDS = 3
"""Of what is measured in turn with nothing beside it."""


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
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    web = commands.add_parser("web", help="the chat page in Chromium: its size, its times and its memory")
    web.add_argument(
        "--scrolled", type=int, default=10_000, metavar="N", help="messages to scroll past (10000)"
    )
    web.set_defaults(run=_web)
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
    _add_import(commands)
    smoke = commands.add_parser(
        "smoke", help="messages a second, latencies, CPU and memory; see docs/benchmark.md"
    )
    smoke.set_defaults(run=run_smoke)
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
    _add_scenarios(commands)
    arguments = parser.parse_args()
    if arguments.run is run_smoke:
        arguments.looks = _looks(parser, arguments)
    if getattr(arguments, "seconds", 1) <= 0:
        parser.error("--seconds must be above 0")
    return arguments


def _group(text: str) -> GroupCase:
    members, _, online = text.partition("x")
    try:
        case = GroupCase(int(members), int(online))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not MEMBERSxONLINE, such as 1000x50") from None
    if not 2 <= case.online <= case.members:
        raise argparse.ArgumentTypeError("at least 2 members are online, and no more than there are")
    return case


def _add_import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    moved = commands.add_parser("import", help="an import from the original: rate, CPU, memory, a kill in it")
    moved.add_argument("--messages", type=int, default=100_000, metavar="N", help="made messages (100,000)")
    moved.add_argument("--people", type=int, default=2_000, metavar="N", help="who write them (2,000)")
    moved.add_argument("--times", type=int, default=1, metavar="N", help="so often are they sent (1)")
    moved.add_argument("--source", metavar="URL", help="a filled MySQL database, instead of made messages")
    moved.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    moved.set_defaults(run=_import)


_HELP = {
    "pairs": "the closed loops of smoke, without idle connections",
    "paced": "latency against rate, in an open loop",
    "group": "a message to groups of 20 to 5,000 members",
    "storm": "devices that come back at once, and catch up",
    "history": "pages of history in a large store",
    "idle": "thousands of idle connections, and what they cost others",
    "login": "logins of new users",
    "reports": "read reports",
    "mixed": "a company's hour in a minute",
}
"""The scenarios that are commands of their own. `media` has more options than a scenario."""
_SIZES: Mapping[str, Sequence[tuple[str, Callable[[str], object], str, str]]] = {
    "group": (("group", _group, "MEMBERSxONLINE", "this group instead of all"),),
    "storm": (("devices", int, "N", "how many devices (10,000)"),),
    "history": (("messages", int, "N", "how many messages the store has (1,000,000)"),),
    "idle": (("connections", int, "N", "how many connections (15,000)"),),
    "login": (("logins", int, "N", "how many logins (2,000)"),),
}


def _add_scenarios(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    every = commands.add_parser("all", help="all scenarios, and the goals beside what was measured")
    every.add_argument("--only", choices=SCENARIOS, action="append", help="this scenario; again for more")
    every.set_defaults(scenario="")
    parsers = [every]
    for name, what in _HELP.items():
        parser = commands.add_parser(name, help=what)
        parser.set_defaults(scenario=name)
        parsers.append(parser)
        _add_sizes(parser, name)
    for name in _SIZES:
        _add_sizes(every, name)
    for parser in parsers:
        seconds = "mixed_seconds" if parser.prog.endswith(" mixed") else "seconds"
        parser.add_argument(
            "--seconds",
            dest=seconds,
            type=_positive,
            default=argparse.SUPPRESS,
            help="measured time of each row",
        )
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
        parser.set_defaults(run=_scenarios)
    both = commands.add_parser("compare", help="the ratios of two files of results")
    both.add_argument("before", type=Path)
    both.add_argument("after", type=Path)
    both.set_defaults(run=_compare)
    gate = commands.add_parser(
        "gate", help="CPU of a message, against a bare echo and the committed baseline"
    )
    gate.add_argument("--runs", type=int, default=1, metavar="N", help="how often (1)")
    gate.add_argument("--renew", action="store_true", help="make the middle one the baseline")
    gate.set_defaults(run=_gate)
    page = commands.add_parser("page", help="write results and plots into docs/performance.md")
    page.add_argument("files", type=Path, nargs="+", metavar="FILE")
    page.set_defaults(run=_page)


def _add_sizes(parser: argparse.ArgumentParser, scenario: str) -> None:
    for name, kind, metavar, what in _SIZES.get(scenario, ()):
        parser.add_argument(f"--{name}", type=kind, metavar=metavar, default=argparse.SUPPRESS, help=what)


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


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


async def _neighbours(arguments: argparse.Namespace) -> None:
    check_disk()
    for name, value in machine(FOLDER).items():
        print(f"{name}: {value}")
    raise_file_limit()
    with data_folder() as data:
        async with all_in_one(data, more=LIMITS) as server:
            results = await run_neighbours(server, range(MEMBERS + 2), arguments.seconds)
    print(
        f"\nA message each {PACE_SECONDS * 1000:.0f} ms over TCP, for {arguments.seconds:g} s:\n{table(results)}"
    )


async def _media(arguments: argparse.Namespace) -> None:
    for name, value in machine(FOLDER.parent).items():
        print(f"{name}: {value}")
    raise_file_limit()
    if arguments.chat:
        await _chat_beside_media(arguments.chat, arguments.seconds)
        return
    results = [await run_media(number, arguments.seconds) for number in arguments.receivers or RECEIVERS]
    print(
        f"\nOne participant sends video of 1.5 Mbit/s and sound, for {arguments.seconds:g} s:\n{media_table(results)}"
    )


async def _web(arguments: argparse.Namespace) -> None:
    from .web import run_web, web_table  # the others need no browser

    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, value in machine(FOLDER).items():
        print(f"{name}: {value}")
    print(f"\n{web_table(await run_web(FOLDER, arguments.scrolled))}")


async def _import(arguments: argparse.Namespace) -> None:
    check_disk()
    facts = machine(FOLDER)
    for name, value in facts.items():
        print(f"{name}: {value}")
    async with AsyncExitStack() as stack:
        made = made_source(arguments.messages, arguments.people, arguments.times)
        source = arguments.source or await stack.enter_async_context(made)
        watched, rows = await run_import(source, stack.enter_context(data_folder()))
    print(f"\n{watched.report}\n{figures_table(rows)}")
    if arguments.json is not None:
        RunResults(facts, rows).write(arguments.json)


async def _chat_beside_media(receivers: int, seconds: float) -> None:
    check_disk()
    with data_folder() as data:
        async with all_in_one(data, more=LIMITS) as server:
            results = await run_beside_media(server, range(2), receivers, seconds, _ROUNDS)
    print(f"\nA message each {PACE_SECONDS * 1000:.0f} ms over TCP, for {seconds:g} s:\n{table(results)}")


async def _scenarios(arguments: argparse.Namespace) -> None:
    """Run scenarios, and print and write what they found even if one has failed."""
    given = {field.name for field in dataclasses.fields(Sizes)} & vars(arguments).keys()
    sizes = Sizes(**{name: getattr(arguments, name) for name in given})
    names = [arguments.scenario] if arguments.scenario else arguments.only or list(SCENARIOS)
    failure = None
    try:
        results = await run_scenarios(names, sizes)
    except ScenariosFailed as error:
        results, failure = error.results, error
    if not arguments.scenario:
        print(f"\n{goals_table(results.rows)}")
    if arguments.json is not None:
        results.write(arguments.json)
    if failure is not None:
        raise failure


async def _gate(arguments: argparse.Namespace) -> None:
    """Print the ratio of each run, and renew the baseline if wanted. Raises BenchError if it has grown too much."""
    check_disk()
    results = []
    for _ in range(arguments.runs):
        with data_folder() as data:
            results.append(await run_gate(data))
        print(f"{results[-1].ratio:.2f} times a bare echo; the baseline is {baseline():.2f}", flush=True)
    with data_folder() as data:
        found = await run_conversions(data, data.with_suffix(".calls"))
    if arguments.renew:
        renew(results, found)
    elif more := more_conversions(found, conversions_baseline()):
        raise BenchError(f"conversions that are made more often for each message: {more}")
    elif min(result.ratio for result in results) > bound():
        raise BenchError(f"that is more than {bound():.2f}, the bound on this machine")


async def _compare(arguments: argparse.Namespace) -> None:
    print(compare(RunResults.read(arguments.before), RunResults.read(arguments.after)))


async def _page(arguments: argparse.Namespace) -> None:
    write_page(arguments.files)


if __name__ == "__main__":
    sys.exit(main())
