"""SQLite databases for tests, copied from one migrated file: the fixtures `migrated_sqlite` and `sqlite_file`."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fsharechat.store.migrate import migrate


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an SQLite file with the schema and no rows. Use only copies of it."""
    path = tmp_path_factory.mktemp("migrated") / "migrated.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_file(migrated_sqlite: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that makes a new database with a name. A store then opens it without migrations."""

    def make(name: str) -> Path:
        """Return that database in the test's folder. It is made if it is missing."""
        path = tmp_path / name
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy(migrated_sqlite, path)
        return path

    return make
