"""Three users who call each other in their group, again and again, while faults happen."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Self

from fsharechat.client import ClientError, group, login
from fsharechat.protocol import messages_pb2 as pb
from tools.conformance.world import new_number
from tools.testing.callers import Caller, begin_call
from tools.testing.media_peer import PAYLOADS
from tools.testing.server import Where

from .swarm import LOGIN_SECONDS, OPTIONS, SUPER_CODE

CALLERS = ("tcp", "ws", "tcp")
"""The transport of each. Their connectors follow each other."""
SETUP_SECONDS = 20.0
"""Until then three must be in a call, or they try again."""
HOLD_SECONDS = 8.0
"""So long they talk, if nothing ends it."""
TICK_SECONDS = 0.1
SILENCE_SECONDS = 1.5
"""After so long without a packet, sound has stopped."""
TOLD_SECONDS = 40.0
"""Within so long after that it comes again, or they are told that the call is over: longer than a session in the
registry lasts.
"""
PAUSE = 0.5

_Flows = tuple[int, ...]


class ChaosCalls:
    """Calls of one group, whose participants sit on different connectors."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        """`addresses` are those of the connectors by transport, and those of the api processes as "http"."""
        self.made = 0
        """Calls in which everybody heard everybody."""
        self.ended = 0
        """Those of them that a fault ended, and everybody was told so."""
        self.failed = 0
        """Attempts that came to nothing."""
        self.untold: list[tuple[float, str]] = []
        """Calls that ended without a word: when, by `time.monotonic`, and for whom."""
        self._addresses = addresses
        self._callers: list[Caller] = []
        self._where = pb.Conversation()
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def log_in(self) -> Self:
        """Log in and connect, and make the group."""
        for number, transport in enumerate(CALLERS):
            https = self._addresses["http"]
            who = await login(https[number % len(https)], new_number(), SUPER_CODE, "caller")
            addresses = self._addresses[transport]
            first = number % len(addresses)
            order = [*addresses[first:], *addresses[:first]]
            where = Where(tcp=order) if transport == "tcp" else Where(ws=order)
            self._callers.append(caller := Caller(who, where, OPTIONS))
            await caller.client.connect(patience=LOGIN_SECONDS)
        uids = [one.uid for one in self._callers[1:]]
        self._where = group(await self._callers[0].client.groups.create("callers", uids))
        return self

    def start(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while not self._stop.is_set():
            if await self._call():
                self.made += 1
                await self._hold()
                await self._part()
            else:
                self.failed += 1
                await asyncio.sleep(PAUSE)

    async def _call(self) -> bool:
        """Begin a call. Return whether everybody is in it and hears everybody."""
        for one in self._callers:
            one.forget()
        try:
            async with asyncio.timeout(SETUP_SECONDS):
                await begin_call(self._where, self._callers)
                for one, other in permutations(self._callers, 2):
                    await one.hears(other)
        except (ClientError, AssertionError, TimeoutError):
            await self._part()
            return False
        return True

    async def _hold(self) -> None:
        """Talk until the time is over, or the call."""
        end = time.monotonic() + HOLD_SECONDS
        while time.monotonic() < end and not self._stop.is_set() and not self._over:
            if await self._talk(SILENCE_SECONDS):
                continue
            begun = time.monotonic()
            if not await self._talk(TOLD_SECONDS):
                still_in = (one.client.user_id for one in self._callers if not one.hung_up)
                self.untold.append((begun, ", ".join(still_in)))
                return
        if all(one.hung_up for one in self._callers):
            self.ended += 1

    async def _talk(self, seconds: float) -> bool:
        """Send until everybody hears everybody once more, or the call is over. False: neither within the time."""
        before, begun = self._flows(), time.monotonic()
        while time.monotonic() < begun + seconds:
            if self._over:
                return True
            for one in self._callers:
                for kind in PAYLOADS:
                    one.peers[one.uid].send(kind, b"no picture")
            await asyncio.sleep(TICK_SECONDS)
            if all(now > then for now, then in zip(self._flows(), before, strict=True)):
                return True
        return False

    def _flows(self) -> _Flows:
        """Return how many packets each has had of each other."""
        return tuple(one.peers[other.uid].received.total() for one, other in permutations(self._callers, 2))

    @property
    def _over(self) -> bool:
        """Whether all were told that it is over, or that it goes on without one whose connection was gone."""
        said = (signal.said or {} for one in self._callers for signal in one.signals)
        left = any(it.get("type") == "participantLeft" for it in said)
        return left or all(one.hung_up for one in self._callers)

    async def _part(self) -> None:
        """End the call, whatever has become of it. An end that gets lost is made up for by the next start."""
        try:
            async with asyncio.timeout(SETUP_SECONDS):
                await self._callers[0].client.calls.hang_up(self._where)
        except (ClientError, TimeoutError):
            return

    async def stop(self, seconds: float) -> bool:
        """End the calls. Return whether one more works, now that no more faults come."""
        self._stop.set()
        if self._running is not None:
            await self._running
        deadline = time.monotonic() + seconds
        while not await self._call():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(PAUSE)
        await self._part()
        return True

    def judge(self, excused: Iterable[tuple[float, float]]) -> list[str]:
        """Return the calls that ended without a word, but for those in these spans of time: signals may get lost."""
        spans = list(excused)
        return [
            f"for {whom}"
            for at, whom in self.untold
            if not any(begin - TOLD_SECONDS <= at <= end for begin, end in spans)
        ]

    def summary(self) -> str:
        return f"{self.made} calls of {len(CALLERS)}, {self.ended} ended by faults, {self.failed} attempts in vain"

    async def close(self) -> None:
        self._stop.set()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        for one in self._callers:
            one.close()
            await one.client.close()
