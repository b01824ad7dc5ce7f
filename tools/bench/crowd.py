"""Thousands of idle connections from several processes: their memory, and what they cost those who write."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from .cpu import CpuTimes
from .device import BenchDevice, Post, close_devices, connect_devices
from .holder import Held, holding
from .load import SETTLE_SECONDS
from .made import MadeStore
from .paced import send_paced
from .results import ScenarioRow, load_figures
from .server import BenchServer
from .single import all_in_one

IDLE = 15_000
_EACH = 5000
"""How many connections one process holds."""
_WARM_UP = 50
"""Connections whose cost is not counted."""
_DEVICES = 10
_PAIRS = 10
_RATE = 500
_SETTLE_SECONDS = 3.0


async def run_crowd(transport: str, count: int, data: Path, seconds: float) -> list[ScenarioRow]:
    """Measure a new server with the folder `data`, and pairs that write at a fixed rate, before and beside the crowd.

    Raises BenchError on wrong delivery, or if an idle connection is refused, lost, or told of a message.
    """
    made = MadeStore(data)
    await made.create()
    writers = range(2 * _PAIRS)
    idle = range(len(writers), len(writers) + -(-(count + _WARM_UP) // _DEVICES))
    made.put_users(writers, devices=1)
    made.put_users(idle, devices=_DEVICES)
    post = Post()
    devices = [BenchDevice(number, one, post) for number, one in enumerate(made.accounts(writers))]
    accounts = made.accounts(idle, _DEVICES)
    rows = []
    async with all_in_one(data) as server, AsyncExitStack() as stack:
        address = server.address(transport, 0)
        try:
            await connect_devices(server, devices)
            await stack.enter_async_context(holding(Held(transport, address, accounts[:_WARM_UP])))
            await asyncio.sleep(SETTLE_SECONDS)
            rows.append(await _pairs_beside(f"0 {transport}", devices, post, server, seconds))
            before, (_, pss_before) = CpuTimes.now(server), server.memory()
            for start in range(_WARM_UP, _WARM_UP + count, _EACH):
                some = accounts[start : min(start + _EACH, _WARM_UP + count)]
                await stack.enter_async_context(holding(Held(transport, address, some)))
            cpu = CpuTimes.now(server).since(before)
            await asyncio.sleep(_SETTLE_SECONDS)
            _, pss = server.memory()
            rows.append(await _pairs_beside(f"{count:,} {transport}", devices, post, server, seconds))
        finally:
            close_devices(devices)
    figures = {"PSS bytes each": (pss - pss_before) / count, "cpu us/connect": cpu.ours / count * 1e6}
    return [ScenarioRow("idle", f"{count:,} {transport}", figures), *rows]


async def _pairs_beside(
    idle: str, devices: list[BenchDevice], post: Post, server: BenchServer, seconds: float
) -> ScenarioRow:
    await send_paced(_RATE, devices, post, server, 1.0)
    post.arrivals.counts.clear()
    before = CpuTimes.now(server)
    post.measuring = True
    sent = await send_paced(_RATE, devices, post, server, seconds)
    post.measuring = False
    cpu = CpuTimes.now(server).since(before)
    figures = {"cpu us/msg": cpu.ours / sent * 1e6, **post.arrivals.figures(), **load_figures(cpu)}
    return ScenarioRow("pairs beside idle", idle, figures, post.arrivals.dump())
