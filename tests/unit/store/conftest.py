"""The engines that the store suite runs over. MySQL joins by one more parameter of `engine`."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from store_kit import Engine

from fsharechat.store.sqlite import SqliteStore
from fsharechat.store.store import Store


@pytest.fixture(params=["sqlite"])
def engine(sqlite_file: Callable[[str], Path]) -> Engine:
    path = sqlite_file("store.db")
    return Engine(lambda max_queue: SqliteStore(path, max_queue))


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    opened = engine.store()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite"])
def empty_url(tmp_path: Path) -> str:
    """Return the SQLAlchemy URL of a database without tables."""
    return f"sqlite:///{tmp_path / 'empty.db'}"
