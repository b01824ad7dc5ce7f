"""Puts a back-up into an empty place, from which a server starts."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from fsharechat.backup import BackupError, manifest
from fsharechat.backup.manifest import Manifest, MediaLine, VaultFile
from fsharechat.backup.vault import Vault, checked
from fsharechat.blobs import Blobs, FileGone
from fsharechat.process import sync_names
from fsharechat.protocol.signals import MediaType
from fsharechat.store import fence, snapshots
from fsharechat.store.migrate import revisions
from fsharechat.ticker import Ticker

_UNFINISHED = ".restoring"


class Restorer:
    """Restores from a vault. A run that was cut off is repeated with the same command, and goes on.

    The database appears last: a server cannot start on half of a back-up.
    """

    def __init__(self, vault: Vault, ticker: Ticker) -> None:
        self._vault = vault
        self._ticker = ticker

    async def choose(self, wanted: str) -> tuple[str, Manifest]:
        """Return the back-up with a name, or the last one, if this version can restore it. Raises BackupError."""
        names = await manifest.names(self._vault)
        if not names:
            raise BackupError("there is no back-up: TIME.json is missing, which a back-up writes at its end")
        if wanted and wanted not in names:
            raise BackupError(f"there is no back-up {wanted}; there are {', '.join(names[-10:])}")
        name = wanted or names[-1]
        found = await manifest.read(self._vault, name)
        if found.database is not None and found.revision not in revisions():
            raise BackupError(
                f"the back-up {name} has tables of step {found.revision}, which this version does not know: restore "
                f"it with fsharechat {found.made_by} or a newer one"
            )
        if problem := fence.problem(found.level, found.made_by):
            raise BackupError(f"the back-up {name}: {problem}")
        return name, found

    def check_place(self, found: Manifest, database: Path) -> None:
        """Check that nothing is in the way of the database, and that there is room. Raises BackupError."""
        for path in (database, *(database.with_name(database.name + end) for end in snapshots.BESIDE)):
            if path.exists():
                raise BackupError(
                    f"{path} is there, and a restore replaces nothing: move it away, or name another folder by --data"
                )
        needed = found.database.size if found.database is not None else 0
        free = shutil.disk_usage(database.parent).free
        if free < needed:
            raise BackupError(
                f"{database.parent}: {free >> 20} MiB are free, and {needed >> 20} MiB are needed"
            )

    async def media(self, found: Manifest, blobs: Blobs) -> str:
        """Bring the media back, and return a line about it. Raises BackupError and BlobsError."""
        if found.media is None:
            return "the back-up has no media"
        if found.form != blobs.form:
            raise BackupError(
                f'the media of the back-up are of the form "{found.form}", and [blobs] url is of the form '
                f'"{blobs.form}". Restore them to the same form, or leave them out by --no-media'
            )
        brought = there = 0
        async for line in manifest.media(self._vault, found.media):
            if await _has(blobs, line):
                there += 1
            else:
                pieces = checked(self._vault.read(line.kept_as), line.kept_as, line.size, line.sha256)
                await blobs.bring_back(MediaType(line.kind), line.name, pieces, line.modified_ms)
                brought += 1
            if self._ticker.due():
                self._ticker.say(f"media: {brought + there:,} of {found.media_files:,} files")
        return f"{brought:,} files of media" + (f"; {there:,} were there already" if there else "")

    async def database(self, kept: VaultFile, path: Path) -> str:
        """Bring the database back, and return a line about it. Raises BackupError and StoreError."""
        unfinished = path.with_name(path.name + _UNFINISHED)
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            async for piece in self._told(
                checked(self._vault.read(kept.name), kept.name, kept.size, kept.sha256)
            ):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        await asyncio.to_thread(snapshots.check, unfinished)
        unfinished.rename(path)
        sync_names(path.parent)
        return f"the database, {kept.size:,} bytes"

    async def _told(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        seen = 0
        async for piece in pieces:
            seen += len(piece)
            if self._ticker.due():
                self._ticker.say(f"database: {seen:,} bytes")
            yield piece


async def _has(blobs: Blobs, line: MediaLine) -> bool:
    """Return whether a file is there already, from a run that was cut off."""
    try:
        async for _ in checked(
            blobs.read(MediaType(line.kind), line.name), line.name, line.size, line.sha256
        ):
            pass
    except (FileGone, BackupError):
        return False
    return True
