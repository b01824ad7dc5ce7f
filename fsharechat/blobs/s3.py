"""Media on an S3 server, MinIO or another one, with plain S3 only. Clients reach it themselves, by presigned urls."""

import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from fsharechat.blobs import (
    BUCKETS,
    PART_BYTES,
    UNFINISHED_SECONDS,
    Blobs,
    FileGone,
    KeptFile,
    StoredFile,
    Upload,
    UploadPart,
    host_and_port,
)
from fsharechat.blobs.keys import Place, Uploaders, place
from fsharechat.blobs.s3_client import NO_OBJECT, connect, error_code, explained, pieces
from fsharechat.blobs.types import DOWNLOAD, by_name
from fsharechat.protocol.signals import MediaType
from fsharechat.settings_schema import BlobsSettings as Settings

_MADE_BY_ANOTHER = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
_NOT_THERE = NO_OBJECT | {"403"}
"""The answers to a HEAD for a missing object: 403 if the key may not list the bucket."""
_NO_BUCKET = "NoSuchBucket"
_TO_BE_MADE = {_NO_BUCKET, "NoSuchBucketPolicy"}
_NO_UPLOAD = "NoSuchUpload"
_MOST_PARTS = 10_000
_NO_CORS = {"NotImplemented", "MethodNotAllowed", "501", "405"}


