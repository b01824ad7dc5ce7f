"""Which services a cluster of scripts/cluster stands on."""

import pytest

from tools.cluster.cluster import services_of
from tools.services.catalogue import ServiceSet


@pytest.mark.parametrize(
    ("has", "store"),
    [
        (None, "mariadb"),
        ([], "mariadb"),
        (["mariadb", "zookeeper"], "mariadb"),
        (["galera"], "galera"),
        (["mariadb", "galera"], "galera"),
    ],
)
def test_a_set_that_has_galera_has_the_store_there(
    monkeypatch: pytest.MonkeyPatch, has: list[str] | None, store: str
) -> None:
    found = None if has is None else ServiceSet("some", 20_000, has)
    monkeypatch.setattr(ServiceSet, "load", lambda _: found)
    assert services_of("some") == (store, "zookeeper", "kafka")
