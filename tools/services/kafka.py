"""Kafka: processes that are both broker and controller (KRaft)."""

import asyncio
import base64
import logging
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from .certificates import Authority
from .install import Installer, program, run
from .places import downloads
from .service import HERE, HOST, JAVA_LOGGING, SMALL_JAVA, Daemon, Location, Say, Service

_VERSION = "4.1.0"
_JARS = (f"org.apache.kafka:kafka_2.13:{_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_FOLDER = f"kafka-{_VERSION}"
_FORMAT_SECONDS = 120
_MOST_COPIES = 3
USER = PASSWORD = "fsharechat"
TLS_CLIENTS = "clients with TLS and a login"
_TLS = "tls"
"""The folder of the certificates. Clients over TLS trust ca.pem."""
_SASL = "listener.name.sasl_ssl"
_SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


class KafkaQuorum(NamedTuple):
    """Kafka's processes that belong together, and which of them one is."""

    id: str
    """The id of the cluster; "" to make one."""
    controllers: Sequence[str]
    """Their addresses as controllers, host:port."""
    number: int = 1
    """Its place among them, from 1."""


class KafkaDaemon(Daemon):
    def __init__(
        self,
        name: str,
        folder: Path,
        ports: Sequence[int],
        quorum: KafkaQuorum | None = None,
        location: Location = HERE,
    ) -> None:
        """Without `quorum` it is alone."""
        super().__init__(name, folder, location)
        self._port, self._controller, self._tls_port = ports
        self._quorum = quorum or KafkaQuorum("", [f"{location.host}:{self._controller}"])
        self._configuration = folder / "server.properties"

    @property
    def ports(self) -> Mapping[str, int]:
        return {"clients": self._port, "the controller": self._controller, TLS_CLIENTS: self._tls_port}

    def prepare(self, say: Say) -> None:
        # The server under test makes the topics, with the right settings, so Kafka makes none by itself. The session
        # of a killed broker must end before its successor is let in, so it is short.
        host = self.location.host
        voters = ",".join(f"{number}@{at}" for number, at in enumerate(self._quorum.controllers, 1))
        copies = min(len(self._quorum.controllers), _MOST_COPIES)
        safe = max(1, copies - 1)
        self._configuration.write_text(
            f"""\
process.roles=broker,controller
node.id={self._quorum.number}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{self._port},SASL_SSL://{host}:{self._tls_port},CONTROLLER://{host}:{self._controller}
advertised.listeners=PLAINTEXT://{host}:{self._port},SASL_SSL://{host}:{self._tls_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
{_SASL}.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
{_SASL}.scram-sha-512.sasl.jaas.config={_SCRAM_LOGIN} required;
{_SASL}.scram-sha-256.sasl.jaas.config={_SCRAM_LOGIN} required;
{_SASL}.plain.sasl.jaas.config={_PLAIN_LOGIN} required user_{USER}="{PASSWORD}";
{_SASL}.ssl.keystore.type=PEM
{_SASL}.ssl.keystore.location={self._key_store()}
log.dirs={self.data}
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
group.initial.rebalance.delay.ms=0
log.index.size.max.bytes=1048576
offsets.topic.num.partitions=4
offsets.topic.replication.factor={copies}
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={safe}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={safe}
"""
        )
        if not (self.data / "meta.properties").exists():
            say(f"{self.name}: making its data folder")
            shutil.rmtree(self.data, ignore_errors=True)
            number = self._quorum.id or cluster_id()
            tool = ["kafka.tools.StorageTool", "format", "-t", number, "-c", str(self._configuration)]
            for mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-256"):
                tool += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
            run([*self._java(), *tool], seconds=_FORMAT_SECONDS)

    def _key_store(self) -> Path:
        """Return the key and the certificate in one file, the form for Kafka. It is made the first time."""
        store = self.folder / _TLS / "server.store"
        if not store.exists():
            pair = Authority(self.folder / _TLS).issue("server", hosts=[self.location.host])
            store.touch(mode=0o600)
            store.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
        return store

    def command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", str(self._configuration)]

    def _java(self) -> list[str]:
        heap = ["-Xms128m", "-Xmx512m", *SMALL_JAVA, "-Djava.awt.headless=true"]
        # At level info Kafka writes its whole configuration, several times.
        warnings = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [
            program("java") or "java",
            *heap,
            *JAVA_LOGGING,
            warnings,
            "-cp",
            f"{downloads() / _FOLDER}/*",
        ]

    def ready(self) -> bool:
        return asyncio.run(_serves(f"{self.location.host}:{self._port}", self._quorum.number))


def cluster_id(random: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """Return an id in Kafka's form: a UUID in base64url, without a `-` in front, which would look like a flag."""
    while (text := base64.urlsafe_b64encode(random().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


class Kafka(Service):
    name: ClassVar[str] = "kafka"
    port_count: ClassVar[int] = 3

    def install(self, installer: Installer) -> None:
        installer.java()
        installer.jars(_FOLDER, _JARS)

    @property
    def daemons(self) -> Sequence[KafkaDaemon]:
        return [KafkaDaemon(self.name, self.folder / self.name, self.ports)]

    def variables(self) -> dict[str, str]:
        return {"FSHARECHAT_BUS__URL": f"kafka://{HOST}:{self.ports[0]}"}


async def _serves(address: str, number: int) -> bool:
    """Whether a broker is one of its cluster, and has what the others have of all topics that it keeps."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=2000)
    try:
        await admin.start()
        brokers = (await admin.describe_cluster())["brokers"]
        partitions = [part for topic in await admin.describe_topics() for part in topic["partitions"]]
    except KafkaError:
        return False
    finally:
        await admin.close()
    behind = [one for one in partitions if number in one["replicas"] and number not in one["isr"]]
    return number in [broker["node_id"] for broker in brokers] and not behind
