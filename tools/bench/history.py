"""Pages of history (LRM) out of a store of many messages, first from the disk, then again."""

import gc
import os
import random
import shutil
from pathlib import Path
from time import perf_counter

from fsharechat.protocol.messages_pb2 import LoadRemoteMessages, Message, PullMessageResult
from fsharechat.protocol.signals import ConversationType, SubSignal
from fsharechat.store import schema

from .cpu import CpuTimes
from .device import BenchDevice, Post, close_devices, connect_devices
from .histogram import LatencyHistogram
from .link import BenchError
from .made import DATABASE, MadeStore, uid_of
from .results import ScenarioRow, load_figures
from .server import BenchServer
from .single import all_in_one
from .texts import parse

PAGE = 20
_EACH = 1000
"""How many messages a conversation has."""
_FEWEST_PAIRS = 20
_PAGES = 1000
_AT_ONCE = 4
_DONE = "whole"
_SEED = 7


def cache_folder() -> Path:
    """Return the folder of this user in which made stores stay between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fsharechat-bench"


def pairs_of(messages: int) -> list[tuple[int, int]]:
    """Return the pairs of users whose conversations have so many messages together."""
    return [(2 * n, 2 * n + 1) for n in range(max(_FEWEST_PAIRS, messages // _EACH))]


def length_of(messages: int, pair: int) -> int:
    """Return how many messages one of these pairs has."""
    return len(range(pair, messages, len(pairs_of(messages))))


async def made_history(messages: int, folder: Path) -> Path:
    """Return the data folder of a store of so many messages. It is made if there is none of the present tables."""
    tables = sorted(
        (table.name, *(column.name for column in table.c)) for table in schema.metadata.tables.values()
    )
    name = f"history-{messages}"
    data, note = folder / name / "data", folder / name / _DONE
    if not note.exists() or note.read_text() != repr(tables):
        shutil.rmtree(folder / name, ignore_errors=True)
        data.mkdir(mode=0o700, parents=True)
        print(f"making a store of {messages:,} messages in {data} ...", flush=True)
        made = MadeStore(data)
        await made.create()
        pairs = pairs_of(messages)
        made.put_users(range(2 * len(pairs)), devices=1)
        made.put_conversations(pairs, messages)
        note.write_text(repr(tables))
    return data


async def run_history(messages: int, data: Path) -> list[ScenarioRow]:
    """Measure pages of a store of `made_history`: each read for the first time, and then again.

    Raises BenchError if a page is not exactly what was asked for.
    """
    _forget(data / DATABASE)
    async with all_in_one(data) as server:
        return await read_history(messages, data, server)


async def read_history(
    messages: int, data: Path, server: BenchServer, pages: int = _PAGES
) -> list[ScenarioRow]:
    """Measure on a server that runs on the store."""
    post = Post()
    accounts = MadeStore(data).accounts(range(_AT_ONCE * 2))
    devices = [BenchDevice(number, account, post) for number, account in enumerate(accounts)]
    chance = random.Random(_SEED)
    rows = []
    gc.collect()
    gc.disable()
    try:
        await connect_devices(server, devices)
        readers = [HistoryReader(device, length_of(messages, at // 2)) for at, device in enumerate(devices)]
        for reader in readers:
            await reader.begin()
        asked = [(chance.choice(readers), chance.random()) for _ in range(pages)]
        for state in ("cold", "warm"):
            times = LatencyHistogram()
            before = CpuTimes.now(server)
            for reader, where in asked:
                begin = perf_counter()
                await reader.page(where)
                times.record(perf_counter() - begin)
            cpu = CpuTimes.now(server).since(before)
            post.check(server)
            figures = {"cpu ms/page": cpu.ours / pages * 1000, **times.figures(), **load_figures(cpu)}
            rows.append(ScenarioRow("history", f"{messages:,} messages, {state}", figures))
    finally:
        gc.enable()
        close_devices(devices)
    return rows


class HistoryReader:
    """Reads the conversation of its user, and compares each page with what was made."""

    def __init__(self, device: BenchDevice, length: int) -> None:
        self._device = device
        self._pair, side = divmod(device.number, 2)
        self._other = uid_of(device.number - 1 if side else device.number + 1)
        self._length = length
        self._ids: list[int] = []

    async def begin(self) -> None:
        """Learn the ids of all messages, the oldest first."""
        before, ids = 0, []
        while page := await self._load(before, 200):
            ids += [message.message_id for message in page]
            before = page[-1].message_id
        if len(ids) != self._length:
            raise BenchError(f"conversation {self._pair} has {len(ids)} messages of {self._length}")
        self._ids = ids[::-1]

    async def page(self, where: float) -> None:
        """Read the page that ends at a part (0 to 1) of the conversation. Raises BenchError if it is another one."""
        end = PAGE + int(where * (len(self._ids) - PAGE))
        page = await self._load(self._ids[end] if end < len(self._ids) else 0, PAGE)
        found = [parse(message.content.searchable_content.encode()) for message in page]
        if found != [(self._pair, seq) for seq in range(end - 1, end - 1 - PAGE, -1)]:
            raise BenchError(f"the page before message {end} of conversation {self._pair} holds {found}")

    async def _load(self, before: int, count: int) -> list[Message]:
        request = LoadRemoteMessages(before_uid=before, count=count)
        request.conversation.type = ConversationType.PRIVATE
        request.conversation.target, request.conversation.line = self._other, 0
        payload = await self._device.link.request(SubSignal.LRM, request)
        return list(PullMessageResult.FromString(payload).message)


def _forget(file: Path) -> None:
    """Have the system forget what it keeps of a file in memory."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
