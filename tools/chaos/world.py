"""The cluster under fire: its processes and services, by scripts/cluster and scripts/services."""

import asyncio
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

import aiohttp

from tools.cluster.cluster import CLUSTERS, Cluster, services_of
from tools.cluster.member import ClusterMember
from tools.services import process
from tools.services.catalogue import ServiceSet
from tools.services.disk import is_small_disk, put_on_small_disk, remove_small_disk
from tools.services.places import ROOT
from tools.services.process import ProcessIdentity
from tools.services.service import Daemon, Service
from tools.testing.full_disk import fill

from .kurento import KurentoDaemon
from .packets import Ends, PacketFilter

CUT_EVERY = 0.1
REASON = 200
"""How many characters of a line of a log are shown."""
BACK_SECONDS = 180.0
"""How long a service may need until it serves again, s."""
STORES = ("mariadb", "galera")
ASK_SECONDS = 5.0
_SAMPLE = re.compile(r"^fsharechat_(\w+) (\S+)$", re.MULTILINE)
_BAD_LINES = ("Traceback", "unhandled error", "a task ended", "was never retrieved", "was never awaited")


def quiet(_: str) -> None:
    """Print nothing: the table has it."""


class ChaosWorld:
    """The cluster of the set `name`, which is up."""

    def __init__(self, name: str, kurento: KurentoDaemon | None = None) -> None:
        """`kurento` is what its media processes use, if any."""
        self.kurento = kurento
        self._cluster = Cluster.existing(name)
        services = ServiceSet.load(name)
        assert services is not None, f"the services {name!r} are down"
        self._name = name
        self._services = services
        self._identities: dict[str, ProcessIdentity | None] = {}
        self._read: dict[str, int] = {}
        for member in self.members():
            self._identities[member.name] = member.running
            self._read[member.name] = member.log.stat().st_size

    def members(self, role: str = "all") -> list[ClusterMember]:
        return [member for member in self._cluster.members() if role in ("all", member.role)]

    def addresses(self) -> Mapping[str, Sequence[str]]:
        """Return the addresses of clients, by "tcp", "ws" and "http"."""
        found: dict[str, list[str]] = {"tcp": [], "ws": [], "http": []}
        for member in self.members():
            for purpose, address in member.addresses.items():
                if purpose in found:
                    found[purpose].append(address)
        return found

    def service(self, name: str) -> Service:
        return self._services.service(name)

    def variables(self) -> dict[str, str]:
        return self._cluster.services()

    # Faults

    async def kill(self, name: str) -> None:
        """End a process by SIGKILL."""
        await asyncio.to_thread(self._cluster.member(name).kill, quiet)

    async def start(self, name: str) -> None:
        """Start a process and wait until it is ready."""
        await asyncio.to_thread(_start, self._cluster.member(name))
        self._identities[name] = self._cluster.member(name).running

    async def kill_kurento(self) -> None:
        """End the Kurento by SIGKILL, and start it again."""
        kurento = self.kurento
        assert kurento is not None, "there is no Kurento"
        await asyncio.to_thread(kurento.kill, quiet)
        await asyncio.to_thread(kurento.launch, quiet)
        await self._back([kurento])

    async def pause(self, name: str, seconds: float) -> None:
        """Stop a process for a while."""
        member = self._cluster.member(name)
        member.pause(quiet)
        try:
            await asyncio.sleep(seconds)
        finally:
            member.resume()

    def actual(self, service: str) -> str:
        """Return the name of a service. "mariadb" stands for the store, whichever it is."""
        return self.store if service == "mariadb" else service

    def daemons(self, name: str, dice: random.Random) -> Sequence[Daemon]:
        """Return the processes of a service. If several hold the same data, return one of them."""
        daemons = self.service(name).daemons
        return [dice.choice(daemons)] if len(daemons) > 1 else daemons

    async def stop_service(self, name: str, kill: bool = False, only: Sequence[Daemon] = ()) -> None:
        """End a service, or only these of its processes; by SIGKILL if `kill`."""
        for daemon in only or self.service(name).daemons:
            await asyncio.to_thread(daemon.kill if kill else daemon.stop, quiet)

    async def start_service(self, name: str, only: Sequence[Daemon] = ()) -> None:
        """Start a service, or only these of its processes, and wait until it is ready."""
        wanted = [daemon.name for daemon in only]
        await asyncio.to_thread(self.service(name).start, quiet, threading.Event(), wanted)

    async def freeze(self, daemons: Sequence[Daemon], seconds: float) -> None:
        """Stop processes of a service for a while, and wait until they serve again."""
        identities = [identity for daemon in daemons if (identity := daemon.running) is not None]
        for identity in identities:
            process.pause(identity)
        try:
            await asyncio.sleep(seconds)
        finally:
            for identity in identities:
                process.resume(identity)
        await self._back(daemons)

    async def drop(self, name: str, seconds: float) -> None:
        """Drop every packet to and from a process for a while."""
        identity = self._cluster.member(name).running
        assert identity is not None, f"{name} does not run"
        await self._drop(name, lambda: connections_of(identity.pid), seconds)

    async def drop_service(self, daemons: Sequence[Daemon], seconds: float) -> None:
        """Drop every packet to and from the ports of a service for a while."""
        ports = {Ends(port, 0) for daemon in daemons for port in daemon.ports.values()}
        await self._drop(daemons[0].name, lambda: ports, seconds)
        await self._back(daemons)

    async def _drop(self, name: str, connections: Callable[[], set[Ends]], seconds: float) -> None:
        packets = PacketFilter(f"{self._name}_{name}")
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        dropped: set[Ends] = set()
        await asyncio.to_thread(packets.open)
        try:
            while loop.time() < end:
                new = await asyncio.to_thread(connections) - dropped
                await asyncio.to_thread(packets.drop, new)
                dropped |= new
                await asyncio.sleep(CUT_EVERY)
        finally:
            await asyncio.to_thread(packets.close)

    async def fill_disk(self, seconds: float) -> bool:
        """Leave no byte free on the disk of the store for a while. Return whether the store survived.

        A database may end if it cannot write. Then it is started again.
        """
        (daemon,) = self.service(self.store).daemons
        filler = await asyncio.to_thread(fill, daemon.folder)
        try:
            await asyncio.sleep(seconds)
        finally:
            filler.unlink()
        lives = daemon.running is not None
        await self.start_service(self.store)
        return lives

    def can_fill_disk(self) -> bool:
        return is_small_disk(self.service(self.store).daemons[0].folder)

    async def _back(self, daemons: Sequence[Daemon]) -> None:
        for daemon in daemons:
            await asyncio.to_thread(daemon.wait, BACK_SECONDS, threading.Event())

    @property
    def store(self) -> str:
        """The service that is the store: "mariadb" or "galera"."""
        return services_of(self._name)[0]

    async def cut(self, name: str, seconds: float) -> None:
        """Break every TCP connection of a process, and each new one, for a while: `ss -K`."""
        identity = self._cluster.member(name).running
        assert identity is not None, f"{name} does not run"
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await asyncio.to_thread(_cut_connections, identity.pid)
            await asyncio.sleep(CUT_EVERY)

    # Seen from outside

    async def metrics(self, member: ClusterMember) -> dict[str, float]:
        """Return the metrics of a process. Raises OSError or TimeoutError if it does not answer."""
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(member.addresses["metrics"]) as answer,
            ):
                page = await answer.text()
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error
        return {name: float(value) for name, value in _SAMPLE.findall(page)}

    async def health(self) -> list[str]:
        """Return the faults of the processes, none if all is well."""
        wrong = []
        for member in self.members():
            if member.running is None:
                wrong.append(f"{member.name}: {member.state}")
            elif member.running != self._identities[member.name]:
                wrong.append(f"{member.name}: it was started by somebody else")
            else:
                try:
                    await self.metrics(member)
                    await self._ready(member)
                except (OSError, TimeoutError) as error:
                    wrong.append(f"{member.name}: {error or 'no answer'}")
        return wrong

    async def _ready(self, member: ClusterMember) -> None:
        if member.role != "api":
            return
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{member.addresses['http']}/monitor/ready") as answer,
            ):
                if answer.status != 200:
                    raise OSError(f"/monitor/ready: {answer.status}, {await answer.text()}")
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error

    def complaints(self) -> list[str]:
        """Return the lines of the logs that no fault excuses: errors that nobody caught."""
        found = []
        for member in self.members():
            with member.log.open("rb") as log:
                log.seek(self._read[member.name])
                text = log.read().decode(errors="replace")
            lines = text.splitlines()
            found += [
                f"{member.name}: {_with_reason(lines, number)}"
                for number, line in enumerate(lines)
                if any(bad in line for bad in _BAD_LINES)
            ]
        return found


