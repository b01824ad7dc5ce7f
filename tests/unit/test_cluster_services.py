"""Which services a cluster of scripts/cluster stands on."""

from pathlib import Path

import pytest

from tools.cluster.cluster import services_of
from tools.cluster.member import PORTS, ClusterMember, Launch
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


@pytest.mark.parametrize("kurento", ["", "ws://10.0.0.7:8888/kurento"])
def test_a_media_process_has_ports_of_its_own_and_the_kurento_of_the_cluster(
    tmp_path: Path, kurento: str
) -> None:
    ports = {purpose: 10_000 + number for number, purpose in enumerate(PORTS["media"])}
    launch = Launch(tmp_path / "cluster.toml", dev=False, fixed_ids=True, environment={}, kurento=kurento)
    told = ClusterMember("media-1", tmp_path, ports, launch).environment()
    assert told["FSHARECHAT_MEDIA__LISTEN"] == f"127.0.0.1:{ports['udp']}"
    assert told["FSHARECHAT_RPC__PORT"] == str(ports["rpc"])
    assert told["FSHARECHAT_NODE__ID"] == "1"
    assert told.get("FSHARECHAT_MEDIA__KURENTO", "") == kurento
    assert ("FSHARECHAT_MEDIA__BACKEND" in told) == bool(kurento)
