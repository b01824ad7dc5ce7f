"""A run: clients log in and send, faults happen, and then everything is looked at."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from .members import check_registry
from .scenario import Storm
from .swarm import Swarm
from .verdict import Verdict, judge, summary, table
from .world import World

SETTLE_SECONDS = 120.0


class Run(NamedTuple):
    """How long, how hard."""

    seconds: float
    clients: int = 200
    rate: float = 120.0
    every: float = 10.0
    seed: int = 4
    only: tuple[str, ...] = ()


class Outcome(NamedTuple):
    table: str
    wrong: list[str]


async def storm(name: str, run: Run, say: Callable[[str], None]) -> Outcome:
    """Let faults happen to the cluster `name`, which is up, and return what they did."""
    world = World(name)
    swarm = Swarm(world.addresses())
    verdict = Verdict()
    say(f"{run.clients} clients log in")
    try:
        await swarm.log_in(run.clients)
        begun = time.monotonic()
        swarm.start(run.rate)
        faults = Storm(world, run.every, random.Random(run.seed), say, run.only, swarm.spread)
        await faults.run(run.seconds)
        swarm.check()
        say("quiet; waiting until everything has arrived")
        if not await swarm.stop(SETTLE_SECONDS):
            ledger = swarm.ledger
            verdict.wrong.append(
                f"{SETTLE_SECONDS:g} s after the last fault {run.clients - swarm.connected()} clients are not "
                f"connected, {ledger.unacknowledged()} messages not acknowledged, {len(ledger.missing())} lost, "
                f"{len(ledger.untold())} recalls untold, {len(ledger.unread())} read reports unknown"
            )
        else:
            await judge(swarm, faults.faults, verdict)
        verdict.add("processes not well", await world.health())
        verdict.add("ids without a lease", await check_registry(world))
        verdict.add("errors that nobody caught", world.complaints())
        return Outcome(f"{table(swarm, faults.faults, begun, run.rate)}\n{summary(swarm)}", verdict.wrong)
    finally:
        await swarm.close()
