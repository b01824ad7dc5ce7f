"""The services that tests of several kinds share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tools.testing.services import take_down_orphans
from tools.testing.zookeeper import OwnZooKeeper

# A machine with other work may take any time for an example.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[OwnZooKeeper]:
    take_down_orphans()
    server = OwnZooKeeper()
    try:
        server.up()
        yield server
    finally:
        server.down()