def _with_reason(lines: Sequence[str], number: int) -> str:
    """Return a line of a log. For a traceback, return the line before it and its last line."""
    said = lines[number].strip()
    if "Traceback" in said:
        end = next((line for line in lines[number + 1 :] if line and not line[0].isspace()), "")
        said = f"{lines[number - 1].strip()[:REASON]} … {end.strip()[:REASON]}"
    return said[: 2 * REASON]


def can_cut() -> bool:
    """Return whether `ss -K` works here: it needs root, and a kernel with this feature."""
    try:
        done = subprocess.run(["ss", "-K", "dport", "=", "1"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and "not permitted" not in done.stderr


def start_kurento(name: str) -> KurentoDaemon:
    """Start a Kurento for the media processes of a cluster, which may not be there yet."""
    kurento = KurentoDaemon(CLUSTERS / f"{name}-kurento")
    kurento.launch(quiet)
    kurento.wait(BACK_SECONDS, threading.Event())
    return kurento


def up(name: str, connectors: int, groups: int, store: str, small_disk: bool, kurento: str) -> None:
    """Start the cluster on a store of STORES, on a small disk if wanted and possible.

    `kurento` is the address of what its media processes use; "": they forward by themselves.

    Raises CalledProcessError.
    """
    services = ServiceSet.load_or_create(name, quiet)
    if small_disk and store == "mariadb":
        put_on_small_disk(services.service(store).daemons[0].folder)
    command = [sys.executable, "-P", "-m", "tools.services", "up", store, "--set", name]
    subprocess.run(command, check=True, cwd=ROOT)
    _cluster("up", str(connectors), str(groups), "--media", "2", "--kurento", kurento, "--dev", "--set", name)
    _close_to_older(name)


def _close_to_older(name: str) -> None:
    """Raise the fence in the store, as after an upgrade: before this no member of a large group is put to sleep."""
    cluster = Cluster.existing(name)
    variables = [f"{key}={value}" for key, value in cluster.services().items()]
    command = [sys.executable, "-P", "-m", "fsharechat", "--settings", str(cluster.settings), "fence"]
    subprocess.run(["env", *variables, *command], check=True, cwd=ROOT)


def down(name: str) -> None:
    services = ServiceSet.load(name)
    if services is None:
        return
    _cluster("down", "--keep-services", "--set", name)
    subprocess.run(
        [sys.executable, "-P", "-m", "tools.services", "down", "--keep", "--set", name], check=True
    )
    for service in services.present():
        for daemon in service.daemons:
            remove_small_disk(daemon.folder)
    _cluster("down", "--set", name)


def _cluster(*arguments: str) -> None:
    command = [sys.executable, "-P", "-m", "tools.cluster", *arguments]
    subprocess.run(["env", "FSHARECHAT_LIMITS__REQUESTS=0", *command], check=True, cwd=ROOT)


def _start(member: ClusterMember) -> None:
    member.launch(quiet)
    member.wait(member.ready_seconds, threading.Event())


def connections_of(pid: int, *which: str) -> set[Ends]:
    """Return the ends of a process's TCP sockets."""
    listed = subprocess.run(["ss", "-Htnp", *(which or ["-a"])], capture_output=True, text=True, check=True)
    return {
        Ends(*(0 if port == "*" else int(port) for port in (one.rpartition(":")[2] for one in fields[3:5])))
        for line in listed.stdout.splitlines()
        if f"pid={pid}," in line and len(fields := line.split()) > 4
    }


def _cut_connections(pid: int) -> None:
    for own, peer in connections_of(pid, "state", "connected"):
        ends = ["sport", "=", f":{own}", "and", "dport", "=", f":{peer}"]
        subprocess.run(["ss", "-K", *ends], capture_output=True, check=False)
