"""A server under test, for the load: processes, their addresses, and their CPU time, read from /proc."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tools.services.places import ROOT
from tools.services.process import ProcessIdentity

from .link import BenchError

FOLDER = ROOT / ".cache" / "bench"
"""Where runs keep their data."""
SETTINGS = {"FSHARECHAT_LIMITS__REQUESTS": "0", "FSHARECHAT_LOG__LEVEL": "warning"}
"""The settings of every server under test, besides those of the caller's environment."""
_LOG_LINES = 20
_TICKS = os.sysconf("SC_CLK_TCK")

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """Processes whose CPU time is one figure. Those that are not `ours` are of a service, such as Kafka."""

    name: str
    processes: tuple[ProcessIdentity, ...]
    ours: bool = True

    def cpu_seconds(self) -> float:
        """Return the CPU time of all their threads so far, user and system."""
        return sum(_cpu_seconds(process.pid) for process in self.processes)


@dataclass(frozen=True, slots=True)
class BenchServer:
    """A server that runs. Of a cluster `layout` says how many connectors and group processes it has."""

    kind: str
    http: str
    addresses: Mapping[str, Sequence[Address]]
    """By transport: one address for each process that takes clients."""
    groups: Sequence[ProcessGroup]
    logs: Sequence[Path]
    layout: str = ""
    looked_at: Sequence[int] = ()
    """The processes that run under a sampler or counter."""

    @property
    def name(self) -> str:
        return f"{self.kind} {self.layout}".rstrip()

    def address(self, transport: str, number: int) -> Address:
        """Return the address for the `number`-th client: connectors take turns."""
        addresses = self.addresses[transport]
        return addresses[number % len(addresses)]

    def check_alive(self) -> None:
        for group in self.groups:
            for process in group.processes:
                if not process.alive:
                    raise BenchError(f"a process of the server is gone: {group.name}, pid {process.pid}")

    def look(self, on: bool) -> None:
        """Begin or end the look at the processes under a sampler or counter."""
        for pid in self.looked_at:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1 if on else signal.SIGUSR2)

    def memory(self) -> tuple[int, int]:
        """Return the resident and the proportional set size of our processes in bytes."""
        sizes = {"Rss:": 0, "Pss:": 0}
        for pid in (process.pid for group in self.groups if group.ours for process in group.processes):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                name, amount, *_ = line.split()
                if name in sizes:
                    sizes[name] += int(amount) * 1024
        return sizes["Rss:"], sizes["Pss:"]


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise BenchError(f"a process of the server is gone, pid {pid}") from None
    return (int(fields[11]) + int(fields[12])) / _TICKS


def with_tools() -> dict[str, str]:
    """Return the environment of a process that runs a module of this package."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path}


def machine_cpu_seconds() -> float:
    """Return the CPU time of all processes of the machine so far, with the time that the hypervisor took."""
    user, nice, system, _, _, irq, softirq, steal, *_ = (
        int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS


def with_logs(error: BenchError, logs: Sequence[Path]) -> BenchError:
    """Return the error with the last lines of the `logs`."""
    parts = [str(error)]
    for log in logs:
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
        if lines:
            parts += [f"the last lines of {log}:", *lines]
    return BenchError("\n".join(parts))
