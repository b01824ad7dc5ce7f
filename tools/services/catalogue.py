"""Every service, and a set of them with its ports."""

import json
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from .coturn import Coturn
from .errors import ServicesError
from .faketime import FakeTime
from .galera import Galera
from .kafka import Kafka
from .keycloak import Keycloak
from .mariadb import MariaDb
from .minio import Minio
from .places import ROOT, SETS, locked
from .prometheus import Prometheus
from .service import Daemon, Service, port_is_free
from .smtp import Smtp
from .versity import Versity
from .zookeeper import ZooKeeper

SERVICES: tuple[type[Service], ...] = (
    MariaDb,
    ZooKeeper,
    Kafka,
    Coturn,
    Minio,
    Galera,
    Versity,
    Smtp,
    FakeTime,
    Prometheus,
    Keycloak,
)
"""The order decides the ports of each in the block of a set."""
DEFAULT = ("mariadb", "zookeeper", "kafka", "coturn")
"""The services that `up` starts without names. The others take long, or much memory."""

# Below the ports that systems give to outgoing connections (from 32768 on).
_FIRST_PORT = 20_000
_BLOCK = 80
_BLOCKS = 150
_SET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_NOT_SETS = {"downloads", "locks"}


@dataclass
class ServiceSet:
    """Services that belong together: a folder, a block of ports, and the names of the services."""

    name: str
    port: int
    """The first port of its block."""
    services: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return SETS / self.name

    @classmethod
    def load(cls, name: str) -> Self | None:
        """The set of that name; None if there is none."""
        try:
            state = json.loads(_state_file(name).read_text())
        except FileNotFoundError:
            return None
        return cls(name, int(state["port"]), list(state["services"]))

    @classmethod
    def load_or_create(cls, name: str, say: Callable[[str], None]) -> Self:
        with locked("ports", say):
            found = cls.load(name)
            if found is None:
                found = cls(name, _free_block(name))
                found.save()
            return found

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = _state_file(self.name)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"port": self.port, "services": self.services}))
        temporary.replace(path)

    def service(self, name: str) -> Service:
        """A service of this set, even one that it does not have yet."""
        offset = 0
        for kind in SERVICES:
            if kind.name == name:
                first = self.port + offset
                return kind(self.folder, range(first, first + kind.port_count))
            offset += kind.port_count
        known = ", ".join(kind.name for kind in SERVICES)
        raise ServicesError(f"there is no service {name!r}; there are {known}")

    def present(self) -> list[Service]:
        return [self.service(name) for name in self.services]

    def daemons(self, name: str) -> Sequence[Daemon]:
        """The processes of a service that the set has, or the one process of that name."""
        for service in self.present():
            if service.name == name:
                return service.daemons
            for daemon in service.daemons:
                if daemon.name == name:
                    return [daemon]
        have = ", ".join(self.services) or "none"
        raise ServicesError(f"the set {self.name!r} has no service {name!r}; it has {have}")

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def set_name(text: str) -> str:
    """A valid name of a set, or an error."""
    if not _SET_NAME.fullmatch(text) or text in _NOT_SETS:
        raise ServicesError(
            f"{text!r} cannot be the name of a set: lower-case letters, digits, '.', '_', '-'"
        )
    return text


def set_names() -> list[str]:
    return sorted(path.parent.name for path in SETS.glob("*/set.json"))


def _state_file(name: str) -> Path:
    return SETS / name / "set.json"


def _free_block(name: str) -> int:
    """A free block of ports that no set has. Each checkout begins its search at another port."""
    taken = {other.port for known in set_names() if (other := ServiceSet.load(known))}
    start = zlib.crc32(f"{ROOT}\0{name}".encode())
    for step in range(_BLOCKS):
        port = _FIRST_PORT + (start + step) % _BLOCKS * _BLOCK
        apart = all(abs(port - other) >= _BLOCK for other in taken)
        if apart and all(port_is_free(port + index) for index in range(_BLOCK)):
            return port
    raise ServicesError(f"no {_BLOCK} free ports in a row from {_FIRST_PORT} on")
