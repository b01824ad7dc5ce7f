"""A worker is killed again and again while people chat: `fsharechat --workers 2`."""

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fsharechat.client import ConnectionLost
from tests.chaos.senders import Sender, everything_came, everything_is_stored_once, patient_device
from tools.testing.devices import Handset
from tools.testing.server import Server, until
from tools.testing.workers import peers_of, workers_of

pytestmark = pytest.mark.slow

SEED = 20261
ROUNDS = 4
DEVICES = 6
"""Senders, and as many receivers: with so many, each worker has some of them in almost every round."""


def losses(device: Handset) -> int:
    """Return how often a device has lost its connection."""
    return sum(isinstance(event, ConnectionLost) for event in device.seen)


async def test_a_worker_that_is_killed_loses_and_doubles_nothing_and_others_do_not_notice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(tmp_path / "data", {"NODE__WORKERS": "2"}))
        transports = ["tcp", "ws"] * (DEVICES // 2)
        receivers = [
            await stack.enter_async_context(await patient_device(server.at, f"1390000000{n}", transport))
            for n, transport in enumerate(transports)
        ]
        senders = [
            Sender(
                await stack.enter_async_context(await patient_device(server.at, f"1380000000{n}", transport)),
                receiver.user_id,
            )
            for n, (transport, receiver) in enumerate(zip(reversed(transports), receivers, strict=True))
        ]
        devices = [*receivers, *(sender.device for sender in senders)]
        stop, hit, spared = asyncio.Event(), 0, 0
        async with asyncio.TaskGroup() as sending:
            for sender in senders:
                sending.create_task(sender.run(stop))
            for number in range(ROUNDS):
                victims, others = await _kill_a_worker(server, senders, devices, number % 2, dice)
                hit, spared = hit + victims, spared + others
            stop.set()
        await everything_came(senders, receivers)
        await everything_is_stored_once(senders)
        assert hit
        assert spared
        ended = server.logged("a worker has ended, and is started again")
        assert [line["reason"] for line in ended] == ["signal 9"] * ROUNDS
        acknowledged = sum(len(sender.acknowledged) for sender in senders)
        with capsys.disabled():
            print(
                f"\n{ROUNDS} kills: {hit} devices came back, {spared} noticed nothing; {acknowledged} messages"
            )


async def _kill_a_worker(
    server: Server, senders: list[Sender], devices: list[Handset], number: int, dice: random.Random
) -> tuple[int, int]:
    """Kill a worker at a random moment of a busy time. Return how many devices it had, and how many the other had."""
    goal = {sender: len(sender.acknowledged) + dice.randint(10, 100) for sender in senders}
    await until(
        lambda: all(len(sender.acknowledged) >= goal[sender] for sender in senders),
        lambda: f"acknowledged: {[len(sender.acknowledged) for sender in senders]}",
    )
    workers = workers_of(server.pid)

    def held() -> list[int]:
        return [len(peers_of(worker, server.at.tcp, server.at.ws)) for worker in workers]

    await until(
        lambda: sum(held()) == len(devices), lambda: f"{held()} connections of {len(devices)} devices"
    )
    victims, before = held()[number], {device: losses(device) for device in devices}
    os.kill(workers[number], signal.SIGKILL)

    def hit() -> int:
        return sum(losses(device) - before[device] for device in devices)

    await until(lambda: hit() >= victims, lambda: f"{hit()} of {victims} devices have lost something")
    await until(lambda: all(device.connected for device in devices), "a device does not come back")
    await until(lambda: len(new := workers_of(server.pid)) == 2 and new != workers, "no new worker is there")
    assert hit() == victims, "a device of the other worker lost its connection"
    return victims, len(devices) - victims
