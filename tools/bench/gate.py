"""CPU of a message, as a multiple of that of a bare echo of its frames: `scripts/bench gate`.

Other work on the machine makes both slower, as caches and cores are shared. So both take turns of a fraction of a
second, in rounds: all pairs send at once, and the next round begins when everything has arrived. That way the number
of messages that share a commit, a notification and a write does not depend on how busy the machine is.
"""

import asyncio
import gc
import platform
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple, cast

import orjson

from .counter import conversions as counted_conversions
from .device import BenchDevice, Post, close_devices, connect_devices
from .link import BenchError
from .load import SETTLE_SECONDS, STALL_SECONDS
from .made import MadeStore
from .report import cpu_model
from .server import Address, BenchServer, with_tools
from .single import COUNTER, Looks, all_in_one
from .tcp import TcpBuilder

BASELINE = Path(__file__).with_name("gate.json")
MOST_GROWTH = 1.15
"""The ratio may be so many times the baseline, on a machine of the baseline's kind."""
MOST_GROWTH_ELSEWHERE = 1.5
"""The same for other machines: with their caches and disk the ratio itself is another one."""
PAIRS = 50
WINDOW = 4
"""How many messages each pair sends in a round."""
COUNTED_ROUNDS = 10
"""Of the server, while its conversions are counted."""
MORE = 0.5
"""So many conversions more for each message are one more, and not only other batches."""
ROUNDS = 4
"""Of the server, in each turn."""
ECHO_ROUNDS = 12
TURNS = 30
_WARM_UP_TURNS = 5


class GateResult(NamedTuple):
    """The CPU times of all turns, in µs for each message, of the server and of the echo."""

    server: Sequence[float]
    echo: Sequence[float]

    @property
    def ratio(self) -> float:
        """Return the ratio of the sums: of what was tried, it differs least between runs on a busy machine."""
        return sum(self.server) / sum(self.echo)


def baseline(file: Path = BASELINE) -> float:
    """Return the committed ratio."""
    return float(orjson.loads(file.read_bytes())["ratio"])


def bound(file: Path = BASELINE) -> float:
    """Return the ratio that is too high on this machine."""
    facts = orjson.loads(file.read_bytes())
    same = (facts["cpu"], facts["python"]) == (cpu_model(), platform.python_version())
    return float(facts["ratio"]) * (MOST_GROWTH if same else MOST_GROWTH_ELSEWHERE)


def conversions_baseline() -> dict[str, float]:
    """Return the committed number of conversions for each message."""
    found: dict[str, float] = orjson.loads(BASELINE.read_bytes())["conversions"]
    return found


