"""Media on an S3 server, MinIO or another one, with plain S3 only. Clients reach it themselves, by presigned urls."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fsharechat.blobs import BUCKETS, Blobs, BlobsError, BlobsMisconfigured, StoredFile, Upload, host_and_port
from fsharechat.blobs.keys import Uploaders, place
from fsharechat.protocol.signals import MediaType
from fsharechat.settings_schema import BlobsSettings as Settings

_MADE_BY_ANOTHER = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
_WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound"}
_NOT_ALLOWED = {"AccessDenied", "AllAccessDisabled", "403"}
_NOT_THERE = {"404", "NoSuchKey", "NotFound", "403"}
"""The answers to a HEAD for a missing object: 403 if the key may not list the bucket."""
_NO_BUCKET = "NoSuchBucket"
_TO_BE_MADE = {_NO_BUCKET, "NoSuchBucketPolicy"}
_NO_CORS = {"NotImplemented", "MethodNotAllowed", "501", "405"}


class S3Blobs(Blobs):
    roles: ClassVar[frozenset[str]] = frozenset({"group"})

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
                    if _code(error) not in _TO_BE_MADE:
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
        server, port = host_and_port(self._public_url)
        return Upload(self.bucket_url(kind) + where.folder, url, server, port, where.name)

    async def kept(self, kind: MediaType, name: str) -> StoredFile | None:
        async with self._errors(f"bucket {BUCKETS[kind]}"):
            try:
                found = await self._client.head_object(Bucket=BUCKETS[kind], Key=name)
            except ClientError as error:
                if _code(error) in _NOT_THERE:
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

    async def _connect(self, url: str) -> Any:
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=10,
            retries={"total_max_attempts": 2, "mode": "standard"},
            # Else it would require a checksum from clients, and none of them sends one.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        session = aioboto3.Session(self._settings.access_key, self._settings.secret_key)
        client = session.client("s3", region_name=self._settings.region, endpoint_url=url, config=config)
        return await self._stack.enter_async_context(client)

    async def _prepare(self, bucket: str) -> None:
        """Make the bucket, readable for everybody. A policy set by the operator is left unchanged."""
        try:
            await self._client.get_bucket_policy(Bucket=bucket)
        except ClientError as error:
            if _code(error) not in _TO_BE_MADE:
                raise
            if _code(error) == _NO_BUCKET:
                await self._make(bucket)
            await self._client.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket))
        if not self._origins:
            return
        try:
            await self._let_pages_in(bucket)
        except ClientError as error:
            if _code(error) not in _NO_CORS:  # MinIO allows all origins
                raise

    async def _let_pages_in(self, bucket: str) -> None:
        """Allow uploads from web clients, unless the operator has set rules already."""
        try:
            await self._client.get_bucket_cors(Bucket=bucket)
        except ClientError as error:
            if _code(error) != "NoSuchCORSConfiguration":
                raise
            await self._client.put_bucket_cors(Bucket=bucket, CORSConfiguration=self._cors())

    async def _make(self, bucket: str) -> None:
        region = self._settings.region
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            await self._client.create_bucket(Bucket=bucket, **where)
        except ClientError as error:
            if _code(error) not in _MADE_BY_ANOTHER:
                raise

    def _cors(self) -> dict[str, Any]:
        rule = {"AllowedMethods": ["GET", "HEAD", "PUT"], "AllowedHeaders": ["*"], "MaxAgeSeconds": 86_400}
        return {"CORSRules": [{**rule, "AllowedOrigins": list(self._origins)}]}

    @asynccontextmanager
    async def _errors(self, what: str) -> AsyncIterator[None]:
        """Explain errors for the operator."""
        try:
            yield
        except ClientError as error:
            code = _code(error)
            text = f"{self._url}: {what}: {code}: {error.response.get('Error', {}).get('Message', '')}"
            if code in _WRONG_KEYS:
                raise BlobsMisconfigured(
                    f"{text}; are access_key and secret_key those of this server?"
                ) from error
            if code in _NOT_ALLOWED:
                raise BlobsMisconfigured(f"{text}; the access_key must be allowed to do that") from error
            raise BlobsError(text) from error
        except BotoCoreError as error:
            raise BlobsError(f"{self._url}: {error}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _policy(bucket: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
