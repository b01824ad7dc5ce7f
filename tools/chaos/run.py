"""A run: clients log in and send, faults happen, and then everything is checked."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import NamedTuple

from .crowd import ChaosCrowd
from .members import check_registry
from .scenario import Storm
from .swarm import Swarm
from .verdict import RunVerdict, judge, summary, table
from .world import ChaosWorld

SETTLE_SECONDS = 120.0


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


class Outcome(NamedTuple):
    table: str
    wrong: list[str]


async def storm(name: str, run: Run, say: Callable[[str], None]) -> Outcome:
    """Cause faults in the running cluster `name`, and return their effects."""
    world = ChaosWorld(name)
    swarm, crowd = Swarm(world.addresses()), ChaosCrowd(world.addresses())
    verdict = RunVerdict()

    async def spread() -> None:
        await swarm.spread()
        crowd.spread()

    say(f"{run.clients} clients and {run.raw} users with raw devices log in")
    try:
        await swarm.log_in(run.clients)
        await crowd.log_in(run.raw, run.group)
        faults = Storm(world, run.every, random.Random(run.seed), say, run.only, spread)
        begun = time.monotonic()
        swarm.start(run.rate)
        crowd.start(run.raw_rate)
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
        for what, cases in (await crowd.judge() if heard else crowd.arrivals()).items():
            verdict.add(what, cases)
        verdict.add("processes not well", await world.health())
        verdict.add("ids without a lease", await check_registry(world))
        verdict.add("errors that nobody caught", world.complaints())
        lines = [table(swarm, faults.faults, begun, run.rate), summary(swarm), crowd.summary()]
        return Outcome("\n".join(lines), verdict.wrong)
    finally:
        await swarm.close()
        await crowd.close()
