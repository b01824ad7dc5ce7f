"""A cluster under test, on its own services: `scripts/cluster` starts and removes it."""

import asyncio
import fcntl
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from tools.cluster.cluster import ROLES, Cluster
from tools.cluster.member import ClusterMember
from tools.services.catalogue import ServiceSet
from tools.services.service import HOST, Daemon

from .link import BenchError
from .server import FOLDER, SETTINGS, Address, BenchServer, ProcessGroup, with_logs

KIND = "cluster"
_LAYOUT = re.compile(r"[1-9]\d?x[1-9]\d?")
_SET = "bench"
_UP_SECONDS = 1800.0
"""The first time the services are installed."""
_DOWN_SECONDS = 300.0
_TERMINATE_SECONDS = 60.0


class Layout(NamedTuple):
    """How many processes there are. There is one api process: only logins go there."""

    connectors: int
    groups: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "2x1". Raises ValueError for any other form."""
        if _LAYOUT.fullmatch(text) is None:
            raise ValueError(f"{text!r} is not CONNECTORSxGROUPS, such as 2x2")
        connectors, groups = text.split("x")
        return cls(int(connectors), int(groups))

    def __str__(self) -> str:
        return f"{self.connectors}x{self.groups}"


@asynccontextmanager
async def cluster(folder: Path, layout: Layout) -> AsyncIterator[BenchServer]:
    """Run a cluster on empty services, and take both down at the end. The logs are copied to `folder`.

    Raises BenchError if it does not start. Each error has the last lines of its logs.
    """
    with _alone(FOLDER / "cluster.lock"):
        await _command("down", seconds=_DOWN_SECONDS)  # the rest of a run that was killed
        try:
            await _command(
                *("up", str(layout.connectors), str(layout.groups), "--api", "1", "--media", "0", "--dev"),
                seconds=_UP_SECONDS,
            )
            server, logs = _server(layout)
            try:
                yield server
            except BenchError as error:
                raise with_logs(error, server.logs) from None
            finally:
                for name, log in logs.items():
                    shutil.copyfile(log, folder / f"{name}.log")
        finally:
            await _command("down", seconds=_DOWN_SECONDS)


def _server(layout: Layout) -> tuple[BenchServer, dict[str, Path]]:
    """Return the running cluster, and the logs of its processes and services by name."""
    services = ServiceSet.load(_SET)
    members = Cluster.existing(_SET).members()
    if services is None:
        raise BenchError("the services of the cluster are gone")
    present = services.present()
    ours = [_group(role, [one for one in members if one.role == role], True) for role in ROLES]
    theirs = [_group(service.name, service.daemons, False) for service in present]
    daemons: list[Daemon] = [*members, *(daemon for service in present for daemon in service.daemons)]
    server = BenchServer(
        kind=KIND,
        http=next(one.addresses["http"] for one in members if one.role == "api"),
        addresses={transport: _listening(members, transport) for transport in ("tcp", "ws")},
        groups=[*ours, *theirs],
        logs=[member.log for member in members],
        layout=str(layout),
    )
    return server, {daemon.name: daemon.log for daemon in daemons}


def _group(name: str, daemons: Sequence[Daemon], ours: bool) -> ProcessGroup:
    running = [daemon.running for daemon in daemons]
    return ProcessGroup(name, tuple(identity for identity in running if identity is not None), ours)


def _listening(members: Sequence[ClusterMember], transport: str) -> list[Address]:
    return [(HOST, member.ports[transport]) for member in members if transport in member.ports]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Refuse a second run in this checkout: both would have the same cluster."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError("another run of scripts/bench has its cluster up") from None
        yield


async def _command(command: str, *arguments: str, seconds: float) -> None:
    """Run a command of scripts/cluster. It writes its progress to standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tools.cluster", command, *arguments, "--set", _SET),
        env={**os.environ, **SETTINGS},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            code = await process.wait()
    except TimeoutError:
        raise BenchError(f"`scripts/cluster {command}` took longer than {seconds:.0f} s") from None
    finally:
        await _end(process)
    if code:
        raise BenchError(f"`scripts/cluster {command}` failed with exit code {code}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a command that nobody waits for, if it still runs."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_TERMINATE_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
