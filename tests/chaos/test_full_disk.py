"""The disk of the database is full for a while under load: what was acknowledged stays, and all goes on then."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.crowds import addresses_of, talking
from tools.testing.full_disk import fill
from tools.testing.server import Server

pytestmark = pytest.mark.slow

TIMES = 2
FULL_SECONDS = 2.0
MESSAGES = 50


async def test_a_full_disk_loses_nothing_that_was_acknowledged(small_disk: Path) -> None:
    async with (
        Server(small_disk / "data", {"BLOBS__RESERVE_BYTES": "0"}) as server,
        talking(addresses_of(server.at)) as crowd,
    ):
        for _ in range(TIMES):
            await crowd.until_said(MESSAGES)
            filler = fill(small_disk)
            try:
                await crowd.until_refused(1)
                await asyncio.sleep(FULL_SECONDS)  # so long it stays full
            finally:
                filler.unlink()
        await crowd.until_said(MESSAGES)
