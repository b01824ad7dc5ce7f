"""Removes old back-ups, and the media that no other one has."""

import secrets
import sqlite3
from contextlib import closing

from fsharechat.backup import manifest
from fsharechat.backup.vault import Vault


async def keep_last(vault: Vault, count: int) -> str:
    """Remove all back-ups but the last ones, and return a line about it. No back-up may be made there meanwhile.

    The manifest of each goes first. So one that is cut off leaves files that nobody names, and the next one removes
    them. Raises BackupError and BlobsError.
    """
    names = await manifest.names(vault)
    for name in names[:-count]:
        await vault.remove(f"{name}.json")
    kept = {f"{name}{end}" for name in names[-count:] for end in (".json", ".media", ".db")}
    for name in await vault.names():
        if name.endswith(".media") and name not in kept:
            await vault.remove(name)
    async for name in vault.below("database"):
        if name.removeprefix("database/") not in kept:
            await vault.remove(name)
    removed = await _remove_unnamed(vault, names[-count:])
    return (
        f"removed {len(names[:-count])} older back-ups and {removed:,} files of media that no other one has"
    )


async def _remove_unnamed(vault: Vault, names: list[str]) -> int:
    """Remove the media that none of these back-ups names. What they name is noted in a file, however much it is."""
    noted = vault.staging / secrets.token_hex(16)
    removed = 0
    try:
        with closing(sqlite3.connect(noted, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("CREATE TABLE named (name TEXT PRIMARY KEY) WITHOUT ROWID")
            for name in names:
                found = await manifest.read(vault, name)
                if found.media is not None:
                    async for line in manifest.media(vault, found.media):
                        connection.execute("INSERT OR IGNORE INTO named VALUES (?)", (line.kept_as,))
            async for name in vault.below("media"):
                if not connection.execute("SELECT 1 FROM named WHERE name = ?", (name,)).fetchone():
                    await vault.remove(name)
                    removed += 1
    finally:
        noted.unlink(missing_ok=True)
    return removed
