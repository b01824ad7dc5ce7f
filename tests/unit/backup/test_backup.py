"""Back-ups and the way back, with a folder of back-ups and a folder of media."""

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fsharechat.backup import BackupError, pruning
from fsharechat.backup.making import BackupMaker
from fsharechat.backup.restoring import Restorer
from fsharechat.backup.vault import FolderVault
from fsharechat.blobs import BlobsError
from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.cli import main
from fsharechat.data_folder import DataFolder
from fsharechat.protocol.signals import MediaType
from fsharechat.store import snapshots, users
from fsharechat.store.sqlite import SqliteStore
from fsharechat.ticker import Ticker
from tests.unit.blobs.blobs_kit import make_uploaders

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "2026-03-01T120000Z"


async def pieces(*texts: bytes) -> AsyncIterator[bytes]:
    for text in texts:
        yield text


def blobs_in(folder: Path) -> DirectoryBlobs:
    async def key() -> bytes:
        return b"key"

    return DirectoryBlobs(
        folder, "http://here", key, make_uploaders(), url_seconds=60, max_bytes=1 << 20, reserve_bytes=0
    )


@pytest.fixture(autouse=True)
def process_as_it_is(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands set up the log of their process, and which rights new files have."""
    monkeypatch.setattr("fsharechat.log.configure", lambda _: None)
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


class Place:
    """A data folder with a database and media, and a folder of back-ups."""

    def __init__(self, root: Path, database: Path) -> None:
        self.database = database
        self.media = root / "data" / "media"
        self.backups = root / "backups"
        self.new = root / "new"
        self.at = NOON

    async def file(self, name: str, text: bytes, kind: MediaType = MediaType.FILE) -> None:
        blobs = blobs_in(self.media)
        await blobs.open()
        await blobs.put(kind, name, text, "")

    async def back_up(self) -> str:
        blobs, vault = blobs_in(self.media), FolderVault(self.backups)
        await blobs.open()
        self.at += timedelta(seconds=1)
        try:
            await vault.open(to_write=True)
            return await BackupMaker.at(vault, self.at, Ticker()).make(self.database, blobs)
        finally:
            await vault.close()

    async def restore(self, at: str = "") -> list[str]:
        vault = FolderVault(self.backups)
        await vault.open(to_write=False)
        restorer = Restorer(vault, Ticker())
        _, found = await restorer.choose(at)
        self.new.mkdir(exist_ok=True)
        blobs = blobs_in(self.new / "media")
        await blobs.open()
        path = self.new / "fsharechat.db"
        restorer.check_place(found, path)
        assert found.database is not None
        return [await restorer.media(found, blobs), await restorer.database(found.database, path)]

    def kept(self) -> set[Path]:
        return {path for path in (self.backups / "media").rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path, sqlite_file: Callable[[str], Path]) -> Place:
    return Place(tmp_path, sqlite_file("data/fsharechat.db"))


async def all_of(blobs: DirectoryBlobs) -> dict[tuple[int, str], tuple[int, bytes]]:
    found = {}
    for kind in MediaType:
        async for file in blobs.files(kind):
            text = b"".join([piece async for piece in blobs.read(kind, file.name)])
            found[int(kind), file.name] = (file.modified_ms, text)
    return found


async def test_all_comes_back(place: Place) -> None:
    store = SqliteStore(place.database, 100)
    await store.open()
    try:
        await store.write(users.fact, "mark", b"in the log, not yet in the file")
        for n in range(20):
            await place.file(f"{n}.txt", b"%d" % n, MediaType.IMAGE if n % 2 else MediaType.FILE)
        said = await place.back_up()
        await store.write(users.fact, "later", b"not in it")
    finally:
        await store.close()
    assert "20 files of media" in said
    assert await place.restore() == [
        "20 files of media",
        f"the database, {place.database.stat().st_size:,} bytes",
    ]
    with closing(sqlite3.connect(place.new / "fsharechat.db")) as connection:
        facts = dict(connection.execute("SELECT name, value FROM facts WHERE name IN ('mark', 'later')"))
    assert facts == {"mark": b"in the log, not yet in the file"}
    assert await all_of(blobs_in(place.new / "media")) == await all_of(blobs_in(place.media))
    assert (place.new / "fsharechat.db").stat().st_mode & 0o777 == 0o600


async def test_a_second_backup_shares_what_has_not_changed(place: Place) -> None:
    await place.file("same.txt", b"same")
    await place.file("changed.txt", b"one")
    await place.back_up()
    before = place.kept()
    await place.file("changed.txt", b"other")
    await place.file("new.txt", b"new")
    assert "3 files of media" in await place.back_up()
    assert len(place.kept() - before) == 2
    await place.restore("2026-03-01T120001Z")
    found = await all_of(blobs_in(place.new / "media"))
    assert sorted(text for _, text in found.values()) == [b"one", b"same"]


async def test_the_last_ones_are_kept_whole(place: Place) -> None:
    await place.file("same.txt", b"same")
    for n in range(4):
        await place.file("changing.txt", b"%d" % n)
        await place.back_up()
    (place.backups / "media" / "00").mkdir(exist_ok=True)
    (place.backups / "media" / "00" / "left").write_bytes(b"of one that was cut off")
    vault = FolderVault(place.backups)
    await vault.open(to_write=True)
    said = await pruning.keep_last(vault, 2)
    assert said == "removed 2 older back-ups and 3 files of media that no other one has"
    assert await pruning.keep_last(vault, 9) == (
        "removed 0 older back-ups and 0 files of media that no other one has"
    )
    await vault.close()
    assert len(place.kept()) == 3
    assert len(list((place.backups / "database").iterdir())) == 2
    with pytest.raises(BackupError, match="there is no back-up 2026-03-01T120002Z"):
        await place.restore("2026-03-01T120002Z")
    await place.restore("2026-03-01T120003Z")
    found = await all_of(blobs_in(place.new / "media"))
    assert sorted(text for _, text in found.values()) == [b"2", b"same"]


async def test_a_backup_that_is_cut_off_is_none_and_the_next_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        await place.file(f"{n}.txt", b"%d" % n)
    put, count = FolderVault.put, 0

    async def cut_off(vault: FolderVault, name: str, file: Path) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise OSError(28, "no space")
        await put(vault, name, file)

    with monkeypatch.context() as patched:
        patched.setattr(FolderVault, "put", cut_off)
        with pytest.raises(OSError, match="no space"):
            await place.back_up()
    assert len(place.kept()) == 2
    assert list((place.backups / "incoming").iterdir()) == []
    with pytest.raises(BackupError, match="no back-up"):
        await place.restore()
    await place.back_up()
    assert len(place.kept()) == 5


async def test_damage_is_found(place: Place) -> None:
    await place.file("a.txt", b"a text")
    await place.back_up()
    [kept] = place.kept()
    kept.write_bytes(b"b text")
    with pytest.raises(BackupError, match="is damaged: 6 bytes"):
        await place.restore()
    assert not (place.new / "fsharechat.db").exists()
    kept.write_bytes(b"a text")
    [database] = (place.backups / "database").iterdir()
    text = bytearray(database.read_bytes())
    text[5000] ^= 1
    database.write_bytes(text)
    with pytest.raises(BackupError, match="is damaged"):
        await place.restore()
    assert not (place.new / "fsharechat.db").exists()


async def test_a_restore_that_was_cut_off_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        await place.file(f"{n}.txt", b"%d" % n)
    await place.back_up()
    with monkeypatch.context() as patched:
        patched.setattr(snapshots, "check", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            await place.restore()
    assert not (place.new / "fsharechat.db").exists()
    assert (await place.restore())[0] == "0 files of media; 3 were there already"


async def test_a_newer_schema_is_refused(place: Place) -> None:
    await place.back_up()
    [file] = place.backups.glob("*.json")
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {"revision": "9999", "made_by": "99.0"}))
    with pytest.raises(BackupError, match=r"step 9999, .*: restore it with fsharechat 99.0 or a newer one"):
        await place.restore()
    file.write_text(json.dumps(found | {"level": 99, "made_by": "99.0"}))
    with pytest.raises(BackupError, match=r"takes level 99 .*run fsharechat 99.0 or a newer one"):
        await place.restore()
    file.write_text(json.dumps({"format": 2, "made_by": "99.0"}))
    with pytest.raises(BackupError, match="in a form that this version does not know"):
        await place.restore()


async def test_a_place_in_use_is_refused(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await place.back_up()
    command = ["restore", str(place.backups), "--data", str(tmp_path / "data")]
    with DataFolder(tmp_path / "data"):
        assert await asyncio.to_thread(main, command) == 1
    assert "runs on this folder already" in capsys.readouterr().err
    assert await asyncio.to_thread(main, command) == 1
    assert "is there, and a restore replaces nothing: move it away" in capsys.readouterr().err
    shutil.move(place.database, tmp_path / "old.db")
    assert await asyncio.to_thread(main, command) == 0
    assert capsys.readouterr().out.startswith("restored 2026-03-01T120001Z: 0 files of media; the database, ")
    assert await asyncio.to_thread(main, [*command, "--at", "2020-01-01T000000Z"]) == 1
    assert "there is no back-up 2020-01-01T000000Z; there are 2026-03-01T120001Z" in capsys.readouterr().err


async def test_two_at_a_time_are_refused(place: Place) -> None:
    first, second = FolderVault(place.backups), FolderVault(place.backups)
    await first.open(to_write=True)
    with pytest.raises(BackupError, match="another back-up"):
        await second.open(to_write=True)
    await first.close()
    await second.open(to_write=True)
    await second.close()


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_what_mysql_needs_is_said(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSHARECHAT_STORE__URL", "mysql://fsharechat:secret@db/fsharechat")
    assert main([command, str(tmp_path / "b"), "--data", str(tmp_path / "data")]) == 1
    said = capsys.readouterr().err
    assert "mysqldump --single-transaction" in said
    assert "--media-only" in said


@pytest.mark.parametrize(
    ("place", "said"),
    [("s3:", "must be s3:BUCKET/PREFIX"), ("s3:bucket/x", "[backup] url must name the S3 server")],
)
def test_a_place_on_s3_needs_a_server(place: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", place]) == 2
    assert said in capsys.readouterr().err


def test_the_server_goes_on_during_a_copy(sqlite_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Commits between its steps neither wait nor let it begin anew, and none of them is in it."""
    path = sqlite_file("busy.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE ballast AS SELECT randomblob(4000) AS b")
        for _ in range(11):
            connection.execute("INSERT INTO ballast SELECT randomblob(4000) FROM ballast")
        before = connection.execute("SELECT COUNT(*) FROM ballast").fetchone()[0]
        steps: list[int] = []

        def step(copied: int, _: int) -> None:
            steps.append(copied)
            connection.execute("INSERT INTO ballast VALUES (x'00')")

        snapshots.copy(path, tmp_path / "copy.db", step, sleep=lambda _: None)
        assert len(steps) > 3
        assert steps == sorted(set(steps))
    assert snapshots.check(tmp_path / "copy.db").revision
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT COUNT(*) FROM ballast").fetchone()[0] == before


async def test_no_blobs_error_hides_a_missing_file(place: Place) -> None:
    await place.file("a.txt", b"a")
    blobs = blobs_in(place.media)
    with pytest.raises(BlobsError, match="No such file"):
        async for _ in blobs.read(MediaType.FILE, "0" * 64):
            pass
    [file] = [file async for file in blobs.files(MediaType.FILE)]
    await blobs.remove(MediaType.FILE, file.name)
    await blobs.remove(MediaType.FILE, file.name)
    assert [file async for file in blobs.files(MediaType.FILE)] == []
