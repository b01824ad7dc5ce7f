"""Moving from the original: rows in, devices connect with the tokens that they have, and lack nothing.

With FSHARECHAT_ORIGINAL_FIXTURE naming a folder, rows that the original itself wrote are tried too:
fsharechat-h2.sql with fixture-h2.json, and fsharechat-mariadb.sql with fixture-mariadb.json. The .json files hold the
logins of its devices.
"""

import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pymysql
import pytest

from fsharechat.client import login
from tools.bench.moved import run_import
from tools.conformance.checks import Refused
from tools.conformance.device import ACCEPTED, SuiteDevice, SuiteLogin
from tools.conformance.links import SuiteLink
from tools.testing.original import Original, OriginalUser, fill
from tools.testing.original_forms import H2Form, MysqlForm, fill_mysql
from tools.testing.real_rows import FOLDER
from tools.testing.server import Server, run_command, until
from tools.testing.services import Services
from tools.wire.bodies import GROUP, WireAccount

pytestmark = pytest.mark.slow

NOT_IN_GROUP = 9
MOST_MIB = 600
"""The memory of an import, however long it is (docs/performance.md)."""
BOTH = pytest.mark.parametrize("transport", ["tcp", "ws"])


class Moved:
    """A server with imported rows."""

    def __init__(self, server: Server, transport: str, wires: AsyncExitStack) -> None:
        self.server, self.transport, self._wires = server, transport, wires

    async def device(self, account: WireAccount, number: str = "") -> SuiteDevice:
        """Return a device with what the original gave it, not yet connected."""
        at = self.server.at.tcp if self.transport == "tcp" else self.server.at.ws
        link = await SuiteLink.open(self.transport, at)
        self._wires.push_async_callback(link.close)
        session = SuiteLogin(account.user_id, account.client_id, account.user_token, account.secret, number)
        return SuiteDevice(link, session)

    async def online(self, account: WireAccount) -> SuiteDevice:
        device = await self.device(account)
        assert await device.connect() == ACCEPTED
        return device


