from pathlib import Path

import pytest

from tests.e2e.conversation import converse
from tools.testing.server import Server

pytestmark = pytest.mark.slow

TEXTS = 1000


async def test_two_people_meet_and_talk_both_ways_round(tmp_path: Path) -> None:
    async with Server(tmp_path / "data") as server:
        for anna_by, ben_by, numbers in (
            ("tcp", "ws", ("13800000001", "13800000002")),
            ("ws", "tcp", ("13800000003", "13800000004")),
        ):
            await converse(
                server.at, server.code_for, anna_by=anna_by, ben_by=ben_by, numbers=numbers, texts=TEXTS
            )
