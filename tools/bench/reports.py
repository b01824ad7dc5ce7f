"""Read reports (MRR): one of a pair says what it has read, and the other is told and fetches it."""

import asyncio
import gc
import time
from pathlib import Path
from time import perf_counter

from fsharechat.protocol.messages_pb2 import (
    MessageReport,
    PullMessageReportRequest,
    PullMessageReportResult,
    ReadReport,
)
from fsharechat.protocol.signals import ReportType, SubSignal

from .cpu import CpuTimes
from .device import BenchDevice, Post, close_devices, connect_devices
from .histogram import LatencyHistogram
from .link import BenchError
from .load import SETTLE_SECONDS
from .made import MadeStore
from .results import ScenarioRow, load_figures
from .server import BenchServer
from .single import all_in_one

PAIRS = 20
_TOLD_SECONDS = 20.0


async def run_reports(data: Path, seconds: float) -> ScenarioRow:
    """Measure on a new server with the folder `data`. Raises BenchError if a report is refused, wrong or not told."""
    made = MadeStore(data)
    await made.create()
    made.put_users(range(2 * PAIRS), devices=1)
    post = Post()
    devices = [
        BenchDevice(number, account, post) for number, account in enumerate(made.accounts(range(2 * PAIRS)))
    ]
    async with all_in_one(data) as server:
        gc.collect()
        gc.disable()
        try:
            await connect_devices(server, devices)
            await asyncio.sleep(SETTLE_SECONDS)
            return await _measure(devices, post, server, seconds)
        finally:
            gc.enable()
            close_devices(devices)


async def _measure(
    devices: list[BenchDevice], post: Post, server: BenchServer, seconds: float
) -> ScenarioRow:
    times = LatencyHistogram()
    pairs = [_ReportPair(*two, times) for two in zip(devices[::2], devices[1::2], strict=True)]
    before = CpuTimes.now(server)
    end = perf_counter() + seconds
    async with asyncio.TaskGroup() as tasks:
        for pair in pairs:
            tasks.create_task(pair.report_until(end))
    cpu = CpuTimes.now(server).since(before)
    post.check(server)
    figures = {
        "reports/s": len(times) / cpu.clock,
        "cpu us/report": cpu.ours / len(times) * 1e6,
        **times.figures(),
        **load_figures(cpu),
    }
    return ScenarioRow("reports", f"{PAIRS} pairs", figures)


class _ReportPair:
    """One reads, the other is told. The next report goes out when the one before has arrived."""

    def __init__(self, reader: BenchDevice, told: BenchDevice, times: LatencyHistogram) -> None:
        self._reader = reader
        self._told = told
        self._times = times
        self._head = 0
        self._came = asyncio.Event()
        self._date = 0
        told.on_report = self._on_report

    def _on_report(self, _: BenchDevice, head: int) -> None:
        self._head = head
        self._came.set()

    async def report_until(self, end: float) -> None:
        """Report again and again until perf_counter() is `end`. Raises BenchError."""
        try:
            while perf_counter() < end:
                async with asyncio.timeout(_TOLD_SECONDS):
                    await self._report()
        except TimeoutError:
            raise BenchError(f"{self._told.name} was not told of a report") from None

    async def _report(self) -> None:
        begin = perf_counter()
        self._date = max(self._date + 1, int(time.time() * 1000))
        self._came.clear()
        uid = self._reader.account.user_id
        read = ReadReport(type=0, line=0, target=self._told.account.user_id, date=self._date)
        await self._reader.link.request(SubSignal.MRR, read)
        await self._came.wait()
        request = PullMessageReportRequest(id=self._head, type=ReportType.READ)
        payload = await self._told.link.request(SubSignal.MRP, request)
        found = list(PullMessageReportResult.FromString(payload).report)
        if found != [MessageReport(report_type=ReportType.READ, uid=uid, date=self._date, target=uid)]:
            raise BenchError(f"{self._told.name} was told {found}, not of {self._date}")
        self._times.record(perf_counter() - begin)
