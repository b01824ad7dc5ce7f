"""The data folder of a server: what `fsharechat check` says of its disk, and who may read it."""

import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from fsharechat.check import check
from fsharechat.process import ROOM_BYTES
from fsharechat.settings import Settings


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


async def test_the_data_folder_is_made_for_its_user_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await check(Settings.model_validate({"node": {"data": str(data)}}))
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
