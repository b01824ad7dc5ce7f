"""Made-up histories for tests and benchmarks, written straight into a store that no server has open."""

from collections.abc import Sequence
from pathlib import Path

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ConversationType
from fsharechat.store import admin, friends
from fsharechat.store.messages import NewMessage, append, conversation_key
from fsharechat.store.sqlite import SqliteStore

_FIRST_ID = 10**17
"""Below what a server gives out."""
_BATCH = 2000
_STEP_MS = 20_000


class MadeHistory:
    """Users, friends and private messages in the data folder of a server that is stopped.

        async with MadeHistory(data) as made:
            await made.talk(uids[0], uids[1], 100_000, now_ms())

    The store has its tables: a server has run on the folder.
    """

    def __init__(self, data: Path) -> None:
        self._store = SqliteStore(data / "fsharechat.db", _BATCH)
        self._next = _FIRST_ID

    async def __aenter__(self) -> "MadeHistory":
        await self._store.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()

    async def befriend(self, uid: str, numbers: Sequence[str], names: Sequence[str], now: int) -> list[str]:
        """Make users of these numbers and names, each a friend of a user. Return their uids."""
        made = []
        for number, name in zip(numbers, names, strict=True):
            account, _ = await self._store.write(admin.create_user, number, name, now)
            await self._store.write(friends.befriend, uid, account.uid, now)
            made.append(account.uid)
        return made

    async def talk(self, uid: str, other: str, count: int, until_ms: int) -> None:
        """Have two people write to each other, in turn, each 20 s, the last time at `until_ms`."""
        for begin in range(0, count, _BATCH):
            numbers = range(begin, min(begin + _BATCH, count))
            batch = [
                self._message(*((uid, other) if number % 2 else (other, uid)), number, count, until_ms)
                for number in numbers
            ]
            await self._store.write_heads([uid, other], append, batch)

    def _message(self, sender: str, target: str, number: int, count: int, until_ms: int) -> NewMessage:
        self._next += 1
        text = f"number {number}" + " and some more of it" * (number % 7)
        body = pb.Message(
            from_user=sender,
            conversation=pb.Conversation(type=ConversationType.PRIVATE, target=target, line=0),
            content=pb.MessageContent(type=1, searchable_content=text, persist_flag=3),
            message_id=self._next,
            server_timestamp=until_ms - (count - 1 - number) * _STEP_MS,
        )
        key = conversation_key(ConversationType.PRIVATE, 0, target, sender)
        return NewMessage(self._next, sender, 0, key, body.SerializeToString(), (target,))
