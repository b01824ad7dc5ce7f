"""Uploads of clients: their addresses, GMURL (contract.md sections 7 and 8), and their limits."""

import orjson
import structlog

from fsharechat.blobs import Blobs, BlobsError, KeyRefused
from fsharechat.blobs.keys import uploader_of
from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, MediaType, SubSignal
from fsharechat.rpc import Call, Method, Reply
from fsharechat.settings import Settings
from fsharechat.store import uploads
from fsharechat.store.store import Store
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers
from roles.group.upload_sizes import UploadSizes

log = structlog.get_logger(__name__)


async def upload_url(
    settings: Settings,
    store: Store,
    clock: ServerClock,
    blobs: Blobs,
    upload_sizes: UploadSizes,
    call: Call,
    request: pb.GetMinioUploadUrlRequest,
) -> pb.GetMinioUploadUrlResult:
    try:
        kind = MediaType(request.type)
    except ValueError:
        raise Refusal(Code.INVALID_PARAMETER) from None
    try:
        upload = await blobs.upload_url(kind, request.key, call.uid)
    except KeyRefused:
        raise Refusal(Code.INVALID_PARAMETER) from None
    except BlobsError as error:
        log.warning("no url for an upload", uid=call.uid, error=str(error))
        raise Refusal(Code.SERVER_ERROR) from error
    limits = settings.limits
    bytes_per_day = (
        limits.upload_bytes_per_day if upload.name else 0
    )  # else they are counted when they arrive
    if limits.uploads_per_day or bytes_per_day:
        granted = await store.write(
            uploads.grant,
            call.uid,
            clock.now(),
            limits.uploads_per_day,
            call.retried,
            uploader_of(upload.name),
            bytes_per_day,
        )
        if not granted:
            log.info("no more uploads today", uid=call.uid)
            raise Refusal(Code.TOO_OFTEN)
    if bytes_per_day:
        upload_sizes.issued(kind, upload)
    return pb.GetMinioUploadUrlResult(
        domain=upload.domain, url=upload.url, server=upload.server, port=upload.port
    )


async def upload(settings: Settings, store: Store, clock: ServerClock, call: Call) -> Reply:
    """Count a file that an api process is about to take, or take back the count of one that it did not keep."""
    folder, size = orjson.loads(call.body)
    per_day = settings.limits.upload_bytes_per_day
    if per_day and not await store.write(uploads.take_bytes, folder, size, clock.now(), per_day):
        log.info("no more bytes today", folder=folder, size=size)
        return Reply(Code.TOO_OFTEN)
    return Reply(Code.SUCCESS)


HANDLERS = Handlers(
    requests={
        SubSignal.GMURL: upload_url,
    },
    raw={
        Method.UPLOAD: upload,
    },
)
