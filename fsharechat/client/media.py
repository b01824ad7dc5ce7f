"""Pictures, voices, videos and files in messages (contract.md sections 5, 7 and 8: GMURL, media types)."""

import asyncio
import contextlib
import json
import mimetypes
import re
import secrets
from collections.abc import AsyncGenerator, Iterable
from io import BytesIO
from pathlib import Path, PurePath
from typing import BinaryIO, Protocol, TypedDict, Unpack

from fsharechat.client.errors import ClientError, Closed, Disconnected, MediaError, RequestTimeout
from fsharechat.client.models import SentMessage
from fsharechat.client.thumbnail import thumbnail
from fsharechat.client.transfer import Progress, Transfer, size_of
from fsharechat.client.transport import SendRequest, ask
from fsharechat.opened_file import OpenedFile
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, MediaType, PersistFlag, SubSignal

MAX_BYTES = 1 << 30
MAX_NAME_BYTES = 120
PARTS_FROM = 8 << 20
"""Files of so many bytes go up in parts. A connection that breaks costs only the rest of its part."""
PART_TRIES = 10
"""How often it is tried to get further than before."""
PAUSE_SECONDS = 1.0
_PASSING = frozenset({None, 409, 500, 502, 503, 504})
"""The status of an upload that may go better the next time."""
IMAGE_DIGEST = "[图片]"
VOICE_DIGEST = "[语音]"
VIDEO_DIGEST = "[视频]"

