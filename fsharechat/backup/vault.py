"""Where back-ups are kept: a folder, or a part of a bucket on an S3 server.

A vault has files by names with slashes. A file appears when it is whole.
"""

import asyncio
import contextlib
import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from fsharechat import file_lock
from fsharechat.backup import BackupError
from fsharechat.process import sync_file, sync_names

P = ParamSpec("P")
T = TypeVar("T")

_PIECE_BYTES = 1 << 20


class Vault(ABC):
    """Where back-ups are kept. `staging` is a folder for files on their way."""

    staging: Path

    @abstractmethod
    async def open(self, *, to_write: bool) -> None:
        """Be ready. Raises BackupError, BlobsError and OSError."""

    @abstractmethod
    async def close(self) -> None:
        """Remove what is left in `staging`."""

    @abstractmethod
    async def names(self) -> list[str]:
        """Return the names without a slash."""

    @abstractmethod
    def below(self, folder: str) -> AsyncIterator[str]:
        """Yield the names that begin with `folder` and a slash, few in memory at a time."""

    @abstractmethod
    async def remove(self, name: str) -> None:
        """Remove a file. It may be gone already."""

    @abstractmethod
    async def size(self, name: str) -> int | None:
        """Return the size of a file, bytes, None if there is none."""

    @abstractmethod
    async def put(self, name: str, file: Path) -> None:
        """Keep a file of `staging`, which is gone afterwards."""

    @abstractmethod
    def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a file, piece by piece. Raises BackupError if there is none."""

    async def put_checked(self, name: str, file: Path, size: int, digest: str) -> None:
        """Keep a file, read it again, and compare. Raises BackupError if it is not what was written."""
        await self.put(name, file)
        async for _ in checked(self.read(name), name, size, digest):
            pass


async def checked(pieces: AsyncIterator[bytes], name: str, size: int, digest: str) -> AsyncIterator[bytes]:
    """Yield pieces, and fail at their end if they are not the file with this size and SHA-256."""
    found, seen = hashlib.sha256(), 0
    async for piece in pieces:
        found.update(piece)
        seen += len(piece)
        yield piece
    if (seen, found.hexdigest()) != (size, digest):
        raise BackupError(
            f"{name} is damaged: {seen} bytes with the SHA-256 {found.hexdigest()}, not {size} with {digest}"
        )


class FolderVault(Vault):
    """A folder, for this user alone if it is made here."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.staging = root / "incoming"
        self._lock: IO[str] | None = None

    async def open(self, *, to_write: bool) -> None:
        if not to_write:
            if not self._root.is_dir():
                raise BackupError(f"{self._root} is not a folder with back-ups")
            return
        self.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (self._root / "lock").open("a", encoding="ascii")
        if not file_lock.take(self._lock):
            self._lock.close()
            raise BackupError(f"{self._root}: another back-up is being made there")
        self._clean()

    async def close(self) -> None:
        if self._lock is not None and not self._lock.closed:
            self._clean()
            self._lock.close()

    def _clean(self) -> None:
        for left in self.staging.iterdir():
            left.unlink()

    async def names(self) -> list[str]:
        return sorted(file.name for file in self._root.iterdir() if file.is_file())

    async def below(self, folder: str) -> AsyncIterator[str]:
        for part, _, files in os.walk(self._root / folder):
            for name in files:
                yield (Path(part) / name).relative_to(self._root).as_posix()

    async def remove(self, name: str) -> None:
        await _in_thread((self._root / name).unlink, missing_ok=True)

    async def size(self, name: str) -> int | None:
        try:
            return (self._root / name).stat().st_size
        except FileNotFoundError:
            return None

    async def put(self, name: str, file: Path) -> None:
        await _in_thread(_move, file, self._root / name)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        try:
            file = (self._root / name).open("rb")
        except FileNotFoundError:
            raise BackupError(f"{self._root / name} is missing") from None
        with file:
            while piece := await _in_thread(file.read, _PIECE_BYTES):
                yield piece


def _move(file: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_file(file)
    file.replace(target)
    sync_names(target.parent)


class S3Vault(Vault):
    """The objects of a bucket whose names begin with `prefix`. Files on their way need room in TMPDIR."""

    def __init__(
        self, url: str, access_key: str, secret_key: str, region: str, bucket: str, prefix: str
    ) -> None:
        from fsharechat.blobs import s3_client

        self._s3 = s3_client
        self._access = (url.rstrip("/"), access_key, secret_key, region)
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def open(self, *, to_write: bool) -> None:
        self.staging = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fsharechat-")))
        self._client = await self._s3.connect(self._stack, *self._access)
        async with self._errors():
            await self._client.head_bucket(Bucket=self._bucket)

    async def close(self) -> None:
        await self._stack.aclose()

    async def names(self) -> list[str]:
        return [name async for name in self._listed("", Delimiter="/")]

    def below(self, folder: str) -> AsyncIterator[str]:
        return self._listed(f"{folder}/")

    async def _listed(self, begin: str, **how: str) -> AsyncIterator[str]:
        pages = self._client.get_paginator("list_objects_v2")
        async with self._errors():
            async for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + begin, **how):
                for one in page.get("Contents", ()):
                    yield one["Key"].removeprefix(self._prefix)

    async def remove(self, name: str) -> None:
        async with self._errors():
            await self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    async def size(self, name: str) -> int | None:
        from botocore.exceptions import ClientError

        async with self._errors():
            try:
                found = await self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if self._s3.error_code(error) in self._s3.NO_OBJECT:
                    return None
                raise
        return int(found["ContentLength"])

    async def put(self, name: str, file: Path) -> None:
        async with self._errors():
            await self._client.upload_file(str(file), self._bucket, self._prefix + name)
        await _in_thread(file.unlink)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        async with self._errors():
            async for piece in self._s3.pieces(self._client, self._bucket, self._prefix + name):
                yield piece

    def _errors(self) -> contextlib.AbstractAsyncContextManager[None]:
        return self._s3.explained(self._access[0], f"bucket {self._bucket}")


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))
