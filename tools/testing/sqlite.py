"""SQLite databases for tests that start from one migrated copy: the fixtures `migrated_sqlite` and `sqlite_file`."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fsharechat.store.migrate import migrate


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an SQLite file with the schema and no rows; take copies of it."""
    path = tmp_path_factory.mktemp("migrated") / "migrated.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_file(migrated_sqlite: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return what makes a new database of that name, which a store then opens without migrating it."""

    def make(name: str) -> Path:
        """Return that database in the test's folder; it is made if it is not there."""
        path = tmp_path / name
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy(migrated_sqlite, path)
        return path

    return make
