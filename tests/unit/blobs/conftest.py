"""The media stores that the suite runs over: the folder, served as the api role does, and two S3 servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from fsharechat.blobs.s3 import S3Blobs
from fsharechat.settings_schema import BlobsSettings as Settings
from tests.unit.blobs.blobs_kit import MediaStore, make_uploaders, serving
from tools.testing.services import Services

ORIGIN = "https://chat.example"
SERVERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("minio", "versity")]


@pytest.fixture(params=["directory", *SERVERS])
async def media(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MediaStore]:
    """Every media store in turn; what is in the buckets of a server may be of other tests."""
    if request.param == "directory":
        async with serving(tmp_path / "media") as media:
            yield media
        return
    services: Services = request.getfixturevalue("services")
    settings = services.media(request.param)
    async with ClientSession() as http:
        media = MediaStore(
            lambda seconds: S3Blobs(
                settings.model_copy(update={"url_seconds": seconds}), (ORIGIN,), make_uploaders()
            ),
            http,
        )
        await media.blobs.open()
        yield media
        await media.blobs.close()


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[MediaStore]:
    """The folder alone: `tmp_path / "media"`."""
    async with serving(tmp_path / "media") as media:
        yield media


@pytest.fixture(params=SERVERS)
def s3(request: pytest.FixtureRequest, services: Services) -> Settings:
    """The settings of each S3 server in turn."""
    return services.media(request.param)
