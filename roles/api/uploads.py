"""Serves the folder of media: signed PUT, and GET for everybody (contract.md section 8, "Media types")."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import orjson
import structlog
from aiohttp import web

from fsharechat.blobs import BUCKETS, BlobsError
from fsharechat.blobs.directory import ROUTE, DirectoryBlobs, FileTooLarge, NoRoom, PartMissing
from fsharechat.blobs.keys import uploader_of
from fsharechat.blobs.types import HEAD_SIZE, ServedAs, by_head, by_name
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Rpc

log = structlog.get_logger(__name__)

SILENT_SECONDS = 60.0

_NEVER_A_PAGE = {
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}


class Quota(Protocol):
    """Counts the bytes put into the folders of users."""

    async def take(self, folder: str, size: int) -> Code:
        """Count bytes; a negative size gives bytes back. TOO_OFTEN: the user may not upload so many today."""


class GroupQuota:
    """Lets a group process count, because it has the store."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def take(self, folder: str, size: int) -> Code:
        if not folder:
            return Code.SUCCESS
        reply = await self._rpc.call(Call(Method.UPLOAD, "", "", orjson.dumps([folder, size])))
        return Code(reply.code)


def add_routes(app: web.Application, blobs: DirectoryBlobs, quota: Quota) -> None:
    uploads = Uploads(blobs, quota)
    buckets = "|".join(map(re.escape, BUCKETS.values()))
    path = f"{ROUTE}/{{bucket:{buckets}}}/{{name:.+}}"
    app.router.add_put(path, uploads.put)
    app.router.add_get(path, uploads.get)


class Uploads:
    def __init__(self, blobs: DirectoryBlobs, quota: Quota) -> None:
        self._blobs = blobs
        self._quota = quota
        self._silent_until = 0.0

    async def put(self, request: web.Request) -> web.Response:
        """Keep an upload: 200 once it is on the disk, 403 if the url was changed or has expired, 413 if it is too
        large.

        507 if the user has reached the limit of a day, or the disk has no room. The url of a part takes only that
        part: 409 if what comes before it is not here any more.
        """
        bucket, name = request.match_info["bucket"], request.match_info["name"]
        expires, signature = request.query.get("expires", ""), request.query.get("signature", "")
        part = [request.query[key] for key in ("size", "offset") if key in request.query]
        if not await self._blobs.allows(bucket, name, expires, signature, *part):
            raise web.HTTPForbidden(text="this address does not accept a file, or no longer\n")
        if part:
            return await self._put_part(request, bucket, name, *map(int, part))
        # If no size is announced, the largest size is counted, and the rest is given back.
        counted = self._blobs.max_bytes if request.content_length is None else request.content_length
        if counted > self._blobs.max_bytes:
            raise self._too_large()
        folder = uploader_of(name)
        await self._count(folder, counted)
        kept = 0
        try:
            kept = await self._keep(request, bucket, name)
        finally:
            if kept != counted:
                await asyncio.shield(self._quota.take(folder, kept - counted))
        return web.Response()

    async def _put_part(
        self, request: web.Request, bucket: str, name: str, size: int, offset: int
    ) -> web.Response:
        counted = request.content_length
        if counted is None:
            raise web.HTTPLengthRequired(text="a part needs a Content-Length\n")
        if max(size, counted) > self._blobs.max_bytes:
            raise self._too_large()
        folder = uploader_of(name)
        await self._count(folder, counted)
        arrived = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal arrived
            async for chunk in request.content.iter_any():
                arrived += len(chunk)
                yield chunk

        try:
            with self._refusals():
                await self._blobs.receive_part(bucket, name, size, offset, chunks())
        finally:
            if arrived != counted:
                await asyncio.shield(self._quota.take(folder, arrived - counted))
        return web.Response()

    async def _count(self, folder: str, size: int) -> None:
        """Count an upload. Raises HTTPException if the user may not upload so much."""
        match await self._quota.take(folder, size):
            case Code.SUCCESS:
                return
            case Code.TOO_OFTEN:
                raise web.HTTPInsufficientStorage(text="no more today\n")
            case _:
                raise web.HTTPServiceUnavailable(text="try again later\n")

    async def _keep(self, request: web.Request, bucket: str, name: str) -> int:
        """Store the file, and return its size. Raises HTTPException."""
        with self._refusals():
            return await self._blobs.receive(
                bucket, name, request.content.iter_any(), request.content_length or 0
            )

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Answer for what the store raises."""
        try:
            yield
        except FileTooLarge:
            raise self._too_large() from None
        except PartMissing as error:
            raise web.HTTPConflict(text=f"{error}\n") from None
        except NoRoom as error:
            self._say_full(str(error))
            raise web.HTTPInsufficientStorage(text="there is no room for it\n") from error
        except BlobsError as error:
            log.error("an upload could not be kept", error=str(error))
            raise web.HTTPInternalServerError(text="it could not be kept\n") from error

    def _say_full(self, reason: str) -> None:
        """Log it only once in a while: refused clients try again."""
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + SILENT_SECONDS
            log.error("no room for uploads", reason=reason)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Send a file, or the requested range of it."""
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


def _look_into(file: Path) -> ServedAs:
    try:
        with file.open("rb") as opened:
            return by_head(opened.read(HEAD_SIZE))
    except OSError:
        return by_head(b"")
