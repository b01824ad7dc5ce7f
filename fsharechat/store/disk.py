"""Notes whether the disk of an SQLite database is full, and logs when that begins and ends."""

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import structlog

from fsharechat.errors import StoreError, StoreFull

log = structlog.get_logger(__name__)

ROOM_BYTES = 1 << 20
"""A disk that fails a write is full if it has less than this free, bytes."""

ENDED_SECONDS = 1.0
"""The disk has room again if a write succeeds so many seconds after the last failure. Before, small writes may find
room between large ones that fail.
"""

_MAY_BE_FULL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


class Disk:
    """The disk of a database, seen by the threads that write and read there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at = 0.0

    def failure(self, error: sqlite3.Error) -> StoreError:
        """Return the error for callers whose work has failed. A full disk is logged here."""
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
        """Note that a write succeeded."""
        if not self._failures:
            return
        with self._lock:
            if time.monotonic() < self._failed_at + ENDED_SECONDS:
                return
            failures, self._failures = self._failures, 0
        log.warning("the disk has room again", path=str(self._path), free=self._free(), failed=failures)

    def explained(self, text: str) -> str:
        """Return the text of an error, with the state of the disk: SQLite may say only "disk I/O error"."""
        free = self._free()
        return text if free >= ROOM_BYTES else f"the disk is full, {free >> 10} KiB are left: {text}"

    def _free(self) -> int:
        try:
            return shutil.disk_usage(self._path.parent).free
        except OSError:
            return ROOM_BYTES  # the folder is gone, and that is the fault
