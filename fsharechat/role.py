"""Finds the installed roles."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

GROUP = "fsharechat.roles"
"""The entry point group in which packages announce their roles."""


@cache
def installed() -> dict[str, EntryPoint]:
    """Return the installed roles, by name. Finding them reads metadata of every installed package."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def role_names() -> list[str]:
    """Return the names of the installed roles."""
    return sorted(installed())
