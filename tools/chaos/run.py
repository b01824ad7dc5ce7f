"""A run: clients log in and send, faults happen, and then everything is checked."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .calls import ChaosCalls
from .crowd import ChaosCrowd
from .kurento import KurentoDaemon
from .members import check_registry
from .scenario import Fault, Storm
from .swarm import Swarm
from .verdict import RunVerdict, judge, summary, table
from .world import ChaosWorld

SETTLE_SECONDS = 120.0
AFTERMATH = 15.0
"""For so long after a fault signals of calls may still get lost, s: until Kafka carries events again."""
HARMLESS_TO_CALLS = ("kill api", "kill group", "kill leader", "kill media", "kill kurento")
"""Faults after which everybody in a call hears that it is over, or it goes on."""


class Run(NamedTuple):
    """The parameters of a run."""

    seconds: float
    clients: int = 200
    rate: float = 120.0
    every: float = 10.0
    seed: int = 4
    only: tuple[str, ...] = ()
    raw: int = 8
    """Users with raw devices."""
    raw_rate: float = 16.0
    group: int = 300
    """Members of the group of the raw devices."""


class RunOutcome(NamedTuple):
    table: str
    wrong: list[str]
    calls_ended: int
    """Calls in a group that faults ended, and whose participants were told so."""


async def storm(
    name: str, run: Run, say: Callable[[str], None], kurento: KurentoDaemon | None = None
) -> RunOutcome:
    """Cause faults in the running cluster `name`, and return their effects.

    `kurento` is what its media processes use, if any.
    """
    world = ChaosWorld(name, kurento)
    swarm, crowd, calls = (
        Swarm(world.addresses()),
        ChaosCrowd(world.addresses()),
        ChaosCalls(world.addresses()),
    )
    calling = bool(world.members("media"))
    verdict = RunVerdict()

    async def spread() -> None:
        await swarm.spread()
        crowd.spread()

    say(f"{run.clients} clients and {run.raw} users with raw devices log in")
    try:
        await swarm.log_in(run.clients)
        await crowd.log_in(run.raw, run.group)
        if calling:
            await calls.log_in()
        faults = Storm(world, run.every, random.Random(run.seed), say, run.only, spread)
        begun = time.monotonic()
        swarm.start(run.rate)
        crowd.start(run.raw_rate)
        if calling:
            calls.start()
        await faults.run(run.seconds)
        swarm.check()
        crowd.check()
        say("quiet; waiting until everything has arrived")
        ledger = swarm.ledger
        arrived, heard = await asyncio.gather(swarm.stop(SETTLE_SECONDS), crowd.stop(SETTLE_SECONDS))
        if arrived:
            await judge(swarm, faults.faults, verdict)
        else:
            verdict.wrong.append(
                f"{SETTLE_SECONDS:g} s after the last fault {run.clients - swarm.connected()} clients are not "
                f"connected, {ledger.unacknowledged()} messages not acknowledged, {len(ledger.missing())} lost, "
                f"{len(ledger.untold())} recalls untold, {len(ledger.unread())} read reports unknown"
            )
        if not heard:
            verdict.wrong.append(f"{SETTLE_SECONDS:g} s after the last fault: {crowd.outstanding()}")
        if calling:
            if not await calls.stop(SETTLE_SECONDS):
                verdict.wrong.append(f"{SETTLE_SECONDS:g} s after the last fault no call in a group works")
            verdict.add("calls that ended without a word", calls.judge(_calls_excused(faults.faults)))
        for what, cases in (await crowd.judge() if heard else crowd.arrivals()).items():
            verdict.add(what, cases)
        verdict.add("processes not well", await world.health())
        verdict.add("ids without a lease", await check_registry(world))
        verdict.add("errors that nobody caught", world.complaints())
        lines = [table(swarm, faults.faults, begun, run.rate), summary(swarm), crowd.summary()]
        if calling:
            lines.append(calls.summary())
        return RunOutcome("\n".join(lines), verdict.wrong, calls.ended)
    finally:
        await swarm.close()
        await crowd.close()
        await calls.close()


def _calls_excused(faults: Iterable[Fault]) -> list[tuple[float, float]]:
    """Return when signals of calls may get lost: they are stored nowhere, so they need the bus and connectors."""
    return [
        (fault.begun, max(fault.end, fault.undone) + AFTERMATH)
        for fault in faults
        if fault.kind not in HARMLESS_TO_CALLS
    ]
