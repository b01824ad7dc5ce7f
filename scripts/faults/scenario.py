"""The faults: one every so often, in a random order, each undone before the next one."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from .world import World, can_cut

STAND_STILL = 8.0
CUT = 4.0
GHOST_SECONDS = 15.0
"""So long after the end of a connector its sessions must be gone everywhere."""
GHOST_PATIENCE = 2.0
GHOST_WAIT = 30.0
SAME_MOMENT = 0.5
KILLED = 0.5
"""Part of the restarts of services that begin with SIGKILL."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Fault:
    """One fault as it happened. Times are those of `time.monotonic`."""

    what: str
    begun: float
    undone: float = 0.0
    end: float = 0.0
    """When the next one began."""
    ghosts: int | None = None
    """Sessions of a killed connector that group processes still knew; None where nobody looked."""


Strike = Callable[["Storm"], Awaitable[str]]


class Storm:
    """Strikes the cluster until it is told to stop."""

    def __init__(
        self,
        world: World,
        every: float,
        dice: random.Random,
        say: Say,
        only: Sequence[str],
        after_each: Callable[[], Awaitable[None]],
    ) -> None:
        """`only` names the kinds of faults, of STRIKES; none: all. `after_each` is awaited when a fault is undone."""
        self.faults: list[Fault] = []
        self.world = world
        self.dice = dice
        self._every = every
        self._say = say
        self._only = only or tuple(STRIKES)
        self._after_each = after_each
        self._watches: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Strike until `seconds` are over."""
        end = time.monotonic() + seconds
        order = self._order()
        # Some quiet first, so that the first fault meets a busy cluster.
        await asyncio.sleep(min(self._every, seconds / 4))
        while time.monotonic() < end:
            name, strike = next(order)
            fault = Fault(name, time.monotonic())
            self.faults.append(fault)
            fault.what = await strike(self)
            fault.undone = time.monotonic()
            self._say(f"{fault.what}: undone after {fault.undone - fault.begun:.1f} s")
            await self._after_each()
            await asyncio.sleep(max(0.0, min(fault.begun + self._every, end) - time.monotonic()))
            fault.end = time.monotonic()
        if self._watches:
            await asyncio.wait(self._watches)
            for watch in self._watches:
                watch.result()

    def _order(self) -> Iterator[tuple[str, Strike]]:
        """All kinds of faults again and again, each time in another order."""
        strikes = {name: STRIKES[name] for name in self._only}
        if "cut" in strikes and not can_cut():
            self._say("ss -K does not work here (it takes root): no network is cut")
            del strikes["cut"]
        while True:
            kinds = list(strikes.items())
            self.dice.shuffle(kinds)
            yield from kinds

    def pick(self, role: str) -> str:
        return self.dice.choice(self.world.members(role)).name

    def watch_for_ghosts(self) -> None:
        """See, some time from now, whether the group processes know only sessions that there are."""
        watch = asyncio.get_running_loop().create_task(self._look_for_ghosts(self.faults[-1]))
        self._watches.add(watch)

    async def _look_for_ghosts(self, fault: Fault) -> None:
        await asyncio.sleep(fault.begun + GHOST_SECONDS - time.monotonic())
        # By now another fault may be under way: a process that does not answer, or sessions that are just moving.
        give_up = time.monotonic() + GHOST_WAIT
        until = give_up
        while time.monotonic() < until:
            found = await ghosts(self.world)
            if found is not None:
                if fault.ghosts is None:
                    until = time.monotonic() + GHOST_PATIENCE
                fault.ghosts = min(found, fault.ghosts) if fault.ghosts is not None else found
                if not found:
                    return
            await asyncio.sleep(0.1)


async def ghosts(world: World) -> int | None:
    """Return how many sessions a group process knows that no connector has.

    None if one does not answer, or so slowly that its answer is of another moment than those of the others.
    """
    members = [*world.members("connector"), *world.members("group")]
    begun = time.monotonic()
    try:
        pages = await asyncio.gather(*(world.metrics(member) for member in members))
    except (OSError, TimeoutError):
        return None
    if time.monotonic() - begun > SAME_MOMENT:
        return None
    connected = sum(page.get("devices_online", 0.0) for page in pages)
    return max(0, int(max(page.get("devices_known", 0.0) for page in pages) - connected))


async def _kill_connector(storm: Storm) -> str:
    name = storm.pick("connector")
    await storm.world.kill(name)
    storm.watch_for_ghosts()
    await storm.world.start(name)
    return f"kill -9 {name}"


async def _kill_group(storm: Storm) -> str:
    name = storm.pick("group")
    await storm.world.kill(name)
    await storm.world.start(name)
    return f"kill -9 {name}"


async def _kill_api(storm: Storm) -> str:
    name = storm.pick("api")
    await storm.world.kill(name)
    await storm.world.start(name)
    return f"kill -9 {name}"


async def _pause(storm: Storm) -> str:
    name = storm.pick(storm.dice.choice(("connector", "group")))
    await storm.world.pause(name, STAND_STILL)
    return f"SIGSTOP {name}, {STAND_STILL:g} s"


async def _cut(storm: Storm) -> str:
    name = storm.pick(storm.dice.choice(("connector", "group")))
    await storm.world.cut(name, CUT)
    return f"network of {name} cut, {CUT:g} s"


def _restart(service: str) -> Strike:
    async def strike(storm: Storm) -> str:
        kill = storm.dice.random() < KILLED
        await storm.world.stop_service(service, kill)
        await storm.world.start_service(service)
        return f"{service} {'killed' if kill else 'stopped'} and started"

    return strike


STRIKES: dict[str, Strike] = {
    "kill connector": _kill_connector,
    "kill group": _kill_group,
    "kill api": _kill_api,
    "pause": _pause,
    "cut": _cut,
    "kafka": _restart("kafka"),
    "zookeeper": _restart("zookeeper"),
    "mariadb": _restart("mariadb"),
}
