"""A group of hundreds, most of whom never connect, and how many of them are asleep (docs/decisions/group-log.md)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fsharechat.client import SentMessage, group
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, ConversationType
from fsharechat.store import users
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Unit, insert_many
from tools.testing.devices import Handset, check_same, text_of
from tools.testing.server import BOUND, until

MEMBERS = 300
MESSAGES = 50
RECALL_EVERY = 10


def insert_users(_: Dialect, uids: Sequence[str]) -> Unit[None]:
    """Have users of these uids, who cannot log in."""
    columns = ("uid", "number", *users.PROFILE[1:], "status")
    yield from insert_many("users", columns, [(uid, uid, *[""] * 9, 0, 0, 1, 0) for uid in uids])


async def put_users(store: Store, uids: Sequence[str]) -> None:
    """Have them in a store that is not open yet."""
    await store.open()
    await store.write(insert_users, uids)
    await store.close()


def asleep(_: Dialect, id: str) -> Unit[list[str]]:
    """Return who is asleep in a group."""
    sql = "SELECT uid FROM group_members WHERE group_id = ? AND given >= 0"
    return [uid for (uid,) in (yield Query(sql, (id,))).rows]


async def come_true(look: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until a look says so."""
    try:
        async with asyncio.timeout(BOUND):
            while not await look():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(what) from None


class LargeGroupTalk:
    """Two members write to the group in turns, and take back some of it. `sent`: what is there, in order."""

    def __init__(self, id: str, ann: Handset, ben: Handset) -> None:
        self.id = id
        self.ann = ann
        self.ben = ben
        self.sent: list[SentMessage] = []
        self.texts: dict[int, str] = {}
        self.recalled: set[int] = set()

    async def say(self, text: str, by: Handset | None = None, to: Sequence[str] = ()) -> SentMessage:
        sent = await (by or self.ann).send(group(self.id), text, to=list(to))
        self.sent.append(sent)
        self.texts[sent.message_id] = text
        return sent

    async def go_on(self, count: int = MESSAGES) -> None:
        for number in range(count):
            writer = (self.ann, self.ben)[number % 2]
            sent = await self.say(f"{writer.user_id} {len(self.sent)}", writer)
            if number % RECALL_EVERY == RECALL_EVERY - 1:
                await writer.recall(sent.message_id)
                self.recalled.add(sent.message_id)

    async def check(self, device: Handset) -> None:
        """See that all of it came to a device once, in order, and taken back where it was."""
        wanted = [sent.message_id for sent in self.sent]
        await until(
            lambda: sum(map(self.is_text, device.received)) >= len(wanted),
            f"{device.user_id} lacks something",
        )
        mine = [message for message in device.received if self.is_text(message)]
        check_same([message.message_id for message in mine], wanted, f"what came to {device.user_id}")
        for message in mine:
            if message.content.type == ContentType.RECALLED:
                assert message.message_id in self.recalled
            else:
                assert text_of(message) == self.texts[message.message_id]
        assert device.gaps() == []

    def is_text(self, message: pb.Message) -> bool:
        return message.message_id in self.texts

    def conversation(self) -> pb.Conversation:
        return pb.Conversation(type=ConversationType.GROUP, target=self.id, line=0)
