"""Modules of the standard library that not every system has."""

from importlib import import_module
from typing import Any


def optional_module(name: str) -> Any:
    """Return a module, None where it is missing. Its type is open: what a module has differs between systems too."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return None
