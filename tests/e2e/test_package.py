"""The package, on a machine with nothing but Python: unpacked, edited as the original's guide says, started, used."""

import asyncio
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from fsharechat import urls
from tools import package
from tools.testing.devices import Handset, log_in
from tools.testing.server import BOUND, ServerAddresses, until
from tools.testing.services import Services

pytestmark = pytest.mark.slow

CODE = "314159"
PYTHON = Path(sys.base_prefix) / "bin" / "python3"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, unpacked. Each test has folders of its own with the same libraries."""
    folder = tmp_path_factory.mktemp("package")
    file = package.make(folder)
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    return folder / file.name.removesuffix(".tar.gz")


class Installed:
    """An unpacked package whose services run on free ports."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def edit(self, service: str, **values: str) -> None:
        """Set keys of a service's file; `__` stands for a dot."""
        file = self.top / service / "config" / "application.properties"
        text = file.read_text()
        for name, value in values.items():
            key = name.replace("__", ".")
            lines = [line for line in text.splitlines() if not line.startswith(f"{key}=")]
            text = "\n".join([*lines, f"{key}={value}", ""])
        file.write_text(text)

    def do(self, service: str, command: str) -> tuple[int, str]:
        done = subprocess.run(
            [self.top / service / service, command],
            env={"PATH": os.defpath, "PYTHON": str(PYTHON)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=2 * BOUND,
        )
        return done.returncode, done.stdout

    async def start(self, *services: str) -> None:
        for service in services:
            code, said = await asyncio.to_thread(self.do, service, "start")
            assert code == 0, said

    def at(self, service: str) -> dict[str, str]:
        """Return the addresses that a service has printed."""
        log = self.top / service / "logs" / f"{service}.log"
        found = re.findall(r"^ready roles=\S+(.*)$", log.read_text() if log.exists() else "", re.MULTILINE)
        return dict(part.split("=", 1) for part in found[-1].split()) if found else {}


@pytest.fixture
def installed(unpacked: Path, tmp_path: Path) -> Iterator[Installed]:
    top = tmp_path / unpacked.name
    subprocess.run(["cp", "-a", "--reflink=auto", unpacked, top], check=True)
    it = Installed(top)
    it.edit(
        "push-connector",
        fsharechat__connector__host="127.0.0.1",
        fsharechat__connector__tcp_port="0",
        fsharechat__connector__ws_port="0",
    )
    it.edit("push-api", fsharechat__api__host="127.0.0.1", server__port="0")
    it.edit("push-group", sms__superCode=CODE)
    it.edit("push-media", fsharechat__media__listen="127.0.0.1:0")
    yield it
    for service in package.SERVICES:
        code, said = it.do(service, "stop")
        assert code == 0, said


async def chat(at: ServerAddresses) -> None:
    ann_login = await log_in(at, "13800000001", "phone", CODE)
    ben_login = await log_in(at, "13800000002", "phone", CODE)
    async with Handset(ann_login, at, "tcp") as ann, Handset(ben_login, at, "ws") as ben:
        await ann.send(ben.user_id, "from the package")
        await ben.until_received(1)
        assert ben.texts_of(ann.user_id) == ["from the package"]


async def test_with_the_embedded_database_one_process_does_it(installed: Installed) -> None:
    installed.edit("push-group", im__embed_db="1")
    await installed.start("push-connector", "push-api", "push-group")
    found = installed.at("push-group")
    await chat(ServerAddresses(found["tcp"], found["ws"], found["http"]))
    code, said = await asyncio.to_thread(installed.do, "push-group", "start")
    assert (code, "runs already" in said) == (0, True)
    assert (await asyncio.to_thread(installed.do, "push-api", "status"))[0] == 3
    code, said = await asyncio.to_thread(installed.do, "push-group", "restart")
    assert code == 0, said
    assert (await asyncio.to_thread(installed.do, "push-group", "status"))[0] == 0
    found = installed.at("push-group")
    await chat_again(ServerAddresses(found["tcp"], found["ws"], found["http"]))
    assert (await asyncio.to_thread(installed.do, "push-group", "stop"))[0] == 0
    installed.edit("push-group", fsharechat__store__url="nonsense")
    code, said = await asyncio.to_thread(installed.do, "push-group", "start")
    assert "[store] url" in said


async def chat_again(at: ServerAddresses) -> None:
    """What was said before the restart is there."""
    login = await log_in(at, "13800000002", "tablet", CODE)
    async with Handset(login, at, "tcp") as ben:
        await ben.until_received(1)


async def test_on_real_services_three_processes_start_in_any_order(
    installed: Installed, services: Services
) -> None:
    services("mariadb", "kafka", "zookeeper")
    mysql = urls.parse(services.url("mariadb"), "mysql", 3306)
    [(host, port)] = mysql.hosts
    with pymysql.connect(host=host, port=port, user=mysql.user, password=mysql.password) as connection:
        connection.cursor().execute("CREATE DATABASE fsharechat_package CHARACTER SET utf8mb4")
    registry = urls.parse(services.url("zookeeper"), "zookeeper", 2181).addresses
    for service in ("push-connector", "push-group", "push-api", "push-media"):
        installed.edit(service, dubbo__registry__address=f"zookeeper://{registry}")
    kafka = urls.parse(services.url("kafka"), "kafka", 9092).addresses
    installed.edit("push-connector", push__kafka__broker=kafka)
    installed.edit(
        "push-group",
        im__jdbc_url=f"jdbc:mysql://{host}:{port}/fsharechat_package?useSSL=false&serverTimezone=GMT",
        im__user=mysql.user,
        im__password=mysql.password,
    )
    order = ("push-api", "push-connector", "push-group", "push-media")
    await installed.start(*order)
    await until(lambda: all(installed.at(service) for service in order[:2]), "the services are not ready")
    clients, http = installed.at("push-connector"), installed.at("push-api")["http"]
    await chat(ServerAddresses(clients["tcp"], clients["ws"], http))
    assert {(await asyncio.to_thread(installed.do, service, "status"))[0] for service in order} == {0}
