"""The kinds of rpc that the suite runs over: TCP joins by one more parameter."""

from collections.abc import AsyncIterator

import pytest
from rpc_kit import Ends

from fsharechat.rpc import local
from fsharechat.rpc.local import LocalRpc


@pytest.fixture(params=["local"])
async def ends(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ends]:
    """Return both ends, open, with a deadline that tests can wait for."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)
    rpc = LocalRpc(0.1)
    await rpc.open()
    yield Ends(group=rpc, caller=rpc)
    await rpc.close()
