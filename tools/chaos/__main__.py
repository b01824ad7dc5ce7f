"""The command line of `scripts/chaos`."""

import argparse
import asyncio
import gc
import logging
import sys
import time

from fsharechat.log import configure
from fsharechat.settings_schema import LogSettings

from . import world as worlds
from .run import Run, storm
from .scenario import KINDS


def main() -> int:
    arguments = _arguments()
    run = Run(
        arguments.minutes * 60,
        arguments.clients,
        arguments.rate,
        arguments.every,
        arguments.seed,
        tuple(arguments.only or ()),
        arguments.raw,
        arguments.raw_rate,
        arguments.group,
    )
    configure(LogSettings(level="error"))
    logging.getLogger("fsharechat.client").setLevel(logging.ERROR)
    kurento = worlds.start_kurento(arguments.set) if arguments.kurento else None
    size = arguments.connectors, arguments.groups
    worlds.up(arguments.set, *size, arguments.store, arguments.small_disk, kurento.url if kurento else "")
    gc.freeze()
    try:
        outcome = asyncio.run(storm(arguments.set, run, _say, kurento))
    finally:
        if not arguments.keep:
            worlds.down(arguments.set)
            if kurento is not None:
                kurento.stop(_say)
    print(outcome.table)
    for line in outcome.wrong:
        print(f"WRONG: {line}")
    print("as promised" if not outcome.wrong else f"{len(outcome.wrong)} promises broken")
    return 1 if outcome.wrong else 0


def _say(text: str) -> None:
    print(f"-- {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description="Faults in a cluster under load; see docs/chaos.md."
    )

    def option(name: str, default: object, text: str, metavar: str = "N") -> None:
        kind = type(default)
        parser.add_argument(name, type=kind, default=default, metavar=metavar, help=f"{text} ({default})")

    option("--minutes", 10.0, "how long")
    option("--clients", 200, "how many, half of them over each transport")
    option("--rate", 120.0, "messages a second, all clients together")
    option("--raw", 8, "users with raw devices, four each")
    option("--raw-rate", 16.0, "messages a second, all raw devices together")
    option("--group", 300, "members of the raw devices' group")
    option("--every", 10.0, "between two faults", "SECONDS")
    option("--connectors", 2, "how many")
    option("--groups", 2, "how many group processes")
    option("--seed", 4, "of the order of the faults")
    option("--set", "chaos", "the services and the cluster", "NAME")
    parser.add_argument(
        "--store", choices=worlds.STORES, default="mariadb", help="galera: three servers (mariadb)"
    )
    parser.add_argument("--small-disk", action="store_true", help="MariaDB on a disk that can be full")
    parser.add_argument("--kurento", action="store_true", help="media processes use a Kurento, a fake one")
    kinds = ", ".join(KINDS)
    parser.add_argument("--only", action="append", choices=KINDS, metavar="KIND", help=f"not all of: {kinds}")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
