"""A cluster on several machines, each a network namespace of this one with its own disk. It is kept in a file."""

import json
import secrets
import shutil
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from tools.services import mariadb
from tools.services.disk import put_on_small_disk, remove_small_disk
from tools.services.errors import ServicesError, Unavailable
from tools.services.galera import Galera, GaleraDaemon, start_cluster
from tools.services.haproxy import Backend, HaProxyDaemon
from tools.services.install import Installer
from tools.services.kafka import Kafka, KafkaDaemon, KafkaQuorum, cluster_id
from tools.services.places import ROOT
from tools.services.service import Daemon, Say
from tools.services.zookeeper import ZooKeeper, ZooKeeperDaemon

from .cluster import CLUSTERS, require_tree
from .machine import Machine
from .member import ClusterMember, Launch
from .network import MachineNetwork
from .state import write_settings, write_state

LEAST_MACHINES, MOST_MACHINES = 3, 9
"""Two of three are a majority, so one may be lost."""
# Each machine has its own network, so all have the same ports.
_PORTS = {
    "media": {"udp": 20000, "rpc": 9001, "metrics": 9101},
    "group": {"rpc": 9000, "metrics": 9100},
    "connector": {"tcp": 6789, "ws": 9326, "metrics": 9102},
    "api": {"http": 8081, "metrics": 9103},
}
"""The ports of each role, in the order of their start."""
_PROCESSES = len(_PORTS) + 3
"""The processes of each machine: the roles and the services."""
_GALERA = (3306, 4567, 4568, 4444)
_KAFKA = (9092, 9093, 9094)
_ZOOKEEPER = 2181
_FRONT = {"tcp": 6789, "ws": 9326, "http": 8081, "statistics": 8404}
_FORMS = {"ws": "ws://{}/", "http": "http://{}"}


