"""Fixtures for every test, whatever its folder."""

pytest_plugins = ["tests.services", "tests.cluster_kit", "tests.full_disk"]
