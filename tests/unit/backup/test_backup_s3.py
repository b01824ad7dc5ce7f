"""Back-ups on an S3 server, of media on an S3 server."""

from datetime import UTC, datetime
from pathlib import Path

import aioboto3
import pytest

from fsharechat.backup import BackupError, pruning
from fsharechat.backup.making import BackupMaker
from fsharechat.backup.restoring import Restorer
from fsharechat.backup.vault import S3Vault
from fsharechat.blobs import BlobsError
from fsharechat.blobs.s3 import S3Blobs
from fsharechat.protocol.signals import MediaType
from fsharechat.ticker import Ticker
from tests.unit.blobs.blobs_kit import make_uploaders
from tools.testing.services import Services

pytestmark = pytest.mark.slow


async def test_media_go_to_a_bucket_and_come_back(services: Services, tmp_path: Path) -> None:
    settings = services.media("versity")
    keys = (settings.access_key, settings.secret_key, settings.region)
    session = aioboto3.Session(*keys[:2])
    async with session.client("s3", endpoint_url=settings.url, region_name=settings.region) as client:
        await client.create_bucket(Bucket="backups")
    blobs = S3Blobs(settings, (), make_uploaders())
    vault = S3Vault(settings.url, *keys, "backups", "of/the day")
    await blobs.open()
    await vault.open(to_write=True)
    try:
        mine = "~uback-up/a name.png"
        await blobs.put(MediaType.IMAGE, "a picture.png", b"picture" * 1000, "image/png")
        async for _ in blobs.files(MediaType.IMAGE):
            break
        else:
            raise AssertionError(f"no file, not even {mine}")
        said = await BackupMaker.at(vault, datetime.now(UTC), Ticker()).make(None, blobs)
        assert "files of media" in said
        await blobs.remove(MediaType.IMAGE, "a picture.png")
        restorer = Restorer(vault, Ticker())
        _, found = await restorer.choose("")
        assert (await restorer.media(found, blobs)).startswith("1 files of media")
        text = b"".join([piece async for piece in blobs.read(MediaType.IMAGE, "a picture.png")])
        assert text == b"picture" * 1000
        assert "removed 0 older back-ups and 0 files" in await pruning.keep_last(vault, 1)
        with pytest.raises(BackupError, match="there is no back-up 2020-01-01T000000Z"):
            await restorer.choose("2020-01-01T000000Z")
        wrong = S3Vault(settings.url, keys[0], "wrong" * 5, keys[2], "backups", "")
        with pytest.raises(BlobsError):
            await wrong.open(to_write=True)
        await wrong.close()
    finally:
        await vault.close()
        await blobs.close()
