"""The command line: the server, and `fsharechat check`, `migrate`, `fence`, `chat`, `admin`. It parses and calls."""

import argparse
import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from fsharechat import __version__, log
from fsharechat.errors import StartError
from fsharechat.settings import Settings, SettingsError, load, role_names, with_super_code

if TYPE_CHECKING:
    from fsharechat.store.migrate import Step

T = TypeVar("T")

DEFAULT_SETTINGS_FILE = Path("settings.toml")
_LOOKS = ("check", "migrate", "fence")
_COMMANDS = (*_LOOKS, "chat", "admin")
COMMANDS = """commands:
  (none)    run the server
  check     read the settings, look at every service they name, say what is wrong; nothing is changed
  migrate   bring the tables of the store up to date, as the server does when it starts
  fence     close the store to older versions: the end of an upgrade
  chat      a chat client for the terminal; see fsharechat chat --help
  admin     users, groups, sensitive words, sessions; see fsharechat admin --help

exit codes: 0 fine, 1 cannot start or a check failed, 2 wrong flags or settings
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code (see COMMANDS)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["chat"]:
        from fsharechat.client import terminal

        return terminal.main(argv[1:])
    if argv[:1] == ["admin"]:
        from fsharechat.admin import command_line

        return command_line.main(argv[1:], _settings_file)
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command in ("chat", "admin"):
        parser.error(f"{args.command} comes first, and its flags behind it: fsharechat {args.command} --help")
    read = partial(load, _settings_file(args.settings), vars(args), os.environ)
    try:
        settings = read()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    log.configure(settings.log)
    if args.command in _LOOKS:
        return _check(args.command, settings)
    if args.dev and not settings.codes.super_code and "group" in settings.node.roles:
        # Other machines reach the server: a code that everybody knows would let in anybody, as anybody.
        settings = with_super_code(settings, secrets.token_hex(8))
        print(f"super code: {settings.codes.super_code}", flush=True)
    return _serve(settings, read)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fsharechat",
        description="The FshareChat instant-messaging server.",
        epilog=COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command", nargs="?", choices=_COMMANDS, metavar=" | ".join(_COMMANDS), help="see below"
    )
    parser.add_argument("--roles", metavar="A,B", help=f"the roles to run, of {','.join(role_names())}")
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="the settings file; ./settings.toml if it exists"
    )
    parser.add_argument("--data", metavar="DIR", help="the folder that keeps the data")
    parser.add_argument("--dev", action="store_true", help="for development: a super code, readable log")
    parser.add_argument("--version", action="version", version=f"fsharechat {__version__}")
    return parser


def _settings_file(given: Path | None) -> Path | None:
    if given is None and DEFAULT_SETTINGS_FILE.is_file():
        return DEFAULT_SETTINGS_FILE
    return given


def _serve(settings: Settings, read: Callable[[], Settings]) -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it runs, and what it would read again is there
    from fsharechat import node

    try:
        return _run(node.run(settings, read))
    except StartError as error:
        print(f"fsharechat: {error}", file=sys.stderr)
        return 1


def _check(command: str, settings: Settings) -> int:
    from fsharechat import check

    match command:
        case "migrate":
            results = [_run(check.migrate(settings, _print_step))]
        case "fence":
            results = [_run(check.close_to_older(settings))]
        case _:
            results = _run(check.check(settings))
    for result in results:
        print(f"{'ok  ' if result.ok else 'FAIL'} {result.name}: {result.detail}")
    return 0 if all(result.ok for result in results) else 1


def _print_step(step: "Step") -> None:
    print(f"{step.number}/{step.of}  {step.revision}  {step.seconds:.1f} s  {step.what}", flush=True)


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
