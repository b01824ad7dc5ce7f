"""`scripts/services` with real services: what it starts answers, keeps its data and its port, and goes when told."""

import base64
import hashlib
import hmac
import mailbox
import os
import shutil
import signal
import smtplib
import subprocess
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pymysql
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from fsharechat.blobs.keys import Uploaders
from fsharechat.blobs.s3 import S3Blobs
from fsharechat.protocol.signals import MediaType
from tools.services.places import ROOT
from tools.services.process import ProcessIdentity
from tools.testing.server import BOUND
from tools.testing.services import Services, take_down_orphans

pytestmark = pytest.mark.slow


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Services]:
    """A set for one test."""
    test = request.node.originalname.removeprefix("test_").split("_")[0]
    own = Services(f"test-{test}-{os.getpid()}")
    yield own
    own.down()


def sql(port: int, *statements: str) -> tuple[tuple[Any, ...], ...]:
    """Run statements as the user of the server, and return the rows of the last one."""
    login = {"user": "fsharechat", "password": "fsharechat", "database": "fsharechat"}
    connection = pymysql.connect(host="127.0.0.1", port=port, autocommit=True, connect_timeout=5, **login)
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return tuple(cursor.fetchall())


def folder(services: Services) -> Path:
    return ROOT / ".cache" / "services" / services.name


def test_life_of_a_set(own: Services) -> None:
    own("mariadb", "zookeeper")
    before = {name: own.process(name) for name in ("mariadb", "zookeeper")}
    assert {process["state"] for process in before.values()} == {"ready"}
    port = own.port("mariadb")
    assert own.variables() == {
        "FSHARECHAT_STORE__URL": f"mysql://fsharechat:fsharechat@127.0.0.1:{port}/fsharechat",
        "FSHARECHAT_REGISTRY__URL": f"zookeeper://127.0.0.1:{own.port('zookeeper')}",
    }
    sql(port, "CREATE TABLE kept (id INT PRIMARY KEY)", "INSERT INTO kept VALUES (7)")

    again = own.run("up")
    assert (again.returncode, again.stderr) == (0, "")
    assert {name: own.process(name) for name in before} == before

    own.restart("mariadb")
    assert own.process("zookeeper") == before["zookeeper"]
    assert own.process("mariadb")["pid"] != before["mariadb"]["pid"]
    assert own.port("mariadb") == port
    assert sql(port, "SELECT id FROM kept") == ((7,),)

    own.kill("mariadb")
    assert own.process("mariadb")["state"] == "stopped"
    assert own.run("status").returncode == 1
    own.start("mariadb")
    assert own.port("mariadb") == port
    assert sql(port, "SELECT id FROM kept") == ((7,),)

    os.kill(own.process("zookeeper")["pid"], signal.SIGKILL)
    deadline = time.monotonic() + BOUND
    while own.process("zookeeper")["state"] != "died":
        assert time.monotonic() < deadline, own.process("zookeeper")
    own()
    assert own.process("zookeeper")["state"] == "ready"
    assert own.run("status").returncode == 0
    assert "ready for connections" in own.run("logs", "mariadb").stdout

    own_processes = [own.process(name)["pid"] for name in before]
    kept = own.run("down", "--keep")
    assert kept.returncode == 0
    assert not any(ProcessIdentity.of(pid) for pid in own_processes)
    own("mariadb")
    assert own.port("mariadb") == port
    assert sql(port, "SELECT id FROM kept") == ((7,),)

    own.down()
    assert not folder(own).exists()
    assert own.run("status").returncode == 1


def test_two_sets_side_by_side(own: Services) -> None:
    other = Services(f"{own.name.replace('two', 'other')}")
    try:
        ports = {services("mariadb", "zookeeper").port("mariadb") for services in (own, other)}
        assert len(ports) == 2
        for services in (own, other):
            sql(services.port("mariadb"), f"CREATE DATABASE `fsharechat_{services.name}`")
        for services in (own, other):
            databases = {
                name for (name,) in sql(services.port("mariadb"), "SHOW DATABASES LIKE 'fsharechat_%'")
            }
            assert databases == {f"fsharechat_{services.name}"}
        other.down()
        assert own.process("mariadb")["state"] == own.process("zookeeper")["state"] == "ready"
    finally:
        other.down()


def test_mariadb_is_set_up_for_the_store(services: Services) -> None:
    port = services("mariadb").port("mariadb")
    wanted = ("utf8mb4", "utf8mb4_bin", 1)
    assert sql(
        port, "SELECT @@character_set_database, @@collation_database, @@innodb_flush_log_at_trx_commit"
    ) == (wanted,)


