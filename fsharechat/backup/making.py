"""Makes a back-up while the server runs."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

from fsharechat import __version__
from fsharechat.backup import BackupError, manifest
from fsharechat.backup.manifest import Manifest, MediaLine, VaultFile
from fsharechat.backup.vault import Vault
from fsharechat.blobs import Blobs, FileGone, KeptFile
from fsharechat.protocol.signals import MediaType
from fsharechat.store import snapshots
from fsharechat.ticker import Ticker


class BackupMaker:
    """Makes one back-up. It can be cut off at any moment: what is whole in the vault by then is not written again.

    The database comes first. So each file that it names is there when the media are read.
    """

    def __init__(self, vault: Vault, name: str, ticker: Ticker) -> None:
        self._vault = vault
        self._name = name
        self._ticker = ticker
        self._written = 0
        self._files = self._bytes = 0

    @classmethod
    def at(cls, vault: Vault, now: datetime, ticker: Ticker) -> "BackupMaker":
        """Make a back-up named after the time `now`."""
        return cls(vault, manifest.name_of(now), ticker)

    async def make(self, database: Path | None, blobs: Blobs | None) -> str:
        """Keep the database and the media, and return a line about it. Either may be left out.

        Raises BackupError, StoreError and BlobsError.
        """
        before = await manifest.names(self._vault)
        if self._name in before:
            raise BackupError(f"there is a back-up {self._name} already")
        copied = revision = ""
        level, kept_database, kept_media = 0, None, None
        if database is not None:
            kept_database, revision, level = await self._copy(database)
            copied = f"the database, {kept_database.size:,} bytes"
        if blobs is not None:
            last = await manifest.read(self._vault, before[-1]) if before else None
            if last is not None and last.form != blobs.form:
                last = None
            kept_media = await self._keep_media(blobs, last)
            copied += f"{' and ' if copied else ''}{self._files:,} files of media, {self._bytes:,} bytes"
        await self._put_text(
            f"{self._name}.json",
            Manifest(
                format=manifest.FORMAT,
                made_by=__version__,
                revision=revision,
                level=level,
                database=kept_database,
                form=blobs.form if blobs is not None else "",
                media=kept_media,
                media_files=self._files,
                media_bytes=self._bytes,
            )
            .model_dump_json(indent=2)
            .encode(),
        )
        return f"back-up {self._name}: {copied}; {self._written:,} bytes were written, and read again"

    async def _copy(self, database: Path) -> tuple[VaultFile, str, int]:
        target = self._staged()
        try:
            await asyncio.to_thread(snapshots.copy, database, target, self._tell_pages)
            state = await asyncio.to_thread(snapshots.check, target)
            if not state.revision:
                raise BackupError(f"{database} has no tables: it is not a database of fsharechat")
            kept = await self._put(f"database/{self._name}.db", target)
        finally:
            target.unlink(missing_ok=True)
        return kept, state.revision, state.level

    def _tell_pages(self, copied: int, of: int) -> None:
        if self._ticker.due():
            self._ticker.say(f"database: {copied:,} of {of:,} pages")

    async def _keep_media(self, blobs: Blobs, last: Manifest | None) -> VaultFile:
        known = _Known(manifest.media(self._vault, last.media) if last and last.media else None)
        listed = self._staged()
        try:
            with listed.open("wb") as file:
                for kind in sorted(MediaType):
                    async for one in blobs.files(kind):
                        line = await self._keep_one(blobs, kind, one, await known.find(kind, one))
                        if line is not None:
                            file.write(manifest.line_of(line))
                            self._files += 1
                            self._bytes += line.size
                            if self._ticker.due():
                                self._ticker.say(f"media: {self._files:,} files, {self._bytes:,} bytes")
            return await self._put(f"{self._name}.media", listed)
        finally:
            listed.unlink(missing_ok=True)

    async def _keep_one(
        self, blobs: Blobs, kind: MediaType, file: KeptFile, known: MediaLine | None
    ) -> MediaLine | None:
        """Keep a file unless the vault has it. Return None if it was removed meanwhile."""
        if known is not None and await self._vault.size(known.kept_as) == known.size:
            return known
        staged = self._staged()
        try:
            found, size = hashlib.sha256(), 0
            with staged.open("xb") as copy:
                async for piece in blobs.read(kind, file.name):
                    found.update(piece)
                    size += len(piece)
                    copy.write(piece)
            line = MediaLine(int(kind), file.name, size, file.modified_ms, found.hexdigest())
            if await self._vault.size(line.kept_as) != size:
                await self._vault.put_checked(line.kept_as, staged, size, line.sha256)
                self._written += size
        except FileGone:
            return None
        finally:
            staged.unlink(missing_ok=True)
        return line

    async def _put_text(self, name: str, text: bytes) -> None:
        file = self._staged()
        file.write_bytes(text)
        await self._put(name, file)

    async def _put(self, name: str, file: Path) -> VaultFile:
        size, digest = await asyncio.to_thread(_digest, file)
        await self._vault.put_checked(name, file, size, digest)
        self._written += size
        return VaultFile(name=name, size=size, sha256=digest)

    def _staged(self) -> Path:
        return self._vault.staging / secrets.token_hex(16)


class _Known:
    """The media of the last back-up, read beside those of now: both are in the same order."""

    def __init__(self, lines: AsyncIterator[MediaLine] | None) -> None:
        self._lines = lines
        self._next: MediaLine | None = None

    async def find(self, kind: MediaType, file: KeptFile) -> MediaLine | None:
        """Return the line of a file that has not changed since."""
        place = MediaLine(int(kind), *file, "").place
        while self._lines is not None and (self._next is None or self._next.place < place):
            self._next = await anext(self._lines, None)
            if self._next is None:
                self._lines = None
        return self._next if self._next is not None and self._next.is_still(kind, file) else None


def _digest(file: Path) -> tuple[int, str]:
    with file.open("rb") as stream:
        return file.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()
