"""The faults: one after the other, or two at once, in a random order. Each is undone before the next one."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tools.services.service import Daemon

from .packets import can_drop
from .world import ChaosWorld, can_cut

STAND_STILL = 8.0
CUT = 4.0
DROP = 8.0
FULL = 20.0
PAIR = "pair"
GHOST_SECONDS = 15.0
"""How long after the end of a connector its sessions must be gone everywhere, s."""
CALL_WAIT = 30.0
"""How long a fault that is for a call waits until there is one, s."""
GHOST_PATIENCE = 2.0
GHOST_WAIT = 30.0
SAME_MOMENT = 0.5
KILLED = 0.5
"""The share of service restarts that begin with SIGKILL."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Fault:
    """One fault as it happened. Times are those of `time.monotonic`."""

    kind: str
    """One of KINDS; the name of both if it is a pair."""
    what: str
    begun: float
    undone: float = 0.0
    end: float = 0.0
    """When the next one began."""
    ghosts: int | None = None
    """How many sessions of a killed connector group processes still knew, None if not checked."""


Strike = Callable[["Storm", Fault], Awaitable[str]]


class Storm:
    """Causes faults in the cluster until it is told to stop."""

    def __init__(
        self,
        world: ChaosWorld,
        every: float,
        dice: random.Random,
        say: Say,
        only: Sequence[str],
        after_each: Callable[[], Awaitable[None]],
    ) -> None:
        """`only` names kinds of faults in STRIKES; empty: all. `after_each` is awaited when a fault is undone."""
        self.faults: list[Fault] = []
        self.world = world
        self.dice = dice
        self._every = every
        self._say = say
        self._after_each = after_each
        wanted = only or KINDS
        self._possible = self._without_what_cannot_be(STRIKES if PAIR in wanted else wanted)
        self._kinds = [kind for kind in wanted if kind == PAIR or kind in self._possible]
        self._watches: set[asyncio.Task[None]] = set()
        self._struck: set[str] = set()
        """Processes with a fault at the moment."""
        self._freed = asyncio.Condition()

    async def run(self, seconds: float) -> None:
        """Cause faults until `seconds` are over."""
        end = time.monotonic() + seconds
        order = self._order()
        # Wait a little first, so that the first fault meets a busy cluster.
        await asyncio.sleep(min(self._every, seconds / 4))
        while time.monotonic() < end:
            name, strike = next(order)
            fault = Fault(name, name, time.monotonic())
            self.faults.append(fault)
            fault.what = await strike(self, fault)
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
        """Yield all kinds of faults again and again, each time in another order."""
        while True:
            self.dice.shuffle(self._kinds)
            for kind in self._kinds:
                if kind == PAIR:
                    one, other = self._two()
                    yield f"{one} and {other}", _both(STRIKES[one], STRIKES[other])
                else:
                    yield kind, STRIKES[kind]

    def _without_what_cannot_be(self, kinds: Iterable[str]) -> list[str]:
        """Return the faults that are possible here, and print why others are not."""
        found = list(kinds)
        for needed, possible, why in (
            ("cut", can_cut, "ss -K does not work here (it takes root)"),
            ("drop", can_drop, "nft does not work here (it takes root)"),
            ("media", self._has_media, "there is no media process"),
            ("leader", self._has_media, "there is no media process"),
            ("kurento", lambda: self.world.kurento is not None, "there is no Kurento (it takes --kurento)"),
            (
                "full disk",
                self.world.can_fill_disk,
                "the store is on no small disk (it takes --small-disk, root and MariaDB)",
            ),
        ):
            needing = [kind for kind in found if needed in kind]
            if needing and not possible():
                self._say(f"{why}: without {', '.join(needing)}")
                found = [kind for kind in found if kind not in needing]
        return found

    def _has_media(self) -> bool:
        return bool(self.world.members("media"))

    def _two(self) -> tuple[str, str]:
        """Return two kinds that do not concern the same service."""
        while True:
            one, other = self.dice.sample(self._possible, 2)
            if SERVICE_OF.get(one) is None or SERVICE_OF.get(one) != SERVICE_OF.get(other):
                return one, other

    @asynccontextmanager
    async def one_of(self, *roles: str, having: str = "") -> AsyncIterator[str]:
        """Choose a process without a fault, and reserve it while the context is open.

        If some have a metric `having` that is not 0, it is one of these.
        """
        role = self.dice.choice(roles)
        busy = await self.those_with(role, having) if having else []
        async with self._freed:  # the other fault of a pair may have taken the only one
            await self._freed.wait_for(lambda: self._free(role))
            free = self._free(role)
            name = self.dice.choice([name for name in free if name in busy] or free)
            self._struck.add(name)
        try:
            yield name
        finally:
            async with self._freed:
                self._struck.discard(name)
                self._freed.notify_all()

    async def those_with(self, role: str, metric: str) -> list[str]:
        """Return the processes whose metric is not 0, as soon as there is one, or after a while."""
        until, found = time.monotonic() + CALL_WAIT, list[str]()
        while not found and time.monotonic() < until:
            for member in self.world.members(role):
                try:
                    if (await self.world.metrics(member)).get(metric):
                        found.append(member.name)
                except (OSError, TimeoutError):
                    continue
            await asyncio.sleep(0 if found else 0.1)
        return found

    def _free(self, role: str) -> list[str]:
        return [member.name for member in self.world.members(role) if member.name not in self._struck]

    def watch_for_ghosts(self, fault: Fault) -> None:
        """Check, some time from now, that the group processes know only existing sessions."""
        watch = asyncio.get_running_loop().create_task(self._look_for_ghosts(fault))
        self._watches.add(watch)

    async def _look_for_ghosts(self, fault: Fault) -> None:
        await asyncio.sleep(fault.begun + GHOST_SECONDS - time.monotonic())
        # Meanwhile another fault may be under way: a process may not answer, or sessions may be moving.
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


