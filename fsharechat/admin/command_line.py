"""The command line of `fsharechat admin`. It only parses, asks and prints."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson

from fsharechat import urls
from fsharechat.admin import commands, key_file, personal
from fsharechat.admin.commands import CommandOutput, Usage
from fsharechat.admin.office import AdminApi, OfficeError
from fsharechat.arguments import CommandParser, address
from fsharechat.errors import StartError
from fsharechat.settings import Settings, SettingsError, load
from fsharechat.urls import joined

Command = Callable[[AdminApi, argparse.Namespace], Awaitable[CommandOutput]]

_WHICH_KEY = """The key is [api] key of the settings file, or FSHARECHAT_API__KEY. Without them it is the key
that a server with --dev has made in its data folder.
"""
STATUS_CODES = f"""{_WHICH_KEY}
exit codes: 0 all processes serve, 1 one does not, or the server refused or cannot be reached,
            2 wrong flags or settings
"""
EXIT_CODES = f"""{_WHICH_KEY}
exit codes: 0 done, 1 the server refused or cannot be reached, or a push did not reach every number,
            2 wrong flags or settings
"""
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def main(
    argv: list[str], settings_file: Callable[[Path | None], Path | None], *, status: bool = False
) -> int:
    """Carry out a command, and return the exit code. `settings_file` returns the file for the value of --settings.

    With `status` it is `fsharechat status`, which has no commands.
    """
    parser = _status_parser() if status else _parser()
    args = parser.parse_args(argv)
    try:
        settings = load(settings_file(args.settings), {"data": args.data}, os.environ)
        url = args.url or _url(settings)
        done = asyncio.run(_carry_out(args.run, args, url, _key(settings)))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except Usage as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except OfficeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    print(orjson.dumps(done.result, option=orjson.OPT_INDENT_2).decode() if args.json else done.text)
    return 0 if done.good else 1


async def _carry_out(run: Command, args: argparse.Namespace, url: str, key: str) -> CommandOutput:
    async with AdminApi(url, key) as office:
        return await run(office, args)


def _url(settings: Settings) -> str:
    """Return the address of the api role of these settings. Raises Usage."""
    if not settings.api.port:
        raise Usage("with [api] port = 0 the server chooses a free port: give its address by --url")
    host = _ANYWHERE.get(settings.api.host, settings.api.host)
    return f"http://{joined(host, settings.api.port)}"


def _key(settings: Settings) -> str:
    """Return the key of the settings, or else the one that `--dev` made. Raises Usage."""
    folder = settings.data_path()
    try:
        key = settings.api.key or key_file.key_of(folder)
    except StartError as error:
        raise Usage(str(error)) from error
    if not key:
        raise Usage(
            "no key: set [api] key in the settings file, or FSHARECHAT_API__KEY; or name the data folder of a "
            f"server that runs with --dev by --data (there is none in {folder})"
        )
    return key


def _status_parser() -> CommandParser:
    parser = CommandParser(
        prog="fsharechat status",
        description="Show the processes of a deployment, their health, and warnings.",
        epilog=STATUS_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=commands.list_processes, url=None, settings=None, data=None, json=False)
    _add_shared(parser)
    return parser


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="fsharechat admin",
        description="Administer a server: users, groups, sensitive words, robots, sessions, messages to users.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(url=None, settings=None, data=None, json=False)
    _add_shared(parser)
    subjects = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_users(subjects.add_parser("users", help="make, show, list, mute, block users"))
    _add_groups(subjects.add_parser("groups", help="list, show, dismiss groups"))
    _add_words(subjects.add_parser("words", help="list, add, remove sensitive words"))
    _add_accounts(subjects.add_parser("accounts", help="named administrators, for the page at /admin"))
    _add_audit(
        _command(subjects, "audit", commands.list_audit, "show what administrators did, the newest first")
    )
    _command(subjects, "processes", commands.list_processes, "show the processes and their health")
    shown = _command(
        subjects, "settings", commands.list_settings, "show the settings in force, without secrets"
    )
    shown.add_argument("--search", default="", metavar="TEXT", help="a part of a key")
    _add_robots(subjects.add_parser("robots", help="make, show, list, change, remove robots"))

    reports = subjects.add_parser("reports", help="list, close what users have reported")
    _add_reports(reports)
    _add_bots(subjects.add_parser("bots", help="make, list, end bots that log in by a token"))

    _add_invitations(subjects.add_parser("invitations", help="make, list, end invitations of new users"))

    sessions = _command(
        subjects, "sessions", commands.sessions, "show the devices of a user, or count all online"
    )
    sessions.add_argument("user", nargs="?", help="uid or number")

    kick = _command(
        subjects, "kick", commands.kick, "disconnect a device of a user, or all, and log them out"
    )
    kick.add_argument("user", help="uid or number")
    kick.add_argument("--client", metavar="ID", help="the client id of the device; without it, all devices")
    kick.add_argument(
        "--keep-login", action="store_true", help="let the devices come back without a new login"
    )

    push = _command(subjects, "push", commands.push, "send a message to numbers or groups")
    push.add_argument("number", nargs="*", help="mobile number or e-mail address")
    push.add_argument("--file", type=Path, help="a file of numbers, one a line; of ids with --groups")
    push.add_argument("--groups", action="store_true", help="the arguments are ids of groups")
    push.add_argument(
        "--sender",
        default="",
        metavar="UID",
        help="a robot or bot that is in the groups; without it, SystemNotification sends",
    )
    push.add_argument("--text", help="what it says")
    push.add_argument("--content", metavar="JSON", help='any content: {"type": 3, "remoteMediaUrl": ...}')
    push.add_argument(
        "--message-id",
        default="",
        metavar="ID",
        help="an id of your own; a message with the same id is not sent twice",
    )
    return parser


def _add_shared(parser: CommandParser) -> None:
    """Add the flags that may stand before or after a command."""
    shared = parser.add_argument_group("where and how")
    unset = argparse.SUPPRESS
    shared.add_argument(
        "--url",
        type=address(urls.HTTP),
        default=unset,
        help="the server's HTTP address; by default [api] host and port of the settings",
    )
    shared.add_argument(
        "--settings",
        type=Path,
        default=unset,
        metavar="FILE",
        help="the settings file; ./settings.toml if it exists",
    )
    shared.add_argument(
        "--data",
        default=unset,
        metavar="DIR",
        help="the data folder of a server that runs with --dev, for its key; ./data",
    )
    shared.add_argument("--json", action="store_true", default=unset, help="print the answer as JSON")


def _command(
    parsers: "argparse._SubParsersAction[CommandParser]", name: str, run: Command, help: str
) -> CommandParser:
    parser = parsers.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    parser.set_defaults(run=run)
    _add_shared(parser)
    return parser


def _add_users(parser: CommandParser) -> None:
    users = parser.add_subparsers(required=True, metavar="COMMAND")
    create = _command(users, "create", commands.create_user, "make a user who logs in with the number")
    create.add_argument("number", help="mobile number or e-mail address")
    create.add_argument("--name", default="", help="the display name")
    get = _command(users, "get", commands.get_user, "show a user")
    get.add_argument("user", help="uid or number")
    listed = _command(users, "list", commands.list_users, "list users")
    listed.add_argument("--search", default="", metavar="TEXT", help="a uid, a part of a number or of a name")
    listed.add_argument("--status", default="", choices=("normal", "muted", "blocked"))
    _add_paging(listed)
    exported = _command(
        users, "export", personal.export_user, "write all that is stored about a user into a folder"
    )
    exported.add_argument("user", help="uid or number")
    exported.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    deleted = _command(users, "delete", personal.delete_user, "delete a user for good: name, texts and files")
    deleted.add_argument("user", help="uid or number")
    deleted.add_argument("--yes", action="store_true", help="yes, it cannot be undone")
    number = _command(users, "number", commands.set_number, "give a user another number to log in with")
    number.add_argument("user", help="uid or number")
    number.add_argument("number", help="mobile number or e-mail address")
    code = _command(users, "code", commands.make_code, "make a login code, which you tell the user")
    code.add_argument("user", help="uid or number")
    bound = _command(users, "accounts", commands.list_bound, "show the company accounts that lead to a user")
    bound.add_argument("user", help="uid or number")
    unbind = _command(users, "unbind", commands.unbind, "take a company account from a user")
    unbind.add_argument("user", help="uid or number")
    unbind.add_argument("account", help="its id, which `accounts` shows")
    for name, status, what in (
        ("block", "blocked", "lock a user out, at once and everywhere"),
        ("mute", "muted", "keep a user from sending"),
        ("unblock", "normal", "set a blocked or muted user back to normal"),
    ):
        change = _command(users, name, commands.set_status, what)
        change.add_argument("user", help="uid or number")
        change.set_defaults(status=status)
    for name, robot, what in (
        ("robot", True, "make a user a robot: a program that logs in, and streams its answers"),
        ("person", False, "make such a user a person again"),
    ):
        change = _command(users, name, commands.set_robot, what)
        change.add_argument("user", help="uid or number")
        change.set_defaults(robot=robot)


def _add_accounts(parser: CommandParser) -> None:
    accounts = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_paging(_command(accounts, "list", commands.list_accounts, "list the administrators"))
    roles = "read: sees everything; people: changes users and groups too; all: everything"
    add = _command(accounts, "add", commands.add_account, "make an administrator")
    add.add_argument("name")
    add.add_argument("--role", default="read", choices=("read", "people", "all"), help=roles)
    role = _command(accounts, "role", commands.set_role, "give an administrator another role")
    role.add_argument("name")
    role.add_argument("role", choices=("read", "people", "all"), help=roles)
    password = _command(
        accounts,
        "password",
        commands.set_password,
        "give an administrator another password; all sessions end",
    )
    password.add_argument("name")
    for one in (add, password):
        one.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from standard input; else it is asked for",
        )
    remove = _command(
        accounts, "remove", commands.remove_account, "remove an administrator, and end all sessions"
    )
    remove.add_argument("name")


def _add_audit(parser: CommandParser) -> None:
    parser.add_argument(
        "--actor", default="", metavar="NAME", help="only of an administrator, key or command"
    )
    parser.add_argument("--op", default="", metavar="NAME", help="only one operation, such as users.status")
    parser.add_argument(
        "--target", default="", metavar="ID", help="only about a uid, a group or an administrator"
    )
    _add_paging(parser)


def _add_groups(parser: CommandParser) -> None:
    groups = parser.add_subparsers(required=True, metavar="COMMAND")
    listed = _command(groups, "list", commands.list_groups, "list groups")
    listed.add_argument(
        "--search", default="", metavar="TEXT", help="an id, an owner's uid, a part of a name"
    )
    _add_paging(listed)
    for name, run, what in (
        ("get", commands.get_group, "show a group and its members"),
        ("dismiss", commands.dismiss_group, "dismiss a group, as its owner would"),
    ):
        _command(groups, name, run, what).add_argument("group", help="the id of the group")
    for name, run, kind, what in (
        ("silence", commands.set_member, "silenced", "keep a member from writing in a group"),
        ("unsilence", commands.set_member, "normal", "let a silenced member write again"),
        ("owner", commands.hand_over, "", "hand a group over to another member"),
    ):
        change = _command(groups, name, run, what)
        change.add_argument("group", help="the id of the group")
        change.add_argument("member", help="the uid of the member")
        change.set_defaults(type=kind)


def _add_robots(parser: CommandParser) -> None:
    robots = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_paging(_command(robots, "list", commands.list_robots, "list the robots"))
    create = _command(robots, "create", commands.create_robot, "make a robot")
    create.add_argument("uid", help="the uid of the user that is made")
    change = _command(robots, "change", commands.change_robot, "change a robot; what is not given stays")
    change.add_argument("robot", metavar="uid")
    for parser, needed in ((create, True), (change, False)):
        parser.add_argument("--name", required=needed, help="the display name")
        parser.add_argument("--agent", required=needed, metavar="URL", help="the address of its agent")
        parser.add_argument(
            "--kind", choices=("stream", "ask", "openai"), help="how the agent is asked; stream"
        )
        parser.add_argument("--model", help="the model of an agent of the kind openai")
        parser.add_argument(
            "--system", metavar="TEXT", help="a text that such an agent gets before all questions"
        )
        parser.add_argument(
            "--exchanges", type=int, metavar="N", help="how many earlier questions and answers it gets; 3"
        )
        parser.add_argument("--portrait", metavar="URL", help="the address of its picture")
        parser.add_argument(
            "--key-file", type=Path, metavar="FILE", help="a file with the agent's key; - reads it from stdin"
        )
    for name, run, what in (
        ("get", commands.get_robot, "show a robot"),
        ("remove", commands.remove_robot, "take a robot's agent away; its user stays"),
    ):
        _command(robots, name, run, what).add_argument("robot", metavar="uid")


def _add_words(parser: CommandParser) -> None:
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_paging(_command(words, "list", commands.list_words, "list the sensitive words"))
    for name, run, what in (
        ("add", commands.add_words, "refuse messages with these words"),
        ("remove", commands.remove_words, "allow these words again"),
    ):
        change = _command(words, name, run, what)
        change.add_argument("word", nargs="*")
        change.add_argument(
            "--file", type=Path, help="a file of words, one a line; lines with # are comments"
        )


def _add_bots(parser: CommandParser) -> None:
    bots = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_paging(_command(bots, "list", commands.list_bots, "list the bots"))
    for name, run, what in (
        ("create", commands.create_bot, "make a bot, and print its token, which is shown only once"),
        ("revoke", commands.revoke_bot, "take the token of a bot back, and disconnect it"),
    ):
        _command(bots, name, run, what).add_argument("name", help="the name of the bot")


def _add_invitations(parser: CommandParser) -> None:
    invitations = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_paging(_command(invitations, "list", commands.list_invitations, "list the invitations"))
    create = _command(
        invitations,
        "create",
        commands.create_invitation,
        "invite somebody; without a number, print a code that lets its bearers in",
    )
    create.add_argument(
        "invitee", nargs="?", default="", help='mobile number, e-mail address, or domain ("@example.org")'
    )
    create.add_argument("--count", type=int, default=1, metavar="N", help="how many new users it makes; 1")
    create.add_argument("--days", type=int, default=7, metavar="N", help="how many days it is good; 7")
    revoke = _command(invitations, "revoke", commands.revoke_invitation, "end an invitation at once")
    revoke.add_argument("invitation", help="the id of the invitation")


def _add_reports(parser: CommandParser) -> None:
    reports = parser.add_subparsers(required=True, metavar="COMMAND")
    listed = _command(reports, "list", commands.list_reports, "list the open reports of abuse")
    listed.add_argument("--user", default="", metavar="UID", help="only reports by or about this user")
    listed.add_argument("--newest", action="store_true", help="the newest first")
    _add_paging(listed)
    close = _command(reports, "close", commands.close_report, "delete a report that is dealt with")
    close.add_argument("report", help="the id of the report")


def _add_paging(parser: CommandParser) -> None:
    parser.add_argument("--all", action="store_true", help="the whole list, not only its first page")
    parser.add_argument("--after", default="", metavar="NEXT", help="the entries after this one")