def more_conversions(found: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return those that are made more often than before, by how much for each message."""
    grown = {name: count - before.get(name, 0.0) for name, count in found.items()}
    return {name: count for name, count in grown.items() if count > MORE}


def renew(results: Sequence[GateResult], conversions: Mapping[str, float], file: Path = BASELINE) -> None:
    """Write the middle one of some runs as the baseline, with conversions, and how it was made."""
    ratios = sorted(result.ratio for result in results)
    facts = {
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "server us": round(median(min(result.server) for result in results), 1),
        "echo us": round(median(min(result.echo) for result in results), 2),
        "conversions": {name: round(count, 2) for name, count in sorted(conversions.items()) if count > 0.05},
        "cpu": cpu_model(),
        "python": platform.python_version(),
        "renewed by": "scripts/bench gate --renew",
    }
    file.write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2) + b"\n")


async def _made_pairs(data: Path) -> tuple[list[BenchDevice], Post]:
    """Return the devices of PAIRS pairs of made-up users, whose store is in `data`."""
    made = MadeStore(data)
    await made.create()
    made.put_users(range(2 * PAIRS), devices=1)
    post = Post()
    accounts = made.accounts(range(2 * PAIRS))
    return [BenchDevice(number, account, post) for number, account in enumerate(accounts)], post


async def run_gate(data: Path, turns: int = TURNS) -> GateResult:
    """Measure a new server with the folder `data`. Raises BenchError on wrong delivery or a stall."""
    devices, post = await _made_pairs(data)
    async with all_in_one(data) as server, _echo() as echo:
        pid = server.groups[0].processes[0].pid
        gc.collect()
        gc.disable()
        try:
            await connect_devices(server, devices)
            await asyncio.sleep(SETTLE_SECONDS)
            ours: list[float] = []
            bare: list[float] = []
            for turn in range(_WARM_UP_TURNS + turns):
                before = cpu_of(pid)
                for _ in range(ROUNDS):
                    await send_round(devices, post, server)
                spent = (cpu_of(pid) - before) / (ROUNDS * PAIRS * WINDOW) * 1e6
                before = cpu_of(echo.pid)
                for number in range(ECHO_ROUNDS):
                    await echo.round(turn * ECHO_ROUNDS + number)
                if turn >= _WARM_UP_TURNS:
                    ours.append(spent)
                    bare.append((cpu_of(echo.pid) - before) / (ECHO_ROUNDS * PAIRS * WINDOW) * 1e6)
        finally:
            gc.enable()
            close_devices(devices)
    return GateResult(ours, bare)


async def run_conversions(data: Path, file: Path) -> dict[str, float]:
    """Return how often a new server converts for each message, by function and module. The counter writes `file`."""
    devices, post = await _made_pairs(data)
    async with all_in_one(data, Looks(COUNTER, file)) as server:
        try:
            await connect_devices(server, devices)
            await asyncio.sleep(SETTLE_SECONDS)
            await send_round(devices, post, server)
            server.look(True)
            for _ in range(COUNTED_ROUNDS):
                await send_round(devices, post, server)
            server.look(False)
            await post.until(server, file.exists, "nothing was counted")
        finally:
            close_devices(devices)
    lines = (await asyncio.to_thread(file.read_text)).splitlines()
    return counted_conversions(lines, COUNTED_ROUNDS * PAIRS * WINDOW)


async def send_round(
    devices: Sequence[BenchDevice], post: Post, server: BenchServer, window: int = WINDOW
) -> None:
    """Have each second of the devices get so many messages from the one before it, and wait until all have come."""
    now = perf_counter()
    for sender, receiver in zip(devices[::2], devices[1::2], strict=True):
        for _ in range(window):
            sender.send(receiver.account.user_id, [receiver], now, flush=False)
        sender.link.flush()
    await until_answered(devices, post, server)


async def until_answered(devices: Sequence[BenchDevice], post: Post, server: BenchServer) -> None:
    """Wait until all messages are acknowledged and have arrived. Raises BenchError."""
    begin = perf_counter()
    while post.awaited or any(device.open for device in devices):
        await asyncio.sleep(0.001)
        post.check(server)
        if perf_counter() > begin + STALL_SECONDS:
            raise BenchError(f"{post.awaited} messages have not arrived")


def cpu_of(pid: int) -> float:
    """Return the CPU time of all threads of a process so far, s, to a microsecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


class _Echo:
    """The echo, and a connection for each pair, which gets what that pair sends in a round: messages and a pull."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._links: list[_EchoLink] = []

    async def connect(self, address: Address) -> None:
        loop = asyncio.get_running_loop()
        for number in range(PAIRS):
            link = _EchoLink(TcpBuilder(number, f"made{number:07d}", f"made{number:07d}"))
            await loop.create_connection(lambda link=link: link, *address)  # type: ignore[misc]
            self._links.append(link)

    async def round(self, number: int) -> None:
        for link in self._links:
            link.send(number)
        async with asyncio.timeout(STALL_SECONDS):
            await asyncio.gather(*(link.done.wait() for link in self._links))

    def close(self) -> None:
        for link in self._links:
            link.transport.close()


class _EchoLink(asyncio.Protocol):
    def __init__(self, builder: TcpBuilder) -> None:
        self.done = asyncio.Event()
        self.transport: asyncio.WriteTransport
        self._builder = builder
        self._due = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def send(self, number: int) -> None:
        texts = [self._builder.message(number * WINDOW + n)[0] for n in range(WINDOW)]
        data = b"".join((*texts, self._builder.pull(number * WINDOW + 1, 1)))
        self.done.clear()
        self._due = len(data)
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._due -= len(data)
        if self._due <= 0:
            self.done.set()


@asynccontextmanager
async def _echo() -> AsyncIterator[_Echo]:
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-P", "-m", "tools.bench.echo"]
    process = await asyncio.create_subprocess_exec(*command, env=with_tools(), stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        echo = _Echo(process.pid)
        await echo.connect(("127.0.0.1", port))
        yield echo
        echo.close()
    finally:
        process.stdin.close()
        await process.wait()
