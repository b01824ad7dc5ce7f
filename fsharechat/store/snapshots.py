"""Copies of a SQLite database, made while a server writes to it (docs/operations.md, "Back-up")."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from fsharechat.errors import StoreError
from fsharechat.process import sync_file
from fsharechat.store.sqlite import look_at
from fsharechat.store.state import StoreState

STEP_PAGES = 512
"""How many pages are copied at a time: 2 MiB."""

CACHE_KIB = 8 << 10

BUSY_SHARE = 0.5
"""The share of the time in which the copy reads and writes. In the rest the disk is the server's alone."""

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite puts behind the name of a database for the files beside it."""

OnPages = Callable[[int, int], None]
"""Is told how many pages are copied, and of how many."""


def copy(source: Path, target: Path, on_pages: OnPages, sleep: Callable[[float], None] = time.sleep) -> None:
    """Write a copy of a database into a new file, and bring it to the disk. Blocks.

    The copy has everything that was committed when this began. One read transaction keeps it so: without it, each
    commit of the server would let SQLite begin the copy anew. The server's log grows meanwhile, and is taken into the
    database at the end, here and not in a commit of the server. Raises StoreError.
    """
    try:
        with closing(_open(source, "mode=rw")) as old, closing(sqlite3.connect(target)) as new:
            old.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            new.execute("PRAGMA synchronous = OFF")  # synced once, at the end
            old.execute("BEGIN")
            old.execute(
                "SELECT COUNT(*) FROM sqlite_master"
            ).fetchall()  # a transaction begins with its first read
            began = time.monotonic()

            def step(_: int, remaining: int, total: int) -> None:
                nonlocal began
                on_pages(total - remaining, total)
                sleep((time.monotonic() - began) * (1 / BUSY_SHARE - 1))
                began = time.monotonic()

            old.backup(new, pages=STEP_PAGES, progress=step)
            old.execute("COMMIT")
            old.execute("PRAGMA wal_checkpoint(PASSIVE)")
        _make_durable(target)
    except sqlite3.Error as error:
        raise StoreError(f"{source}: {error}") from error
    except OSError as error:
        raise StoreError(f"{error.filename or target}: {error.strerror}") from error


def check(path: Path) -> StoreState:
    """Check a copy that nobody uses, all of its pages, and return its state. Blocks. Raises StoreError."""
    try:
        with closing(_open(path, "mode=ro&immutable=1")) as connection:
            [[problem]] = connection.execute("PRAGMA quick_check(1)").fetchall()
        if problem != "ok":
            raise StoreError(f"{path}: the copy is damaged: {problem}")
        return look_at(path)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _open(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, isolation_level=None, timeout=10)


def _make_durable(path: Path) -> None:
    for beside in BESIDE:
        path.with_name(path.name + beside).unlink(missing_ok=True)
    sync_file(path)
