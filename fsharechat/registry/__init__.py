"""Who is alive: node ids as leases, of which each has one holder at a time."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple


class LeaseTaken(Exception):
    """Another process holds the node id."""


class Lease(NamedTuple):
    """A node id (0-63) that is this process's until it is released or lost."""

    kind: str
    node: int


class Registry(ABC):
    @abstractmethod
    async def open(self) -> None:
        """Be ready to lease."""

    @abstractmethod
    async def close(self) -> None:
        """Give up every lease."""

    @abstractmethod
    async def lease(self, kind: str, node: int | Literal["auto"]) -> Lease:
        """Lease a node id among the processes of one kind ("connector", "group"); "auto" is the lowest free one.

        Raises LeaseTaken, which names the holder, when the id (or every id) is held.
        """

    @abstractmethod
    async def release(self, lease: Lease) -> None:
        """Give the id back."""