class S3Blobs(Blobs):
    roles: ClassVar[frozenset[str]] = frozenset({"group"})
    form: ClassVar[str] = "s3"

    def __init__(self, settings: Settings, origins: tuple[str, ...], uploaders: Uploaders) -> None:
        """Use the S3 server of `settings`. Pages of `origins` ("*": any) may upload files."""
        self._url = settings.url.rstrip("/")
        self._public_url = settings.public_url.rstrip("/") or self._url
        self._settings = settings
        self._origins = origins
        self._uploaders = uploaders
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._signer: Any = None

    async def look(self) -> str:
        await self.close()
        self._client = await self._connect(self._url)
        missing = []
        for bucket in BUCKETS.values():
            async with self._errors(f"bucket {bucket}"):
                try:
                    await self._client.get_bucket_policy(Bucket=bucket)
                except ClientError as error:
                    if error_code(error) not in _TO_BE_MADE:
                        raise
                    missing.append(bucket)
        return f"buckets {', '.join(missing)} are made, or opened to readers, at the start" if missing else ""

    async def open(self) -> None:
        await self.close()
        self._client = await self._connect(self._url)
        # The signature covers the host, so it must be the host that clients use.
        self._signer = await self._connect(self._public_url)
        for bucket in BUCKETS.values():
            async with self._errors(f"bucket {bucket}"):
                await self._prepare(bucket)

    async def close(self) -> None:
        await self._stack.aclose()

    def bucket_url(self, kind: MediaType) -> str:
        return f"{self._public_url}/{BUCKETS[kind]}"

    async def upload_url(self, kind: MediaType, key: str, uid: str) -> Upload:
        where = place(kind, key, await self._uploaders.folder(uid))
        url: str = await self._signer.generate_presigned_url(
            "put_object",
            Params={"Bucket": BUCKETS[kind], "Key": where.name},
            ExpiresIn=int(self._settings.url_seconds),
        )
        return self._upload(kind, where, url)

    async def is_begun(self, kind: MediaType, key: str, uid: str, size: int) -> bool:
        name = place(kind, key, await self._uploaders.folder(uid)).name
        async with self._errors(f"bucket {BUCKETS[kind]}"):
            if await self._multipart(kind, name) is not None:
                return True
        found = await self.kept(kind, name)
        return found is not None and found.size == size

    async def next_part(self, kind: MediaType, key: str, uid: str, size: int) -> UploadPart:
        bucket, where = BUCKETS[kind], place(kind, key, await self._uploaders.folder(uid))
        part_bytes = max(PART_BYTES, -(-size // _MOST_PARTS))
        async with self._errors(f"bucket {bucket}"):
            upload_id = await self._multipart(kind, where.name)
            parts: list[Any] = []
            if upload_id is not None:
                parts = await self._parts(bucket, where.name, upload_id)
                sizes = [min(part_bytes, size - at) for at in range(0, size, part_bytes)]
                if [part["Size"] for part in parts] != sizes[: len(parts)]:  # of another size
                    await self._abort(bucket, where.name, upload_id)
                    upload_id, parts = None, []
            elif (found := await self.kept(kind, where.name)) is not None and found.size == size:
                return UploadPart(self._upload(kind, where, ""), size, 0)
            if upload_id is None:
                upload_id = await self._begin(bucket, where.name)
            offset = sum(part["Size"] for part in parts)
            if offset == size:
                done = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
                await self._client.complete_multipart_upload(
                    Bucket=bucket, Key=where.name, UploadId=upload_id, MultipartUpload={"Parts": done}
                )
                return UploadPart(self._upload(kind, where, ""), size, 0)
            length = min(part_bytes, size - offset)
            about = {"UploadId": upload_id, "PartNumber": len(parts) + 1, "ContentLength": length}
            url = await self._signer.generate_presigned_url(
                "upload_part",
                Params={"Bucket": bucket, "Key": where.name, **about},
                ExpiresIn=int(self._settings.url_seconds),
            )
        return UploadPart(self._upload(kind, where, url), offset, length)

    def _upload(self, kind: MediaType, where: Place, url: str) -> Upload:
        server, port = host_and_port(self._public_url)
        return Upload(self.bucket_url(kind) + where.folder, url, server, port, where.name)

    async def _multipart(self, kind: MediaType, name: str) -> str | None:
        """Return the id of the upload in parts of an object, the first one if two were begun at once."""
        # (MinIO finds an upload only by its whole name.)
        answer = await self._client.list_multipart_uploads(Bucket=BUCKETS[kind], Prefix=name)
        found = [one for one in answer.get("Uploads", ()) if one["Key"] == name]
        first = min(found, key=lambda one: (one["Initiated"], one["UploadId"]), default=None)
        return first and str(first["UploadId"])

    async def _parts(self, bucket: str, name: str, upload_id: str) -> list[Any]:
        """Return the parts that are there without a gap from the first on."""
        found = []
        pages = self._client.get_paginator("list_parts").paginate(Bucket=bucket, Key=name, UploadId=upload_id)
        async for page in pages:
            found += page.get("Parts", ())
        return [part for number, part in enumerate(found, 1) if part["PartNumber"] == number]

    async def _begin(self, bucket: str, name: str) -> str:
        begun = await self._client.create_multipart_upload(
            Bucket=bucket, Key=name, ContentType=_content_type(name)
        )
        return str(begun["UploadId"])

    async def _abort(self, bucket: str, name: str, upload_id: str) -> None:
        try:
            await self._client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload_id)
        except ClientError as error:
            if error_code(error) != _NO_UPLOAD:  # another process does the same
                raise

    async def sweep(self) -> None:
        # MinIO lists nothing here: it removes such parts itself, after a day.
        before = time.time() - UNFINISHED_SECONDS
        for bucket in BUCKETS.values():
            async with self._errors(f"bucket {bucket}"):
                pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
                async for page in pages:
                    for one in page.get("Uploads", ()):
                        if one["Initiated"].timestamp() < before:
                            await self._abort(bucket, one["Key"], one["UploadId"])

    async def kept(self, kind: MediaType, name: str) -> StoredFile | None:
        async with self._errors(f"bucket {BUCKETS[kind]}"):
            try:
                found = await self._client.head_object(Bucket=BUCKETS[kind], Key=name)
            except ClientError as error:
                if error_code(error) in _NOT_THERE:
                    return None
                raise
        return StoredFile(found["ContentLength"], int(found["LastModified"].timestamp() * 1000))

    async def put(self, kind: MediaType, key: str, data: bytes, content_type: str) -> str:
        where = place(kind, key)
        async with self._errors(f"bucket {BUCKETS[kind]}"):
            await self._client.put_object(
                Bucket=BUCKETS[kind], Key=where.name, Body=data, ContentType=content_type
            )
        return f"{self.bucket_url(kind)}{where.folder}/{key}"

    async def folder_of(self, uid: str) -> str:
        return await self._uploaders.folder(uid)

    def kept_name(self, name: str) -> str:
        return name

    async def files(self, kind: MediaType) -> AsyncIterator[KeptFile]:
        pages = self._client.get_paginator("list_objects_v2")
        async with self._errors(f"bucket {BUCKETS[kind]}"):
            async for page in pages.paginate(Bucket=BUCKETS[kind]):
                for found in page.get("Contents", ()):
                    modified_ms = int(found["LastModified"].timestamp() * 1000)
                    yield KeptFile(found["Key"], found["Size"], modified_ms)

    async def read(self, kind: MediaType, name: str) -> AsyncIterator[bytes]:
        async with self._errors(f"bucket {BUCKETS[kind]}"):
            try:
                async for piece in pieces(self._client, BUCKETS[kind], name):
                    yield piece
            except ClientError as error:
                if error_code(error) in NO_OBJECT:
                    raise FileGone(f"{self._url}: {name}: it is gone") from error
                raise

    async def bring_back(
        self, kind: MediaType, name: str, pieces: AsyncIterator[bytes], modified_ms: int
    ) -> None:
        # The server gives the time itself. The content type is what the name says, as clients have it.
        kept_as = {"ContentType": _content_type(name)}
        with tempfile.TemporaryFile() as file:
            async for piece in pieces:
                file.write(piece)
            file.seek(0)
            async with self._errors(f"bucket {BUCKETS[kind]}"):
                await self._client.upload_fileobj(file, BUCKETS[kind], name, ExtraArgs=kept_as)

    async def remove(self, kind: MediaType, name: str) -> None:
        async with self._errors(f"bucket {BUCKETS[kind]}"):
            await self._client.delete_object(Bucket=BUCKETS[kind], Key=name)

    async def _connect(self, url: str) -> Any:
        settings = self._settings
        return await connect(self._stack, url, settings.access_key, settings.secret_key, settings.region)

    async def _prepare(self, bucket: str) -> None:
        """Make the bucket, readable for everybody. A policy set by the operator is left unchanged."""
        try:
            await self._client.get_bucket_policy(Bucket=bucket)
        except ClientError as error:
            if error_code(error) not in _TO_BE_MADE:
                raise
            if error_code(error) == _NO_BUCKET:
                await self._make(bucket)
            await self._client.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket))
        if not self._origins:
            return
        try:
            await self._let_pages_in(bucket)
        except ClientError as error:
            if error_code(error) not in _NO_CORS:  # MinIO allows all origins
                raise

    async def _let_pages_in(self, bucket: str) -> None:
        """Allow uploads from web clients, unless the operator has set rules already."""
        try:
            await self._client.get_bucket_cors(Bucket=bucket)
        except ClientError as error:
            if error_code(error) != "NoSuchCORSConfiguration":
                raise
            await self._client.put_bucket_cors(Bucket=bucket, CORSConfiguration=self._cors())

    async def _make(self, bucket: str) -> None:
        region = self._settings.region
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            await self._client.create_bucket(Bucket=bucket, **where)
        except ClientError as error:
            if error_code(error) not in _MADE_BY_ANOTHER:
                raise

    def _cors(self) -> dict[str, Any]:
        rule = {"AllowedMethods": ["GET", "HEAD", "PUT"], "AllowedHeaders": ["*"], "MaxAgeSeconds": 86_400}
        return {"CORSRules": [{**rule, "AllowedOrigins": list(self._origins)}]}

    def _errors(self, what: str) -> AbstractAsyncContextManager[None]:
        return explained(self._url, what)


def _content_type(name: str) -> str:
    shown = by_name(name)
    return shown.content_type if shown else DOWNLOAD


def _policy(bucket: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
