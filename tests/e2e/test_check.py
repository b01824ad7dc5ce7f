"""`fsharechat check` looks and touches nothing; `fsharechat migrate` brings the tables up to date."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from fsharechat import __version__
from fsharechat.check import check
from fsharechat.settings import Settings
from fsharechat.store import fence
from fsharechat.store.migrate import migrate, revisions
from tools.testing.server import Server, run_command

pytestmark = pytest.mark.slow  # each starts a few programs, one after the other

NEWEST = revisions()[-1]
BEFORE = revisions()[-3]
"""What an older version has made: two migrations wait."""
NOBODY = 65534


class Kept(NamedTuple):
    """What a look at a file must not change. Access times are the file system's own."""

    content: bytes
    owner: int
    mode: int
    changed_ns: int


def kept(folder: Path) -> dict[str, Kept]:
    """Return all that is in a folder."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        about = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = Kept(content, about.st_uid, about.st_mode, about.st_mtime_ns)
    return found


async def said(data: Path, *command: str, settings: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command on a data folder and return its exit code, and what it said."""
    code, output, errors = await asyncio.to_thread(run_command, data, *command, settings=settings)
    assert "Traceback" not in output + errors, errors
    return code, output


def line_of(name: str, output: str) -> str:
    [line] = [line for line in output.splitlines() if f" {name}: " in line]
    return line


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "data"
    folder.parent.mkdir()
    return folder


@pytest.fixture
def a_file(data: Path) -> Path:
    data.write_text("a file")
    return data


@pytest.fixture
def older(data: Path) -> Path:
    """A data folder with the database of an older version."""
    data.mkdir(0o700)
    migrate(f"sqlite:///{data / 'fsharechat.db'}", BEFORE)
    return data


async def test_nothing_is_made_where_nothing_is(data: Path) -> None:
    code, output = await said(data, "check")
    assert code == 0
    assert line_of("store", output).startswith("ok")
    assert "no store yet" in line_of("store", output)
    assert list(kept(data.parent)) == [str(data.parent)]


async def test_a_place_where_no_store_can_be_made_fails(a_file: Path) -> None:
    code, output = await said(a_file, "check")
    assert code == 1
    for name in ("store", "blobs"):
        assert line_of(name, output).startswith("FAIL")
        assert f"{a_file} is not a folder" in line_of(name, output)


async def test_an_older_store_waits_for_its_migrations(older: Path) -> None:
    before = kept(older)
    code, output = await said(older, "check")
    assert code == 0
    assert "2 migrations wait" in line_of("store", output)
    assert "`fsharechat migrate`" in line_of("store", output)
    assert kept(older) == before

    code, output = await said(older, "migrate")
    assert code == 0
    steps = output.splitlines()
    assert [step.split()[:2] for step in steps[-3:-1]] == [["1/2", revisions()[-2]], ["2/2", NEWEST]]
    assert steps[-1].startswith("ok   migrate: ")
    _, output = await said(older, "check")
    assert "up to date" in line_of("store", output)
    code, output = await said(older, "migrate")
    assert (code, len(output.splitlines())) == (0, 1)
    assert "Nothing to do" in output


async def test_migrate_makes_the_store_where_there_is_none(data: Path) -> None:
    code, _ = await said(data, "migrate")
    assert code == 0
    _, output = await said(data, "check")
    assert "up to date" in line_of("store", output)


async def test_beside_a_server_check_goes_on_looking_and_migrate_refuses(data: Path) -> None:
    async with Server(data) as server:
        names = set(kept(data))
        code, output = await said(data, "check")
        assert code == 0
        assert f"process {server.pid} runs on it" in line_of("store", output)
        assert "up to date" in line_of("store", output)
        assert set(kept(data)) == names

        code, output = await said(data, "migrate")
        assert code == 0
        assert "Nothing to do" in output
        execute(data, "UPDATE alembic_version SET version_num = ?", BEFORE)
        code, output = await said(data, "migrate")
        assert code == 1
        assert f"process {server.pid} runs on this folder already" in output
        assert "stop it first" in output
        execute(data, "UPDATE alembic_version SET version_num = ?", NEWEST)


