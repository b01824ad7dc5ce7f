"""ZooKeeper: one server, or those of an ensemble."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .install import Installer, program
from .places import downloads
from .service import HERE, HOST, JAVA_LOGGING, SMALL_JAVA, Daemon, Location, Say, Service

# From Maven, like Kafka: the same version everywhere, and none of the hundred packages that come with Debian's. It
# needs metrics-core and snappy-java at run time, though it does not declare them. slf4j-simple logs to standard error
# with a few properties; logback would need a file.
_VERSION = "3.8.4"
_JARS = (
    f"org.apache.zookeeper:zookeeper:{_VERSION}",
    "io.dropwizard.metrics:metrics-core:4.1.12.1",
    "org.xerial.snappy:snappy-java:1.1.10.7",
    "org.slf4j:slf4j-simple:1.7.36",
)
_EXCLUDED = ("ch.qos.logback:*",)
_FOLDER = f"zookeeper-{_VERSION}"
_QUORUM_PORT, _ELECTION_PORT = 2888, 3888


class ZooKeeperDaemon(Daemon):
    def __init__(
        self,
        name: str,
        folder: Path,
        port: int,
        location: Location = HERE,
        ensemble: Sequence[str] = (),
    ) -> None:
        """`ensemble` are the hosts of all its servers, with this one's; none: it is alone."""
        super().__init__(name, folder, location)
        self._port = port
        self._ensemble = ensemble

    @property
    def ports(self) -> Mapping[str, int]:
        return {"clients": self._port}

    def prepare(self, say: Say) -> None:
        self.data.mkdir(exist_ok=True)
        # The short tick allows sessions from 1 s on. Every client is on this machine: no limit for one address. A
        # server of an ensemble that is silent for eight ticks is given up.
        servers = "".join(
            f"server.{number}={host}:{_QUORUM_PORT}:{_ELECTION_PORT}\n"
            for number, host in enumerate(self._ensemble, 1)
        )
        if self._ensemble:
            (self.data / "myid").write_text(str(self._ensemble.index(self.location.host) + 1))
        (self.folder / "zoo.cfg").write_text(
            f"""\
dataDir={self.data}
clientPort={self._port}
clientPortAddress={self.location.host}
tickTime=500
minSessionTimeout=1000
maxSessionTimeout=60000
maxClientCnxns=0
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
admin.enableServer=false
4lw.commands.whitelist=srvr,ruok,stat,mntr,cons
initLimit=40
syncLimit=8
{servers}"""
        )

    def command(self) -> list[str]:
        return [
            program("java") or "java",
            "-Xms32m",
            "-Xmx128m",
            *SMALL_JAVA,
            "-Dzookeeper.preAllocSize=1024",
            "-Dzookeeper.jmx.log4j.disable=true",
            "-Djava.awt.headless=true",
            *JAVA_LOGGING,
            "-cp",
            f"{downloads() / _FOLDER}/*",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            str(self.folder / "zoo.cfg"),
        ]

    def ready(self) -> bool:
        return b"Mode: " in self._ask(b"srvr")

    def _ask(self, word: bytes) -> bytes:
        answer = b""
        try:
            with socket.create_connection((self.location.host, self._port), timeout=2) as connection:
                connection.sendall(word)
                while part := connection.recv(4096):
                    answer += part
        except OSError:
            return b""
        return answer


class ZooKeeper(Service):
    name: ClassVar[str] = "zookeeper"
    port_count: ClassVar[int] = 1

    def install(self, installer: Installer) -> None:
        installer.java()
        installer.jars(_FOLDER, _JARS, _EXCLUDED)

    @property
    def daemons(self) -> Sequence[ZooKeeperDaemon]:
        return [ZooKeeperDaemon(self.name, self.folder / self.name, self.ports[0])]

    def variables(self) -> dict[str, str]:
        return {"FSHARECHAT_REGISTRY__URL": f"zookeeper://{HOST}:{self.ports[0]}"}
