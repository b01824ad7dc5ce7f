"""Which roles are installed."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

GROUP = "fsharechat.roles"
"""The entry point group in which packages announce their roles."""


@cache
def installed() -> dict[str, EntryPoint]:
    """Return the roles that are installed, by name. To look for them reads about every package that is installed."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def role_names() -> list[str]:
    """Return the names of the roles that are installed."""
    return sorted(installed())
