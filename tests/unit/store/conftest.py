"""The engines that the store suite runs over.

With TEST_MYSQL_URL in the environment (mysql://user:password@host, of a user who may make databases) that server is
used in place of the MariaDB that the tests start.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from fsharechat import urls
from fsharechat.store.migrate import migrate
from fsharechat.store.mysql import MysqlStore
from fsharechat.store.schema import metadata
from fsharechat.store.sqlite import SqliteStore
from fsharechat.store.store import Store
from fsharechat.urls import ServiceUrl
from tests.unit.store.store_kit import Engine
from tools.testing.services import Services

ENGINES = ["sqlite", pytest.param("mysql", marks=pytest.mark.slow)]

_databases = count(1)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return an engine on a database with the schema and no rows."""
    if request.param == "mysql":
        url: ServiceUrl = request.getfixturevalue("empty_mysql")
        return Engine(lambda max_queue: MysqlStore(url, max_queue))
    sqlite_file: Callable[[str], Path] = request.getfixturevalue("sqlite_file")
    path = sqlite_file("store.db")
    return Engine(lambda max_queue: SqliteStore(path, max_queue))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture in ("engine", "empty_url"):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, ENGINES, indirect=True)


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    opened = engine.store()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the SQLAlchemy URL of a database without tables."""
    if request.param == "mysql":
        return sqlalchemy_url(request.getfixturevalue("new_mysql_database")())
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture(scope="session")
def new_mysql_database(request: pytest.FixtureRequest) -> Iterator[Callable[[], ServiceUrl]]:
    """Return what makes a database of its own on the real server."""
    url = os.environ.get("TEST_MYSQL_URL")
    if not url:
        services: Services = request.getfixturevalue("services")
        url = services("mariadb").url("mariadb")
    server = urls.parse(url, "mysql", 3306)
    made: list[str] = []

    def run(sql: str) -> None:
        engine = create_engine(sqlalchemy_url(server))
        with engine.begin() as connection:
            connection.execute(text(sql))
        engine.dispose()

    def make() -> ServiceUrl:
        name = f"fsharechat_test_{next(_databases)}"
        run(f"DROP DATABASE IF EXISTS {name}")
        run(f"CREATE DATABASE {name}")
        made.append(name)
        return replace(server, path=name)

    yield make
    for name in made:
        run(f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def migrated_mysql(new_mysql_database: Callable[[], ServiceUrl]) -> ServiceUrl:
    url = new_mysql_database()
    migrate(sqlalchemy_url(url))
    return url


@pytest.fixture
def empty_mysql(migrated_mysql: ServiceUrl) -> ServiceUrl:
    engine = create_engine(sqlalchemy_url(migrated_mysql))
    with engine.begin() as connection:
        for table in metadata.tables:
            connection.execute(text(f"DELETE FROM {table}"))
    engine.dispose()
    return migrated_mysql


def sqlalchemy_url(url: ServiceUrl) -> str:
    return f"mysql+pymysql://{url.user}:{url.password}@{url.addresses}/{url.path}?charset=utf8mb4"
