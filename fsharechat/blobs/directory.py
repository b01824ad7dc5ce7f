"""Media in a folder, which the api role serves: `[blobs] url = "directory:///media"`.

Several processes may share the folder. The name of a file is the SHA-256 of its object's name. So no key leads out of
the folder or is too long for the file system, and different keys are different files.
"""

import asyncio
import errno
import hmac
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, ClassVar, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from fsharechat.blobs import (
    BUCKETS,
    PART_BYTES,
    UNFINISHED_SECONDS,
    Blobs,
    BlobsError,
    FileGone,
    KeptFile,
    Upload,
    UploadPart,
    host_and_port,
)
from fsharechat.blobs.keys import Place, Uploaders, identity, place, uploader_of
from fsharechat.opened_file import OpenedFile
from fsharechat.process import sync_names, unusable
from fsharechat.protocol.signals import MediaType

P = ParamSpec("P")
T = TypeVar("T")

ROUTE = "/media"
"""The path below the public address under which buckets are served."""

_INCOMING = "incoming"
_PART = ".part"
"""The ending of a file in `incoming` that goes up in parts. Its name begins with the folder of its uploader."""

MOST_UNFINISHED = 32
"""How many files of one user may be on their way in parts. One more makes the oldest begin anew."""

_LOOK_BYTES = 16 << 20
"""After so many bytes of a file the free space is checked again."""

