"""Whether the disk of an SQLite database is full, which is said in the log when it begins and when it ends."""

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import structlog

from fsharechat.errors import StoreError, StoreFull

log = structlog.get_logger(__name__)

ROOM_BYTES = 1 << 20
"""With less free than this, a disk that fails a write is full."""

ENDED_SECONDS = 1.0
"""It has ended when so long after the last failure something could be written: small writes still find room
between large ones that fail."""

_MAY_BE_FULL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


class Disk:
    """The disk that a database is on, as threads that write and read there find it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at = 0.0

    def failure(self, error: sqlite3.Error) -> StoreError:
        """Return what those are told whose work has failed; a full disk is said in the log here."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code != sqlite3.SQLITE_FULL and not (code in _MAY_BE_FULL and self._free() < ROOM_BYTES):
            return StoreError(str(error))
        with self._lock:
            self._failures += 1
            self._failed_at = time.monotonic()
            begins = self._failures == 1
        if begins:
            log.error("the disk is full", path=str(self._path), free=self._free(), error=str(error))
        return StoreFull(self.explained(str(error)))

    def went_well(self) -> None:
        """Something was written."""
        if not self._failures:
            return
        with self._lock:
            if time.monotonic() < self._failed_at + ENDED_SECONDS:
                return
            failures, self._failures = self._failures, 0
        log.warning("the disk has room again", path=str(self._path), free=self._free(), failed=failures)

    def explained(self, text: str) -> str:
        """Return what went wrong, with the disk's part in it: SQLite may say no more than "disk I/O error"."""
        free = self._free()
        return text if free >= ROOM_BYTES else f"the disk is full, {free >> 10} KiB are left: {text}"

    def _free(self) -> int:
        try:
            return shutil.disk_usage(self._path.parent).free
        except OSError:
            return ROOM_BYTES  # the folder is gone, so that is what is wrong
