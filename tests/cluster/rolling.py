"""People who chat while processes are stopped and started: nothing acknowledged may be lost or doubled."""

import asyncio
from collections.abc import Sequence, Sized
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import count
from typing import Protocol

from fsharechat.client import Options, SentMessage
from tools.testing.cluster import LiveCluster, new_numbers
from tools.testing.devices import FAST, Handset, check_same, log_in, text_of
from tools.testing.server import BOUND, until

UNANSWERED = 4
PER_STEP = 20
"""Messages that each sender gets through before the next process is stopped, at least."""
PACE_SECONDS = 0.01
PAGE = 200
# A start may take long on a busy machine: the client goes on trying, and what it gives up is a failure.
PATIENT = replace(FAST, send_timeout=10 * BOUND, request_timeout=BOUND)


class Pair:
    """Two devices. The first sends numbered texts to the second, a few at a time, from several tasks."""

    def __init__(
        self, sender: Handset, receiver: Handset, pace: float, seconds: Sequence[Handset] = ()
    ) -> None:
        """`pace`: seconds from an answer to the next text of a task. `seconds`: second devices of either user."""
        self._pace = pace
        self.sender = sender
        self.receiver = receiver
        self._seconds = seconds
        self.acknowledged: dict[str, SentMessage] = {}
        self.answered_at: list[float] = []
        """The times of the acknowledgements, by the clock of the loop."""

    async def chat(self, stop: asyncio.Event) -> None:
        """Send until told to stop. Raises what a send fails with after the client's own attempts."""
        async with asyncio.TaskGroup() as tasks:
            for lane in range(UNANSWERED):
                tasks.create_task(self._send(lane, stop))

    async def _send(self, lane: int, stop: asyncio.Event) -> None:
        for number in count():
            if stop.is_set():
                return
            text = f"{self.sender.user_id} {lane} {number}"
            self.acknowledged[text] = await self.sender.send(self.receiver.user_id, text)
            self.answered_at.append(asyncio.get_running_loop().time())
            await asyncio.sleep(self._pace)

    async def check(self) -> None:
        """See that all of it came to each device, once and in order, and is stored once."""
        await self.receiver.until_received(len(self.acknowledged))
        wanted = sorted(((sent.message_id, text) for text, sent in self.acknowledged.items()), reverse=True)
        history = await self.receiver.whole_history(self.sender.user_id, PAGE)
        check_same([(one.message_id, text_of(one)) for one in history], wanted, "what is stored")
        for device in (self.receiver, *self._seconds):
            await self._check_came(device, wanted)

    async def _check_came(self, device: Handset, wanted: Sequence[tuple[int, str]]) -> None:
        await device.until_received(len(wanted))
        came = [(message.message_id, text_of(message)) for message in device.received]
        check_same(sorted(came, reverse=True), wanted, "what came")
        newest = [one.message_id for one in (await device.pull(0)).message]
        check_same(device.ids()[-len(newest) :], newest, "the order of what came")
        for lane in range(UNANSWERED):
            mark = f"{self.sender.user_id} {lane} "
            numbers = [int(text.removeprefix(mark)) for _, text in came if text.startswith(mark)]
            check_same(numbers, range(len(numbers)), "what one task sent")


async def make_pair(
    it: LiveCluster,
    number: int,
    stack: AsyncExitStack,
    pace: float = PACE_SECONDS,
    options: Options = PATIENT,
    *,
    second_devices: bool = False,
) -> Pair:
    """Two new users; at either end of the pairs are both transports and both connectors.

    With `second_devices` each has another device, on the other transport.
    """
    devices: dict[str, list[Handset]] = {"phone": [], "tablet": []}
    for side, phone in enumerate(new_numbers(2)):
        door, way = (number >> side) % 2, (number >> 2 * side) % 2
        at = it.anywhere(door)
        for shift, name in enumerate(devices if second_devices else ["phone"]):
            transport = ("tcp", "ws")[way ^ shift]
            one = Handset(await log_in(at, phone, name), at, transport, options=options)
            devices[name].append(await stack.enter_async_context(one))
    sender, receiver = devices["phone"]
    return Pair(sender, receiver, pace, devices["tablet"])


class RollingChat(Protocol):
    """Some who chat, and the texts of theirs that were acknowledged."""

    @property
    def acknowledged(self) -> Sized: ...

    @property
    def answered_at(self) -> Sequence[float]: ...

    async def chat(self, stop: asyncio.Event) -> None:
        """Send until told to stop."""


async def get_through(pairs: Sequence[RollingChat]) -> None:
    """Wait until the load flows again, whatever has been stopped and started."""
    goal = {pair: len(pair.acknowledged) + PER_STEP for pair in pairs}
    await until(
        lambda: all(len(pair.acknowledged) >= goal[pair] for pair in pairs),
        lambda: f"acknowledged: {[len(pair.acknowledged) for pair in pairs]}",
    )
