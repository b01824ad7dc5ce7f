"""What a role is to the node that boots it."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from fsharechat.node import Node

GROUP = "fsharechat.roles"
"""The entry point group in which packages announce their roles."""


class Role(Protocol):
    """A part of the server that a process may run. `addresses` are what it listens on, for the `ready` line."""

    name: str
    addresses: dict[str, str]

    async def start(self, node: "Node") -> None:
        """Be of service, or raise StartError. Waits for what it needs from other roles."""

    async def stop(self) -> None:
        """Take no new work, finish what was taken, say goodbye. Bounded by the node."""


@cache
def installed() -> dict[str, EntryPoint]:
    """Return the roles that are installed, by name. To look for them reads about every package that is installed."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def role_names() -> list[str]:
    """Return the names of the roles that are installed."""
    return sorted(installed())


def load(name: str) -> Role:
    """Return a new role of that name. Raises LookupError when none is installed."""
    entry = installed().get(name)
    if entry is None:
        raise LookupError(f"no role {name!r} is installed")
    return cast(Role, entry.load()())
