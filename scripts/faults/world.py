"""The cluster under fire: its processes and services, by scripts/cluster and scripts/services."""

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

import aiohttp
from localcluster.cluster import Cluster
from localcluster.member import Member
from localservices.catalogue import ServiceSet
from localservices.places import ROOT
from localservices.process import Identity
from localservices.service import Service

CUT_EVERY = 0.1
ASK_SECONDS = 5.0
_SAMPLE = re.compile(r"^fsharechat_(\w+) (\S+)$", re.MULTILINE)
_BAD_LINES = ("Traceback", "unhandled error", "a task ended", "was never retrieved", "was never awaited")


def quiet(_: str) -> None:
    """Say nothing: the table tells it."""


class World:
    """The cluster of the set `name`, which is up."""

    def __init__(self, name: str) -> None:
        self._cluster = Cluster.existing(name)
        services = ServiceSet.load(name)
        assert services is not None, f"the services {name!r} are down"
        self._services = services
        self._identities: dict[str, Identity | None] = {}
        self._read: dict[str, int] = {}
        for member in self.members():
            self._identities[member.name] = member.running
            self._read[member.name] = member.log.stat().st_size

    def members(self, role: str = "all") -> list[Member]:
        return self._cluster.members([role])

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

    async def pause(self, name: str, seconds: float) -> None:
        """Have a process stand still for a while."""
        member = self._cluster.member(name)
        member.pause(quiet)
        try:
            await asyncio.sleep(seconds)
        finally:
            member.resume()

    async def stop_service(self, name: str, kill: bool = False) -> None:
        """End a service, by SIGKILL if `kill`."""
        if kill:
            for daemon in self.service(name).daemons:
                await asyncio.to_thread(daemon.kill, quiet)
        else:
            await asyncio.to_thread(self.service(name).stop, quiet)

    async def start_service(self, name: str) -> None:
        """Start a service and wait until it is ready."""
        await asyncio.to_thread(self.service(name).start, quiet, threading.Event())

    async def cut(self, name: str, seconds: float) -> None:
        """Break every TCP connection of a process, and each new one, for a while: `ss -K`."""
        identity = self._cluster.member(name).running
        assert identity is not None, f"{name} does not run"
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await asyncio.to_thread(_cut_connections, identity.pid)
            await asyncio.sleep(CUT_EVERY)

    # What is seen from outside

    async def metrics(self, member: Member) -> dict[str, float]:
        """Return what a process counts. Raises OSError or TimeoutError when it does not answer."""
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
        """Return what is wrong with the processes: nothing, if all is well."""
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

    async def _ready(self, member: Member) -> None:
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
            found += [
                f"{member.name}: {line.strip()[:200]}"
                for line in text.splitlines()
                if any(bad in line for bad in _BAD_LINES)
            ]
        return found


def can_cut() -> bool:
    """Return whether `ss -K` works here: it takes root, and a kernel that knows it."""
    try:
        done = subprocess.run(["ss", "-K", "dport", "=", "1"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and "not permitted" not in done.stderr


def up(name: str, connectors: int, groups: int) -> None:
    """Bring the cluster up. Raises CalledProcessError."""
    _cluster("up", str(connectors), str(groups), "--dev", "--set", name)


def down(name: str) -> None:
    _cluster("down", "--set", name)


def _cluster(*arguments: str) -> None:
    command = [sys.executable, "-P", "-m", "localcluster", *arguments]
    subprocess.run(["env", "FSHARECHAT_LIMITS__REQUESTS=0", *command], check=True, cwd=ROOT)


def _start(member: Member) -> None:
    member.launch(quiet)
    member.wait(member.ready_seconds, threading.Event())


def _cut_connections(pid: int) -> None:
    listed = subprocess.run(["ss", "-Htnp", "state", "connected"], capture_output=True, text=True, check=True)
    ports = {
        fields[3].rpartition(":")[2]
        for line in listed.stdout.splitlines()
        if f"pid={pid}," in line and len(fields := line.split()) > 4
    }
    # A connection within the machine has two ends, and this finds both: by its own port, whichever end that is at.
    for port in ports:
        subprocess.run(["ss", "-K", "sport", "=", f":{port}"], capture_output=True, check=False)
