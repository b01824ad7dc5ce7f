"""SQLite's checkpoints: a thread copies the write-ahead log into the database, beside the writer.

SQLite itself makes a checkpoint within the commit that fills the log. Such a commit takes 50 ms, and everybody waits.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

LOG_BYTES = 16 << 20
"""A larger log is due for a checkpoint. A new log keeps a file of this size, so in a larger file the log is whole."""

LATEST_PAGES = 16_000
"""With so many pages in the log, a commit makes the checkpoint itself, in case the thread is too slow."""

LEFT_PAGES = 200
MAX_PASSES = 3
"""The thread goes over the log until the writer adds no more than LEFT_PAGES meanwhile, at most MAX_PASSES times."""

_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpoints:
    """Takes care of the log of a database with one writer.

    A thread copies the log while the writer goes on. Few pages come meanwhile, and the writer copies these after its
    next commit. Only a log that nobody adds to can be copied whole, and only then does the log begin anew.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        """`path` is that of the database; `connect` opens a connection for the thread.

        Raises sqlite3.Error when it cannot.
        """
        self._log = path.with_name(path.name + "-wal")
        self._connection = connect()
        self._due = threading.Event()
        self._stopped = False
        self._under_way = False  # the writer has asked for it
        self._copied = False  # the thread has done its part
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="store-checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Make no more checkpoints, and return when none is under way."""
        self._stopped = True
        self._due.set()
        self._thread.join()

    def committed(self, writer: sqlite3.Connection) -> None:
        """Check the log after a commit, in the writer's thread, when nobody waits for the commit any more."""
        if self._copied:
            self._copied = self._under_way = False
            self._pass(writer)
        elif not self._under_way and self._size() > LOG_BYTES:
            self._under_way = True
            self._due.set()

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:  # there is none before the first commit
            return 0

    def _work(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._stopped:
                return
            before = 0
            for _ in range(MAX_PASSES):
                pages = self._pass(self._connection)
                if pages - before <= LEFT_PAGES:
                    break
                before = pages
            self._copied = True

    def _pass(self, connection: sqlite3.Connection) -> int:
        """Copy the log, except pages whose older versions are being read. Return its pages, 0 if that failed."""
        try:
            _, pages, _ = connection.execute(_CHECKPOINT).fetchone()
        except sqlite3.Error as error:  # nothing is lost: the log is whole, and is copied later
            if not self._failing:
                log.warning("checkpoint failed", error=str(error))
            self._failing = True
            return 0
        if connection is self._connection:
            self._failing = False
        return int(pages)
