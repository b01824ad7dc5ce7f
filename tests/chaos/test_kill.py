"""Sending goes on while the server is killed and started again: acknowledged is stored, and stored once."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.chaos.senders import Sender, everything_came, everything_is_stored_once, patient_device
from tools.testing.devices import Handset
from tools.testing.server import Server, until

pytestmark = pytest.mark.slow

SEED = 20260


@pytest.mark.parametrize("rounds", [20])
async def test_kill_and_restart_lose_and_double_nothing(
    rounds: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(tmp_path / "data"))
        receivers = [
            await stack.enter_async_context(await patient_device(server.at, f"1390000000{n}", transport))
            for n, transport in enumerate(("tcp", "ws"))
        ]
        senders = [
            Sender(
                await stack.enter_async_context(await patient_device(server.at, f"1380000000{n}", transport)),
                to.user_id,
            )
            for n, (transport, to) in enumerate((t, r) for t in ("tcp", "ws") for r in receivers)
        ]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as sending:
            for sender in senders:
                sending.create_task(sender.run(stop))
            for _ in range(rounds):
                await _kill_while_busy(server, senders, dice)
            stop.set()
        await everything_came(senders, receivers)
        await everything_is_stored_once(senders)
        with capsys.disabled():
            _print_table(rounds, senders, receivers)


async def _kill_while_busy(server: Server, senders: list[Sender], dice: random.Random) -> None:
    """Kill the server at a random moment of a busy time, start it again, and see that it knows what it knew."""
    some = dice.randint(10, 100)
    goal = {sender: len(sender.acknowledged) + some for sender in senders}
    await until(
        lambda: all(len(sender.acknowledged) >= goal[sender] for sender in senders),
        lambda: f"acknowledged: {[len(sender.acknowledged) for sender in senders]}",
    )
    # The goal is reached by the answers to one commit; the kill is to hit any moment of those that follow.
    await asyncio.sleep(dice.uniform(0, 0.05))
    await server.kill()
    for sender in senders:
        sender.note_the_kill()
    await server.start()
    for sender in senders:
        await sender.send_again(dice, 5)


def _print_table(rounds: int, senders: list[Sender], receivers: list[Handset]) -> None:
    acknowledged = sum(len(sender.acknowledged) for sender in senders)
    delivered = sum(len(receiver.received) for receiver in receivers)
    wire = sum(receiver.pulled.total() for receiver in receivers)
    figures = {
        "rounds": rounds,
        "sent": sum(len(sender.sent) for sender in senders),
        "acknowledged": acknowledged,
        "resent": sum(sender.resent for sender in senders),
        "first copy found": sum(sender.found for sender in senders),
        "delivered": delivered,
        "duplicates on the wire": wire - delivered,
        "lost": acknowledged - delivered,
    }
    print("\n" + " | ".join(figures))
    print(" | ".join(f"{figure:>{len(name)}}" for name, figure in figures.items()))