Source = Path | str | bytes
"""The file to upload: a path, or its bytes."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\?#%]+")
"""Characters that an address would change. The address is the domain and the unchanged key."""


class UploadOptions(TypedDict, total=False):
    """The options of an upload."""

    name: str
    on_progress: Progress | None


class VideoOptions(UploadOptions, total=False):
    """The options of a video."""

    picture: Source | None


class Send(Protocol):
    """`Client.send`."""

    async def __call__(
        self, target: str | pb.Conversation, content: pb.MessageContent, *, to: Iterable[str] = ()
    ) -> SentMessage: ...


class Media:
    """`Client.media`. The bytes go straight to the media store, in pieces, and large files go on where a
    connection broke.

    Errors besides those of every request: MediaError if the store refuses, stands still (`Options.media_timeout`) or
    cannot be reached, and OSError for the files of this machine. Cancelling stops a transfer at once.

    `name` is the file's name for the receivers, by default that of the path. `image`, `voice`, `video` and `file`
    upload and return the content of a message, for `Client.send`; the methods beginning with `send_` do both.
    """

    def __init__(self, me: str, request: SendRequest, send: Send, transfer: Transfer) -> None:
        """`request` and `send` are those of Client."""
        self._me = me
        self._request = request
        self._send = send
        self._transfer = transfer

    async def upload(
        self, kind: MediaType, source: Source, *, name: str = "", on_progress: Progress | None = None
    ) -> str:
        """Upload a file, and return its address for the `remote_media_url` of messages.

        Everybody who knows the address can read the file. 64 bits of it are random.
        """
        return (await self._upload(kind, source, name, on_progress))[0]

    async def image(
        self, source: Source, *, name: str = "", on_progress: Progress | None = None
    ) -> pb.MessageContent:
        """Upload a picture, with a thumbnail made of it. Raises thumbnail.NotAPicture."""
        small = await thumbnail(source if isinstance(source, bytes) else Path(source))
        address, _ = await self._upload(MediaType.IMAGE, source, name, on_progress)
        return _content(ContentType.IMAGE, MediaType.IMAGE, address, IMAGE_DIGEST, data=small)

    async def file(
        self, source: Source, *, name: str = "", on_progress: Progress | None = None
    ) -> pb.MessageContent:
        """Upload a file of any kind. The message says its name and size."""
        address, size = await self._upload(MediaType.FILE, source, name, on_progress)
        shown = name or _name(source) or "file"
        return _content(ContentType.FILE, MediaType.FILE, address, shown, content=str(size))

    async def voice(
        self, source: Source, seconds: float, *, name: str = "", on_progress: Progress | None = None
    ) -> pb.MessageContent:
        """Upload a voice message of a length in seconds."""
        address, _ = await self._upload(MediaType.VOICE, source, name, on_progress)
        length = json.dumps({"duration": max(1, round(seconds))})
        return _content(ContentType.VOICE, MediaType.VOICE, address, VOICE_DIGEST, content=length)

    async def video(
        self,
        source: Source,
        seconds: float,
        *,
        picture: Source | None = None,
        name: str = "",
        on_progress: Progress | None = None,
    ) -> pb.MessageContent:
        """Upload a video of a length in seconds. `picture` is a picture from it, for the thumbnail."""
        small = b""
        if picture is not None:
            small = await thumbnail(picture if isinstance(picture, bytes) else Path(picture))
        address, _ = await self._upload(MediaType.VIDEO, source, name, on_progress)
        length = json.dumps({"duration": max(1, round(seconds))})
        return _content(ContentType.VIDEO, MediaType.VIDEO, address, VIDEO_DIGEST, content=length, data=small)

    async def send_image(
        self,
        target: str | pb.Conversation,
        source: Source,
        *,
        to: Iterable[str] = (),
        **options: Unpack[UploadOptions],
    ) -> SentMessage:
        """Upload and send a picture; the options are those of `image`."""
        return await self._send(target, await self.image(source, **options), to=to)

    async def send_file(
        self,
        target: str | pb.Conversation,
        source: Source,
        *,
        to: Iterable[str] = (),
        **options: Unpack[UploadOptions],
    ) -> SentMessage:
        """Upload and send a file; the options are those of `file`."""
        return await self._send(target, await self.file(source, **options), to=to)

    async def send_voice(
        self,
        target: str | pb.Conversation,
        source: Source,
        seconds: float,
        *,
        to: Iterable[str] = (),
        **options: Unpack[UploadOptions],
    ) -> SentMessage:
        """Upload and send a voice message; the options are those of `voice`."""
        return await self._send(target, await self.voice(source, seconds, **options), to=to)

    async def send_video(
        self,
        target: str | pb.Conversation,
        source: Source,
        seconds: float,
        *,
        to: Iterable[str] = (),
        **options: Unpack[VideoOptions],
    ) -> SentMessage:
        """Upload and send a video; the options are those of `video`."""
        return await self._send(target, await self.video(source, seconds, **options), to=to)

    async def download(
        self,
        address: str,
        path: Path | str,
        *,
        max_bytes: int = MAX_BYTES,
        on_progress: Progress | None = None,
    ) -> int:
        """Download the media at an address into a file and return its size. Raises TooLarge beyond `max_bytes`.

        The file appears under its name when it is complete, and replaces an existing one. Addresses come from other
        users: a program that reaches a private network should check them first.
        """
        return await self._transfer.get(address, Path(path), max_bytes=max_bytes, on_progress=on_progress)

    async def stream(
        self, address: str, *, max_bytes: int = MAX_BYTES, on_progress: Progress | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the media at an address in pieces. Raises TooLarge beyond `max_bytes`."""
        pieces = self._transfer.stream(address, max_bytes=max_bytes, on_progress=on_progress)
        async with contextlib.aclosing(pieces):
            async for chunk in pieces:
                yield chunk

    async def _upload(
        self, kind: MediaType, source: Source, name: str, on_progress: Progress | None
    ) -> tuple[str, int]:
        """Return the address and the size."""
        if isinstance(source, bytes):
            return await self._upload_from(kind, BytesIO(source), name, on_progress)
        opened = OpenedFile(Path(source))
        try:
            file = await asyncio.to_thread(opened.open, "rb")
            return await self._upload_from(kind, file, name or _name(source), on_progress)
        finally:
            await asyncio.to_thread(opened.close)

    async def _upload_from(
        self, kind: MediaType, file: BinaryIO, name: str, on_progress: Progress | None
    ) -> tuple[str, int]:
        key = f"{int(kind)}-{self._me}-{secrets.token_hex(8)}-{safe_name(name)}"
        query = pb.GetMinioUploadUrlRequest(type=kind, key=key)
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        size = await size_of(file)
        if size >= PARTS_FROM:
            query.size = size
            return f"{await self._upload_parts(query, file, content_type, on_progress)}/{key}", size
        place = await ask(self._request, SubSignal.GMURL, query, pb.GetMinioUploadUrlResult)
        await self._transfer.put(place.url, file, content_type, on_progress)
        return f"{place.domain}/{key}", size

    async def _upload_parts(
        self,
        query: pb.GetMinioUploadUrlRequest,
        file: BinaryIO,
        content_type: str,
        on_progress: Progress | None,
    ) -> str:
        """Ask for the next part and send it, until the file is whole. Return the domain."""
        best, tries = 0, PART_TRIES
        while True:
            try:
                place = await ask(self._request, SubSignal.GMURL, query, pb.GetMinioUploadUrlResult)
                if place.offset > best:
                    best, tries = place.offset, PART_TRIES
                if place.offset == query.size:
                    return place.domain
                # (A server of an earlier version takes the file in one piece.)
                part = (place.offset, place.length) if place.length else None
                await self._transfer.put(place.url, file, content_type, on_progress, part)
                if part is None:
                    return place.domain
            except (MediaError, Disconnected, RequestTimeout) as error:
                tries -= 1
                if not tries or not _may_go_on(error):
                    raise
                await asyncio.sleep(PAUSE_SECONDS)


def _may_go_on(error: ClientError) -> bool:
    if isinstance(error, MediaError):
        return error.status in _PASSING
    return not isinstance(error, Closed)


def safe_name(name: str) -> str:
    """Return a file name for an address: the last part, of a bounded length, with its old ending."""
    plain = _UNSAFE.sub("_", PurePath(name.replace("\\", "/")).name)
    if plain in ("", ".."):
        return "file"
    suffix = PurePath(plain).suffix[:16]
    room = MAX_NAME_BYTES - len(suffix.encode())
    if len(plain.encode()) <= MAX_NAME_BYTES:
        return plain
    return plain.encode()[:room].decode(errors="ignore") + suffix


def _name(source: Source) -> str:
    return "" if isinstance(source, bytes) else PurePath(source).name


def _content(
    kind: ContentType, media: MediaType, address: str, digest: str, *, content: str = "", data: bytes = b""
) -> pb.MessageContent:
    return pb.MessageContent(
        type=kind,
        searchable_content=digest,
        content=content,
        data=data,
        media_type=media,
        remote_media_url=address,
        persist_flag=PersistFlag.STORED_AND_COUNTED,
    )
