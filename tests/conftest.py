"""The services that tests of several kinds share."""

from collections.abc import Iterator

import pytest

from tools.testing.services import take_down_orphans
from tools.testing.zookeeper import OwnZooKeeper


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[OwnZooKeeper]:
    take_down_orphans()
    server = OwnZooKeeper()
    try:
        server.up()
        yield server
    finally:
        server.down()
