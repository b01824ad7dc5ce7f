"""One machine of several: its services, its roles, and the faults that it can be given."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.services.galera import GaleraDaemon
from tools.services.service import Daemon, Say
from tools.testing.full_disk import fill

from .member import ClusterMember
from .network import MachineNetwork


class Machine:
    """A network namespace with a disk of its own, and the processes there."""

    def __init__(
        self,
        name: str,
        folder: Path,
        network: MachineNetwork,
        services: Sequence[Daemon],
        database: GaleraDaemon,
        members: Sequence[ClusterMember],
    ) -> None:
        """`database` starts together with those of the other machines, `members` after all services."""
        self.name = name
        self.folder = folder
        self.number = int(name.rpartition("-")[2])
        self.services = services
        self.database = database
        self.members = members
        self._network = network

    @property
    def host(self) -> str:
        return self.database.location.host

    @property
    def daemons(self) -> list[Daemon]:
        """All of its processes, in the order of their start."""
        return [*self.services, self.database, *self.members]

    @property
    def state(self) -> str:
        """Return "cut", "full", "apart" (its services do not reach those of another machine) or "well"."""
        if self._network.is_cut(self.number):
            return "cut"
        if self._filler.exists():
            return "full"
        return "well" if all(daemon.together() for daemon in self.daemons) else "apart"

    def stop(self, say: Say) -> None:
        """Stop its processes in order: the roles drain first."""
        self.stop_roles(say)
        _stop_all([self.database, *self.services], say)

    def stop_roles(self, say: Say) -> None:
        """Let the roles drain and end. The services go on."""
        _stop_all(self.members, say)

    def kill(self, say: Say) -> None:
        """End it like a power cut: nobody is told, and no connection is closed."""
        self._network.pull(self.number)
        with ThreadPoolExecutor(max_workers=len(self.daemons)) as pool:
            list(pool.map(lambda daemon: daemon.kill(say), self.daemons))

    def pause(self, say: Say) -> None:
        """Let all of its processes stand still. Its network still answers."""
        for daemon in self.daemons:
            if daemon.running:
                daemon.pause(say)

    def resume(self, say: Say) -> None:
        for daemon in self.daemons:
            daemon.resume(say)

    def cut(self, say: Say, others: Sequence[str]) -> None:
        """Cut it off from the machines with these addresses; if there are none, from all, and from clients."""
        if others:
            say(f"{self.name}: cut off from the other machines")
            self._network.separate(self.number, others)
        else:
            say(f"{self.name}: cut off from everybody")
            self._network.pull(self.number)

    def mend(self, say: Say) -> None:
        """Undo `cut`."""
        say(f"{self.name}: its network is whole")
        self._network.plug(self.number)

    def fill(self, say: Say) -> None:
        """Leave no byte free on its disk."""
        say(f"{self.name}: its disk is full")
        fill(self.folder)

    def empty(self, say: Say) -> None:
        """Undo `fill`."""
        say(f"{self.name}: its disk has room")
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"


def _stop_all(daemons: Sequence[Daemon], say: Say) -> None:
    with ThreadPoolExecutor(max_workers=len(daemons)) as pool:
        list(pool.map(lambda daemon: daemon.stop(say), daemons))
