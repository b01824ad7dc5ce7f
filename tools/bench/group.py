"""What a message to a group costs: one member writes, and those who are online fetch it."""

import gc
import sqlite3
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from fsharechat.store.group_log import LARGE

from .cpu import CpuTimes
from .device import BenchDevice, Post, close_devices, connect_devices
from .link import BenchError
from .load import SETTLE_SECONDS, WARM_UP_SECONDS
from .made import MadeStore
from .results import ScenarioRow, load_figures
from .single import all_in_one

_WINDOW = 4
_SLEEP_SECONDS = 60.0
"""How long the absent members of a large group may take to fall asleep, s."""


class GroupCase(NamedTuple):
    members: int
    online: int

    def __str__(self) -> str:
        return f"{self.members:,} members, {self.online:,} online"


GROUP_CASES = (
    GroupCase(20, 2),
    GroupCase(20, 20),
    GroupCase(200, 20),
    GroupCase(200, 200),
    GroupCase(1000, 100),
    GroupCase(1000, 1000),
    GroupCase(5000, 50),
    GroupCase(5000, 500),
    GroupCase(5000, 5000),
)


async def run_group(case: GroupCase, data: Path, seconds: float) -> ScenarioRow:
    """Measure one group on a new server with the folder `data`. Raises BenchError on wrong delivery or a stall."""
    made = MadeStore(data)
    await made.create()
    numbers = range(case.members)
    made.put_users(numbers, devices=1)
    group = made.put_group(0, numbers)
    post = Post()
    devices = [
        BenchDevice(number, account, post)
        for number, account in zip(numbers, made.accounts(range(case.online)), strict=False)
    ]
    writer, *readers = devices

    def write(_: BenchDevice) -> None:
        if sending:
            writer.send_to_group(group, readers, perf_counter())

    async with all_in_one(data) as server:
        sending = False
        await connect_devices(server, devices)
        gc.collect()
        gc.disable()
        try:
            begin = perf_counter()
            while perf_counter() < begin + SETTLE_SECONDS or awake(made.path, group) > case.online:
                writer.send_to_group(group, readers, perf_counter())
                await post.until_all_arrived(server)
                await post.until(server, lambda: perf_counter() > begin + post.acked / 4, "no time")
                if perf_counter() > begin + _SLEEP_SECONDS:
                    raise BenchError(f"{awake(made.path, group)} members are awake, {case.online} online")
            sending = True
            writer.on_ack = write
            for _ in range(_WINDOW):
                write(writer)
            begin = perf_counter()
            await post.until(server, lambda: perf_counter() > begin + WARM_UP_SECONDS, "no time")
            before, acked, copies = CpuTimes.now(server), post.acked, post.delivered
            begin = perf_counter()
            post.measuring = True
            await post.until(server, lambda: perf_counter() > begin + seconds, "no time")
            post.measuring = False
            cpu = CpuTimes.now(server).since(before)
            messages, copies = post.acked - acked, post.delivered - copies
            sending = False
            await post.until(server, lambda: not writer.open, "a message has no answer")
            await post.until_all_arrived(server)
        finally:
            gc.enable()
            close_devices(devices)
    if not messages:
        raise BenchError(f"nothing arrived in {seconds:.0f} s")
    figures = {
        "msg/s": messages / cpu.clock,
        "copies/s": copies / cpu.clock,
        "cpu ms/msg": cpu.ours / messages * 1000,
        "cpu us/copy": cpu.ours / max(1, copies) * 1e6,
        "p50 ms": post.arrivals.percentile(50) * 1000,
        "p99 ms": post.arrivals.percentile(99) * 1000,
        **load_figures(cpu),
    }
    return ScenarioRow("group", str(case), figures)


def awake(database: Path, group: str) -> int:
    """Return how many members get each message at once; of a group that is not large, as if only those online did."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        sql = "SELECT COUNT(*), SUM(given < 0) FROM group_members WHERE group_id = ?"
        members, awake = connection.execute(sql, (group,)).fetchone()
    return int(awake) if members > LARGE else 0