async def ghosts(world: ChaosWorld) -> int | None:
    """Return how many sessions without a connector a group process knows.

    None if a process does not answer, or answers so slowly that the answers come from different moments.
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


async def _kill_connector(storm: Storm, fault: Fault) -> str:
    async with storm.one_of("connector") as name:
        await storm.world.kill(name)
        storm.watch_for_ghosts(fault)
        await storm.world.start(name)
    return f"kill -9 {name}"


def _kill(role: str, having: str = "", so: str = "") -> Strike:
    """Return the death of a process; of one that has a metric, if any has it: `so` says what that means."""

    async def strike(storm: Storm, _: Fault) -> str:
        async with storm.one_of(role, having=having) as name:
            await storm.world.kill(name)
            await storm.world.start(name)
        return f"kill -9 {name}{so}"

    return strike


async def _kill_kurento(storm: Storm, _: Fault) -> str:
    await storm.those_with("media", "media_rooms")
    await storm.world.kill_kurento()
    return "kill -9 kurento, in a call"


async def _pause(storm: Storm, _: Fault) -> str:
    async with storm.one_of("connector", "group") as name:
        await storm.world.pause(name, STAND_STILL)
    return f"SIGSTOP {name}, {STAND_STILL:g} s"


async def _cut(storm: Storm, _: Fault) -> str:
    async with storm.one_of("connector", "group") as name:
        await storm.world.cut(name, CUT)
    return f"network of {name} cut, {CUT:g} s"


async def _drop(storm: Storm, _: Fault) -> str:
    async with storm.one_of("connector", "group") as name:
        await storm.world.drop(name, DROP)
    return f"packets of {name} dropped, {DROP:g} s"


def _hit(service: str, how: Callable[[Storm, str, Sequence[Daemon]], Awaitable[str]]) -> Strike:
    """Return a fault of the processes of a service. `how` gets its actual name, and those processes."""

    async def strike(storm: Storm, _: Fault) -> str:
        name = storm.world.actual(service)
        return await how(storm, name, storm.world.daemons(name, storm.dice))

    return strike


async def _restart(storm: Storm, name: str, daemons: Sequence[Daemon]) -> str:
    kill = storm.dice.random() < KILLED
    await storm.world.stop_service(name, kill, daemons)
    await storm.world.start_service(name, daemons)
    return f"{daemons[0].name} {'killed' if kill else 'stopped'} and started"


async def _freeze(storm: Storm, _: str, daemons: Sequence[Daemon]) -> str:
    await storm.world.freeze(daemons, STAND_STILL)
    return f"SIGSTOP {daemons[0].name}, {STAND_STILL:g} s"


async def _drop_service(storm: Storm, _: str, daemons: Sequence[Daemon]) -> str:
    await storm.world.drop_service(daemons, DROP)
    return f"packets to {daemons[0].name} dropped, {DROP:g} s"


async def _full_disk(storm: Storm, _: Fault) -> str:
    lives = await storm.world.fill_disk(FULL)
    return f"disk of mariadb full, {FULL:g} s{'' if lives else ', which ended it'}"


def _both(one: Strike, other: Strike) -> Strike:
    async def strike(storm: Storm, fault: Fault) -> str:
        return " + ".join(await asyncio.gather(one(storm, fault), other(storm, fault)))

    return strike


SERVICES = ("kafka", "zookeeper", "mariadb")
STRIKES: dict[str, Strike] = {
    "kill connector": _kill_connector,
    "kill group": _kill("group"),
    "kill api": _kill("api"),
    "kill media": _kill("media", "media_rooms", ", in a call"),
    "kill leader": _kill("group", "calls", ", which looks after a call"),
    "kill kurento": _kill_kurento,
    "pause": _pause,
    "cut": _cut,
    "drop": _drop,
    **{name: _hit(name, _restart) for name in SERVICES},
    **{f"freeze {name}": _hit(name, _freeze) for name in SERVICES},
    **{f"drop {name}": _hit(name, _drop_service) for name in SERVICES},
    "full disk": _full_disk,
}
KINDS = (*STRIKES, PAIR)
SERVICE_OF = {
    **{kind: kind.split()[-1] for kind in STRIKES if kind.split()[-1] in SERVICES},
    "full disk": "mariadb",
}
"""The service of a fault, if it has one."""
