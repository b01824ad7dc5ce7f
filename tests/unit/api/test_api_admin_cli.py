"""`fsharechat admin` against a server: what it prints, and its exit codes."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web

from fsharechat import __version__, cli
from fsharechat.admin import command_line, commands, key_file
from fsharechat.admin.office import OfficeError
from fsharechat.bus import Presence
from fsharechat.client import Credentials
from fsharechat.store import groups
from fsharechat.store.groups import Info, NewMember
from tests.unit.api.api_kit import KEY, Site
from tests.unit.api.office_kit import Desk

ANN, BEN = "13800000001", "13800000002"


class CommandDone(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[list[str]]:
        """The words of each line."""
        return [line.split() for line in self.out.splitlines()]


Run = Callable[..., Awaitable[CommandDone]]


@pytest.fixture
def environ(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The variables of the command, which names the server and the key."""
    host, _, port = site.node.addresses["http"].removeprefix("http://").rpartition(":")
    variables = {"FSHARECHAT_API__KEY": KEY, "FSHARECHAT_API__PORT": port, "FSHARECHAT_API__HOST": host}
    monkeypatch.setattr(os, "environ", variables)
    monkeypatch.chdir(tmp_path)
    return variables


@pytest.fixture
def run(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    async def run(*arguments: str) -> CommandDone:
        capsys.readouterr()
        code = await asyncio.to_thread(cli.main, ["admin", *arguments])
        return CommandDone(code, *capsys.readouterr())

    return run


async def test_users_are_made_shown_and_changed(run: Run) -> None:
    made = await run("users", "create", ANN, "--name", "安娜")
    assert (made.code, made.lines[0]) == (0, ["uid", "number", "display", "name", "status"])
    uid, *rest = made.lines[1]
    assert rest == [ANN, "安娜", "normal"]
    assert (await run("users", "mute", ANN)).lines[1] == [uid, ANN, "安娜", "muted"]
    assert (await run("users", "block", uid)).lines[1] == [uid, ANN, "安娜", "blocked"]
    listed = await run("users", "list", "--status", "blocked")
    assert [line[0] for line in listed.lines[1:]] == [uid]
    assert (await run("users", "unblock", uid)).lines[1][-1] == "normal"
    for kind in ("robot", "person"):
        assert (await run("users", kind, ANN)).lines[1][0] == uid
        assert ["robot", "yes" if kind == "robot" else "no"] in (await run("users", "get", uid)).lines
    shown = await run("users", "get", ANN, "--json")
    assert json.loads(shown.out)["displayName"] == "安娜"
    assert ["number", ANN] in (await run("users", "get", uid)).lines


async def test_robots_are_made_changed_and_removed(run: Run, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-secret\n")
    given = ("--agent", "http://127.0.0.1:9", "--name", "Helper", "--kind", "ask", "--key-file", str(key))
    made = await run("robots", "create", "helper", *given)
    assert made.code == 0, made.err
    assert made.lines[1] == ["helper", "Helper", "ask", "http://127.0.0.1:9", "yes", "no"]
    assert (await run("robots", "change", "helper", "--name", "Other")).lines[1][1] == "Other"
    shown = await run("robots", "get", "helper")
    assert ["kind", "ask"] in shown.lines
    assert "sk-secret" not in shown.out + (await run("robots", "list", "--json")).out
    assert (await run("robots", "list")).lines[1][0] == "helper"
    assert (await run("robots", "remove", "helper")).out == "removed\n"
    assert (await run("robots", "list")).out == "there are no robots\n"
    refused = await run("robots", "create", "helper", "--agent", "nowhere", "--name", "x")
    assert (refused.code, "agent" in refused.err) == (1, True)
    assert (await run("robots", "change", "helper", "--key-file", str(tmp_path / "none"))).code == 2


async def test_columns_are_as_wide_as_what_is_shown_in_them(run: Run) -> None:
    await run("users", "create", ANN, "--name", "安娜")
    await run("users", "create", BEN, "--name", "Ben")
    heads, *rows = (await run("users", "list")).out.splitlines()
    at = heads.index("status")
    assert sorted(row[at - (2 if "安娜" in row else 0) :] for row in rows) == ["normal", "normal"]


async def test_names_can_do_nothing_to_the_terminal(run: Run) -> None:
    await run("users", "create", ANN, "--name", "\x1b[2J\nevil\u202e")
    out = (await run("users", "list")).out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert len(out.splitlines()) == 2


async def test_long_lists_come_in_pages_or_whole(run: Run, site: Site) -> None:
    numbers = [f"138{n:08}" for n in range(203)]
    desk = Desk(site)
    for number in numbers:
        await desk.user(number)
    first = await run("users", "list")
    assert len(first.lines) == 1 + 200 + 1
    assert first.lines[-1][:3] == ["there", "are", "more"]
    after = json.loads((await run("users", "list", "--json")).out)["next"]
    assert len((await run("users", "list", "--after", after)).lines) == 1 + 3
    assert {line[1] for line in (await run("users", "list", "--all")).lines[1:]} == set(numbers)


async def test_words_come_from_arguments_and_files(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "WORDS_AT_ONCE", 2)
    file = tmp_path / "words.txt"
    file.write_text("# a comment\nsilver\n\n  铅 \r\ntwo words\n")
    added = await run("words", "add", "Gold", "--file", str(file))
    assert (added.code, added.out) == (0, "4 added\n")
    assert (await run("words", "list")).out.split("\n") == ["gold", "silver", "two words", "铅", ""]
    assert (await run("words", "remove", "gold", "lead")).out == "1 removed\n"
    assert json.loads((await run("words", "list", "--json")).out) == {
        "words": ["silver", "two words", "铅"],
        "total": 3,
        "next": "",
    }
    for wrong in (["words", "add"], ["words", "add", "--file", "none"], ["words", "add", "--file", "."]):
        done = await run(*wrong)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("fsharechat admin: ")
    file.write_bytes(b"\xff\xfe")
    assert "UTF-8" in (await run("words", "add", "--file", str(file))).err


async def test_devices_are_shown_counted_and_kicked(run: Run, site: Site) -> None:
    uid = (await site.login(await site.new_code(ANN), ANN, "a phone")).body["result"]["userId"]
    site.node.bus.announce(Presence(uid, "a phone", 5, 1_700_000_000_000))
    shown = await run("sessions", ANN)
    assert shown.lines[1][:4] == ["a", "phone", "yes", "5"]
    counted = await run("sessions")
    assert counted.out.splitlines()[0] == "online: 1 device of 1 user"
    assert counted.lines[-1] == ["5", "1"]
    kept = await run("kick", ANN, "--client", "a phone", "--keep-login")
    assert kept.lines[1] == ["a", "phone", "yes", "no"]
    assert (await run("kick", uid)).lines[1] == ["a", "phone", "yes", "yes"]
    site.node.bus.announce(Presence(uid, "a phone", 5, 1_700_000_000_000, online=False))
    assert (await run("kick", uid)).out == "no device was online or logged in\n"
    assert (await run("sessions", uid)).out == "no device is online or logged in\n"
    unknown = await run("kick", ANN, "--client", "other")
    assert (unknown.code, unknown.out) == (1, "")
    assert "refused (404)" in unknown.err


async def test_groups_are_listed_shown_and_dismissed(run: Run, site: Site) -> None:
    ann = await Desk(site).user(ANN)
    write = site.node.store.write
    await write(groups.create, Info("a/b", "Chess", "", ann, 0, "", 1, False, 7, 7))
    await write(groups.put_members, "a/b", [NewMember(ann, 2)], 5)
    assert (await run("groups", "list", "--search", "hess")).lines[1] == [
        "a/b",
        "Chess",
        ann,
        "normal",
        "1",
        "no",
    ]
    shown = await run("groups", "get", "a/b")
    assert shown.lines[-1][:4] == [ann, ANN[-4:], "-", "owner"]
    assert (await run("groups", "dismiss", "a/b")).lines[1][-1] == "yes"
    again = await run("groups", "dismiss", "a/b")
    assert (again.code, "refused (409)" in again.err) == (1, True)


async def test_where_there_is_nothing_it_says_so(run: Run, site: Site) -> None:
    for arguments, said in (
        (("users", "list"), "no users found"),
        (("users", "list", "--search", "x", "--all"), "no users found"),
        (("groups", "list"), "no groups found"),
        (("words", "list"), "there are no sensitive words"),
        (("sessions",), "no device is online"),
    ):
        done = await run(*arguments)
        assert (done.code, done.out, done.err) == (0, f"{said}\n", "")
        assert json.loads((await run(*arguments, "--json")).out)
    await run("words", "add", "gold")
    assert (await run("words", "list", "--after", "x")).out == "no words after x\n"
    await site.node.store.write(groups.create, Info("g", "Chess", "", "ann", 0, "", 0, False, 7, 7))
    assert (await run("groups", "get", "g")).out.splitlines()[-1] == "it has no members"


async def test_a_push_says_for_each_number_what_became_of_it(run: Run, site: Site, tmp_path: Path) -> None:
    desk = Desk(site)
    ann = await desk.user(ANN)
    done = await run("push", ANN, "--text", "你好", "--message-id", "7")
    assert (done.code, done.lines[1][:2]) == (0, [ANN, "sent"])
    content = '{"type": 3, "remoteMediaUrl": "http://x/y.png"}'
    await run("push", ANN, "--content", content)
    assert [message.content.type for message in await desk.inbox(ann)] == [1, 3]
    file = tmp_path / "numbers"
    file.write_text(f"{BEN}\nx\n")
    partly = await run("push", ANN, "--file", str(file), "--text", "你好", "--message-id", "7", "--json")
    assert (partly.code, [one["code"] for one in json.loads(partly.out)]) == (1, [200, 404, 400])
    assert len(await desk.inbox(ann)) == 2
    for wrong in (["push", ANN], ["push", "--text", "x"], ["push", ANN, "--content", "{"]):
        assert (await run(*wrong)).code == 2


async def test_a_push_to_groups_says_for_each_what_became_of_it(run: Run, site: Site) -> None:
    desk = Desk(site)
    ann, ben = await desk.user(ANN), await desk.user(BEN)
    info = Info("g1", "n", "", ann, 0, "", 0, False, 1, 1)
    await site.node.store.write(groups.create, info)
    await site.node.store.write(groups.put_members, "g1", [NewMember(ann, 2), NewMember(ben, 0)], 1)
    done = await run("push", "--groups", "g1", "nowhere", "--text", "你好", "--message-id", "7", "--json")
    assert (done.code, [one["code"] for one in json.loads(done.out)]) == (1, [200, 404])
    assert [message.content.searchable_content for message in await desk.inbox(ben)] == ["你好"]
    named = await run("push", "--groups", "g1", "--sender", ben, "--text", "x")
    assert (named.code, "the sender may not" in named.out) == (1, True)  # ben is a person
    wrong = await run("push", ANN, "--sender", ben, "--text", "x")
    assert (wrong.code, "--groups" in wrong.err) == (2, True)


async def test_without_a_key_or_a_place_it_says_what_to_set(run: Run, environ: dict[str, str]) -> None:
    environ["FSHARECHAT_API__PORT"] = "0"
    done = await run("sessions")
    assert (done.code, "--url" in done.err) == (2, True)
    del environ["FSHARECHAT_API__KEY"]
    done = await run("sessions", "--url", "http://127.0.0.1:1")
    assert (done.code, "FSHARECHAT_API__KEY" in done.err) == (2, True)
    assert (await run("--settings", "none.toml", "sessions")).code == 2


async def test_a_wrong_key_and_a_server_that_is_away_are_one_line(run: Run, environ: dict[str, str]) -> None:
    environ["FSHARECHAT_API__KEY"] = "another-key-of-16-letters"
    done = await run("sessions")
    assert (done.code, done.err) == (1, "fsharechat admin: refused (401): the key is wrong\n")
    url = "http://127.0.0.1:1"
    done = await run("sessions", "--url", url)
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert url in done.err
    assert environ["FSHARECHAT_API__KEY"] not in done.err


@pytest.mark.parametrize("answer", ["<html>", "[]", '{"code": "x"}', ""])
async def test_what_is_no_such_server_is_told(run: Run, answer: str) -> None:
    async def serve(_: web.BaseRequest) -> web.Response:
        return web.Response(text=answer)

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0][:2])
    try:
        done = await run("users", "list", "--url", url)
    finally:
        await runner.cleanup()
    assert (done.code, "does not answer as a FshareChat server" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("0.0.0.0", 81, "http://127.0.0.1:81"),
        ("::", 81, "http://[::1]:81"),
        ("fe80::1", 81, "http://[fe80::1]:81"),
        ("chat.example", 80, "http://chat.example:80"),
    ],
)
def test_the_server_is_where_the_settings_say(
    host: str, port: int, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, str]] = []

    class Api:
        def __init__(self, url: str, key: str) -> None:
            asked.append((url, key))
            raise OfficeError("enough")

    (tmp_path / "s.toml").write_text(f'[api]\nhost = "{host}"\nport = {port}\nkey = "{KEY}"\n')
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(command_line, "AdminApi", Api)
    assert cli.main(["admin", "--settings", str(tmp_path / "s.toml"), "sessions"]) == 1
    assert asked == [(url, KEY)]