async def test_kafka_keeps_its_topics(own: Services) -> None:
    own("kafka")
    address = f"127.0.0.1:{own.port('kafka')}"
    assert own.url("kafka") == f"kafka://{address}"

    async def topics(*new: str) -> set[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        try:
            if new:
                await admin.create_topics([NewTopic(name, 2, 1) for name in new])
            return set(await admin.list_topics())
        finally:
            await admin.close()

    await topics("kept")
    own.kill("kafka")
    own.start("kafka")
    assert "kept" in await topics()
    own.restart("kafka")
    assert "kept" in await topics()


def test_galera_is_one_cluster_and_survives_kills(own: Services) -> None:
    own("galera")
    ports = [own.port(f"galera.{number}") for number in (1, 2, 3)]
    assert own.url("galera").count("127.0.0.1:") == 3
    sql(ports[0], "CREATE TABLE kept (id INT PRIMARY KEY)", "INSERT INTO kept VALUES (1)")
    kept = ("SET SESSION wsrep_sync_wait = 1", "SELECT id FROM kept ORDER BY id")
    assert [sql(port, *kept) for port in ports] == [((1,),)] * 3

    own.kill("galera.2")
    sql(ports[2], "INSERT INTO kept VALUES (2)")
    own.start("galera.2")
    assert [sql(port, *kept) for port in ports] == [((1,), (2,))] * 3

    own.kill("galera")
    own.start("galera")
    assert [sql(port, *kept) for port in ports] == [((1,), (2,))] * 3
    assert sql(ports[0], "SHOW STATUS LIKE 'wsrep_cluster_size'")[0][1] == "3"

    own.stop("galera")
    own.start("galera")
    assert [sql(port, *kept) for port in ports] == [((1,), (2,))] * 3


def test_coturn_relays_for_those_who_know_the_secret(services: Services) -> None:
    variables = services("coturn").variables("coturn")
    user = f"{int(time.time()) + 600}:somebody"
    digest = hmac.digest(variables["TURN_SECRET"].encode(), user.encode(), hashlib.sha1)
    client = shutil.which("turnutils_uclient")
    assert client is not None

    def relay(password: str) -> str:
        command = [
            client,
            "-t",
            "-y",
            "-n",
            "1",
            "-u",
            user,
            "-w",
            password,
            "-p",
            str(services.port("coturn")),
        ]
        done = subprocess.run(
            [*command, "127.0.0.1"], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    assert "Total lost packets 0 " in relay(base64.b64encode(digest).decode())
    assert "Cannot complete Allocation" in relay("wrong")


async def test_minio_refuses_strangers(own: Services) -> None:
    url = own("minio").url("minio")
    async with aiohttp.ClientSession() as session, session.get(f"{url}/bucket/key") as answer:
        assert answer.status == 403


async def _no_key() -> bytes:
    raise AssertionError("nobody uploads here")


async def test_versity_keeps_its_buckets_and_refuses_strangers(own: Services) -> None:
    blobs = S3Blobs(own.media("versity"), (), Uploaders(_no_key))
    await blobs.open()
    address = await blobs.put(MediaType.FILE, "kept.txt", b"kept", "text/plain")
    await blobs.close()
    own.kill("versity")
    own.start("versity")
    async with aiohttp.ClientSession() as session:
        async with session.get(address) as answer:
            assert await answer.read() == b"kept"
        async with session.put(address, data=b"x") as answer:
            assert answer.status == 403


def test_a_mail_is_kept_where_the_set_says(own: Services) -> None:
    own("smtp")
    variables = own.variables("smtp")
    mail = EmailMessage()
    mail["From"], mail["To"] = "server@example.org", "ann@example.org"
    mail.set_content("a code")
    port = int(variables["FSHARECHAT_CODES__SMTP__PORT"])
    with smtplib.SMTP(variables["FSHARECHAT_CODES__SMTP__HOST"], port) as server:
        server.send_message(mail)
    (kept,) = mailbox.Maildir(variables["SMTP_MAILDIR"])
    assert kept["To"] == "ann@example.org"
    text = kept.get_payload()
    assert isinstance(text, str)
    assert text.strip() == "a code"


def test_sets_of_dead_test_sessions_are_taken_down() -> None:
    session = subprocess.Popen(["sleep", str(BOUND)])
    orphan = Services(f"test-{session.pid}")
    orphan("coturn")
    pid = orphan.process("coturn")["pid"]
    take_down_orphans()
    assert ProcessIdentity.of(pid) is not None
    session.kill()
    session.wait()
    take_down_orphans()
    assert not folder(orphan).exists()
    assert ProcessIdentity.of(pid) is None


def test_a_service_that_does_not_start_shows_its_log(own: Services) -> None:
    own("mariadb")
    own.stop("mariadb")
    (folder(own) / "mariadb" / "data" / "ibdata1").write_bytes(b"not a database")
    failed = own.run("start", "mariadb")
    assert failed.returncode == 1
    assert "mariadb ended while it started; the last lines of" in failed.stderr
    assert "ibdata1" in failed.stderr
