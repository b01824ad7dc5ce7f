"""The media stores that the suite runs over: the folder, served as the api role does, and two S3 servers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from blobs_kit import Media, make_directory, make_uploaders

from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.blobs.s3 import S3Blobs
from fsharechat.http import make_runner, refuse_encoded
from fsharechat.settings import Blobs as Settings
from roles.api import uploads
from tests.services import Services

ORIGIN = "https://chat.example"
SERVERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("minio", "versity")]


@pytest.fixture(params=["directory", *SERVERS])
async def media(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Media]:
    """Every media store in turn; what is in the buckets of a server may be of other tests."""
    if request.param == "directory":
        async with serving(tmp_path / "media") as media:
            yield media
        return
    settings = s3_settings(request.getfixturevalue("services"), request.param)
    async with ClientSession() as http:
        media = Media(
            lambda seconds: S3Blobs(
                settings.model_copy(update={"url_seconds": seconds}), (ORIGIN,), make_uploaders()
            ),
            http,
        )
        await media.blobs.open()
        yield media
        await media.blobs.close()


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Media]:
    """The folder alone: `tmp_path / "media"`."""
    async with serving(tmp_path / "media") as media:
        yield media


@pytest.fixture(params=SERVERS)
def s3(request: pytest.FixtureRequest, services: Services) -> Settings:
    """The settings of each S3 server in turn."""
    return s3_settings(services, request.param)


def s3_settings(services: Services, name: str) -> Settings:
    variables = services(name).variables(name)
    return Settings(
        **{key.removeprefix("FSHARECHAT_BLOBS__").lower(): value for key, value in variables.items()}
    )


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[Media]:
    """Serve a folder as the api role does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "http://{}:{}".format(*listener.getsockname())
        async with ClientSession() as http:
            media = Media(lambda seconds: make_directory(root, address, seconds), http)
            assert isinstance(media.blobs, DirectoryBlobs)
            await media.blobs.open()
            app = web.Application(middlewares=[refuse_encoded])
            uploads.add_routes(app, media.blobs)
            runner = make_runner(app)
            await runner.setup()
            await web.SockSite(runner, listener).start()
            yield media
            await runner.cleanup()
            await media.blobs.close()