_PIECE_BYTES = 1 << 20
"""How much of a file is read at a time."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileTooLarge(BlobsError):
    """The file is larger than the limit."""


class NoRoom(BlobsError):
    """The disk has no free space except the reserve."""


class PartMissing(BlobsError):
    """The bytes before this part are not here."""


class DirectoryBlobs(Blobs):
    roles: ClassVar[frozenset[str]] = frozenset({"group", "api"})
    form: ClassVar[str] = "directory"

    def __init__(
        self,
        root: Path,
        address: str,
        key: Callable[[], Awaitable[bytes]],
        uploaders: Uploaders,
        *,
        url_seconds: float,
        max_bytes: int,
        reserve_bytes: int,
    ) -> None:
        """Keep media in `root`. `address` is that of the api role for clients. All processes sign with `key`.

        Files may have `max_bytes`, and must leave `reserve_bytes` free on their disk.
        """
        self.address = address
        self.max_bytes = max_bytes
        self._root = root
        self._incoming = root / _INCOMING
        self._agreed_key = key
        self._uploaders = uploaders
        self._key: bytes | None = None
        self._url_seconds = url_seconds
        self._reserve_bytes = reserve_bytes

    async def look(self) -> str:
        return await self._in_thread(self._look_at_folder)

    async def open(self) -> None:
        await self._in_thread(self._prepare)

    async def close(self) -> None:
        pass

    def bucket_url(self, kind: MediaType) -> str:
        return f"{self.address}{ROUTE}/{BUCKETS[kind]}"

    async def upload_url(self, kind: MediaType, key: str, uid: str) -> Upload:
        return await self._upload(kind, place(kind, key, await self._uploaders.folder(uid)))

    async def is_begun(self, kind: MediaType, key: str, uid: str, size: int) -> bool:
        where = place(kind, key, await self._uploaders.folder(uid))
        return await self._in_thread(self._arrived, BUCKETS[kind], where.name, size) > 0

    async def next_part(self, kind: MediaType, key: str, uid: str, size: int) -> UploadPart:
        where = place(kind, key, await self._uploaders.folder(uid))
        offset = await self._in_thread(self._arrived, BUCKETS[kind], where.name, size)
        upload = await self._upload(kind, where, size=size, offset=offset)
        return UploadPart(upload, offset, min(size - offset, PART_BYTES))

    async def _upload(self, kind: MediaType, where: Place, **part: int) -> Upload:
        """Return the signed address of a file, or of a `part` of one: its size and where the part begins."""
        asked = {"expires": str(int(time.time() + self._url_seconds))}
        asked |= {name: str(number) for name, number in part.items()}
        asked["signature"] = await self._sign(BUCKETS[kind], where.name, *asked.values())
        url = f"{self.bucket_url(kind)}/{quote(where.name)}?{urlencode(asked)}"
        return Upload(self.bucket_url(kind) + where.folder, url, *host_and_port(self.address))

    def _unfinished(self, bucket: str, name: str, size: int) -> Path:
        """Return the path of a file that goes up in parts."""
        digest = sha256(f"{bucket}\n{size}\n{self.kept_name(name)}".encode()).hexdigest()
        return self._incoming / f"{uploader_of(name)}-{digest}{_PART}"

    def _arrived(self, bucket: str, name: str, size: int) -> int:
        """Return how many bytes of a file are here. It is put into its place if that was all that is missing."""
        unfinished, target = self._unfinished(bucket, name, size), self.file(bucket, name)
        try:
            arrived = unfinished.stat().st_size
        except FileNotFoundError:
            with suppress(FileNotFoundError):
                return size if target.stat().st_size == size else 0
            return 0
        if arrived == size:
            with suppress(FileNotFoundError), unfinished.open("r+b") as file:  # another process does the same
                _finish_parts(file, target, size)
        return arrived

    async def put(self, kind: MediaType, key: str, data: bytes, content_type: str) -> str:
        where = place(kind, key)

        async def whole() -> AsyncIterator[bytes]:
            yield data

        await self.receive(BUCKETS[kind], where.name, whole())
        return f"{self.bucket_url(kind)}{where.folder}/{key}"

    async def allows(self, bucket: str, name: str, expires: str, signature: str, *part: str) -> bool:
        """Return whether a url for an upload is from this deployment and still valid.

        `part`: the size of a file that goes up in parts, and the offset of this one.
        """
        if not all(number.isascii() and number.isdecimal() for number in (expires, *part)):
            return False
        right = await self._sign(bucket, name, expires, *part)
        return hmac.compare_digest(right.encode(), signature.encode()) and int(expires) > time.time()

    def file(self, bucket: str, name: str) -> Path:
        """Return the path of an object's file. The file need not exist."""
        return self._place(bucket, self.kept_name(name))

    async def folder_of(self, uid: str) -> str:
        return await self._uploaders.folder(uid)

    def kept_name(self, name: str) -> str:
        return sha256(identity(name).encode(errors="surrogatepass")).hexdigest()

    def _place(self, bucket: str, kept: str) -> Path:
        return self._root / bucket / kept[:2] / kept

    async def files(self, kind: MediaType) -> AsyncIterator[KeptFile]:
        bucket = self._root / BUCKETS[kind]
        for part in await self._in_thread(_names, bucket):
            for file in await self._in_thread(_files, bucket / part):
                yield file

    async def read(self, kind: MediaType, name: str) -> AsyncIterator[bytes]:
        opened = OpenedFile(self._place(BUCKETS[kind], name))
        try:
            try:
                file = await self._in_thread(opened.open, "rb")
            except BlobsError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    raise FileGone(str(error)) from error
                raise
            while piece := await self._in_thread(file.read, _PIECE_BYTES):
                yield piece
        finally:
            await asyncio.shield(self._in_thread(opened.close))

    async def bring_back(
        self, kind: MediaType, name: str, pieces: AsyncIterator[bytes], modified_ms: int
    ) -> None:
        temporary = OpenedFile(self._incoming / secrets.token_hex(16))
        try:
            file = await self._in_thread(temporary.open, "xb")
            async for piece in pieces:
                await self._in_thread(file.write, piece)
            await self._in_thread(_finish, file, self._place(BUCKETS[kind], name), modified_ms)
        finally:
            await asyncio.shield(self._in_thread(temporary.discard))

    async def remove(self, kind: MediaType, name: str) -> None:
        await self._in_thread(self._place(BUCKETS[kind], name).unlink, missing_ok=True)

    async def receive(self, bucket: str, name: str, chunks: AsyncIterator[bytes], expected: int = 0) -> int:
        """Keep a file while it arrives, and return its size. It appears when it is whole, and never if `chunks`
        fails.

        `expected` is the announced size, bytes. Raises TooLarge, NoRoom and BlobsError.
        """
        await self._in_thread(self._look_for_room, expected)
        temporary = OpenedFile(self._incoming / secrets.token_hex(16))
        size = look_at = 0
        try:
            file = await self._in_thread(temporary.open, "xb")
            async for chunk in chunks:
                size += len(chunk)
                if size > self.max_bytes:
                    raise FileTooLarge(f"more than {self.max_bytes} bytes")
                if size > look_at:  # others write there too
                    look_at = size + _LOOK_BYTES
                    await self._in_thread(self._look_for_room, max(expected - size, 0) + len(chunk))
                await self._in_thread(file.write, chunk)
            await self._in_thread(_finish, file, self.file(bucket, name))
            return size
        finally:
            await asyncio.shield(self._in_thread(temporary.discard))

    async def receive_part(
        self, bucket: str, name: str, size: int, offset: int, chunks: AsyncIterator[bytes]
    ) -> None:
        """Keep a part of a file while it arrives; what is here stays if `chunks` fails. The last one makes it whole.

        Two that send the same part write the same bytes to the same place. Raises FileTooLarge, PartMissing, NoRoom
        and BlobsError.
        """
        if size > self.max_bytes:
            raise FileTooLarge(f"more than {self.max_bytes} bytes")
        most = min(size - offset, PART_BYTES)
        await self._in_thread(self._look_for_room, most)
        path = self._unfinished(bucket, name, size)
        await self._in_thread(self._make_room_for, path, size, offset)
        opened = OpenedFile(path)
        arrived = 0
        try:
            file = await self._in_thread(opened.open, "r+b")
            await self._in_thread(file.seek, offset)
            async for chunk in chunks:
                if arrived + len(chunk) > most:
                    raise FileTooLarge(f"a part of more than {most} bytes")
                await self._in_thread(file.write, chunk)
                arrived += len(chunk)
            if offset + arrived == size:
                await self._in_thread(_finish_parts, file, self.file(bucket, name), size)
        finally:
            await asyncio.shield(self._in_thread(opened.close))

    def _make_room_for(self, path: Path, size: int, offset: int) -> None:
        """Make the file of a part. This user keeps the newest such files: MOST_UNFINISHED, and `max_bytes` in all."""
        user = path.name.partition("-")[0]
        others = sorted((one for one in self._parts(user) if one[2] != path), reverse=True)
        left = self.max_bytes - size
        for number, (_, others_size, other) in enumerate(others, 1):
            left -= others_size
            if left < 0 or number >= MOST_UNFINISHED:
                other.unlink(missing_ok=True)
        if offset == 0:
            path.touch()
        elif not path.exists() or path.stat().st_size < offset:
            raise PartMissing(f"the first {offset} bytes are not here")

    def _parts(self, user: str = "") -> list[tuple[float, int, Path]]:
        """Return the unfinished files of a user, or of all: the time of the last part, s, and the size."""
        found = []
        for path in self._incoming.glob(f"{user}*{_PART}"):
            with suppress(FileNotFoundError):
                about = path.stat()
                found.append((about.st_mtime, about.st_size, path))
        return found

    async def sweep(self) -> None:
        await self._in_thread(_remove_old, self._incoming, f"*{_PART}")

    def _look_for_room(self, size: int) -> None:
        free = shutil.disk_usage(self._incoming).free
        if free - size < self._reserve_bytes:
            raise NoRoom(
                f"{self._root}: {free >> 20} MiB are free, of which {self._reserve_bytes >> 20} must stay free"
            )

    async def _sign(self, *texts: str) -> str:
        if self._key is None:
            self._key = await self._agreed_key()
        # Neither a bucket nor a number has a line end, and the name stands between them. So different lists give
        # different bytes.
        signed = "\n".join(("PUT", *texts)).encode(errors="surrogatepass")
        return hmac.digest(self._key, signed, sha256).hex()

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))
        except OSError as error:
            if error.errno in _FULL:
                raise NoRoom(f"{error.filename or self._root}: {error.strerror}") from error
            raise BlobsError(f"{error.filename or self._root}: {error.strerror}") from error

    def _look_at_folder(self) -> str:
        if problem := unusable(self._root):
            raise BlobsError(problem)
        return "" if self._root.exists() else "no media yet: the folder is made at the start"

    def _prepare(self) -> None:
        """Make the folders, check that they can be written, and remove abandoned uploads."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        for bucket in BUCKETS.values():
            (self._root / bucket).mkdir(exist_ok=True)
        probe = self._incoming / secrets.token_hex(16)
        probe.touch()
        probe.unlink()
        _remove_old(self._incoming, "*")  # of killed processes too: none still writes them


def _remove_old(incoming: Path, pattern: str) -> None:
    for left in incoming.glob(pattern):
        with suppress(FileNotFoundError):  # another process does the same
            if time.time() - left.stat().st_mtime > UNFINISHED_SECONDS:
                left.unlink()


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def _files(folder: Path) -> list[KeptFile]:
    """Return the files of one of the 256 parts of a bucket."""
    found = []
    for name in _names(folder):
        with suppress(FileNotFoundError):  # removed meanwhile
            about = (folder / name).stat()
            found.append(KeptFile(name, about.st_size, about.st_mtime_ns // 1_000_000))
    return found


def _finish_parts(file: BinaryIO, target: Path, size: int) -> None:
    """Put a file into its place that has come in parts, unless somebody else does so now. Raises PartMissing."""
    try:
        _finish(file, target)
    except FileNotFoundError:
        if not target.exists() or target.stat().st_size != size:
            raise PartMissing(f"the {size} bytes are not here any more") from None


def _finish(file: BinaryIO, target: Path, modified_ms: int | None = None) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    if modified_ms is not None:
        os.utime(file.name, ns=(modified_ms * 1_000_000,) * 2)
    target.parent.mkdir(exist_ok=True)
    Path(file.name).replace(target)
    # Only after this does the name survive a power cut.
    for folder in (target.parent, target.parent.parent):
        sync_names(folder)
