"""ZooKeeper, one server."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .install import Installer, program
from .places import downloads
from .service import HOST, JAVA_LOGGING, SMALL_JAVA, Daemon, Say, Service

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


class ZooKeeperDaemon(Daemon):
    def __init__(self, name: str, folder: Path, port: int, jars: Path) -> None:
        super().__init__(name, folder)
        self._port = port
        self._jars = jars

    @property
    def ports(self) -> Mapping[str, int]:
        return {"clients": self._port}

    def prepare(self, say: Say) -> None:
        self.data.mkdir(exist_ok=True)
        # The short tick allows sessions from 1 s on. Every client is on this machine: no limit for one address.
        (self.folder / "zoo.cfg").write_text(
            f"""\
dataDir={self.data}
clientPort={self._port}
clientPortAddress={HOST}
tickTime=500
minSessionTimeout=1000
maxSessionTimeout=60000
maxClientCnxns=0
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
admin.enableServer=false
4lw.commands.whitelist=srvr,ruok,stat,mntr,cons
"""
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
            f"{self._jars}/*",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            str(self.folder / "zoo.cfg"),
        ]

    def ready(self) -> bool:
        return b"Mode: " in self._ask(b"srvr")

    def _ask(self, word: bytes) -> bytes:
        answer = b""
        try:
            with socket.create_connection((HOST, self._port), timeout=2) as connection:
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
        jars = downloads() / _FOLDER
        return [ZooKeeperDaemon(self.name, self.folder / self.name, self.ports[0], jars)]

    def variables(self) -> dict[str, str]:
        return {"FSHARECHAT_REGISTRY__URL": f"zookeeper://{HOST}:{self.ports[0]}"}
