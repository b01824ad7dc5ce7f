"""The kinds of rpc that the suite runs over, and what the tests of the network's have to themselves."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fsharechat.rpc import local
from fsharechat.rpc.local import LocalRpc
from tests.unit.rpc.rpc_cluster import Cluster, process_tls
from tests.unit.rpc.rpc_kit import Ends
from tools.services.certificates import Authority

SHORT = 0.3


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Return what makes processes of a cluster, and closes them."""
    async with Cluster() as made:
        yield made


@pytest.fixture(params=["local", "tcp", "tcp at home", "tls"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what carries the calls."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)
    return str(request.param)


@pytest.fixture
async def ends(kind: str, cluster: Cluster, tmp_path: Path) -> AsyncIterator[Ends]:
    """Return both ends, open, with a deadline that never comes."""
    async for made in _ends(kind, cluster, tmp_path):
        yield made


@pytest.fixture
async def hasty(kind: str, cluster: Cluster, tmp_path: Path) -> AsyncIterator[Ends]:
    """Return both ends, open, with a deadline that tests can wait for."""
    cluster.timeout = SHORT
    async for made in _ends(kind, cluster, tmp_path):
        yield made


async def _ends(kind: str, cluster: Cluster, folder: Path) -> AsyncIterator[Ends]:
    if kind == "tls":
        cluster.tls = process_tls(Authority(folder))
    if kind == "local":
        rpc = LocalRpc(cluster.timeout)
        await rpc.open()
        yield Ends(group=rpc, caller=rpc)
        await rpc.close()
    else:
        group = await cluster.group()
        yield Ends(group, group if kind == "tcp at home" else await cluster.caller())
