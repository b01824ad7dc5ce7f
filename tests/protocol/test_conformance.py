"""The conformance suite against a server in this process: a test a row, over each of its transports."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
import structlog

from fsharechat.node import Node
from fsharechat.settings import Settings
from roles.group.drawing import FACES, Drawing, Face
from roles.group.mosaic import compose
from tools.conformance.all_rows import all_rows
from tools.conformance.rows import Row
from tools.conformance.running import attempt
from tools.conformance.world import Target
from tools.testing.server import SUPER_CODE

pytestmark = pytest.mark.asyncio(loop_scope="module")

API_KEY = "a-key-of-the-conformance-suite"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    settings = Settings.model_validate(
        {
            "node": {"data": tmp_path_factory.mktemp("conformance") / "data"},
            "connector": {"tcp_port": 0, "ws_port": 0, "notify_repeat_seconds": 0.5},
            "api": {"port": 0, "key": API_KEY},
            "media": {"listen": "127.0.0.1:0"},
            "codes": {"super_code": SUPER_CODE},
        }
    )
    with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs() as events:
        patch.setattr(Drawing, "compose", _composed_here)
        async with Node(settings) as node:
            at = node.addresses
            yield Target([at["tcp"]], [at["ws"]], [at["http"]], SUPER_CODE, API_KEY, own=True)
    assert [event for event in events if event["log_level"] in ("error", "critical")] == []


async def _composed_here(_: Drawing, faces: Sequence[Face]) -> bytes:
    """Compose a portrait in this process: more than half of what the rows take is to start one for each."""
    return await asyncio.to_thread(compose, faces[:FACES])


def _test(row: Row) -> object:
    @pytest.mark.parametrize("transport", row.over)
    async def trial(target: Target, transport: str) -> None:
        await attempt(target, row, transport)  # here nothing is a reason to leave a row out

    trial.__doc__ = f"Section {row.section}: {row.title}."
    return trial


for _row in all_rows():
    globals()[f"test_{_row.name}"] = _test(_row)
