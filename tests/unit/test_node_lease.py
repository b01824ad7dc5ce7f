"""A process leases its node id from a registry that does not answer at first."""

from pathlib import Path
from typing import Literal

import pytest
from structlog.testing import capture_logs

from fsharechat import node as nodes
from fsharechat.errors import StartError
from fsharechat.node import Node
from fsharechat.registry import Lease, LeaseTaken, RegistryError
from fsharechat.registry.memory import MemoryRegistry
from fsharechat.settings import Settings


class FakeRegistryOfFailures(MemoryRegistry):
    """A registry that fails with these errors first."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)

    async def lease(self, kind: str, node: int | Literal["auto"], address: str) -> Lease:
        if self.failures:
            raise self.failures.pop(0)
        return await super().lease(kind, node, address)


def node_with(registry: MemoryRegistry, folder: Path, cluster: bool) -> Node:
    urls = {
        "bus": {"url": "kafka://127.0.0.1:9"},
        "registry": {"url": "zookeeper://127.0.0.1:9"},
        "store": {"url": "mysql://root@127.0.0.1:9/x"},
    }
    own = {"roles": ["group"], "data": folder / "data", "id": 7, "cluster_secret": "s" * 32}
    made = Node(Settings.model_validate({"node": own, **(urls if cluster else {})}))
    made.registry = registry
    return made


async def test_in_a_cluster_it_waits_for_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "WAIT_SECONDS", 0.0)
    registry = FakeRegistryOfFailures(
        RegistryError("no answer in 2.5 s"), RegistryError("no answer in 2.5 s")
    )
    node = node_with(registry, tmp_path, cluster=True)
    with capture_logs() as logs:
        lease = await node.lease("group", "here:1")
    assert (lease.kind, lease.node, lease.held) == ("group", 7, True)
    assert [(line["event"], line["section"], line["reason"]) for line in logs] == [
        ("waiting", "registry", "no answer in 2.5 s")
    ] * 2
    assert node.status.leases == [lease]
    await node.registry.close()


@pytest.mark.parametrize(
    ("failure", "cluster", "said"),
    [
        (LeaseTaken("node id 7 of a group is held by there:2"), True, r"\[node\] id: node id 7 of a group"),
        (RegistryError("closed"), False, r"\[registry\] closed"),
    ],
)
async def test_what_waiting_does_not_mend_stops_the_start(
    tmp_path: Path, failure: Exception, cluster: bool, said: str
) -> None:
    node = node_with(FakeRegistryOfFailures(failure), tmp_path, cluster)
    with pytest.raises(StartError, match=said):
        await node.lease("group", "here:1")
    assert node.status.leases == []
