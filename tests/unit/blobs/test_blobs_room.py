"""How much of a disk uploads take: a quota for each user, and a reserve that stays free."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fsharechat.blobs import Upload
from fsharechat.blobs.directory import DirectoryBlobs, NoRoom
from fsharechat.protocol.signals import Code, MediaType
from tests.unit.blobs.blobs_kit import MAX_BYTES, MediaStore, make_directory, serving
from tools.testing.full_disk import fill


async def upload_of(media: MediaStore, uid: str = "ann", key: str = "a.bin") -> Upload:
    return await media.blobs.upload_url(MediaType.FILE, key, uid)


async def slowly(data: bytes) -> AsyncIterator[bytes]:
    """Be of no length that is known before."""
    yield data


async def test_a_user_puts_only_so_many_bytes(folder: MediaStore) -> None:
    folder.quota.most = 1000
    assert await folder.upload(await upload_of(folder), bytes(600)) == 200
    assert await folder.upload(await upload_of(folder), bytes(401)) == 507
    assert await folder.upload(await upload_of(folder, key="b.bin"), bytes(400)) == 200
    assert await folder.upload(await upload_of(folder), b"x") == 507
    assert await folder.upload(await upload_of(folder, "bob"), bytes(600)) == 200
    assert sorted(folder.quota.had.values()) == [600, 1000]


async def test_what_is_not_kept_is_not_counted(folder: MediaStore) -> None:
    assert await folder.upload(await upload_of(folder), slowly(bytes(100))) == 200
    assert await folder.upload(await upload_of(folder), slowly(bytes(MAX_BYTES + 1))) == 413
    assert await folder.upload(await upload_of(folder), io.BytesIO(bytes(MAX_BYTES + 1))) == 413
    assert list(folder.quota.had.values()) == [100]


async def test_without_an_answer_nothing_is_kept(folder: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> Code:
        return Code.SERVER_ERROR

    monkeypatch.setattr(folder.quota, "take", away)
    upload = await upload_of(folder)
    assert await folder.upload(upload, b"x") == 503
    assert (await folder.ask("GET", f"{upload.domain}/a.bin")).status == 404


@pytest.mark.parametrize("chunked", [False, True])
async def test_uploads_leave_the_reserve_free(small_disk: Path, chunked: bool) -> None:
    async with serving(small_disk / "media", reserve=32 << 20) as media:
        with capture_logs() as logs:
            for _ in range(3):
                data = slowly(bytes(100)) if chunked else bytes(100)
                assert await media.upload(await upload_of(media), data) == 507
        assert [line["event"] for line in logs] == ["no room for uploads"]
        assert not [path for path in (small_disk / "media").rglob("*") if path.is_file()]
        assert not media.quota.had.total()


async def test_a_file_that_would_take_of_the_reserve_is_refused(small_disk: Path) -> None:
    async with serving(small_disk / "media", reserve=(31 << 20) + 1) as media:
        assert await media.upload(await upload_of(media), bytes(MAX_BYTES)) == 507
        assert await media.upload(await upload_of(media), bytes(1000)) == 200


async def test_what_others_write_meanwhile_is_seen(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsharechat.blobs.directory._LOOK_BYTES", 1000)

    async def while_others_write() -> AsyncIterator[bytes]:
        yield bytes(500)
        fill(small_disk)
        yield bytes(2000)

    blobs = make_directory(small_disk / "media", "http://x", reserve=1 << 20)
    await blobs.open()
    with pytest.raises(NoRoom, match="0 MiB are free, of which 1 must stay free"):
        await blobs.receive("minio-bucket-file-name", "a", while_others_write())
    assert not list((small_disk / "media" / "incoming").iterdir())


async def test_a_full_disk_without_a_reserve_is_no_room_too(small_disk: Path) -> None:
    async with serving(small_disk / "media") as media:
        filler = fill(small_disk)
        assert isinstance(media.blobs, DirectoryBlobs)
        assert await media.upload(await upload_of(media), bytes(100_000)) == 507
        filler.unlink()
        assert await media.upload(await upload_of(media), bytes(100_000)) == 200
