"""The registry of living processes: node ids as leases, with one holder at a time, and the holders' addresses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal

from fsharechat.health import FINE, Finding

Members = Mapping[int, str]
"""The addresses of the processes of one kind, by node id."""


class LeaseTaken(Exception):
    """Another process holds the node id. The text names it."""


class RegistryError(Exception):
    """The registry cannot be reached. The text says why."""


class Lease(ABC):
    """A node id (0-63) among the processes of one kind ("connector", "group").

    It may be lost while the process runs, and come back. With "auto" it may come back with another `node`, if another
    process has the old one. So check before each use of the id: see `holds`.
    """

    def __init__(self, kind: str, node: int) -> None:
        self.kind = kind
        self.node = node

    @property
    @abstractmethod
    def held(self) -> bool:
        """Whether this process certainly has the id at this moment.

        False well before another process can have it, even in a process that was stopped and wakes up.
        """

    def holds(self, node: int) -> bool:
        """Return whether this process certainly still has this id, which the lease had before."""
        return node == self.node and self.held

    async def look(self) -> Finding:
        """Return whether work that needs the id can be done now."""
        return FINE if self.held else Finding(f"the node id {self.node} is lost", serves=False)

    @abstractmethod
    def on_change(self, tell: Callable[[bool], None]) -> None:
        """Call `tell` on the loop: with False when the lease is lost, with True when it is held again.

        The id changes only in between.
        """

    @abstractmethod
    async def release(self) -> None:
        """Give the id back for good."""


class Registry(ABC):
    @property
    @abstractmethod
    def away(self) -> str:
        """Why it cannot be reached now, "" while it can."""

    @abstractmethod
    async def open(self) -> None:
        """Be ready to lease. Raises RegistryError."""

    @abstractmethod
    async def close(self) -> None:
        """Give up every lease, and close."""

    @abstractmethod
    async def lease(self, kind: str, node: int | Literal["auto"], address: str) -> Lease:
        """Lease a node id for this process, which others reach at `address`. "auto" takes the lowest free one.

        If another process takes the id, the lease waits for a fixed id, and with "auto" takes the lowest free one
        again.

        Raises LeaseTaken, which names the holder, if the id (or every id) is held, and RegistryError.
        """

    @abstractmethod
    async def watch(self, kind: str, on_members: Callable[[Members], None]) -> None:
        """Call `on_members` on the loop with the members of a kind: now, and after each change.

        While the registry cannot be reached, the members stay the same. Raises RegistryError if it cannot be reached
        now.
        """

    @abstractmethod
    async def watch_bus(self, on_version: Callable[[int], None]) -> None:
        """Call `on_version` with the newest version of the bus that all connectors and group processes read.

        Calls and errors are those of `watch`.
        """
