"""Users with raw devices: several each, in a group of hundreds, who send many messages before the first answer."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Self

from tools.conformance.world import Target, World, new_number
from tools.testing.server import until
from tools.wire.bodies import GROUP, PRIVATE

from .audit import Deviations, judge_arrivals, judge_history, missing
from .deeds import Deeds
from .raw import Book, RawDevice, Rule, Spoken
from .waiting import until_done

SUPER_CODE = "66666"
LOGIN_SECONDS = 120.0
PATIENCE = 60.0
LOGINS_AT_A_TIME = 16
PIPELINED = 8
"""How many messages a device sends in one go."""
MOST_UNANSWERED = 32
GROUP_EVERY = 4
"""Every n-th go of a device is to the group of hundreds."""
AWAY = 4
"""How many members of that group are away all the time, and fetch everything at the end."""
DEVICES = (
    ("tcp", Rule.ANDROID, False),
    ("ws", Rule.WEB, True),
    ("tcp", Rule.IOS, True),
    ("ws", Rule.WEB, False),
)
"""The devices of each user: those of one on TCP and one on WebSocket send no local id, as older ones do."""


class ChaosCrowd:
    """Users with devices, and others who make their group large."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        """`addresses` are those of the connectors by transport, and those of the api processes as "http"."""
        self.book = Book()
        self.devices: list[RawDevice] = []
        self.away: list[RawDevice] = []
        """The devices of members who come only at the end."""
        self.group = ""
        self.deeds: list[Deeds] = []
        self._addresses = addresses
        self._uids: list[str] = []
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._work: set[asyncio.Task[None]] = set()

    async def log_in(self, users: int, group: int) -> Self:
        """Log in `users` with all their devices, and enough others for `group` members. Make the group."""
        target = Target(self._addresses["tcp"], self._addresses["ws"], self._addresses["http"], SUPER_CODE)
        async with World.on(target, "tcp") as world:
            self._uids = [await self._log_in_devices(world, number) for number in range(users)]
            others = await self._log_in_others(world, max(0, group - users))
        for device in (*self.devices, *self.away):
            self._begin(device)
        await self._come(self.devices + self.away)
        self.group = f"{self.book.run}-crowd"
        owner = self.devices[0]
        await owner.create_group([*self._uids[1:], *others], name="crowd", group_id=self.group)
        # Its notice gives each device a starting place in its inbox.
        async with asyncio.timeout(LOGIN_SECONDS):
            for device in (*self.devices, *self.away):
                await device.begun.wait()
        self._leave(self.away)
        phones, webs = self.devices[:: len(DEVICES)], self.devices[1 :: len(DEVICES)]
        self.deeds = [
            Deeds(self.book, one, other, web)
            for one, other, web in zip(phones[::2], phones[1::2], webs[::2], strict=False)
        ]
        return self

    async def _log_in_devices(self, world: World, number: int) -> str:
        mobile = new_number()
        for index, (transport, rule, local_ids) in enumerate(DEVICES):
            session = await world.login(mobile, f"raw-{number}-{index}")
            order = self._order(transport, number + index)
            self.devices.append(RawDevice(self.book, session, transport, order, rule, local_ids))
        return session.user_id

    async def _log_in_others(self, world: World, count: int) -> list[str]:
        room = asyncio.Semaphore(LOGINS_AT_A_TIME)

        async def one(number: int) -> str:
            async with room:
                session = await world.login(new_number(), f"away-{number}")
            if number < AWAY:
                order = self._order("tcp", number)
                self.away.append(RawDevice(self.book, session, "tcp", order, Rule.IOS, True))
            return session.user_id

        return await asyncio.gather(*(one(number) for number in range(count)))

    def _order(self, transport: str, first: int) -> list[str]:
        addresses = self._addresses[transport]
        first %= len(addresses)
        return [*addresses[first:], *addresses[:first]]

    def _begin(self, device: RawDevice) -> None:
        task = asyncio.get_running_loop().create_task(device.run(), name=device.session.client_id)
        self._tasks.add(task)

    def _leave(self, devices: Sequence[RawDevice]) -> None:
        names = {device.session.client_id for device in devices}
        for task in self._tasks:
            if task.get_name() in names:
                task.cancel()

    async def _come(self, devices: Sequence[RawDevice]) -> None:
        async with asyncio.timeout(LOGIN_SECONDS):
            for device in devices:
                await device.online.wait()

    # Actions

    def start(self, rate: float) -> None:
        """Send `rate` messages a second, all devices together, and begin the deeds."""
        period = len(self.devices) * PIPELINED / rate
        loop = asyncio.get_running_loop()
        self._work = {loop.create_task(self._talk(device, period)) for device in self.devices}
        self._work |= {loop.create_task(deeds.run(self._stop)) for deeds in self.deeds}

    async def _talk(self, device: RawDevice, period: float) -> None:
        due = time.monotonic() + random.uniform(0, period)
        gone = 0
        while not self._stop.is_set():
            await asyncio.sleep(max(0.0, min(due - time.monotonic(), 0.2)))
            if time.monotonic() < due or device.unanswered + PIPELINED > MOST_UNANSWERED:
                continue
            due += period
            gone += 1
            await device.say([self._compose(device, gone) for _ in range(PIPELINED)])

    def _compose(self, device: RawDevice, gone: int) -> Spoken:
        others = [uid for uid in self._uids if uid != device.uid]
        if gone % GROUP_EVERY == 0:
            to = frozenset(others) | {away.uid for away in self.away}
            return device.compose(GROUP, self.group, to)
        other = others[gone % len(others)]
        return device.compose(PRIVATE, other, frozenset((other,)))

    def spread(self) -> None:
        """Send devices that went to other connectors back to their own."""
        for device in self.devices:
            device.go_home()

    def check(self) -> None:
        """Raise the error that ended a device or its work, if any."""
        for task in (*self._tasks, *self._work):
            if task.done() and not task.cancelled():
                task.result()

    async def until_said(self, more: int) -> None:
        """Wait until so many more messages are acknowledged."""
        wanted = self._acknowledged() + more
        async with asyncio.timeout(PATIENCE):
            while self._acknowledged() < wanted:
                self.check()
                await asyncio.sleep(0.05)

    async def until_refused(self, more: int) -> None:
        """Wait until so many more messages are refused."""
        wanted = self.book.refused + more
        await until(lambda: self.book.refused >= wanted, lambda: f"{self.book.refused} refused of {wanted}")

    def _acknowledged(self) -> int:
        return len(self.book.spoken) - len(self.book.unacknowledged())

    # Results

    async def stop(self, seconds: float) -> bool:
        """Send nothing more, and wait until everything is acknowledged and has arrived. False: time is over."""
        if not self._stop.is_set():
            for device in self.away:
                self._begin(device)
        self._stop.set()
        return await until_done(self._all_is_done, self.check, seconds)

    def _all_is_done(self) -> bool:
        if not all(task.done() for task in self._work):
            return False
        if not all(device.settled for device in (*self.devices, *self.away)):
            return False
        return not missing(self.book, (*self.devices, *self.away))

    def arrivals(self) -> Deviations:
        """Check all arrivals."""
        return judge_arrivals(self.book, (*self.devices, *self.away))

    async def judge(self) -> Deviations:
        """Check all arrivals, and read everything back."""
        wrong = self.arrivals()
        for number, (first, second) in enumerate(combinations(self._uids, 2)):
            one, other = (self._device(uid, number % len(DEVICES)) for uid in (first, second))
            for device, peer in ((one, second), (other, first)):
                read = await device.whole_history(PRIVATE, peer)
                add(wrong, judge_history(self.book, (PRIVATE, peer), frozenset((first, second)), read))
        for number in range(len(DEVICES)):
            read = await self._device(self._uids[0], number).whole_history(GROUP, self.group)
            add(wrong, judge_history(self.book, (GROUP, self.group), frozenset(self._uids), read))
        for deeds in self.deeds:
            add(wrong, {"deeds that do not hold": await deeds.judge()})
        return wrong

    def _device(self, uid: str, number: int) -> RawDevice:
        return [device for device in self.devices if device.uid == uid][number]

    def outstanding(self) -> str:
        """Return what is still open."""
        devices = (*self.devices, *self.away)
        unsettled = [device.session.client_id for device in devices if not device.settled]
        lost = missing(self.book, devices)
        deeds = sum(not task.done() for task in self._work)
        unanswered = [str(one) for one in self.book.unacknowledged()]
        return (
            f"{len(unsettled)} raw devices not settled {unsettled[:5]}, {len(unanswered)} messages not acknowledged "
            f"{unanswered[:5]}, {len(lost)} lost {lost[:5]}, {deeds} at work"
        )

    def summary(self) -> str:
        """Return counts of all kinds of messages, and what is still open."""
        book = self.book
        without = sum(not one.local_id for one in book.spoken.values())
        again = sum(device.again for device in (*self.devices, *self.away))
        return (
            f"raw devices: {len(self.devices)} of {len(self._uids)} users, "
            f"{len(book.spoken)} messages, {without} without local id, {book.resent} sent again, "
            f"{book.refused} refused; {len(book.unacknowledged())} not acknowledged, "
            f"{len(missing(book, (*self.devices, *self.away)))} lost, {again} handed out again; "
            f"{sum(deeds.done for deeds in self.deeds)} deeds"
        )

    async def close(self) -> None:
        self._stop.set()
        tasks: set[asyncio.Task[Any]] = self._tasks | self._work
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def add(to: Deviations, more: Deviations) -> None:
    for what, cases in more.items():
        to[what] = to.get(what, []) + cases
