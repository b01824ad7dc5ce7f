"""Fixtures for every test, whatever its folder."""

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
