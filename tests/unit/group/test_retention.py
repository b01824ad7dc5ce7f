"""Rounds of removal: what they remove by the settings, that they rest, and that one process does it."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.protocol.ids import compose
from fsharechat.protocol.signals import MediaType
from fsharechat.settings_schema import RetentionSettings
from fsharechat.store.sqlite import SqliteStore
from fsharechat.store.store import Store
from roles.group.retention import DAY_MS, EVERY_MS, PAUSE_SECONDS, Retention
from tests.unit.blobs.blobs_kit import make_uploaders
from tests.unit.store.store_kit import append, inbox, new

NOW = 1_800_000_000_000


@pytest.fixture
async def store(sqlite_file: Callable[[str], Path]) -> AsyncIterator[Store]:
    store = SqliteStore(sqlite_file("store.db"), 1000)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def blobs(tmp_path: Path) -> DirectoryBlobs:
    async def key() -> bytes:
        return b"key"

    blobs = DirectoryBlobs(
        tmp_path / "media",
        "http://here",
        key,
        make_uploaders(),
        url_seconds=60,
        max_bytes=99,
        reserve_bytes=0,
    )
    await blobs.open()
    return blobs


def retention(
    store: Store, blobs: DirectoryBlobs, pauses: list[float], now: int = NOW, **days: int
) -> Retention:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    return Retention(RetentionSettings(**days), store, blobs, lambda: now, pause)


async def fill(store: Store, blobs: DirectoryBlobs) -> None:
    """A message and a file of each kind on each of the last ten days."""
    for day in range(10):
        at = NOW - day * DAY_MS - 1000
        await append(store, new("ann", "bob", id=compose(at, 0, 1), body=b"%d" % day))
        for kind in MediaType:
            await blobs.put(kind, f"{day}.txt", b"%d" % day, "")
            file = blobs.file(blobs.bucket_url(kind).rpartition("/")[2], f"{day}.txt")
            os.utime(file, (at / 1000, at / 1000))


async def files(blobs: DirectoryBlobs, kind: MediaType) -> int:
    return len([file async for file in blobs.files(kind)])


async def test_it_removes_what_is_too_old_and_rests_after_each_unit(
    store: Store, blobs: DirectoryBlobs
) -> None:
    await fill(store, blobs)
    pauses: list[float] = []
    it = retention(store, blobs, pauses, messages_days=3, media_days=5, reports_days=1)
    with capture_logs() as logs:
        await it.look()
    # Entries stand in the order in which they came, youngest first here: they are holes.
    assert (await inbox(store, "bob", 0)).bodies == [b"0", b"1", b"2"]
    assert await files(blobs, MediaType.IMAGE) == await files(blobs, MediaType.FILE) == 5
    assert await files(blobs, MediaType.PORTRAIT) == await files(blobs, MediaType.FAVORITE) == 10
    assert it.removed == {"messages": 7, "media": 25}
    assert [line for line in logs if line["event"] == "removed by age"] == [
        {"event": "removed by age", "log_level": "info", "messages": 7, "media": 25}
    ]
    assert len(pauses) >= 25
    assert min(pauses) >= PAUSE_SECONDS


async def test_two_processes_take_turns(store: Store, blobs: DirectoryBlobs) -> None:
    await fill(store, blobs)
    first = retention(store, blobs, [], messages_days=8)
    second = retention(store, blobs, [], messages_days=3)
    await first.look()
    await second.look()
    assert (first.removed["messages"], second.removed["messages"]) == (2, 0)
    later = retention(store, blobs, [], NOW + EVERY_MS, messages_days=3)
    await later.look()
    assert later.removed["messages"] == 5


async def test_what_fails_is_said_and_done_in_the_next_round(
    store: Store, blobs: DirectoryBlobs, tmp_path: Path
) -> None:
    await fill(store, blobs)
    folder = tmp_path / "media" / "minio-bucket-file-name"
    folder.rename(tmp_path / "away")
    folder.write_bytes(b"no folder")
    with capture_logs() as logs:
        await retention(store, blobs, [], media_days=5).look()
    assert [line["event"] for line in logs] == ["not removed by age", "removed by age"]
    folder.unlink()
    (tmp_path / "away").rename(folder)
    await retention(store, blobs, [], NOW + EVERY_MS, media_days=5).look()
    assert await files(blobs, MediaType.FILE) == 5


async def test_it_is_off_by_default(store: Store, blobs: DirectoryBlobs) -> None:
    assert not RetentionSettings().on
    it = retention(store, blobs, [])
    await fill(store, blobs)
    await it.go_round()
    assert not it.removed
    it.start()
    it.stop()
