"""Fixtures for every test, whatever its folder."""

import pytest

from fsharechat.node import settle

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
    """Set the garbage collector up as the server does: what was collected stays until the end."""
    settle()