def said(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"]["searchableContent"] for message in messages]


def the_import(source: str, data: Path, settings: dict[str, str] | None = None) -> str:
    data.parent.mkdir(parents=True, exist_ok=True)
    code, output, errors = run_command(data, source, settings=settings, command="import-data")
    assert code == 0, output + errors
    assert output.endswith("ok   the counts and a sample are right\n")
    return output


class Story:
    """Made-up rows of two people and a group, and what their devices have."""

    def __init__(self, form: H2Form | MysqlForm) -> None:
        self.original = original = Original(form)
        self.ann = original.user("13800000001", "安")
        self.ben = original.user("13800000002", "Ben")
        self.cat = original.user("13800000003", "Cat")
        for person in (self.ann, self.ben, self.cat):
            original.device(person, "phone")
        original.befriend(self.ann, self.ben, "我是安")
        for number in range(30):
            original.text(self.ann, self.ben, f"text {number}")
        self.had = self.ben.head
        """The last that ben's device has."""
        self.lacks: list[int] = []
        self.gid = original.group(self.ann, [self.ben, self.cat], "项目组")
        self.recalled = original.text(self.ann, self.ben, "a secret")
        original.recall(self.recalled, self.ann)
        original.signal(self.ann, self.ben)
        original.text(self.ben, self.ann, "my own")
        original.group_text(self.cat, self.gid, "hello all")
        original.quit(self.cat, self.gid)
        original.text(self.ann, self.ben, "the last")

    def account(self, person: OriginalUser) -> WireAccount:
        return person.devices["phone"].account


@BOTH
async def test_devices_go_on_with_the_tokens_and_heads_that_they_have(transport: str, tmp_path: Path) -> None:
    form = H2Form()
    story = Story(form)
    form.write(tmp_path / "original.sql")
    the_import(str(tmp_path / "original.sql"), tmp_path / "data")
    await live(story, Server(tmp_path / "data"), transport)


async def test_so_it_is_from_mysql_to_mysql(
    tmp_path: Path, services: Services, mysql_database: Callable[[], tuple[str, Any]]
) -> None:
    (source, connection), (target, _) = mysql_database(), mysql_database()
    form = MysqlForm(connection)
    story = Story(form)
    form.finish()
    settings = {"STORE__URL": target}
    the_import(source, tmp_path / "data", settings)
    await live(story, Server(tmp_path / "data", settings), "tcp")


async def live(story: Story, server: Server, transport: str) -> None:
    ann, ben, cat = story.ann, story.ben, story.cat
    async with server, AsyncExitStack() as wires:
        moved = Moved(server, transport, wires)
        device = await moved.online(story.account(ben))
        assert int(device.connected["messageHead"]) == ben.head
        # From its old head it gets what it lacks: no text that it has, none that was recalled, nor its own.
        answer = await device.pull(story.had)
        assert said(answer["messageResponseList"]) == ["", "", "hello all", "", "the last"]
        assert int(answer["head"]) == ben.head
        types = [message["content"]["type"] for message in answer["messageResponseList"]]
        assert types == [104, 80, 1, 107, 1]
        assert (await device.pull(ben.head))["messageResponseList"] == []
        # What is sent now follows, once.
        sender = await moved.online(story.account(ann))
        await sender.send(ben.uid, "from the new server")
        assert said((await device.upto(ben.head + 1, ben.head))["messageResponseList"]) == [
            "from the new server"
        ]
        # History pages, newest first, and a recall stays recalled.
        first = await device.history(ann.uid, count=20)
        assert said(first)[:4] == ["from the new server", "the last", "my own", ""]
        assert first[3]["content"]["type"] == 80
        assert int(first[3]["messageId"]) == story.recalled
        second = await device.history(ann.uid, before=int(first[-1]["messageId"]), count=20)
        texts = said(first + second)
        assert [text for text in texts if text.startswith("text ")] == [
            f"text {n}" for n in range(29, -1, -1)
        ]
        assert "a secret" not in texts
        # Who has quit is out.
        assert {member["memberId"] for member in await device.members(story.gid)} == {ann.uid, ben.uid}
        gone = await moved.online(story.account(cat))
        with pytest.raises(Refused) as refused:
            await gone.send(story.gid, "I had quit", kind=GROUP)
        assert refused.value.code in (NOT_IN_GROUP, None)
        await sender.send(story.gid, "still here", kind=GROUP)
        assert said(await device.inbox(ben.head + 2, ben.head + 1)) == ["still here"]
        await a_login_ends_the_old_token(moved, story)


async def a_login_ends_the_old_token(moved: Moved, story: Story) -> None:
    old = story.account(story.ann)
    forged = WireAccount(old.user_id, old.client_id, old.user_token, story.account(story.ben).secret)
    assert await (await moved.device(forged)).connect() != ACCEPTED
    new = await login(moved.server.at.http, story.ann.number, "66666", "phone")
    assert new.user_id == old.user_id
    assert new.db_secret == story.ann.devices["phone"].db_secret
    assert await (await moved.device(old)).connect() != ACCEPTED
    mixed = WireAccount(old.user_id, old.client_id, old.user_token, new.secret)
    assert await (await moved.device(mixed)).connect() != ACCEPTED
    again = WireAccount(new.user_id, "phone", new.user_token, new.secret)
    assert await (await moved.device(again)).connect() == ACCEPTED


def test_a_dry_run_writes_nothing_and_says_the_same(tmp_path: Path) -> None:
    form = H2Form()
    Story(form)
    path = tmp_path / "original.sql"
    form.write(path)
    code, dry, _ = run_command(tmp_path / "data", str(path), "--dry-run", command="import-data")
    assert code == 0
    assert sorted(tmp_path.iterdir()) == [path]
    real = the_import(str(path), tmp_path / "data")
    assert dry.replace("; nothing was written", "") == real


async def test_an_import_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    form = H2Form()
    fill(Original(form, remembers=False), 15_000, 40, random.Random(1))
    path, data = tmp_path / "original.sql", tmp_path / "data"
    form.write(path)
    program = (sys.executable, "-P", "-m", "fsharechat", "import-data", "--data", str(data), str(path))
    import_ = await asyncio.create_subprocess_exec(*program, cwd=tmp_path, stdout=DEVNULL, stderr=DEVNULL)
    store = data / "fsharechat.db"

    def rows(table: str) -> int:
        try:
            with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
                return int(db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # it is not there yet

    await until(lambda: rows("messages") > 0 or import_.returncode is not None, "no message is imported")
    assert import_.returncode is None
    import_.kill()
    await import_.wait()
    stopped_at = rows("messages"), rows("inbox")
    for command in ((), ("check",)):
        code, said, errors = run_command(data, *command)
        assert code == 1
        assert "is not complete: run `fsharechat import-data` again" in said + errors
    output = the_import(str(path), data)
    assert stopped_at[0] > 0
    assert stopped_at[1] < rows("inbox")
    assert f"messages: {rows('messages'):,} read, {rows('messages'):,} taken, 0 left out" in output


async def test_a_store_that_a_server_runs_on_is_refused(tmp_path: Path) -> None:
    form = H2Form()
    Story(form)
    form.write(tmp_path / "original.sql")
    async with Server(tmp_path / "data"):
        for dry in ((), ("--dry-run",)):
            code, _, errors = run_command(
                tmp_path / "data", str(tmp_path / "original.sql"), *dry, command="import-data"
            )
            assert code == 1
            assert "runs on" in errors


# Rows that the original wrote

REAL = ("h2", "mariadb") if FOLDER else ()


@pytest.fixture
def mysql_database(services: Services) -> Callable[[], tuple[str, Any]]:
    """Return what makes a database; it returns its url, and a connection."""
    url = services("mariadb").url("mariadb")
    port = services.port("mariadb")
    count = 0

    def make() -> tuple[str, Any]:
        nonlocal count
        count += 1
        name = f"fsharechat_moving_{os.getpid()}_{count}"
        login = {"host": "127.0.0.1", "port": port, "user": "fsharechat", "password": "fsharechat"}
        connection = pymysql.connect(**login, charset="utf8mb4")
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
            cursor.execute(f"USE {name}")
        return url.rpartition("/")[0] + f"/{name}", connection

    return make


async def test_scripts_bench_measures_an_import_that_it_kills(
    tmp_path: Path, mysql_database: Callable[[], tuple[str, Any]]
) -> None:
    url, connection = mysql_database()
    connection.close()
    fill_mysql(url, 3_000, 40, times=4)
    watched, rows = await run_import(url, tmp_path / "data", kill_at=0.1, every=0.05)
    assert "messages: 12,003 read, 12,003 taken, 0 left out\n" in watched.report
    whole = rows[-1].figures
    assert 0 < whole["killed at row"] < whole["rows"]
    assert 0 < whole["peak PSS MiB"] <= whole["peak RSS MiB"] < MOST_MIB
    assert whole["store MiB"] > 0


async def test_rows_of_the_original_itself(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing is tried where there are none."""
    for form in REAL:
        folder = Path(FOLDER)
        source = str(folder / f"fsharechat-{form}.sql")
        if form == "mariadb":
            make: Callable[[], tuple[str, Any]] = request.getfixturevalue("mysql_database")
            url, _ = make()
            load(source, url)
            source = url
        for transport in ("tcp", "ws"):
            data = tmp_path / form / transport / "data"
            the_import(source, data)
            logins = json.loads((folder / f"fixture-{form}.json").read_text())
            async with Server(data) as server, AsyncExitStack() as wires:
                await live_on_real_rows(Moved(server, transport, wires), logins)


def load(dump: str, url: str) -> None:
    host, _, rest = url.rpartition("@")[2].partition(":")
    port, _, name = rest.partition("/")
    with Path(dump).open("rb") as lines:
        command = ["mysql", f"-h{host}", f"-P{port}", "-ufsharechat", "-pfsharechat", name]
        subprocess.run(command, stdin=lines, check=True, timeout=60)


async def live_on_real_rows(moved: Moved, logins: dict[str, Any]) -> None:
    accounts = {
        number: WireAccount(login["uid"], login["cid"], login["user_token"], login["secret"])
        for number, login in logins.items()
        if number != "groups"
    }
    g1, g2, _ = logins["groups"]
    devices = {number: await moved.online(account) for number, account in accounts.items()}
    a, b, c, quitter, kicked = (devices[f"1380000000{number}"] for number in range(3, 8))
    for device in devices.values():
        # Nothing follows the head; from any seq below it the device gets just what is behind that, in its order.
        head = int(device.connected["messageHead"])
        assert (await device.pull(head))["messageResponseList"] == []
        seen: list[str] = []
        for back in (4, 3, 2, 1):
            ids = [one["messageId"] for one in (await device.pull(head - back))["messageResponseList"]]
            assert not seen or ids == seen[len(seen) - len(ids) :]
            seen = seen or ids
    history = await a.history(b.uid, count=100)
    assert "this will be recalled" not in said(history)
    assert [one["content"]["content"] for one in history if one["content"]["type"] == 80] == [a.uid]
    first = await a.history(b.uid, count=5)
    assert first == history[:5]
    assert (await a.history(b.uid, before=int(first[-1]["messageId"]), count=5)) == history[5:10]
    in_group = await a.history(g1, kind=GROUP, count=100)
    assert "recalled by the owner" not in said(in_group)
    assert {one["memberId"] for one in await a.members(g1)} == {a.uid, b.uid, c.uid}
    for out in (quitter, kicked):
        with pytest.raises(Refused):
            await out.send(g1, "I am out", kind=GROUP)
    with pytest.raises(Refused):
        await b.send(g2, "it is gone", kind=GROUP)
    head = int(b.connected["messageHead"])
    await a.send(b.uid, "from the new server")
    assert said(await b.inbox(head + 1, head)) == ["from the new server"]
