"""The command line of `scripts/conformance`: the suite against a running server."""

import argparse
import asyncio
import re
import sys
import textwrap
import time
from collections import Counter

import aiohttp

from tools.conformance.all_rows import all_rows
from tools.conformance.rows import Row
from tools.conformance.running import FAIL, PASS, SKIP, RowResult, run
from tools.conformance.world import Target, World

AT_ONCE = 16
_LOOPBACK = re.compile(r"^(\w+://)?(127\.0\.0\.1|localhost|\[::1\])[:/]")


def main() -> int:
    arguments = _arguments()
    target = _target(arguments)
    rows = [row for row in all_rows() if _wanted(row, arguments.k)]
    if not rows:
        print(f"scripts/conformance: no row has {arguments.k!r} in its name", file=sys.stderr)
        return 2
    if problem := asyncio.run(unfit(target)):
        print(f"scripts/conformance: {problem}", file=sys.stderr)
        return 2
    begun = time.monotonic()
    done = 0
    total = sum(len(row.over) for row in rows)

    def progress(_: RowResult) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            print(
                f"\r{done} of {total}", end="\r" if done < total else "\r\033[K", file=sys.stderr, flush=True
            )

    results = asyncio.run(run(target, rows, arguments.at_once, progress))
    print(table(results))
    counts = Counter(result.outcome for result in results)
    print(
        f"\n{counts[PASS]} passed, {counts[FAIL]} failed, {counts[SKIP]} skipped, "
        f"{time.monotonic() - begun:.0f} s"
    )
    return 1 if counts[FAIL] else 0


async def unfit(target: Target) -> str:
    """Return why no row can be tried on a target, "" if they can."""
    try:
        async with World.on(target, "http") as world:
            await world.login()
            for transport in ("tcp", "ws"):
                await world.link(transport)
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        places = ", ".join([*target.tcp, *target.ws, *target.http])
        return f"no server at {places}: {error}"
    except AssertionError as error:
        return f"nobody can log in with the code {target.code!r} (--code): {error}"
    return ""


def table(results: list[RowResult]) -> str:
    """Return the results as a table, a line for each row and transport."""
    lines = [f"{'§':4} {'over':5} {'':4}  row", f"{'-' * 4} {'-' * 5} {'-' * 4}  {'-' * 60}"]
    for one in results:
        lines.append(f"{one.row.section:4} {one.transport:5} {one.outcome:4}  {one.row.title}")
        if one.reason:
            lines += textwrap.wrap(one.reason, 100, initial_indent=" " * 21, subsequent_indent=" " * 21)
    return "\n".join(lines)


def _wanted(row: Row, expression: str) -> bool:
    name = f"{row.section} {row.title} {row.name}".lower()
    return all(word.lower() in name for word in expression.split())


def _target(arguments: argparse.Namespace) -> Target:
    tcp, ws, http = (getattr(arguments, name).split(",") for name in ("tcp", "ws", "http"))
    own = arguments.send_codes or all(_LOOPBACK.match(one) for one in http)
    return Target(tcp, ws, http, arguments.code, arguments.api_key, own)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/conformance",
        description="Try every row of the wire contract on a running server, and print the results. "
        "With several addresses the users of a row are on different connectors.",
    )
    parser.add_argument("--tcp", default="127.0.0.1:6789", metavar="HOST:PORT[,...]")
    parser.add_argument("--ws", default="ws://127.0.0.1:9326/", metavar="URL[,...]")
    parser.add_argument("--http", default="http://127.0.0.1:8081", metavar="URL[,...]")
    parser.add_argument("--code", default="66666", help="the server's super code (default: %(default)s)")
    parser.add_argument("--api-key", default="", help="the key of the open and the administration API")
    parser.add_argument("-k", default="", metavar="WORDS", help="only rows whose names have these words")
    parser.add_argument(
        "--at-once", type=int, default=AT_ONCE, help="rows tried at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--send-codes",
        action="store_true",
        help="ask the server to send login codes to made-up numbers; by default only a server on this machine is",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
