"""Raw devices whose connections break at random moments of their pulls, whatever they claim to have."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.chaos.crowds import addresses_of, talking
from tools.testing.server import Server, ServerAddresses
from tools.wire.proxy import Proxy

pytestmark = pytest.mark.slow

SECONDS = 10.0
LINES = 4
UNHEARD = 0.5
"""Before so many of the breaks what the server answers is not heard any more, though it hears what is said."""
AGAIN = 2
"""So often each device must have connected again, on average."""


async def test_devices_that_claim_too_much_and_break_off_miss_nothing(tmp_path: Path) -> None:
    """Web devices claim CONNECT_ACK's head as soon as they have asked, and count what they sent themselves."""
    chance = random.Random(31)
    async with Server(tmp_path / "data") as server, AsyncExitStack() as stack:
        lines: list[Proxy] = []

        async def over(address: str) -> str:
            lines.append(Proxy(address))
            stack.push_async_callback(lines[-1].close)
            return await lines[-1].open()

        ws = server.at.ws.removeprefix("ws://").rstrip("/")
        near = [
            ServerAddresses(await over(server.at.tcp), f"ws://{await over(ws)}/", server.at.http)
            for _ in range(LINES)
        ]
        async with talking(addresses_of(*near), users=4) as crowd:
            loop = asyncio.get_running_loop()
            end = loop.time() + SECONDS
            while loop.time() < end:
                await asyncio.sleep(chance.uniform(0, 0.2))  # the moment of the break
                line = chance.choice(lines)
                if chance.random() < UNHEARD:
                    line.mute()
                    await asyncio.sleep(chance.uniform(0, 0.5))
                line.cut(refuse=False)
                line.go()
                crowd.check()
            assert sum(line.connections for line in lines) > AGAIN * len(crowd.devices), "too few breaks"
