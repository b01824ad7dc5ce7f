"""What users put on an S3 server counts for the bytes of their day, on real servers."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import time

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from fsharechat.blobs import Upload
from fsharechat.blobs.keys import Uploaders, uploader_of
from fsharechat.blobs.s3 import S3Blobs
from fsharechat.protocol.signals import MediaType
from fsharechat.store import uploads
from fsharechat.store.sqlite import SqliteStore
from fsharechat.store.unit import Dialect, Query, Unit
from roles.group import media
from roles.group.media import SOON_SECONDS, UploadSizes
from tools.testing.services import Services

pytestmark = pytest.mark.slow

URL_SECONDS = 600
LAST_SECONDS = URL_SECONDS + SOON_SECONDS


async def folders_key() -> bytes:
    return b"the folders of a deployment"


class World:
    """A group process's part in it, whose clock stands still until told."""

    def __init__(self, blobs: S3Blobs, store: SqliteStore, http: ClientSession) -> None:
        self.blobs = blobs
        self.store = store
        self._http = http
        self.time = 0.0
        self.sizes = UploadSizes(store, blobs, URL_SECONDS, self.now, lambda: self.time)

    @staticmethod
    def now() -> int:
        return int(time() * 1000)

    async def address(self, uid: str, key: str) -> Upload:
        upload = await self.blobs.upload_url(MediaType.FILE, key, uid)
        self.sizes.issued(MediaType.FILE, upload)
        return upload

    async def put(self, upload: Upload, size: int) -> None:
        async with self._http.put(upload.url, data=bytes(size)) as answer:
            assert answer.status == 200

    async def counted(self, upload: Upload) -> int:
        def read(_: Dialect) -> Unit[int]:
            sql = "SELECT bytes FROM uploaded WHERE folder = ?"
            rows = (yield Query(sql, (uploader_of(upload.name),))).rows
            return rows[0][0] if rows else 0

        return await self.store.read(read)

    async def after(self, seconds: float) -> None:
        self.time = seconds
        await self.sizes.look()

    async def granted(self, uid: str, upload: Upload, bytes_per_day: int) -> bool:
        folder = uploader_of(upload.name)
        return await self.store.write(uploads.grant, uid, self.now(), 0, False, folder, bytes_per_day)


@pytest.fixture(params=["minio", "versity"])
async def world(
    request: pytest.FixtureRequest, services: Services, tmp_path: Path, sqlite_file: Callable[[str], Path]
) -> AsyncIterator[World]:
    blobs = S3Blobs(services.media(request.param), (), Uploaders(folders_key))
    store = SqliteStore(sqlite_file("fsharechat.db"), 100)
    await store.open()
    await blobs.open()
    async with ClientSession() as http:
        yield World(blobs, store, http)
    await blobs.close()
    await store.close()


async def test_what_is_put_there_counts_once(world: World, tmp_path: Path) -> None:
    early, late, never = [await world.address(tmp_path.name, key) for key in ("a.bin", "b.bin", "c.bin")]
    await world.put(early, 1000)
    await world.after(SOON_SECONDS - 1)
    assert await world.counted(early) == 0
    await world.after(SOON_SECONDS)
    assert await world.counted(early) == 1000
    await world.address(tmp_path.name, "a.bin")  # asked for again, and nothing put there
    await world.put(late, 300)
    await world.after(2 * LAST_SECONDS)
    assert await world.counted(never) == 1300


async def test_who_has_put_too_much_gets_no_more_addresses(world: World, tmp_path: Path) -> None:
    uid = tmp_path.name
    upload = await world.address(uid, "a.bin")
    await world.put(upload, 1000)
    assert await world.granted(uid, upload, 1000)
    await world.after(SOON_SECONDS)
    assert not await world.granted(uid, upload, 1000)
    assert await world.granted(uid, upload, 1001)
    other = await world.address(f"{uid}2", "a.bin")
    assert await world.granted(f"{uid}2", other, 1000)


async def test_a_server_that_is_away_is_asked_again(world: World, tmp_path: Path) -> None:
    upload = await world.address(tmp_path.name, "a.bin")
    await world.put(upload, 1000)
    elsewhere = S3Blobs(
        world.blobs._settings.model_copy(update={"url": "http://127.0.0.1:9"}), (), Uploaders(folders_key)
    )
    elsewhere._client = await elsewhere._connect("http://127.0.0.1:9")
    world.sizes._blobs = elsewhere
    with capture_logs() as logs:
        await world.after(SOON_SECONDS)
        await world.after(SOON_SECONDS + 1)
    await elsewhere.close()
    assert [line["event"] for line in logs] == ["uploads not counted yet"]
    world.sizes._blobs = world.blobs
    await world.after(SOON_SECONDS + 2)
    assert await world.counted(upload) == 1000


async def test_what_is_kept_in_mind_is_bounded(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "MOST", 2)
    with capture_logs() as logs:
        for n in range(4):
            await world.address(tmp_path.name, f"{n}.bin")
    assert len(world.sizes._issued) == 2
    assert [line["event"] for line in logs] == ["uploads not counted: too many addresses at a time"]
    await world.after(LAST_SECONDS)
    assert len(world.sizes._issued) == 0
