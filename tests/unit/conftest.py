"""What the tests of the store and of the roles share: databases that start from one migrated copy."""

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
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(migrated_sqlite, path))

    return make
