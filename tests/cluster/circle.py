"""A group whose members write, take back, rename and come and go while processes are stopped and started."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from itertools import count

from fsharechat.client import Disconnected, Options, RequestError, RequestTimeout, SentMessage, group
from fsharechat.client.groups import NOTICES
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, MemberType
from tests.cluster.rolling import PAGE, PATIENT
from tools.testing.cluster import LiveCluster, new_numbers
from tools.testing.devices import Handset, check_same, log_in, text_of
from tools.testing.server import BOUND

PACE_SECONDS = 0.05
"""Processes that start need some of a small machine, too."""
RECALL_EVERY = 5
RENAME_EVERY = 7
RETRY_SECONDS = 0.1


class Circle:
    """A group whose members are at several connectors and come by both transports.

    Two of them write: to all, to one of them alone, and take back some of it. The owner renames the group, and has a
    guest come and go.
    """

    def __init__(
        self,
        members: Sequence[Handset],
        guest: str,
        seconds: Sequence[Handset] = (),
        pace: float = PACE_SECONDS,
    ) -> None:
        """`seconds`: second devices of members. `pace`: seconds from an answer to the next text of a writer."""
        self.members = members
        self.acknowledged: dict[str, SentMessage] = {}
        self.answered_at: list[float] = []
        """The times of the acknowledgements, by the clock of the loop."""
        self.repeated = 0
        """How often a recall or a change of the group was asked for again."""
        self._seconds = seconds
        self._pace = pace
        self._readers: dict[int, list[Handset]] = {}
        """Who may read each message, by its id, beside who wrote it."""
        self._writers: dict[int, Handset] = {}
        self._recalled: set[int] = set()
        self._guest = guest
        self._visited = False
        self._name = ""

    async def gather(self) -> None:
        """Make the group."""
        owner, *others = self.members
        self._id = await owner.groups.create("circle", [one.user_id for one in others])

    @property
    def writers(self) -> Sequence[Handset]:
        """Those members who write. The others send nothing."""
        return self.members[:2]

    async def chat(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for writer in self.writers:
                tasks.create_task(self._write(writer, stop))

    async def _write(self, writer: Handset, stop: asyncio.Event) -> None:
        others = [one for one in self.members if one is not writer]
        for number in count():
            if stop.is_set():
                return
            text = f"{writer.user_id} {number}"
            readers = [others[number % len(others)]] if number % 2 else others
            to = [one.user_id for one in readers] if number % 2 else []
            sent = await writer.send(group(self._id), text, to=to)
            self.acknowledged[text] = sent
            self.answered_at.append(asyncio.get_running_loop().time())
            self._readers[sent.message_id], self._writers[sent.message_id] = readers, writer
            if number % RECALL_EVERY == 0:
                await self._persist(lambda: writer.recall(sent.message_id))  # noqa: B023 - it is done at once
                self._recalled.add(sent.message_id)
            if number % RENAME_EVERY == 0 and writer is self.members[0]:
                await self._change(writer, f"circle {number}")
            await asyncio.sleep(self._pace)

    async def _change(self, owner: Handset, name: str) -> None:
        await self._persist(lambda: owner.groups.rename(self._id, name))
        self._name = name
        self._visited = not self._visited
        await self._persist(self._let_guest)

    async def _let_guest(self) -> None:
        """Have the guest in the group, or not; the request of before may have been carried out."""
        owner = self.members[0]
        if self._visited and self._guest not in await self._present():
            await owner.groups.add(self._id, [self._guest])
        elif not self._visited and self._guest in await self._present():
            await owner.groups.kick(self._id, [self._guest])

    async def _present(self) -> set[str]:
        found = await self.members[0].groups.members(self._id)
        return {one.member_id for one in found if one.type != MemberType.REMOVED}

    async def check(self) -> None:
        """See that each member has what it may read, once, and nothing else; and what was taken back, no more."""
        for member in self.members:
            may = sorted(id for id, readers in self._readers.items() if member in readers)
            await member.until_received(len(may))
            came = sorted(one.message_id for one in member.received if self._is_text(one))
            check_same(came, may, f"what came to {member.user_id}")
            history = {one.message_id: one for one in await self._history(member)}
            own = {id for id, writer in self._writers.items() if writer is member}
            check_same(sorted(history), sorted({*may, *own}), f"what {member.user_id} finds")
            gone = {id for id, one in history.items() if one.content.type == ContentType.RECALLED}
            check_same(sorted(gone), sorted(self._recalled & history.keys()), "what was taken back")
            for text, sent in self.acknowledged.items():
                if sent.message_id in history.keys() - gone:
                    assert text_of(history[sent.message_id]) == text
        for second in self._seconds:
            # It is told of what its user has written at the first device, too.
            mine = {id for id, writer in self._writers.items() if writer.user_id == second.user_id}
            mine |= {
                id for id, them in self._readers.items() if second.user_id in {one.user_id for one in them}
            }
            await second.until_received(len(mine))
            came = sorted(one.message_id for one in second.received if self._is_text(one))
            check_same(came, sorted(mine), f"what came to the second device of {second.user_id}")
        owner = self.members[0]
        assert (await owner.groups.info(self._id)).name == self._name
        guests = {self._guest} if self._visited else set()
        assert await self._present() == {one.user_id for one in self.members} | guests

    async def _history(self, member: Handset) -> list[pb.Message]:
        found: list[pb.Message] = []
        while True:
            before = found[-1].message_id if found else 0
            part = await member.history(group(self._id), before, PAGE)
            found += part
            if not part:
                return [one for one in found if one.content.type not in NOTICES]

    async def _persist(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Ask until it is answered, as people do."""
        async with asyncio.timeout(10 * BOUND):
            while True:
                try:
                    return await ask()
                except (Disconnected, RequestError, RequestTimeout):
                    self.repeated += 1
                    await asyncio.sleep(RETRY_SECONDS)

    def _is_text(self, message: pb.Message) -> bool:
        return message.conversation.target == self._id and message.content.type not in NOTICES


async def make_circle(
    it: LiveCluster,
    stack: AsyncExitStack,
    pace: float = PACE_SECONDS,
    options: Options = PATIENT,
    *,
    second_devices: bool = False,
) -> Circle:
    """Four new users at several connectors, by both transports, in a group. A fifth is their guest."""
    *numbers, guest = new_numbers(5)
    members = [
        await _device(it, place, number, "phone", stack, options) for place, number in enumerate(numbers)
    ]
    seconds = []
    if second_devices:
        seconds = [
            await _device(it, place, number, "tablet", stack, options)
            for place, number in enumerate(numbers[::-1])
        ]
    circle = Circle(members, (await log_in(it.anywhere(0), guest, "phone")).user_id, seconds, pace)
    await circle.gather()
    return circle


async def _device(
    it: LiveCluster, place: int, number: str, name: str, stack: AsyncExitStack, options: Options
) -> Handset:
    at, transport = it.anywhere(place % 2), ("tcp", "ws")[place // 2]
    return await stack.enter_async_context(
        Handset(await log_in(at, number, name), at, transport, options=options)
    )


async def two_strangers_talk(it: LiveCluster, options: Options = PATIENT) -> None:
    """Two new users log in and connect, one at each connector: with whatever group process answers."""
    async with AsyncExitStack() as stack:
        numbers = new_numbers(2)
        devices = [
            await _device(it, 3 * place, number, "phone", stack, options)
            for place, number in enumerate(numbers)
        ]
        for sender, receiver in (devices, devices[::-1]):
            await sender.send(receiver.user_id, "hello")
            await receiver.until_received(1)
            assert receiver.texts_of(sender.user_id) == ["hello"]
