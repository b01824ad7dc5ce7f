"""The data folder of a server: what `fsharechat check` says of its disk, and who may read it."""

import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from fsharechat import data_folder
from fsharechat.check import check
from fsharechat.data_folder import LOCK, AlreadyRunning, DataFolder, running_on
from fsharechat.process import ROOM_BYTES
from fsharechat.settings import Settings
from fsharechat.store import users
from fsharechat.store.sqlite import SqliteStore
from tools.testing.server import BOUND


@pytest.mark.parametrize("free", [ROOM_BYTES, ROOM_BYTES - 1])
async def test_a_full_disk_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    found = {one.name: one for one in await check(Settings.model_validate({"node": {"data": str(tmp_path)}}))}
    full = free < ROOM_BYTES
    assert [found[name].ok for name in ("store", "registry", "bus", "blobs", "codes")] == [
        not full,
        True,
        True,
        not full,
        True,
    ]
    for name, folder in (("store", tmp_path), ("blobs", tmp_path / "media")):
        assert found[name].detail.startswith(f"{folder}: the disk is full" if full else str(folder))


def test_the_data_folder_is_made_for_its_user_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with DataFolder(data):
        pass
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


@pytest.mark.parametrize(("mode", "warned"), [(0o700, []), (0o755, ["0755"]), (0o710, ["0710"])])
def test_a_data_folder_that_others_may_read_is_warned_of(
    tmp_path: Path, mode: int, warned: list[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    with capture_logs() as logs, DataFolder(data):
        pass
    lines = [
        line for line in logs if line["event"] == "other users of this machine may look into the data folder"
    ]
    assert [(line["log_level"], line["mode"]) for line in lines] == [("warning", one) for one in warned]
    assert [line["data"] for line in lines] == [str(data)] * len(warned)
    assert stat.S_IMODE(data.stat().st_mode) == mode  # it may be meant so


def test_a_second_process_is_kept_out_and_told_which_the_first_is(tmp_path: Path) -> None:
    assert running_on(tmp_path) == ""
    with DataFolder(tmp_path):
        assert running_on(tmp_path) == str(os.getpid())
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()} runs on this folder already"):
            DataFolder(tmp_path).__enter__()
    assert running_on(tmp_path) == ""


def test_a_look_at_the_lock_keeps_no_server_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_folder, "PATIENCE_SECONDS", BOUND)
    with DataFolder(tmp_path):
        pass
    with (tmp_path / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        done = threading.Timer(0.1, fcntl.flock, (lock, fcntl.LOCK_UN))
        done.start()
        with DataFolder(tmp_path):
            done.join()


@pytest.fixture
def _open_to_all() -> Iterator[None]:
    """Let new files be for everybody, as far as this process leaves it to the system."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_to_all")
@pytest.mark.parametrize("there", [False, True])
async def test_the_files_of_the_database_are_for_their_user_alone(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "data" / "fsharechat.db"
    if there:
        killed = SqliteStore(path, 100)  # it leaves all three files, as a process that was killed does
        await killed.open()
        await killed.write(users.get_or_create, "13800000001", 1)
        copies = {file.name: file.read_bytes() for file in path.parent.iterdir()}
        await killed.close()
        for name, content in copies.items():
            (path.parent / name).write_bytes(content)
            (path.parent / name).chmod(0o666)
        assert len(copies) == 3
    store = SqliteStore(path, 100)
    await store.open()
    await store.write(users.get_or_create, "13800000002", 1)
    modes = {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in path.parent.iterdir()}
    await store.close()
    assert modes == dict.fromkeys([path.name, f"{path.name}-wal", f"{path.name}-shm"], "0o600")


async def test_a_database_file_of_another_user_is_warned_of_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_the_owner(path: Path, _: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    path = tmp_path / "fsharechat.db"
    path.touch(0o660)
    monkeypatch.setattr(Path, "chmod", not_the_owner)
    store = SqliteStore(path, 100)
    with capture_logs() as logs:
        await store.open()
    await store.close()
    (line,) = [line for line in logs if line["event"] == "other users of this machine may read the database"]
    assert (line["log_level"], line["file"]) == ("warning", str(path))