async def test_what_a_killed_server_left_is_read_and_left_alone(data: Path) -> None:
    async with Server(data) as server:
        await server.kill()
        before = kept(data)
        assert any(name.endswith("-wal") for name in before)
        code, output = await said(data, "check")
        assert code == 0
        assert "up to date" in line_of("store", output)
        assert "runs on it" not in output
        assert kept(data) == before
        (data / "fsharechat.db-shm").unlink()
        before = kept(data)
        code, output = await said(data, "check")
        assert code == 0
        assert "The next start" in line_of("store", output)
        assert kept(data) == before
        await server.start()


async def test_a_newer_store_is_told_of_and_one_behind_the_fence_fails(data: Path) -> None:
    await said(data, "migrate")
    execute(data, "UPDATE alembic_version SET version_num = ?", "9999")
    execute(data, "UPDATE facts SET value = ? WHERE name = 'store_version'", b"9.9.9")
    before = kept(data)
    code, output = await said(data, "check")
    assert code == 0
    assert "fsharechat 9.9.9 has migrated it" in line_of("store", output)
    assert f"this one, {__version__}, goes on with it" in line_of("store", output)
    code, output = await said(data, "migrate")
    assert code == 0
    assert "Nothing to do" in output
    assert kept(data) == before

    level = b"%d" % (fence.LEVEL + 1)
    execute(data, "INSERT INTO facts VALUES ('store_level', ?), ('store_level_version', ?)", level, b"9.9.9")
    for command in ("check", "migrate", "fence"):
        code, output = await said(data, command)
        assert code == 1
        assert f"it takes level {fence.LEVEL + 1} and above" in output
        assert "run fsharechat 9.9.9 or a newer one" in output


async def test_the_fence_is_not_put_up_where_this_version_has_not_run(older: Path) -> None:
    before = kept(older)
    code, output = await said(older, "fence")
    assert code == 1
    assert "2 migrations wait" in output
    assert kept(older) == before
    shutil.rmtree(older)
    code, output = await said(older, "fence")
    assert code == 1
    assert "no store yet" in output
    assert list(kept(older.parent)) == [str(older.parent)]


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root is somebody else than the owner of a folder, and may look"
)
async def test_root_looks_and_leaves_everything_to_the_owner(older: Path) -> None:
    for path in kept(older):
        os.chown(path, NOBODY, NOBODY)
    before = kept(older)
    code, output = await said(older, "check")
    assert code == 0
    assert "2 migrations wait" in line_of("store", output)
    assert kept(older) == before
    for command in ("migrate", "fence"):
        code, output = await said(older, command)
        assert code == 1
        assert f"belongs to nobody. Run it as that user: sudo -u nobody fsharechat {command}" in output
        assert kept(older) == before


async def test_who_may_not_look_is_told_who_may(older: Path, as_another_user: Callable[[Path], None]) -> None:
    as_another_user(older)
    found = {one.name: one for one in await check(Settings.model_validate({"node": {"data": str(older)}}))}
    assert not found["store"].ok
    assert "sudo -u " in found["store"].detail
    assert "fsharechat check" in found["store"].detail


@pytest.fixture
def as_another_user(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Have this process be of a user who may not look into a folder, as far as it asks."""

    def become(folder: Path) -> None:
        may = os.access
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
        monkeypatch.setattr(
            os, "access", lambda path, mode: folder not in (path, *path.parents) and may(path, mode)
        )

    return become


def execute(data: Path, sql: str, *values: object) -> None:
    database = sqlite3.connect(data / "fsharechat.db")
    with database:
        database.execute(sql, values)
    database.close()
