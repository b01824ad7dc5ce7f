"""Fixtures for every test, whatever its folder."""

import gc

import pytest

pytest.register_assert_rewrite("tests")

pytest_plugins = [
    "tools.testing.services",
    "tools.testing.cluster",
    "tools.testing.full_disk",  # before machines, which have it imported
    "tools.testing.machines",
    "tools.testing.real_rows",
    "tools.testing.sqlite",
]


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of every later search for garbage: it stays until the end."""
    gc.collect()
    gc.freeze()
