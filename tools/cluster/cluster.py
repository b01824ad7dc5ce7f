"""A cluster: its processes, their ports, and their shared settings. It is kept in a file."""

import json
import secrets
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from tools.services.catalogue import ServiceSet
from tools.services.errors import ServicesError
from tools.services.places import ROOT, locked
from tools.services.service import HOST, Say, port_is_free

from .member import PORTS, ClusterMember, Launch
from .state import write_settings, write_state

CLUSTERS = ROOT / ".cache" / "cluster"
SERVICES = ("zookeeper", "kafka")
"""The services of each cluster besides its store."""
MEDIA_SERVICES = ("minio", "versity")
"""The services that may keep media. If the set has none of them, a folder keeps media."""
ROLES = ("media", "group", "connector", "api")
"""In the order of their start: each process comes before those that call it."""
MOST = 64
"""The most processes of a role, because of the node ids."""

# Below the ports of scripts/services, which are below those that systems give to outgoing connections.
_FIRST_PORT, _END_PORT = 10_000, 20_000


@dataclass
class Cluster:
    """The processes of one set of services. The name is that set's."""

    name: str
    secret: str = ""
    dev: bool = False
    fixed_ids: bool = False
    kurento: str = ""
    """The Kurento of its media processes; "": they forward by themselves."""
    environment: dict[str, str] = field(default_factory=dict)
    """The FSHARECHAT_ variables of the shell that started it."""
    ports: dict[str, dict[str, int]] = field(default_factory=dict)
    """The ports, by process and purpose."""
    trees: dict[str, str] = field(default_factory=dict)
    """The source tree of each process that runs another one than this."""

    @property
    def folder(self) -> Path:
        return CLUSTERS / self.name

    @property
    def settings(self) -> Path:
        return self.folder / "cluster.toml"

    @classmethod
    def load(cls, name: str) -> Self | None:
        """The cluster of that name; None if there is none."""
        try:
            return cls(**json.loads((CLUSTERS / name / "cluster.json").read_text()))
        except FileNotFoundError:
            return None

    @classmethod
    def existing(cls, name: str) -> Self:
        cluster = cls.load(name)
        if cluster is None:
            raise ServicesError(
                f"there is no cluster {name!r}; `scripts/cluster up N M --set {name}` makes it"
            )
        return cluster

    @classmethod
    def new(cls, name: str) -> Self:
        return cls(name, secret=secrets.token_hex(16))

    def resize(self, counts: Mapping[str, int], say: Say) -> list[str]:
        """Set the number of processes of each role. Return the names of surplus ones."""
        wanted = [f"{role}-{number}" for role in ROLES for number in range(counts[role])]
        surplus = [name for name in self.ports if name not in wanted]
        missing = [name for name in wanted if name not in self.ports]
        with locked("ports", say):
            taken = {port for other in _all() for ports in other.ports.values() for port in ports.values()}
            free = _free_ports(self.name, taken)
            for name in missing:
                self.ports[name] = {purpose: next(free) for purpose in PORTS[name.rpartition("-")[0]]}
            self.save()
        return surplus

    def save(self) -> None:
        write_state(self.folder / "cluster.json", asdict(self))

    def write_settings(self) -> None:
        """Write the shared settings."""
        write_settings(self.settings, {"FSHARECHAT_NODE__CLUSTER_SECRET": self.secret} | self.services())

    def services(self) -> dict[str, str]:
        """The variables that lead to the services."""
        chosen = ServiceSet.load(self.name)
        if chosen is None:
            raise ServicesError(f"the services {self.name!r} are gone; `scripts/cluster up` brings them back")
        variables: dict[str, str] = {}
        for name in services_of(self.name):
            variables |= chosen.service(name).variables()
        for name in MEDIA_SERVICES:
            if name in chosen.services:
                return variables | chosen.service(name).variables()
        return variables | self._media_folder()

    def _media_folder(self) -> dict[str, str]:
        """The variables for a media folder that all processes share. Clients go to the first api process."""
        variables = {"FSHARECHAT_BLOBS__URL": f"directory:///{self.folder / 'media'}"}
        if "api-0" in self.ports:
            variables["FSHARECHAT_BLOBS__PUBLIC_URL"] = f"http://{HOST}:{self.ports['api-0']['http']}"
        return variables

    def member(self, name: str) -> ClusterMember:
        tree = Path(self.trees.get(name, ROOT))
        launch = Launch(self.settings, self.dev, self.fixed_ids, self.environment, self.kurento, tree)
        return ClusterMember(name, self.folder / name, self.ports[name], launch)

    def members(self, names: Iterable[str] = ("all",)) -> list[ClusterMember]:
        """Processes by name, by role, or `all`, in the order of ROLES."""
        chosen: dict[str, None] = {}
        for name in names:
            found = [one for one in self.ports if name in ("all", one, one.rpartition("-")[0])]
            if not found:
                have = ", ".join(self._sorted(self.ports))
                raise ServicesError(f"the cluster {self.name!r} has no {name!r}; it has {have}")
            chosen |= dict.fromkeys(found)
        return [self.member(name) for name in self._sorted(chosen)]

    def run_from(self, tree: Path, names: Iterable[str]) -> None:
        """Let processes run a source tree from their next start on."""
        require_tree(tree)
        for name in names:
            self.trees[name] = str(tree.resolve())
        self.save()

    def remove_member(self, name: str) -> None:
        del self.ports[name]
        self.trees.pop(name, None)
        shutil.rmtree(self.folder / name, ignore_errors=True)
        self.save()

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    @staticmethod
    def _sorted(names: Iterable[str]) -> list[str]:
        def place(name: str) -> tuple[int, int]:
            role, _, number = name.rpartition("-")
            return ROLES.index(role), int(number)

        return sorted(names, key=place)


def services_of(name: str) -> tuple[str, ...]:
    """The services that the cluster `name` needs. If the set has Galera, the store is there."""
    chosen = ServiceSet.load(name)
    store = "galera" if chosen is not None and "galera" in chosen.services else "mariadb"
    return (store, *SERVICES)


def names() -> list[str]:
    return sorted(path.parent.name for path in CLUSTERS.glob("*/cluster.json"))


def _all() -> list[Cluster]:
    return [cluster for name in names() if (cluster := Cluster.load(name)) is not None]


def _free_ports(name: str, taken: set[int]) -> Iterator[int]:
    """Free ports that no cluster has. Each checkout begins its search at another port."""
    size = _END_PORT - _FIRST_PORT
    start = zlib.crc32(f"{ROOT}\0{name}".encode())
    for step in range(size):
        port = _FIRST_PORT + (start + step) % size
        if port not in taken and port_is_free(port):
            yield port
    raise ServicesError(f"no free ports from {_FIRST_PORT} to {_END_PORT}")


def require_tree(tree: Path) -> None:
    """Raise ServicesError if this is no source tree."""
    if not (tree / "fsharechat").is_dir():
        raise ServicesError(f"{tree} is no source tree of fsharechat")
