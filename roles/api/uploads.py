"""Serves the folder of media: signed PUT, and GET for everybody (protocol.md section 8, "Media types")."""

import asyncio
import re
from pathlib import Path

import structlog
from aiohttp import web

from fsharechat.blobs import BUCKETS, BlobsError
from fsharechat.blobs.directory import ROUTE, DirectoryBlobs, TooLarge
from fsharechat.blobs.types import HEAD_SIZE, Shown, by_head, by_name

log = structlog.get_logger(__name__)

_NEVER_A_PAGE = {
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}


def add_routes(app: web.Application, blobs: DirectoryBlobs) -> None:
    uploads = Uploads(blobs)
    buckets = "|".join(map(re.escape, BUCKETS.values()))
    path = f"{ROUTE}/{{bucket:{buckets}}}/{{name:.+}}"
    app.router.add_put(path, uploads.put)
    app.router.add_get(path, uploads.get)


class Uploads:
    def __init__(self, blobs: DirectoryBlobs) -> None:
        self._blobs = blobs

    async def put(self, request: web.Request) -> web.Response:
        """Keep what comes: 200 once it is safe, 403 when the url is altered or expired, 413 when it is too large."""
        bucket, name = request.match_info["bucket"], request.match_info["name"]
        expires, signature = request.query.get("expires", ""), request.query.get("signature", "")
        if not await self._blobs.allows(bucket, name, expires, signature):
            raise web.HTTPForbidden(text="this address takes no file, or no longer\n")
        if (request.content_length or 0) > self._blobs.max_bytes:
            raise self._too_large()
        try:
            await self._blobs.receive(bucket, name, request.content.iter_any())
        except TooLarge:
            raise self._too_large() from None
        except BlobsError as error:
            log.error("an upload could not be kept", error=str(error))
            raise web.HTTPInternalServerError(text="it could not be kept\n") from error
        return web.Response()

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Send a file, or the range of it that is asked for."""
        name = request.match_info["name"]
        file = self._blobs.file(request.match_info["bucket"], name)
        shown = by_name(name)
        if shown is None:
            shown = await asyncio.to_thread(_look_into, file)
        headers = {"Content-Type": shown.content_type, "X-Content-Type-Options": "nosniff"}
        return web.FileResponse(file, headers=headers if shown.inline else {**headers, **_NEVER_A_PAGE})

    def _too_large(self) -> web.HTTPException:
        size = self._blobs.max_bytes
        return web.HTTPRequestEntityTooLarge(max_size=size, actual_size=size, text=f"at most {size} bytes\n")


def _look_into(file: Path) -> Shown:
    try:
        with file.open("rb") as opened:
            return by_head(opened.read(HEAD_SIZE))
    except OSError:
        return by_head(b"")
