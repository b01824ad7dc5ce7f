"""A web device that was away for 12,000 messages, on a line of packets of 1,500 bytes (contract.md section 6)."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.crowds import found
from tools.chaos.audit import judge_arrivals
from tools.chaos.raw import Book, RawDevice, Rule
from tools.conformance.world import Target, World
from tools.testing.server import Server, until
from tools.wire.bodies import PRIVATE
from tools.wire.network_namespace import namespace
from tools.wire.slow_line import slow_line

pytestmark = pytest.mark.slow

WAITING = 12_000
SENDERS = 3
PIPELINED = 100
MEGABIT = 20
WITHIN = 120.0
CODE = "66666"


async def test_12000_waiting_messages_come_once_and_in_order(tmp_path: Path) -> None:
    with namespace(MEGABIT) as network:
        host = "127.0.0.1" if network is None else network.host
        settings = {"CONNECTOR__HOST": host, "CODES__SUPER_CODE": CODE}
        async with Server(tmp_path / "data", settings) as server:
            far = server.at.ws.removeprefix("ws://").rstrip("/")
            dial = {} if network is None else {"dial": network.dial}
            async with slow_line(far, MEGABIT * 1e6, **dial) as near:
                print("over a network namespace" if network else "over loopback, segments of 1,460 bytes")
                await fetch(server, f"ws://{near}/")


async def fetch(server: Server, near: str) -> None:
    book = Book()
    at = server.at
    async with World.on(Target([at.tcp], [at.ws], [at.http], CODE), "tcp") as world:
        senders = [
            RawDevice(book, await world.login(), "tcp", [at.tcp], Rule.IOS, True) for _ in range(SENDERS)
        ]
        away = RawDevice(book, await world.login(), "ws", [near], Rule.WEB, True)
    to = frozenset((away.uid,))
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(device.run()) for device in senders]
        try:
            first = tasks.create_task(away.run())
            await until(away.online.is_set, "it does not connect")
            await senders[0].say([senders[0].compose(PRIVATE, away.uid, to)])
            await away.begun.wait()
            first.cancel()
            with suppress(asyncio.CancelledError):
                await first
            for n in range(0, WAITING, PIPELINED):
                sender = senders[n // PIPELINED % SENDERS]
                await sender.say([sender.compose(PRIVATE, away.uid, to) for _ in range(PIPELINED)])
                await sender.until_answered(PIPELINED)
            await until(lambda: not book.unacknowledged(), "not all is acknowledged")
            running.append(tasks.create_task(away.run()))
            await until(
                lambda: len(away.heard) > WAITING, lambda: f"{len(away.heard)} of {len(book.spoken)}", WITHIN
            )
        finally:
            for task in running:
                task.cancel()
    assert len(away.heard) == len(book.spoken) == WAITING + 1
    assert found(judge_arrivals(book, [away])) == {}
    assert away.again <= 1, "more came twice than what it had when it went"