@dataclass
class Machines:
    """A number of machines with the services and the roles on each, and a load balancer in front."""

    name: str
    count: int
    network_number: int
    dev: bool = False
    secret: str = ""
    kafka_id: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    """The FSHARECHAT_ variables of the shell that started it."""
    trees: dict[str, str] = field(default_factory=dict)
    """The source tree of each machine that runs another one than this."""

    @property
    def folder(self) -> Path:
        return CLUSTERS / self.name

    @property
    def network(self) -> MachineNetwork:
        return MachineNetwork(self.network_number)

    @classmethod
    def load(cls, name: str) -> Self | None:
        """The machines of that name; None if there are none."""
        try:
            return cls(**json.loads((CLUSTERS / name / "machines.json").read_text()))
        except FileNotFoundError:
            return None

    @classmethod
    def new(cls, name: str, count: int, network: MachineNetwork) -> Self:
        return cls(name, count, network.number, secret=secrets.token_hex(16), kafka_id=cluster_id())

    def save(self) -> None:
        write_state(self.folder / "machines.json", asdict(self))

    def provide(self, say: Say) -> None:
        """Install the programs, and make the network and the disks."""
        installer = Installer(say)
        for service in (ZooKeeper, Kafka, Galera):
            service(self.folder, range(service.port_count)).install(installer)
        HaProxyDaemon.install(installer)
        self.network.open(self.count)
        for machine in self.machines():
            if not put_on_small_disk(machine.folder):
                raise Unavailable(
                    "the disk of a machine is a file system in memory, which cannot be mounted here"
                )
        (self.folder / "media").mkdir(exist_ok=True)
        write_settings(self.settings, self.variables())

    @property
    def settings(self) -> Path:
        return self.folder / "cluster.toml"

    def variables(self) -> dict[str, str | list[str]]:
        """The settings that all processes share, by the names of their variables."""
        hosts = [self.network.machine(number).host for number in self._numbers]
        return {
            "FSHARECHAT_STORE__URL": mariadb.url([f"{host}:{_GALERA[0]}" for host in hosts]),
            "FSHARECHAT_BUS__URL": f"kafka://{','.join(f'{host}:{_KAFKA[0]}' for host in hosts)}",
            "FSHARECHAT_REGISTRY__URL": f"zookeeper://{','.join(f'{host}:{_ZOOKEEPER}' for host in hosts)}",
            "FSHARECHAT_BLOBS__URL": f"directory:///{self.folder / 'media'}",
            "FSHARECHAT_BLOBS__PUBLIC_URL": self.addresses["http"],
            "FSHARECHAT_CONNECTOR__TRUSTED_PROXIES": [self.network.front.host],
            "FSHARECHAT_API__TRUSTED_PROXIES": [self.network.front.host],
            "FSHARECHAT_NODE__CLUSTER_SECRET": self.secret,
        }

    @property
    def addresses(self) -> dict[str, str]:
        """The addresses for clients, by purpose: those of the load balancer."""
        return {
            purpose: _FORMS.get(purpose, "{}").format(f"{self.network.front.host}:{port}")
            for purpose, port in _FRONT.items()
        }

    @property
    def _numbers(self) -> range:
        return range(1, self.count + 1)

    def machines(self) -> list[Machine]:
        return [self._machine(number) for number in self._numbers]

    def _machine(self, number: int) -> Machine:
        name, location = f"machine-{number}", self.network.machine(number)
        folder = self.folder / name
        every = [self.network.machine(other).host for other in self._numbers]
        quorum = KafkaQuorum(self.kafka_id, [f"{host}:{_KAFKA[1]}" for host in every], number)
        galera = [f"{host}:{_GALERA[1]}" for host in every]
        tree = Path(self.trees.get(name, ROOT))
        launch = Launch(self.settings, self.dev, False, self.environment, tree=tree)
        services: list[Daemon] = [
            ZooKeeperDaemon(f"zookeeper-{number}", folder / "zookeeper", _ZOOKEEPER, location, every),
            KafkaDaemon(f"kafka-{number}", folder / "kafka", _KAFKA, quorum, location),
        ]
        members = [
            ClusterMember(f"{role}-{number}", folder / role, ports, launch, location)
            for role, ports in _PORTS.items()
            if (tree / "roles" / role).is_dir()  # an older version has fewer
        ]
        database = GaleraDaemon(f"galera-{number}", folder / "galera", _GALERA, galera, location)
        return Machine(name, folder, self.network, services, database, members)

    @property
    def balancer(self) -> HaProxyDaemon:
        backends = {
            purpose: [
                Backend(machine.name, f"{machine.host}:{_FRONT[purpose]}", _PORTS[role]["metrics"])
                for machine in self.machines()
            ]
            for purpose, role in (("tcp", "connector"), ("ws", "connector"), ("http", "api"))
        }
        return HaProxyDaemon("haproxy", self.folder / "haproxy", _FRONT, backends, self.network.front)

    def daemons(self) -> list[Daemon]:
        return [*(daemon for machine in self.machines() for daemon in machine.daemons), self.balancer]

    def parted(self, names: Iterable[str]) -> tuple[list[Machine], list[Daemon]]:
        """Return the machines and the processes of these names. `all` names every machine."""
        machines = {one.name: one for one in self.machines()}
        daemons = {one.name: one for one in self.daemons()}
        wanted = [name for given in names for name in (machines if given == "all" else [given])]
        for name in wanted:
            if name not in machines and name not in daemons:
                have = ", ".join([*machines, *daemons])
                raise ServicesError(f"the cluster {self.name!r} has no {name!r}; it has {have}")
        return (
            [machines[name] for name in wanted if name in machines],
            [daemons[name] for name in wanted if name in daemons],
        )

    def start(self, machines: Sequence[Machine], say: Say) -> None:
        """Start what does not run yet on these machines, services first. Wait until all of it is ready."""
        cancelled = threading.Event()
        for machine in machines:
            self.network.plug(machine.number)
        databases = [machine.database for machine in self.machines()]
        with ThreadPoolExecutor(max_workers=_PROCESSES * len(machines)) as pool:
            wanted = [machine.database.name for machine in machines]
            starts = [pool.submit(start_cluster, databases, say, cancelled, wanted)]
            for machine in machines:
                starts += [pool.submit(one.start, say, cancelled) for one in machine.services]
            _results(starts, cancelled)
            members = [one for machine in machines for one in machine.members]
            _results([pool.submit(one.start, say, cancelled) for one in members], cancelled)

    def unwell(self) -> list[str]:
        """Return which machines are not well, and which processes are not ready: a text each."""
        machines = [f"{one.name}: {state}" for one in self.machines() if (state := one.state) != "well"]
        return machines + [
            f"{one.name}: {state}" for one in self.daemons() if (state := one.state) != "ready"
        ]

    def run_from(self, tree: Path, machines: Iterable[Machine]) -> None:
        """Let the processes of machines run a source tree from their next start on."""
        require_tree(tree)
        self.trees |= {machine.name: str(tree.resolve()) for machine in machines}
        self.save()

    def remove(self, say: Say) -> None:
        """End everything, and remove the data, the disks and the network."""
        self.balancer.stop(say)
        with ThreadPoolExecutor(max_workers=self.count) as pool:
            list(pool.map(lambda machine: machine.kill(say), self.machines()))
        for machine in self.machines():
            remove_small_disk(machine.folder)
        self.network.close()
        shutil.rmtree(self.folder)


def _results(starts: Sequence[Future[None]], cancelled: threading.Event) -> None:
    """Wait for all of them. If one fails, cancel the others."""
    try:
        for started in as_completed(starts):
            started.result()
    except BaseException:
        cancelled.set()
        raise
