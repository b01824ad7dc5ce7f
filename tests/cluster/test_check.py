"""`fsharechat check` for a cluster whose services are not all there."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aioboto3
import pymysql
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiozk import ZKClient

from fsharechat import urls
from fsharechat.check import CHECK_SECONDS, LEAVE_SECONDS
from fsharechat.settings_schema import MYSQL_PORT
from fsharechat.store.migrate import revisions
from tools.testing.server import run_command
from tools.testing.services import Services

pytestmark = pytest.mark.slow

SERVICES = {"store", "registry", "bus", "blobs"}
PROMISED_SECONDS = 10
START_SECONDS = 2
"""What the program needs beside, to begin and to end."""


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else begins to listen there, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="module")
def fresh() -> Iterator[Services]:
    """Services that nobody has used yet."""
    own = Services(f"test-check-{os.getpid()}")
    try:
        yield own("mariadb", "kafka", "zookeeper", "minio")
    finally:
        own.down()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


def settings_file(folder: Path, store: str, bus: str, registry: str) -> Path:
    file = folder / "cluster.toml"
    file.write_text(
        f"""\
[node]
roles = ["connector"]
cluster_secret = "a secret of the tests"
[store]
url = "{store}"
[bus]
url = "kafka://{bus}"
[registry]
url = "zookeeper://{registry}"
[blobs]
url = "http://{registry}"
access_key = "somebody"
secret_key = "a secret of the tests"
"""
    )
    return file


async def check(file: Path) -> tuple[int, dict[str, str]]:
    """Return the exit code, and what was said of each service."""
    code, output, errors = await asyncio.to_thread(
        run_command, file.parent / "data", "check", "--settings", str(file)
    )
    assert "Traceback" not in output + errors, errors
    found = {}
    for line in output.splitlines():
        word, name, detail = line.split(maxsplit=2)
        if name in ("codes:", "files:"):  # a line of the log, and a limit: they are always there
            continue
        found[name.removesuffix(":")] = f"{word} {detail}"
    return code, found


def test_check_has_less_time_than_it_promises() -> None:
    assert START_SECONDS + CHECK_SECONDS + LEAVE_SECONDS < PROMISED_SECONDS


async def test_check_names_every_service_that_refuses(tmp_path: Path, closed_port: int) -> None:
    at = f"127.0.0.1:{closed_port}"
    code, found = await check(settings_file(tmp_path, f"mysql://u:secret@{at}/im", at, at))
    assert code == 1
    assert found.keys() == SERVICES
    for detail in found.values():
        assert detail.startswith("FAIL")
        assert at in detail
        assert "secret" not in detail


async def test_check_names_every_service_that_is_silent(
    tmp_path: Path, silent_port: int, closed_port: int
) -> None:
    at = f"127.0.0.1:{silent_port}"
    second = f"127.0.0.1:{closed_port}"
    code, found = await check(
        settings_file(tmp_path, f"mysql://u:secret@{at},{second}/im", f"{at},{second}", at)
    )
    assert code == 1
    assert found.keys() == SERVICES
    for detail in found.values():
        assert detail.startswith("FAIL")
        assert at in detail
    assert second in found["store"]


async def test_check_tells_what_is_there_from_what_is_not(
    services: Services, tmp_path: Path, closed_port: int, silent_port: int
) -> None:
    store = services("mariadb").url("mariadb")
    at = f"127.0.0.1:{closed_port}"
    code, found = await check(settings_file(tmp_path, store, at, at))
    assert code == 1
    assert found["store"].startswith("ok")
    assert at in found["bus"]
    assert at in found["registry"]

    silent_first = store.replace("@", f"@127.0.0.1:{silent_port},")
    code, found = await check(settings_file(tmp_path, silent_first, at, at))
    assert found["store"].startswith("ok")

    for wrong, why in (
        (store.replace(":fsharechat@", ":wrong@"), "Access denied"),
        (store.rpartition("/")[0] + "/fsharechat_none", "Unknown database"),
    ):
        code, found = await check(settings_file(tmp_path, wrong, at, at))
        assert code == 1
        assert found["store"].startswith("FAIL")
        assert why in found["store"]


async def test_check_makes_nothing_and_migrate_makes_the_tables_alone(
    fresh: Services, tmp_path: Path
) -> None:
    settings = {
        **fresh.variables("mariadb", "kafka", "zookeeper", "minio"),
        "FSHARECHAT_NODE__CLUSTER_SECRET": "a secret of the tests",
    }
    settings = {name.removeprefix("FSHARECHAT_"): value for name, value in settings.items()}
    before = await kept(settings)
    assert before == Kept(set(), set(), set(), set())

    async def said(command: str) -> str:
        code, output, errors = await asyncio.to_thread(
            run_command, tmp_path / "data", command, settings=settings
        )
        assert code == 0, output + errors
        return output

    output = await said("check")
    for missing in ("no store yet", "no topics fsharechat.deliver, ", "buckets minio-bucket-"):
        assert missing in output
    assert await kept(settings) == before

    assert await said("migrate") == f"ok   migrate: {place(settings)} is up to date\n"
    tables = (await kept(settings)).tables
    assert {"messages", "inbox", "alembic_version"} <= tables
    assert await kept(settings) == before._replace(tables=tables)
    execute(settings, "UPDATE alembic_version SET version_num = %s", revisions()[-2])
    assert f"is older: 1 migration waits ({revisions()[-1]})" in await said("check")
    execute(settings, "UPDATE alembic_version SET version_num = %s", revisions()[-1])
    assert f"{place(settings)} is up to date" in await said("check")


class Kept(NamedTuple):
    """What is in the services of a cluster."""

    tables: set[str]
    topics: set[str]
    nodes: set[str]
    buckets: set[str]


async def kept(settings: dict[str, str]) -> Kept:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings["BUS__URL"].removeprefix("kafka://"))
    await admin.start()
    topics = set(await admin.list_topics())
    await admin.close()
    zookeeper = ZKClient(settings["REGISTRY__URL"].removeprefix("zookeeper://"))
    await zookeeper.start()
    nodes = set(await zookeeper.get_children("/")) - {"zookeeper"}  # its own
    await zookeeper.close()
    session = aioboto3.Session(settings["BLOBS__ACCESS_KEY"], settings["BLOBS__SECRET_KEY"])
    async with session.client("s3", endpoint_url=settings["BLOBS__URL"], region_name="us-east-1") as s3:
        buckets = {bucket["Name"] for bucket in (await s3.list_buckets())["Buckets"]}
    return Kept({name for (name,) in execute(settings, "SHOW TABLES")}, topics, nodes, buckets)


def execute(settings: dict[str, str], sql: str, *values: str) -> list[tuple[Any, ...]]:
    url = urls.parse(settings["STORE__URL"], "mysql", MYSQL_PORT)
    host, port = url.hosts[0]
    login: dict[str, Any] = {"user": url.user, "password": url.password, "database": url.path}
    with (
        pymysql.connect(host=host, port=port, autocommit=True, **login) as database,
        database.cursor() as cursor,
    ):
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def place(settings: dict[str, str]) -> str:
    return settings["STORE__URL"].rpartition("@")[2]
