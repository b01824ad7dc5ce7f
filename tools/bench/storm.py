"""Many devices come back at once, and each fetches what was sent to it meanwhile."""

import gc
from pathlib import Path
from time import perf_counter

from .cpu import CpuTimes
from .device import BenchDevice, Post, close_devices, connect_devices
from .load import SETTLE_SECONDS
from .made import MadeStore
from .results import ScenarioRow, load_figures
from .single import all_in_one

MISSED = 20
"""How many messages each device has missed."""
_WRITERS = 8
_WINDOW = 8


async def run_storm(count: int, data: Path) -> ScenarioRow:
    """Measure so many devices on a new server with the folder `data`. Raises BenchError on wrong delivery."""
    made = MadeStore(data)
    await made.create()
    made.put_users(range(count + _WRITERS), devices=1)
    post = Post()
    devices = [
        BenchDevice(number, account, post)
        for number, account in enumerate(made.accounts(range(count + _WRITERS)))
    ]
    writers, readers = devices[:_WRITERS], devices[_WRITERS:]
    async with all_in_one(data) as server:
        gc.collect()
        gc.disable()
        try:
            await connect_devices(server, devices)
            waits = perf_counter() + SETTLE_SECONDS
            await post.until(server, lambda: perf_counter() > waits, "no time")
            close_devices(readers)
            left = iter([reader for _ in range(MISSED) for reader in readers])

            def write(writer: BenchDevice) -> None:
                if (reader := next(left, None)) is not None:
                    writer.send(reader.account.user_id, [reader], perf_counter())

            for writer in writers:
                writer.on_ack = write
                for _ in range(_WINDOW):
                    write(writer)
            wanted = count * MISSED
            await post.until(server, lambda: post.acked == wanted, "a message has no answer")
            for reader in readers:
                reader.renew()
            post.measuring = True
            before, begin = CpuTimes.now(server), perf_counter()
            post.due = dict.fromkeys(post.due, begin)
            await connect_devices(server, readers)
            connected = perf_counter() - begin
            await post.until_all_arrived(server)
            cpu = CpuTimes.now(server).since(before)
        finally:
            gc.enable()
            close_devices(devices)
    figures = {
        "cpu ms/device": cpu.ours / count * 1000,
        "connects/s": count / connected,
        "caught up s": cpu.clock,
        "msg/s": wanted / cpu.clock,
        **load_figures(cpu),
    }
    return ScenarioRow("storm", f"{count:,} devices, {MISSED} messages each", figures)
