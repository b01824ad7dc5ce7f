"""The commands of `fsharechat admin`: their requests, and the display of the answers."""

import getpass
import sys
import unicodedata
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson

from fsharechat.admin.office import AdminApi


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], none: str = "") -> str:
    """Return rows in columns, below a line of heads, or `none` if there are no rows."""
    if not rows and none:
        return none
    lines = [list(heads), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def shown(value: object) -> str:
    """Return a value as one line that cannot control the terminal."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(sign if sign.isprintable() else "�" for sign in str(value))


def moment(ms: int | None) -> str:
    """Return a time in ms since the Unix epoch as local time."""
    return "" if ms is None else datetime.fromtimestamp(ms / 1000).strftime("%Y-%m-%d %H:%M:%S")


def _width(text: str) -> int:
    """Return the columns that a text takes: Chinese characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


WORDS_AT_ONCE = 3000
MOBILES_AT_ONCE = 1000
GROUPS_AT_ONCE = 100

T = TypeVar("T")


class CommandOutput:
    """The output of a command: for people, and (`--json`) for programs. `good` decides the exit code."""

    def __init__(self, result: object, text: str, *, good: bool = True) -> None:
        self.result = result
        self.text = text
        self.good = good


class Usage(Exception):
    """The command line is not valid."""


# Users


async def create_user(office: AdminApi, args: Namespace) -> CommandOutput:
    body = {"number": args.number, "displayName": args.name}
    return await _one(office, _users, "POST", "users", body=body)


async def get_user(office: AdminApi, args: Namespace) -> CommandOutput:
    user = await office.ask("GET", "admin", "users", args.user)
    rows = [(name, moment(value) if name == "updateDt" else value) for name, value in user.items()]
    return CommandOutput(user, table(("field", "value"), rows))


async def list_users(office: AdminApi, args: Namespace) -> CommandOutput:
    query = {"search": args.search, "status": args.status, "after": args.after}
    return await _list(office, args, "users", query, _users)


async def set_status(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _users, "PUT", "users", args.user, "status", body={"status": args.status})


async def set_robot(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _users, "PUT", "users", args.user, "robot", body={"robot": args.robot})


async def set_number(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _users, "PUT", "users", args.user, "number", body={"number": args.number})


async def make_code(office: AdminApi, args: Namespace) -> CommandOutput:
    made = await office.ask("POST", "admin", "users", args.user, "code")
    row = (made["number"], made["code"], moment(made["expiresAt"]))
    return CommandOutput(made, table(("number", "code", "good until"), [row]))


async def list_bound(office: AdminApi, args: Namespace) -> CommandOutput:
    return _bound(await office.ask("GET", "admin", "users", args.user, "accounts"))


async def unbind(office: AdminApi, args: Namespace) -> CommandOutput:
    return _bound(await office.ask("DELETE", "admin", "users", args.user, "accounts", args.account))


def _bound(found: dict[str, Any]) -> CommandOutput:
    rows = [(one["id"], one["issuer"], one["subject"], moment(one["boundAt"])) for one in found["accounts"]]
    heads = ("id", "issuer", "subject", "bound at")
    return CommandOutput(found, table(heads, rows, "no company account leads to this user"))


def _users(users: Sequence[dict[str, Any]]) -> str:
    rows = [(user["uid"], user["number"], user["displayName"], user["status"]) for user in users]
    return table(("uid", "number", "display name", "status"), rows, "no users found")


# Groups


async def list_groups(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _list(office, args, "groups", {"search": args.search, "after": args.after}, _groups)


async def get_group(office: AdminApi, args: Namespace) -> CommandOutput:
    group: dict[str, Any] = {}
    query = {"limit": "500"}
    async for page in office.pages("admin", "groups", args.group, query=query, whole=True):
        group = {**page, "members": [*group.get("members", []), *page["members"]]}
    rows = [
        (one["uid"], one["displayName"], one["alias"], one["type"], moment(one["joinedAt"]))
        for one in group["members"]
    ]
    members = table(("uid", "display name", "alias", "type", "member since"), rows, "it has no members")
    return CommandOutput(group, f"{_groups([group])}\n\n{members}")


async def set_member(office: AdminApi, args: Namespace) -> CommandOutput:
    path = ("groups", args.group, "members", args.member)
    return await _one(office, _groups, "PUT", *path, body={"type": args.type})


async def hand_over(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _groups, "PUT", "groups", args.group, "owner", body={"owner": args.member})


async def dismiss_group(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _groups, "DELETE", "groups", args.group)


def _groups(groups: Sequence[dict[str, Any]]) -> str:
    rows = [
        (one["id"], one["name"], one["owner"], one["type"], one["memberCount"], one["dismissed"])
        for one in groups
    ]
    return table(("id", "name", "owner", "type", "members", "dismissed"), rows, "no groups found")


# Words


async def list_words(office: AdminApi, args: Namespace) -> CommandOutput:
    query = {"limit": "1000", "after": args.after}
    words, page = await _pages(office, "words", query, "words", whole=args.all)
    none = f"no words after {shown(args.after)}" if page["total"] else "there are no sensitive words"
    text = "\n".join([*map(shown, words), _more(page, f"of {page['total']} words")]) if words else none
    return CommandOutput({"words": words, "total": page["total"], "next": page["next"]}, text.strip())


async def add_words(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _change_words(office, args, "added", "words")


async def remove_words(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _change_words(office, args, "removed", "words", "remove")


async def _change_words(office: AdminApi, args: Namespace, done: str, *path: str) -> CommandOutput:
    count = 0
    for part in _parts(_texts(args.word, args.file, "a word"), WORDS_AT_ONCE):
        count += (await office.ask("POST", "admin", *path, body={"words": part}))[done]
    return CommandOutput({done: count}, f"{count} {done}")


# Named administrators, and what they did


async def list_accounts(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _list(office, args, "accounts", {"after": args.after}, _accounts)


async def add_account(office: AdminApi, args: Namespace) -> CommandOutput:
    body = {"name": args.name, "role": args.role, "password": _password(args)}
    return await _one(office, _accounts, "POST", "accounts", body=body)


async def set_role(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _accounts, "PUT", "accounts", args.name, "role", body={"role": args.role})


async def set_password(office: AdminApi, args: Namespace) -> CommandOutput:
    body = {"password": _password(args)}
    return await _one(office, _accounts, "PUT", "accounts", args.name, "password", body=body)


async def remove_account(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _accounts, "DELETE", "accounts", args.name)


async def list_audit(office: AdminApi, args: Namespace) -> CommandOutput:
    query = {"actor": args.actor, "op": args.op, "target": args.target, "after": args.after}
    return await _list(office, args, "audit", query, _audit, key="entries")


def _audit(entries: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            moment(one["at"]),
            one["actor"],
            one["op"],
            one["target"],
            one["status"],
            one["address"],
            orjson.dumps(one["details"]).decode(),
        )
        for one in entries
    ]
    heads = ("when", "who", "what", "on whom", "status", "from", "details")
    return table(heads, rows, "no entries found")


def _password(args: Namespace) -> str:
    """Return the password from standard input, or from who sits there, typed twice. Raises Usage."""
    if args.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise Usage("the passwords differ")
    return password


def _accounts(accounts: Sequence[dict[str, Any]]) -> str:
    rows = [(one["name"], one["role"], moment(one["madeAt"])) for one in accounts]
    return table(("name", "role", "made"), rows, "there are no named administrators")


# The server


_OF_PROCESSES = (
    ("devices", "devices_online", 1, "{:.0f}"),
    ("messages/s", "store_messages_per_second", 1, "{:.1f}"),
    ("requests/s", "requests_per_second", 1, "{:.1f}"),
    ("commit ms", "commit_seconds_p99", 1000, "{:g}"),
    ("ack ms", "ack_seconds_p99", 1000, "{:g}"),
    ("delivery ms", "delivery_seconds_p99", 1000, "{:g}"),
    ("queue", "store_queue", 1, "{:.0f}"),
    ("bus lag ms", "bus_lag_seconds_p99", 1000, "{:g}"),
    ("calls", "media_rooms", 1, "{:.0f}"),
)
"""The columns that are metrics: head, name, factor and form. A process without the metric has none. Times are those
that 99 of 100 did not exceed in the last minute; messages and requests are those of the last minute.
"""


async def list_processes(office: AdminApi, args: Namespace) -> CommandOutput:
    found = await office.ask("GET", "admin", "processes")
    processes = found["processes"]
    rows = [
        (
            one["name"],
            ",".join(
                f"{role}:{one['leases'][role]}" if role in one["leases"] else role for role in one["roles"]
            ),
            one["version"],
            next(
                (one["addresses"][kind] for kind in ("tcp", "http", "media") if kind in one["addresses"]), ""
            ),
            moment(one["startedAt"]),
            *(
                form.format(one["metrics"][name] * factor) if name in one["metrics"] else ""
                for _, name, factor, form in _OF_PROCESSES
            ),
            "; ".join(f"{part}: {state}" for part, state in one["health"].items() if state != "ok") or "ok",
        )
        for one in processes
    ]
    heads = ("process", "roles", "version", "address", "up since")
    shown_metrics = tuple(head for head, *_ in _OF_PROCESSES)
    warnings = [shown(text) for text in found["warnings"]]
    said = "\n".join(f"! {text}" for text in warnings) if warnings else "no warnings"
    return CommandOutput(
        found,
        f"{table((*heads, *shown_metrics, 'health'), rows)}\n\n{said}",
        good=all(one["serves"] for one in processes),
    )


async def list_settings(office: AdminApi, args: Namespace) -> CommandOutput:
    query = {"search": args.search, "limit": "500"}
    found, _ = await _pages(office, "settings", query, "settings", whole=True)
    rows = [(one["key"], one["value"], one["isDefault"]) for one in found]
    return CommandOutput({"settings": found}, table(("key", "value", "default"), rows, "no settings found"))


# Robots

_OF_ROBOTS = ("name", "agent", "kind", "model", "system", "exchanges", "portrait")


async def list_robots(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _list(office, args, "robots", {"after": args.after}, _robots)


async def get_robot(office: AdminApi, args: Namespace) -> CommandOutput:
    robot = await office.ask("GET", "admin", "robots", args.robot)
    return CommandOutput(robot, table(("", "value"), sorted(robot.items())))


async def create_robot(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _robots, "POST", "robots", body={"uid": args.uid, **_of_robot(args)})


async def change_robot(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _robots, "PUT", "robots", args.robot, body=_of_robot(args))


async def remove_robot(office: AdminApi, args: Namespace) -> CommandOutput:
    removed = await office.ask("DELETE", "admin", "robots", args.robot)
    return CommandOutput(removed, "removed" if removed["removed"] else "there was no such robot")


def _of_robot(args: Namespace) -> dict[str, object]:
    given = {name: getattr(args, name) for name in _OF_ROBOTS if getattr(args, name) is not None}
    if args.key_file is not None:
        given["key"] = _secret(args.key_file)
    return given


def _secret(file: Path) -> str:
    """Return what is in a file, or on stdin. Flags would show it to everybody who lists processes."""
    try:
        return (sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")).strip()
    except OSError as error:
        raise Usage(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Usage(f"{file}: is not UTF-8") from None


def _robots(robots: Sequence[dict[str, Any]]) -> str:
    rows = [
        (one["uid"], one["name"], one["kind"], one["agent"], one["hasKey"], one["fixed"]) for one in robots
    ]
    return table(("uid", "name", "kind", "agent", "key", "in settings"), rows, "there are no robots")


# Sessions


async def sessions(office: AdminApi, args: Namespace) -> CommandOutput:
    if args.user is None:
        count = await office.ask("GET", "admin", "sessions")
        if not count["devices"]:
            return CommandOutput(count, "no device is online")
        nodes = table(("node", "devices"), [(one["node"], one["devices"]) for one in count["nodes"]])
        online = f"{_counted(count['devices'], 'device')} of {_counted(count['users'], 'user')}"
        return CommandOutput(count, f"online: {online}\n\n{nodes}")
    devices = await office.ask("GET", "admin", "users", args.user, "sessions")
    rows = [
        (one["clientId"], one["online"], one["node"], moment(one["since"]), moment(one["loggedInAt"]))
        for one in devices["sessions"]
    ]
    heads = ("client id", "online", "node", "connected since", "logged in")
    return CommandOutput(devices, table(heads, rows, "no device is online or logged in"))


async def kick(office: AdminApi, args: Namespace) -> CommandOutput:
    path = ["admin", "users", args.user, "sessions", *([args.client] if args.client else [])]
    query = {"logout": "false" if args.keep_login else "true"}
    ended = await office.ask("DELETE", *path, query=query)
    rows = [
        (client, client in ended["disconnected"], client in ended["loggedOut"])
        for client in sorted({*ended["disconnected"], *ended["loggedOut"]})
    ]
    heads = ("client id", "disconnected", "logged out")
    return CommandOutput(ended, table(heads, rows, "no device was online or logged in"))


# Bots


async def create_bot(office: AdminApi, args: Namespace) -> CommandOutput:
    bot = await office.ask("POST", "admin", "bots", body={"name": args.name})
    return CommandOutput(bot, f"{bot['token']}")


async def list_bots(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _list(office, args, "bots", {"after": args.after}, _bots)


async def revoke_bot(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _bots, "DELETE", "bots", args.name)


def _bots(bots: Sequence[dict[str, Any]]) -> str:
    rows = [(bot["name"], bot["uid"], bot["active"], moment(bot["createdAt"])) for bot in bots]
    return table(("name", "uid", "token is good", "token made"), rows, "no bots found")


# Invitations


async def create_invitation(office: AdminApi, args: Namespace) -> CommandOutput:
    body = {"invitee": args.invitee, "count": args.count, "days": args.days}
    made = await office.ask("POST", "admin", "invitations", body=body)
    return CommandOutput(made, made["code"] or _invitations([made]))


async def list_invitations(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _list(office, args, "invitations", {"after": args.after}, _invitations)


async def revoke_invitation(office: AdminApi, args: Namespace) -> CommandOutput:
    return await _one(office, _invitations, "DELETE", "invitations", args.invitation)


def _invitations(found: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            one["id"],
            one["invitee"] or "who has the code",
            f"{one['used']}/{one['count']}",
            one["good"],
            moment(one["expiresAt"]),
        )
        for one in found
    ]
    return table(("id", "for", "used", "is good", "until"), rows, "there are no invitations")


# Reports of abuse


async def list_reports(office: AdminApi, args: Namespace) -> CommandOutput:
    query = {"user": args.user, "order": "desc" if args.newest else "", "after": args.after}
    return await _list(office, args, "reports", query, _reports)


async def close_report(office: AdminApi, args: Namespace) -> CommandOutput:
    closed = await office.ask("DELETE", "admin", "reports", args.report)
    return CommandOutput(closed, "closed")


def _reports(reports: Sequence[dict[str, Any]]) -> str:
    rows = [
        (one["id"], moment(one["createdAt"]), one["reporter"], one["uid"], one["reason"], one["text"])
        for one in reports
    ]
    return table(("id", "reported", "by", "whom", "reason", "message"), rows, "no reports")


# The open API


async def push(office: AdminApi, args: Namespace) -> CommandOutput:
    if (args.text is None) == (args.content is None):
        raise Usage("give either --text or --content")
    content: object = {"type": 1, "searchableContent": args.text}
    if args.content is not None:
        try:
            content = orjson.loads(args.content)
        except orjson.JSONDecodeError:
            raise Usage(
                '--content is not a JSON object such as {"type": 1, "searchableContent": "hello"}'
            ) from None
    message = {"content": content, "messageId": args.message_id}
    if args.sender and not args.groups:
        raise Usage("--sender is for --groups: to numbers SystemNotification sends")
    push_to = _push_to_groups if args.groups else _push_to_numbers
    return await push_to(office, args, message)


async def _push_to_numbers(office: AdminApi, args: Namespace, message: object) -> CommandOutput:
    outcomes: list[dict[str, Any]] = []
    for mobiles in _parts(_texts(args.number, args.file, "a number"), MOBILES_AT_ONCE):
        body = {"mobiles": mobiles, "content": message}
        outcomes += await office.ask("POST", "imopenapi", "pushNotificationByMobile", body=body)
    said = {200: "sent", 400: "no mobile number or e-mail address", 404: "nobody has it", 503: "not stored"}
    return _pushed(outcomes, ("number", "mobile"), said)


async def _push_to_groups(office: AdminApi, args: Namespace, message: object) -> CommandOutput:
    outcomes: list[dict[str, Any]] = []
    for groups in _parts(_texts(args.number, args.file, "the id of a group"), GROUPS_AT_ONCE):
        body = {"groups": groups, "sender": args.sender, "content": message}
        outcomes += await office.ask("POST", "imopenapi", "pushNotificationByGroup", body=body)
    said = {200: "sent", 403: "the sender may not", 404: "there is none", 503: "not stored"}
    return _pushed(outcomes, ("group", "group"), said)


def _pushed(outcomes: list[dict[str, Any]], to: tuple[str, str], said: dict[int, str]) -> CommandOutput:
    """Return the table of a push. `to` is the head and the field of the first column."""
    head, field = to
    rows = [(one[field], said.get(one["code"], one["code"]), one["messageId"]) for one in outcomes]
    good = all(one["code"] == 200 for one in outcomes)
    return CommandOutput(outcomes, table((head, "outcome", "message id"), rows), good=good)


# Shared by all commands


Rows = Callable[[Sequence[dict[str, Any]]], str]
"""Makes the table of a list."""


async def _one(office: AdminApi, rows: Rows, method: str, *path: str, body: object = None) -> CommandOutput:
    """Ask for something that is done with one thing, and show that thing as in the list of all."""
    one = await office.ask(method, "admin", *path, body=body)
    return CommandOutput(one, rows([one]))


async def _list(
    office: AdminApi, args: Namespace, what: str, query: dict[str, str], rows: Rows, key: str = ""
) -> CommandOutput:
    """List the entries at the path `what`, which are below `key` in the answer, or else below `what`."""
    key = key or what
    found, page = await _pages(office, what, {**query, "limit": "200"}, key, whole=args.all)
    text = f"{rows(found)}\n{_more(page, 'of them')}".rstrip()
    return CommandOutput({key: found, "next": page["next"]}, text)


async def _pages(
    office: AdminApi, what: str, query: dict[str, str], key: str, *, whole: bool
) -> tuple[list[Any], dict[str, Any]]:
    """Return the entries of a list, only those of its first page unless `whole`, and the last page that was read."""
    found: list[Any] = []
    page: dict[str, Any] = {}
    async for page in office.pages("admin", what, query=query, whole=whole):
        found += page[key]
    return found, page


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _more(page: dict[str, Any], whose: str) -> str:
    return f"there are more {whose}: --after {shown(page['next'])}, or --all" if page["next"] else ""


def _texts(given: Sequence[str], file: Path | None, what: str) -> list[str]:
    """Return the arguments and the lines of a file, without empty ones and comments."""
    texts = [*given]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise Usage(f"{file}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Usage(f"{file}: is not UTF-8") from None
        texts += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not texts:
        raise Usage(f"give {what}, or a --file of them")
    return texts


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