def test_without_a_key_in_the_settings_it_is_that_of_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    class Api:
        def __init__(self, url: str, key: str) -> None:
            asked.append(key)
            raise OfficeError("enough")

    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(command_line, "AdminApi", Api)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["admin", "sessions"]) == 2
    assert "no key" in capsys.readouterr().err
    keys = [key_file.key_made(tmp_path / name) for name in ("data", "other")]
    assert cli.main(["admin", "sessions"]) == 1
    assert cli.main(["admin", "sessions", "--data", "other"]) == 1
    assert asked == keys
    assert keys[0] != keys[1]
    (tmp_path / "data" / "admin.key").chmod(0o644)
    assert cli.main(["admin", "sessions"]) == 2
    assert "other users may read it" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["users"], ["nothing"], ["users", "list", "--status", "gone"]])
def test_wrong_flags_end_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["admin", *argv])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fsharechat admin")
    assert line.endswith(" --help")


async def test_bots_are_made_listed_and_revoked(run: Run) -> None:
    made = await run("bots", "create", "ci")
    bot = Credentials.from_bot_token(made.out)
    assert [line[:3] for line in (await run("bots", "list")).lines[1:]] == [["ci", bot.user_id, "yes"]]
    assert (await run("bots", "create", "ci")).code == 1
    assert (await run("bots", "revoke", "ci")).lines[1][:3] == ["ci", bot.user_id, "no"]
    for wrong in ("", "Up", "a b", "-x", "x" * 41):
        refused = await run("bots", "create", "--", wrong)
        assert (refused.code, refused.out) == (1, "")


