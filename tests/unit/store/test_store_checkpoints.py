"""SQLite's log goes into the database beside the writer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fsharechat.store import checkpoints, messages, sqlite
from fsharechat.store.sqlite import SqliteStore
from tests.unit.store.store_kit import append, new

BODY = bytes(100_000)
LOG_BYTES = 1 << 20


@pytest.fixture
def path(sqlite_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(checkpoints, "LOG_BYTES", LOG_BYTES)
    monkeypatch.setattr(sqlite, "LOG_BYTES", LOG_BYTES)
    monkeypatch.setattr(sqlite, "LATEST_PAGES", 0)  # never
    return sqlite_file("store.db")


def sizes(path: Path) -> tuple[int, int]:
    """Return the bytes of the database and of its log."""
    return path.stat().st_size, path.with_name(path.name + "-wal").stat().st_size


async def test_the_log_begins_anew_though_no_commit_copies_it(path: Path) -> None:
    store = SqliteStore(path, 100)
    await store.open()
    count = 400
    for _ in range(count):
        await append(store, new("ann", "bob", body=BODY))
    written = count * len(BODY)
    database, log = sizes(path)
    assert log < written / 4
    assert database > written / 2
    await store.close()


async def test_a_checkpoint_that_fails_is_said_once_and_costs_nothing(path: Path) -> None:
    store = SqliteStore(path, 100)
    await store.open()
    store._checkpoints._connection.close()
    with capture_logs() as logs:
        stored = [await append(store, new("ann", "bob", body=BODY)) for _ in range(50)]
        while not logs:
            stored.append(await append(store, new("ann", "bob", body=BODY)))
        await store.close()
    assert [line["event"] for line in logs] == ["checkpoint failed"]
    again = SqliteStore(path, 100)
    await again.open()
    assert [await again.read(messages.is_stored, one.id) for one in stored] == [True] * len(stored)
    await again.close()
