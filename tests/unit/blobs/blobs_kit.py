"""A media store that runs, and an HTTP client beside it."""

import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import ClientSession, web
from multidict import CIMultiDictProxy
from yarl import URL

from fsharechat.blobs import Blobs, Upload
from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.blobs.keys import Uploaders
from fsharechat.http import make_runner, refuse_encoded
from fsharechat.protocol.signals import Code
from roles.api import uploads
from tools.wire.port import connection

KEY = b"the key of a deployment"
MAX_BYTES = 1 << 20
"""The largest file of a folder of media."""


class HttpAnswer(NamedTuple):
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class MediaStore:
    def __init__(self, make: Callable[[float], Blobs], http: ClientSession) -> None:
        """`make` makes what uses the media store, with urls that are good for so many seconds."""
        self.blobs = make(3600)
        self.quota = CountedChunks()
        self._make = make
        self._http = http

    @asynccontextmanager
    async def expiring_after(self, seconds: float) -> AsyncIterator[Blobs]:
        """Return what uses the same media store with such urls."""
        blobs = self._make(seconds)
        await blobs.open()
        yield blobs
        await blobs.close()

    async def ask(self, method: str, url: str | URL, data: object = None, **headers: str) -> HttpAnswer:
        """Ask as an ordinary HTTP client does, which tidies a url up before it sends it."""
        async with self._http.request(method, url, data=data, headers=headers) as answer:
            return HttpAnswer(answer.status, answer.headers, await answer.read())

    async def ask_as_is(self, method: str, url: str, data: object = None) -> HttpAnswer:
        """Ask for a url that is percent-encoded already, with not a byte of it changed."""
        return await self.ask(method, URL(url, encoded=True), data)

    async def upload(self, upload: Upload, data: object) -> int:
        return (await self.ask("PUT", upload.url, data)).status


class CountedChunks:
    """A quota of bytes that each folder has for good."""

    def __init__(self, most: int = 1 << 40) -> None:
        self.most = most
        self.had: Counter[str] = Counter()

    async def take(self, folder: str, size: int) -> Code:
        if size > 0 and self.had[folder] + size > self.most:
            return Code.TOO_OFTEN
        self.had[folder] += size
        return Code.SUCCESS


def make_directory(
    root: Path, address: str, seconds: float = 3600, key: bytes = KEY, reserve: int = 0
) -> DirectoryBlobs:
    async def agreed() -> bytes:
        return key

    return DirectoryBlobs(
        root,
        address,
        agreed,
        make_uploaders(),
        url_seconds=seconds,
        max_bytes=MAX_BYTES,
        reserve_bytes=reserve,
    )


def make_uploaders(key: bytes = b"the folders of a deployment") -> Uploaders:
    async def agreed() -> bytes:
        return key

    return Uploaders(agreed)


@asynccontextmanager
async def serving(root: Path, reserve: int = 0) -> AsyncIterator[MediaStore]:
    """Serve a folder as the api role does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "http://{}:{}".format(*listener.getsockname())
        async with ClientSession() as http:
            media = MediaStore(lambda seconds: make_directory(root, address, seconds, reserve=reserve), http)
            assert isinstance(media.blobs, DirectoryBlobs)
            await media.blobs.open()
            app = web.Application(middlewares=[refuse_encoded])
            uploads.add_routes(app, media.blobs, media.quota)
            runner = make_runner(app)
            await runner.setup()
            await web.SockSite(runner, listener).start()
            yield media
            await runner.cleanup()
            await media.blobs.close()


async def raw_get(url: str) -> bytes:
    """Return the status line and headers for a path that is sent as it is, whatever is in it."""
    parts = URL(url, encoded=True)
    async with connection(f"{parts.host}:{parts.port}") as (reader, writer):
        path = url.partition("://")[2].partition("/")[2]
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {parts.host}\r\nConnection: close\r\n\r\n".encode())
        return await reader.read()
