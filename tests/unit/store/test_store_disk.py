"""An SQLite database on a disk that is full: who waits is told, the log has it once, and it goes on by itself."""

import asyncio
import errno
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from fsharechat.data_folder import DataFolder
from fsharechat.errors import StartError, StoreError, StoreFull
from fsharechat.store import disk
from fsharechat.store.disk import Disk
from fsharechat.store.sqlite import SqliteStore
from tests.unit.store.store_kit import append, fact_names, inbox, new, put_fact, select
from tools.testing.full_disk import fill

BODY = bytes(500_000)


@pytest.fixture
async def store(small_disk: Path, migrated_sqlite: Path) -> AsyncIterator[SqliteStore]:
    path = Path(shutil.copy(migrated_sqlite, small_disk / "store.db"))
    opened = SqliteStore(path, 10_000)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_full_disk_is_said_once_when_it_begins_and_once_when_it_ends(
    store: SqliteStore, small_disk: Path
) -> None:
    await append(store, new("ann", "bob"))
    with capture_logs() as logs:
        filler = fill(small_disk)
        for n in range(10):
            with pytest.raises(StoreFull, match="the disk is full, 0 KiB are left: "):
                await append(store, new("ann", "bob", body=BODY))
            with pytest.raises(StoreFull):
                await store.write(put_fact, f"fact {n}" * 20_000)
        filler.unlink()
        while len(logs) < 2:  # it is some time until the end is believed
            await append(store, new("cid", "dan"))
    (begins, ends) = logs
    assert (begins["event"], begins["log_level"]) == ("the disk is full", "error")
    assert (ends["event"], ends["log_level"], ends["failed"]) == ("the disk has room again", "warning", 20)
    assert len((await inbox(store, "bob")).bodies) == 1
    assert await fact_names(store) == []
    stored = await append(store, new("ann", "bob", body=BODY))
    assert [entry.seq for entry in stored.entries] == [2, 2]


async def test_all_that_share_a_transaction_fail_and_none_is_half_done(
    store: SqliteStore, small_disk: Path
) -> None:
    filler = fill(small_disk)
    outcomes = await asyncio.gather(
        *[store.write(put_fact, f"fact {n}" * 20_000) for n in range(5)],
        *[append(store, new("ann", "bob", body=BODY)) for _ in range(5)],
        return_exceptions=True,
    )
    assert {type(outcome) for outcome in outcomes} == {StoreFull}
    filler.unlink()
    await store.write(put_fact, "kept")
    assert await fact_names(store) == ["kept"]
    assert await store.read(select, "SELECT COUNT(*) FROM inbox") == [(0,)]


async def test_a_start_on_a_full_disk_is_one_clear_line(small_disk: Path, migrated_sqlite: Path) -> None:
    fill(small_disk)
    with pytest.raises(StartError, match=r"^\[node\] data = '.*/disk': No space left on device$"):
        DataFolder(small_disk).__enter__()
    with pytest.raises(StoreError, match="the disk is full, 0 KiB are left: "):
        await SqliteStore(small_disk / "new.db", 100).open()


def io_error(code: int = sqlite3.SQLITE_IOERR_WRITE) -> sqlite3.Error:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CANTOPEN])
@pytest.mark.parametrize("free", [disk.ROOM_BYTES, disk.ROOM_BYTES - 1])
def test_an_error_of_the_disk_says_that_it_is_full_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, code: int
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with capture_logs() as logs:
        failure = Disk(tmp_path / "store.db").failure(io_error(code))
    full = free < disk.ROOM_BYTES
    assert isinstance(failure, StoreFull) == full == bool(logs)
    assert str(failure) == ("the disk is full, 1023 KiB are left: " if full else "") + "disk I/O error"


def test_a_folder_that_is_gone_is_no_full_disk(tmp_path: Path) -> None:
    with capture_logs() as logs:
        failure = Disk(tmp_path / "gone" / "store.db").failure(io_error())
    assert (str(failure), logs) == ("disk I/O error", [])
    assert not isinstance(failure, StoreFull)


def test_a_lock_that_cannot_be_written_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.getpid", full)
    with pytest.raises(StartError, match="No space left on device"):
        DataFolder(tmp_path).__enter__()
    monkeypatch.undo()
    with DataFolder(tmp_path):  # nobody holds the lock
        pass
