"""The command line. It only parses and calls. `chat` and the help texts need no package of the server."""

import argparse
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from fsharechat import __version__
from fsharechat.arguments import CommandParser
from fsharechat.role import role_names

DEFAULT_SETTINGS_FILE = Path("settings.toml")
_OWN_FLAGS = ("chat", "admin", "status", "robot", "import-config", "import-data", "backup", "restore")
"""Commands that come first, with their own flags behind them."""
_COMMANDS = ("check", "migrate", "fence", "settings", *_OWN_FLAGS)
COMMANDS = """commands:
  (none)    run the server
  check     read the settings and check every service that they name; nothing is changed
  migrate   bring the tables of the store up to date, as the server does at its start
  fence     close the store to older versions, at the end of an upgrade
  status    all processes of the deployment at a glance; see fsharechat status --help
  settings  print a settings file: every key with its default and meaning
  chat      a chat client for the terminal; see fsharechat chat --help
  robot     an agent to try a robot with: it repeats what it hears; see fsharechat robot --help
  admin     users, groups, sensitive words, sessions; see fsharechat admin --help
  import-config, import-data
            the settings and the data of the original server; see --help of each
  backup, restore
            copy the embedded store and the media while the server runs, and put them back; see --help of each

exit codes: 0 fine, 1 cannot start or a check failed, 2 wrong flags or settings
"""
INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""
_OWN = ("fsharechat", "roles")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code (see COMMANDS)."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # before the server handles signals: it loads its parts
        return INTERRUPTED


def _main(argv: list[str]) -> int:
    if argv[:1] == ["chat"]:
        from fsharechat.client import terminal

        return terminal.main(argv[1:])
    if argv[:1] == ["robot"]:
        from fsharechat import robot

        return robot.main(argv[1:])
    try:
        return _run(argv)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", *_OWN):
            raise
        print(
            f"fsharechat: this command needs the packages of the server, and {missing} is missing: "
            'pip install "fsharechat[server]"',
            file=sys.stderr,
        )
        return 1


def _run(argv: list[str]) -> int:
    if argv[:1] in (["admin"], ["status"]):
        from fsharechat.admin import command_line

        return command_line.main(argv[1:], _settings_file, status=argv[0] == "status")
    if argv[:1] in (["import-config"], ["import-data"]):
        from fsharechat.moving import command_line as moving

        return moving.main(argv, _settings_file)
    if argv[:1] in (["backup"], ["restore"]):
        from fsharechat.backup import command_line as backup

        return backup.main(argv, _settings_file)
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command in _OWN_FLAGS:
        parser.error(f"{args.command} must come first, and its flags after it")
    if args.command not in (None, *_COMMANDS):
        parser.error(f"there is no command {args.command!r}; it is one of {', '.join(_COMMANDS)}")
    if args.command == "settings":
        # As bytes: the console may not support all characters.
        sys.stdout.buffer.write((files("fsharechat") / "settings.toml").read_bytes())
        return 0
    from fsharechat import commands

    return commands.run(args, _settings_file(args.settings))


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="fsharechat",
        description="The FshareChat instant-messaging server.",
        epilog=COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", metavar=" | ".join(_COMMANDS), help="see below")
    parser.add_argument("--roles", metavar="A,B", help=f"the roles to run, of {','.join(role_names())}")
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="the settings file; ./settings.toml if it exists"
    )
    parser.add_argument("--data", metavar="DIR", help="the folder that keeps the data")
    parser.add_argument(
        "--workers", metavar="N", help="how many processes hold the connections; 0: this process"
    )
    parser.add_argument(
        "--dev",
        action="store_true",
        help="for development: a super code, a key for the back office, a readable log",
    )
    parser.add_argument("--version", action="version", version=f"fsharechat {__version__}")
    return parser


def _settings_file(given: Path | None) -> Path | None:
    if given is None and DEFAULT_SETTINGS_FILE.is_file():
        return DEFAULT_SETTINGS_FILE
    return given
