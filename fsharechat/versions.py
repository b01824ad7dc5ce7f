"""Versions of the protocols between processes. A process speaks several, so that a cluster can be upgraded."""

from typing import NamedTuple


class Range(NamedTuple):
    """The versions that a process speaks, from the oldest to the newest."""

    oldest: int
    newest: int

    def has(self, version: int) -> bool:
        return self.oldest <= version <= self.newest

    def settle(self, other: "Range") -> int | None:
        """Return the highest version that both speak, None if there is none."""
        highest = min(self.newest, other.newest)
        return highest if self.has(highest) and other.has(highest) else None

    def __str__(self) -> str:
        return str(self.newest) if self.oldest == self.newest else f"{self.oldest} to {self.newest}"
