"""Urls of a registry in ZooKeeper."""

import pytest

from fsharechat.registry.zookeeper import ZooKeeperRegistry
from fsharechat.urls import UrlError


@pytest.mark.parametrize(
    "url", ["memory", "kafka://a", "zookeeper://", "zookeeper://a,,b", "zookeeper://u:p@a"]
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UrlError, match=r"must be|is not a host|without a login"):
        ZooKeeperRegistry(url)
