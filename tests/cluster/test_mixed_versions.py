"""The version before this one and this one in one cluster: a rolling upgrade while people chat.

Both ways round: connectors of this version come before the first group process of it, and one of the version before
stays until all group processes are of this one. In between a group process of the version before works on tables that
this one has migrated.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count

import pytest

from fsharechat.client import Disconnected, RequestError, RequestTimeout, SentMessage, group
from fsharechat.client.groups import NOTICES
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, MemberType
from tests.cluster.rolling import PAGE, PATIENT, RollingChat, get_through, make_pair
from tools.services.places import ROOT
from tools.testing.cluster import LiveCluster, new_numbers
from tools.testing.devices import Handset, check_same, log_in, text_of
from tools.testing.previous import previous_version
from tools.testing.server import BOUND

pytestmark = pytest.mark.slow

PAIRS = 4
PACE_SECONDS = 0.05
"""From an answer to the next text of a task: processes that start need some of a small machine, too."""
STEPS = ("connector-0", "group-0", "group-1", "connector-1", "api")
"""In this order the processes are replaced, those of a role one after the other.

After the first and the third each pair of versions has been together.
"""
RECALL_EVERY = 5
RENAME_EVERY = 7
RETRY_SECONDS = 0.1


@pytest.fixture
def mixed() -> Iterator[LiveCluster]:
    """A cluster of the version before: two connectors, two group processes and two api processes."""
    tree = previous_version()
    cluster = LiveCluster(f"test-cluster-{os.getpid()}-mixed")
    try:
        cluster.up(2, 2, tree=tree)
        assert set(cluster.trees().values()) == {tree}
        yield cluster
    finally:
        cluster.down()


class Circle:
    """A group whose members are at both connectors and come by both transports.

    Two of them write: to all, to one of them alone, and take back some of it. The owner renames the group, and has a
    guest come and go.
    """

    def __init__(self, members: list[Handset], guest: str) -> None:
        self.members = members
        self.acknowledged: dict[str, SentMessage] = {}
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

    async def chat(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for writer in self.members[:2]:
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
            self._readers[sent.message_id], self._writers[sent.message_id] = readers, writer
            if number % RECALL_EVERY == 0:
                await persist(lambda: writer.recall(sent.message_id))  # noqa: B023 - it is done at once
                self._recalled.add(sent.message_id)
            if number % RENAME_EVERY == 0 and writer is self.members[0]:
                await self._change(writer, f"circle {number}")
            await asyncio.sleep(PACE_SECONDS)

    async def _change(self, owner: Handset, name: str) -> None:
        await persist(lambda: owner.groups.rename(self._id, name))
        self._name = name
        self._visited = not self._visited
        await persist(self._let_guest)

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

    def _is_text(self, message: pb.Message) -> bool:
        return message.conversation.target == self._id and message.content.type not in NOTICES


async def persist(ask: Callable[[], Awaitable[None]]) -> None:
    """Ask until it is answered, as people do."""
    async with asyncio.timeout(10 * BOUND):
        while True:
            try:
                return await ask()
            except (Disconnected, RequestError, RequestTimeout):
                await asyncio.sleep(RETRY_SECONDS)


async def test_a_rolling_upgrade_under_load_loses_nothing_and_shows_nobody_what_is_not_for_them(
    mixed: LiveCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    async with AsyncExitStack() as stack:
        pairs = [await make_pair(mixed, number, stack, PACE_SECONDS) for number in range(PAIRS)]
        [number] = new_numbers(1)
        guest = (await log_in(mixed.at(), number, "phone")).user_id
        circle = Circle([await member(mixed, number, stack) for number in range(4)], guest)
        await circle.gather()
        all_of_them: list[RollingChat] = [*pairs, circle]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as chats:
            for chat in all_of_them:
                chats.create_task(chat.chat(stop))
            for name in STEPS:
                await get_through(all_of_them)
                await asyncio.to_thread(mixed.replace, name)
                assert {mixed.trees()[one] for one in mixed.names() if one.startswith(name)} == {ROOT}
                await two_strangers_talk(mixed)
            await get_through(all_of_them)
            stop.set()
        for pair in pairs:
            await pair.check()
        await circle.check()
        await mixed.until_known()
    assert mixed.faults() == []
    assert [name for name in mixed.names() if "another release" in mixed.log(name)] == []
    assert set(mixed.trees().values()) == {ROOT}
    with capsys.disabled():
        total = sum(len(chat.acknowledged) for chat in all_of_them)
        print(f"\n{len(mixed.names())} processes upgraded under load: {total} messages")


async def member(it: LiveCluster, number: int, stack: AsyncExitStack) -> Handset:
    at = it.anywhere(number % 2)
    [phone] = new_numbers(1)
    transport = ("tcp", "ws")[number // 2]
    return await stack.enter_async_context(
        Handset(await log_in(at, phone, "phone"), at, transport, options=PATIENT)
    )


async def two_strangers_talk(it: LiveCluster) -> None:
    """Two new users log in and connect, one at each connector: with whatever group process answers."""
    async with AsyncExitStack() as stack:
        devices = []
        for number, phone in enumerate(new_numbers(2)):
            credentials = await log_in(it.at(number), phone, "phone")
            device = Handset(credentials, it.at(number), ("tcp", "ws")[number], options=PATIENT)
            devices.append(await stack.enter_async_context(device))
        one, other = devices
        for sender, receiver in ((one, other), (other, one)):
            await sender.send(receiver.user_id, "hello")
            await receiver.until_received(1)
            assert receiver.texts_of(sender.user_id) == ["hello"]
