"""CPU times around a measurement, in seconds."""

import time
from typing import NamedTuple, Self

from .server import BenchServer, machine_cpu_seconds


class CpuTimes(NamedTuple):
    """CPU times in seconds: of each group of processes, of the generator, of all on the machine, and the clock."""

    groups: dict[str, float]
    ours: float
    """Of our groups together."""
    generator: float
    machine: float
    clock: float

    @classmethod
    def now(cls, server: BenchServer) -> Self:
        groups = {group.name: group.cpu_seconds() for group in server.groups}
        ours = sum(groups[group.name] for group in server.groups if group.ours)
        return cls(groups, ours, time.process_time(), machine_cpu_seconds(), time.perf_counter())

    def since(self, before: Self) -> Self:
        groups = {name: seconds - before.groups[name] for name, seconds in self.groups.items()}
        return type(self)(
            groups,
            self.ours - before.ours,
            self.generator - before.generator,
            self.machine - before.machine,
            self.clock - before.clock,
        )

    @property
    def services(self) -> float:
        """Of the groups that are not ours."""
        return sum(self.groups.values()) - self.ours

    @property
    def others(self) -> float:
        """Of all else on the machine."""
        return max(0.0, self.machine - self.ours - self.services - self.generator)