async def test_invitations_are_made_listed_and_revoked(run: Run) -> None:
    code = await run("invitations", "create", "--count", "3")
    assert (code.code, len(code.out.strip())) == (0, 16)
    made = await run("invitations", "create", "@Example.org", "--days", "2")
    id, *rest = made.lines[1]
    assert rest[:3] == ["@example.org", "0/1", "yes"]
    listed = await run("invitations", "list")
    assert [line[1] for line in listed.lines[1:]] == ["who", "@example.org"]
    assert code.out.strip() not in listed.out
    assert (await run("invitations", "revoke", id)).lines[1][:4] == [id, "@example.org", "0/1", "no"]
    assert (await run("invitations", "revoke", "none")).code == 1
    assert (await run("invitations", "create", "nobody")).code == 1


async def test_administrators_are_made_changed_and_removed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["correct horse", "correct horse", "one thing", "another thing"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(typed))
    made = await run("accounts", "add", "ann", "--role", "people")
    assert (made.code, made.lines[1][:2]) == (0, ["ann", "people"])
    differ = await run("accounts", "password", "ann")
    assert (differ.code, differ.err) == (2, "fsharechat admin: the passwords differ\n")
    monkeypatch.setattr("sys.stdin", StringIO("another horse\n"))
    assert (await run("accounts", "password", "ann", "--password-stdin")).code == 0
    assert (await run("accounts", "role", "ann", "all")).lines[1][:2] == ["ann", "all"]
    assert [line[0] for line in (await run("accounts", "list")).lines] == ["name", "ann"]
    assert (await run("accounts", "remove", "ann")).code == 0
    assert (await run("accounts", "list")).out == "there are no named administrators\n"
    shown = json.loads((await run("audit", "--target", "ann", "--json")).out)
    done = [(one["actor"], one["op"]) for one in shown["entries"]]
    names = ("remove", "role", "password", "add")
    assert done == [("command", f"accounts.{name}") for name in names]
    assert [line[2:5] for line in (await run("audit", "--op", "accounts.add")).lines[1:]] == [
        ["command", "accounts.add", "ann"]
    ]


async def test_a_user_gets_a_code_and_another_number(run: Run) -> None:
    await run("users", "create", ANN)
    assert (await run("users", "number", ANN, BEN)).lines[1][1] == BEN
    code = await run("users", "code", BEN)
    assert (code.lines[1][0], len(code.lines[1][1])) == (BEN, 6)


async def test_the_server_is_shown(run: Run) -> None:
    processes = await run("processes")
    assert processes.code == 0
    assert processes.lines[1][1:3] == ["connector:0,group:0,api,media", __version__]
    assert (await run("settings", "--search", "admin.audit")).lines[1] == ["admin.audit_days", "365", "yes"]
