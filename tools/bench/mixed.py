"""A company's hour in a minute, in an open loop: people write, read, send pictures, log in and reconnect."""

import asyncio
import gc
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

import aiohttp

from fsharechat.protocol.messages_pb2 import (
    GetMinioUploadUrlRequest,
    GetMinioUploadUrlResult,
    LoadRemoteMessages,
    PullMessageReportRequest,
    PullMessageResult,
    ReadReport,
)
from fsharechat.protocol.signals import ConversationType, MediaType, ReportType, SubSignal

from .cpu import CpuTimes
from .device import BenchDevice, Post, close_devices, connect_devices
from .histogram import LatencyHistogram
from .link import BenchError
from .load import SETTLE_SECONDS
from .login import log_in
from .made import MadeStore
from .results import ScenarioRow, load_figures
from .server import BenchServer
from .single import all_in_one

PEOPLE = 200
TEAM = 20
EACH_SECOND = {
    "text": 100.0,
    "group text": 20.0,
    "read": 40.0,
    "history": 8.0,
    "picture": 4.0,
    "login": 4.0,
    "reconnect": 4.0,
}
"""How many things of each kind happen a second: an hour of 30 texts, 6 to the team and so on for each person."""
_PICTURE = 40_000
_SEED = 11
_TURN_SECONDS = 0.002


async def run_mixed(data: Path, seconds: float) -> list[ScenarioRow]:
    """Measure on a new server with the folder `data`. Raises BenchError if anything is refused, wrong or missing.

    All times are from the moment when a thing was due.
    """
    made = MadeStore(data)
    await made.create()
    people = range(PEOPLE)
    made.put_users(people, devices=1)
    teams = [
        made.put_group(n, people[start : start + TEAM]) for n, start in enumerate(range(0, PEOPLE, TEAM))
    ]
    post = Post()
    devices = [BenchDevice(number, one, post) for number, one in enumerate(made.accounts(people))]
    async with all_in_one(data) as server, aiohttp.ClientSession() as http:
        gc.collect()
        gc.disable()
        try:
            await connect_devices(server, devices)
            await asyncio.sleep(SETTLE_SECONDS)
            company = _Company(server, http, devices, teams, post)
            before = CpuTimes.now(server)
            post.measuring = True
            await company.work(seconds)
            await post.until_all_arrived(server)
            cpu = CpuTimes.now(server).since(before)
        finally:
            gc.enable()
            close_devices(devices)
    done = sum(map(len, company.times.values())) + len(post.acks)
    whole = {
        "repeated": float(post.repeated),
        "done/s": done / cpu.clock,
        "cpu us/done": cpu.ours / done * 1e6,
        **load_figures(cpu),
    }
    return [
        ScenarioRow("mixed", "all", whole),
        ScenarioRow("mixed", "arrival of texts", post.arrivals.figures(), post.arrivals.dump()),
        *(
            ScenarioRow("mixed", kind, times.figures(), times.dump())
            for kind, times in sorted(company.times.items())
        ),
    ]


class _Company:
    """People who do things at moments that were drawn before."""

    def __init__(
        self,
        server: BenchServer,
        http: aiohttp.ClientSession,
        devices: list[BenchDevice],
        teams: list[str],
        post: Post,
    ) -> None:
        self.times: dict[str, LatencyHistogram] = {}
        """By kind, what things took that are answered by a request."""
        self._server = server
        self._http = http
        self._devices = devices
        self._teams = teams
        self._post = post
        self._chance = random.Random(_SEED)
        self._away: set[int] = set()
        self._new_users = PEOPLE
        self._tasks: asyncio.TaskGroup
        self._kinds: dict[str, Callable[[float], Awaitable[None]]] = {
            "read": self._read,
            "history": self._history,
            "picture": self._send_picture,
            "login": self._log_in,
            "reconnect": self._reconnect,
        }
        for device in devices:
            device.on_report = self._on_report

    async def work(self, seconds: float) -> None:
        """Do all that is due in so many seconds, and wait until it is answered."""
        plan = sorted(
            (self._chance.uniform(0, seconds), kind)
            for kind, rate in EACH_SECOND.items()
            for _ in range(int(rate * seconds))
        )
        begin = perf_counter()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for at, kind in plan:
                    while (wait := begin + at - perf_counter()) > 0:
                        await asyncio.sleep(min(wait, _TURN_SECONDS))
                    self._start(kind, begin + at)
        except* (BenchError, aiohttp.ClientError, TimeoutError) as errors:
            raise BenchError(f"a request failed: {errors.exceptions[0]!r}") from None
        await self._post.until(
            self._server, lambda: not any(one.open for one in self._devices), "a message has no answer"
        )

    def _start(self, kind: str, due: float) -> None:
        if kind == "text":
            writer, reader = self._two()
            writer.send(reader.account.user_id, [reader], due)
        elif kind == "group text":
            writer = self._two()[0]
            team = writer.number // TEAM
            members = self._devices[team * TEAM : (team + 1) * TEAM]
            writer.send_to_group(self._teams[team], [one for one in members if one is not writer], due)
        else:
            self._tasks.create_task(self._timed(kind, due))

    async def _timed(self, kind: str, due: float) -> None:
        await self._kinds[kind](due)
        self.times.setdefault(kind, LatencyHistogram()).record(perf_counter() - due)

    def _two(self) -> tuple[BenchDevice, BenchDevice]:
        """Return somebody who is connected, and another one."""
        while True:
            one, other = self._chance.sample(self._devices, 2)
            if one.number not in self._away:
                return one, other

    async def _read(self, _: float) -> None:
        reader, writer = self._two()
        report = ReadReport(type=0, line=0, target=writer.account.user_id, date=int(time.time() * 1000))
        await reader.link.request(SubSignal.MRR, report)

    def _on_report(self, device: BenchDevice, head: int) -> None:
        request = PullMessageReportRequest(id=head, type=ReportType.READ)
        self._tasks.create_task(device.link.request(SubSignal.MRP, request))

    async def _history(self, _: float) -> None:
        one, other = self._two()
        request = LoadRemoteMessages(before_uid=0, count=20)
        request.conversation.type, request.conversation.line = ConversationType.PRIVATE, 0
        request.conversation.target = other.account.user_id
        page = PullMessageResult.FromString(await one.link.request(SubSignal.LRM, request)).message
        both = {one.account.user_id, other.account.user_id}
        if any({message.from_user, message.conversation.target} != both for message in page):
            raise BenchError("a page of history of another conversation")

    async def _send_picture(self, due: float) -> None:
        """Upload a picture, send a text that stands for its message, and fetch the picture."""
        writer, reader = self._two()
        picture = secrets.token_bytes(_PICTURE)
        key = f"{secrets.token_hex(8)}.jpg"
        request = GetMinioUploadUrlRequest(type=MediaType.IMAGE, key=key)
        payload = await writer.link.request(SubSignal.GMURL, request)
        granted = GetMinioUploadUrlResult.FromString(payload)
        async with self._http.put(granted.url, data=picture) as response:
            response.raise_for_status()
        writer.send(reader.account.user_id, [reader], due)
        async with self._http.get(f"{granted.domain}/{key}") as response:
            if await response.read() != picture:
                raise BenchError(f"another picture came back, status {response.status}")

    async def _log_in(self, _: float) -> None:
        self._new_users += 1
        await log_in(self._server.http, [self._new_users])

    async def _reconnect(self, _: float) -> None:
        while (one := self._two()[0]).open:
            await asyncio.sleep(_TURN_SECONDS)
        self._away.add(one.number)
        one.renew()
        await connect_devices(self._server, [one])
        self._away.discard(one.number)
