"""`fsharechat check` for a cluster whose services are not all there."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
import pytest

from fsharechat.check import CHECK_SECONDS, LEAVE_SECONDS
from fsharechat.store.store import LOCK_SECONDS
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


@contextmanager
def lock_of_migrations(store: str) -> Iterator[None]:
    """Hold what a process holds that brings the tables up to date."""
    parts = urlsplit(store)
    connection = pymysql.connect(
        host=parts.hostname,
        port=parts.port or 0,
        user=parts.username,
        password=parts.password or "",
        database=parts.path.strip("/"),
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('fsharechat.migrate', 0)")
        assert cursor.fetchone() == (1,)
        yield


async def check(file: Path) -> tuple[int, dict[str, str]]:
    """Return the exit code, and what was said of each service."""
    code, output, errors = await asyncio.to_thread(
        run_command, file.parent / "data", "check", "--settings", str(file)
    )
    assert "Traceback" not in output + errors, errors
    found = {}
    for line in output.splitlines():
        word, name, detail = line.split(maxsplit=2)
        if name == "codes:":  # a line of the log, which is always there
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

    with lock_of_migrations(store):
        began = time.monotonic()
        code, found = await check(settings_file(tmp_path, store, at, at))
        assert time.monotonic() - began < LOCK_SECONDS / 2
        assert code == 1
        assert found["store"].startswith("FAIL")
        assert "another process is migrating the database" in found["store"]

    for wrong, why in (
        (store.replace(":fsharechat@", ":wrong@"), "Access denied"),
        (store.rpartition("/")[0] + "/fsharechat_none", "Unknown database"),
    ):
        code, found = await check(settings_file(tmp_path, wrong, at, at))
        assert code == 1
        assert found["store"].startswith("FAIL")
        assert why in found["store"]
