"""A client of an S3 server, and its errors explained for the operator."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fsharechat.blobs import BlobsError, BlobsMisconfigured

PIECE_BYTES = 1 << 20
"""How much of an object is read at a time."""

NO_OBJECT = frozenset({"404", "NoSuchKey", "NotFound"})

_WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound"}
_NOT_ALLOWED = {"AccessDenied", "AllAccessDisabled", "403"}


async def connect(stack: AsyncExitStack, url: str, access_key: str, secret_key: str, region: str) -> Any:
    """Return a client of the server at `url`, which the stack closes."""
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
    session = aioboto3.Session(access_key, secret_key)
    client = session.client("s3", region_name=region, endpoint_url=url, config=config)
    return await stack.enter_async_context(client)


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@asynccontextmanager
async def explained(url: str, what: str) -> AsyncIterator[None]:
    """Explain errors for the operator: as BlobsError, and as BlobsMisconfigured if waiting is of no use."""
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        text = f"{url}: {what}: {code}: {error.response.get('Error', {}).get('Message', '')}"
        if code in _WRONG_KEYS:
            raise BlobsMisconfigured(
                f"{text}; are access_key and secret_key those of this server?"
            ) from error
        if code in _NOT_ALLOWED:
            raise BlobsMisconfigured(f"{text}; the access_key must be allowed to do that") from error
        raise BlobsError(text) from error
    except BotoCoreError as error:
        raise BlobsError(f"{url}: {error}") from error


async def pieces(client: Any, bucket: str, name: str) -> AsyncIterator[bytes]:
    """Yield the bytes of an object, piece by piece. Raises the errors of the client."""
    found = await client.get_object(Bucket=bucket, Key=name)
    async with found["Body"] as body:
        while piece := await body.content.read(PIECE_BYTES):
            yield piece
