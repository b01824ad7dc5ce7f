"""The main process's side of the workers. Programs stand for workers that do what a real one should never do."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import structlog

from fsharechat.bus.workers import MainBus
from fsharechat.errors import StartError
from fsharechat.health import Finding, Health
from fsharechat.metrics import Metrics
from fsharechat.registry import Members
from fsharechat.registry.workers import MainRegistry
from fsharechat.rpc.local import LocalRpc
from fsharechat.settings import Settings
from fsharechat.workers import supervisor
from fsharechat.workers.supervisor import Workers
from tools.testing.server import until
from tools.testing.workers import is_alive

ENDED = "a worker has ended, and is started again"
BEGIN = """
import os, signal, socket, struct, sys, time
link = socket.socket(fileno=0)
def send(kind, body):
    link.sendall(struct.pack(">IB", len(body), kind) + body)
def ready():
    send(2, b'{"tcp": "127.0.0.1:1", "ws": "ws://127.0.0.1:2/", "pid": "%d"}' % os.getpid())
def read():
    head = link.recv(5, socket.MSG_WAITALL)
    if not head:
        sys.exit(7)
    size, kind = struct.unpack(">IB", head)
    return kind, link.recv(size, socket.MSG_WAITALL) if size else b""
assert read()[0] == 1
"""
SERVES = "ready()\nwhile read()[0] != 5: pass\n"
DIES = "ready()\nsys.exit(3)\n"
HANGS = "ready()\nwhile True: time.sleep(100)\n"
LETS_GO = "ready()\nlink.close()\nos.close(1)\nwhile True: time.sleep(100)\n"
CANNOT = "send(3, b'[connector.tls] no such file')\nsys.exit(1)\n"
SILENT = "sys.exit(4)\n"


class Main:
    def __init__(self, workers: int) -> None:
        settings = Settings.model_validate(
            {"node": {"workers": workers}, "connector": {"tcp_port": 0, "ws_port": 0}}
        )
        self.registry = MainRegistry()
        self.members: list[Members] = []
        self.health = Health()
        self.workers = Workers(settings, MainBus(), self.registry, LocalRpc(1), lambda _: None)
        self.workers.publish(Metrics(), self.health)

    @property
    def restarts(self) -> int:
        return sum(worker.restarts for worker in self.workers._workers)

    def pids(self) -> list[int]:
        return [int(one.addresses["pid"]) for one in self.workers._workers if "pid" in one.addresses]

    async def finding(self) -> Finding:
        return await self.workers._look()


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    """Return what runs a number of workers that are a program."""

    @asynccontextmanager
    async def run(program: str, workers: int = 2, start: bool = True) -> AsyncIterator[Main]:
        monkeypatch.setattr(supervisor, "PROGRAM", (sys.executable, "-I", "-c", BEGIN + program))
        main = Main(workers)
        await main.registry.watch("connector", main.members.append)
        try:
            if start:
                await main.workers.start(None)
            yield main
        finally:
            await main.workers.stop()
        assert not any(map(is_alive, main.pids()))

    return run


async def test_all_serve_until_the_server_stops(run: Callable[..., Any]) -> None:
    with structlog.testing.capture_logs() as events:
        async with run(SERVES) as main:
            assert main.members[-1] == {0: "worker 0", 1: "worker 1"}
            assert await main.finding() == Finding()
            assert set(main.workers.addresses) == {"tcp", "ws"}
            assert len(set(main.pids())) == 2
        assert main.members[-1] == {}
    assert [event for event in events if event["event"] == ENDED] == []


async def test_a_worker_that_dies_is_started_again_after_a_pause_that_grows(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(supervisor, "MOST_PAUSE_SECONDS", 0.003)
    with structlog.testing.capture_logs() as events:
        async with run(DIES, workers=1) as main:
            await until(lambda: main.restarts == 4, "it is not started again")
    told = [event for event in events if event["event"] == ENDED][:4]
    assert [event["seconds"] for event in told] == [0.001, 0.002, 0.003, 0.003]
    assert {(event["worker"], event["reason"], event["log_level"]) for event in told} == {
        (0, "exit code 3", "error")
    }


async def test_a_sound_worker_that_dies_is_started_again_at_once(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(supervisor, "SOUND_SECONDS", 0.0)
    with structlog.testing.capture_logs() as events:
        async with run(DIES, workers=1) as main:
            await until(lambda: main.restarts == 3, "it is not started again")
    assert {event["seconds"] for event in events if event["event"] == ENDED} == {0.001}


async def test_without_any_worker_the_server_does_not_serve(run: Callable[..., Any]) -> None:
    async with run(DIES) as main:
        await until(lambda: main.restarts == 2, "they are not started again")
        found = await main.finding()
        assert found == Finding("0 of 2 serve", serves=False)


@pytest.mark.parametrize(
    ("program", "reason"), [(CANNOT, r"\[connector.tls\] no such file"), (SILENT, "exit code 4")]
)
async def test_a_worker_that_cannot_start_stops_the_start(
    run: Callable[..., Any], program: str, reason: str
) -> None:
    async with run(program, start=False) as main:
        with pytest.raises(StartError, match=rf"\[node\] workers: worker \d: {reason}"):
            await main.workers.start(None)


async def test_a_worker_whose_link_has_ended_is_killed(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "END_SECONDS", 0.01)
    with structlog.testing.capture_logs() as events:
        async with run(LETS_GO, workers=1) as main:
            await until(lambda: main.restarts, "it is not killed")
    assert next(event["reason"] for event in events if event["event"] == ENDED) == "signal 9"


async def test_a_worker_that_does_not_drain_is_killed(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LAST_SECONDS", 0.01)
    async with run(HANGS) as main:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await main.workers.stop()
        assert not any(map(is_alive, main.pids()))
        assert len(main.pids()) == 2
