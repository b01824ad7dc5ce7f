"""The open loop: pairs send at a fixed rate, whether or not the messages before have arrived."""

import asyncio
import gc
from collections.abc import Sequence
from time import perf_counter

from .cpu import CpuTimes
from .device import BenchDevice, Post, close_devices, connect_devices
from .load import SETTLE_SECONDS
from .results import ScenarioRow, load_figures
from .server import BenchServer

RATES = (500, 1000, 2000, 4000, 6000, 8000)
PAIRS = 50
_TURN_SECONDS = 0.001
_WARM_UP_SECONDS = 1.0


async def run_paced(
    rates: Sequence[int], server: BenchServer, devices: Sequence[BenchDevice], post: Post, seconds: float
) -> list[ScenarioRow]:
    """Measure PAIRS pairs of `devices`, which share `post`, at one rate after the other (messages a second).

    Times are from the moment when a message was due. Raises BenchError on wrong delivery or a stall.
    """
    rows = []
    gc.collect()
    gc.disable()
    try:
        await connect_devices(server, devices)
        await asyncio.sleep(SETTLE_SECONDS)
        await send_paced(rates[0], devices, post, server, _WARM_UP_SECONDS)
        for rate in rates:
            post.arrivals.counts.clear()
            before = CpuTimes.now(server)
            post.measuring = True
            sent = await send_paced(rate, devices, post, server, seconds)
            post.measuring = False
            cpu = CpuTimes.now(server).since(before)
            figures = {
                "msg/s": sent / cpu.clock,
                **post.arrivals.figures(),
                "cpu us/msg": cpu.ours / sent * 1e6,
                **load_figures(cpu),
            }
            rows.append(ScenarioRow("paced", f"{rate} messages a second", figures, post.arrivals.dump()))
    finally:
        gc.enable()
        close_devices(devices)
    return rows


async def send_paced(
    rate: int, devices: Sequence[BenchDevice], post: Post, server: BenchServer, seconds: float
) -> int:
    """Send at a rate, wait until all has arrived, and return how many messages it was."""
    begin, count = perf_counter(), int(rate * seconds)
    pairs = len(devices) // 2
    n = 0
    while n < count:
        now = perf_counter()
        while n < count and (due := begin + n / rate) <= now:
            sender, receiver = devices[n % pairs * 2], devices[n % pairs * 2 + 1]
            sender.send(receiver.account.user_id, [receiver], due)
            n += 1
        await asyncio.sleep(_TURN_SECONDS)
    await post.until_all_arrived(server)
    return count
