"""The command lines of `fsharechat import-config` and `fsharechat import-data`."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fsharechat.arguments import CommandParser


def main(argv: Sequence[str], settings_file: Callable[[Path | None], Path | None]) -> int:
    """Run the command that comes first and return the exit code (see cli.COMMANDS)."""
    command, *rest = argv
    if command == "import-config":
        return _config(rest)
    return _data(rest, settings_file)


def _config(argv: Sequence[str]) -> int:
    from fsharechat.moving import config

    parser = CommandParser(
        prog="fsharechat import-config",
        description="Read the application.properties of push-connector, push-group and push-api, and print "
        "a settings file. It says of each key what became of it.",
        epilog="Certificates and keys go into PEM files in the folder of --tls. What is to be decided is told on "
        "standard error. Passwords are only in the settings and in the PEM files: umask 077 keeps others out.",
    )
    parser.add_argument(
        "places",
        nargs="+",
        type=Path,
        metavar="FOLDER|FILE",
        help="what was installed, or the files themselves",
    )
    parser.add_argument("--tls", type=Path, default=Path("tls"), metavar="DIR", help="for PEM files; ./tls")
    args = parser.parse_args(argv)
    try:
        text, remarks = config.convert(args.places, args.tls)
    except config.ConfigError as error:
        print(f"fsharechat: {error}", file=sys.stderr)
        return 2
    sys.stdout.buffer.write(text.encode())
    for remark in remarks:
        print(remark, file=sys.stderr)
    return 0


def _data(argv: Sequence[str], settings_file: Callable[[Path | None], Path | None]) -> int:
    from fsharechat import log
    from fsharechat.moving import data
    from fsharechat.moving.report import ImportReport, ProgressTicker
    from fsharechat.settings import SettingsError, load

    parser = CommandParser(
        prog="fsharechat import-data",
        description="Copy the users, groups and messages of the original into the store that the settings name. "
        "Stop the original first, and start the server afterwards. When it is cut off, run it again: it goes on.",
    )
    parser.add_argument(
        "source",
        metavar="URL|FILE",
        help="mysql://user:password@host/database, or a script of H2; - reads it from standard input",
    )
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="the settings file; ./settings.toml if it exists"
    )
    parser.add_argument("--data", metavar="DIR", help="the folder that keeps the data")
    parser.add_argument("--ca", default="", metavar="FILE", help='TLS to the source: a PEM file, or "system"')
    parser.add_argument("--dry-run", action="store_true", help="change nothing; the same report")
    args = parser.parse_args(argv)
    try:
        settings = load(settings_file(args.settings), {"data": args.data}, os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    log.configure(settings.log)
    try:
        # On the command line everybody on this machine could read the password.
        place = sys.stdin.readline().strip() if args.source == "-" else args.source
        source = data.source_of(place, args.ca)
        problems = asyncio.run(data.run(settings, source, args.dry_run, ImportReport(), ProgressTicker()))
    except KeyboardInterrupt:
        print("fsharechat: cut off. The same command goes on where it was", file=sys.stderr)
        return 130
    except data.FAULTS as error:
        print(f"fsharechat: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(f"FAIL {problem}")
    if not problems:
        print("ok   the counts and a sample are right" + ("; nothing was written" if args.dry_run else ""))
    return 1 if problems else 0
