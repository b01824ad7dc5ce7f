"""Asks a group role as connectors do, and hears what it tells them."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson
from google.protobuf.message import Message

from fsharechat.bus import Event, Notify, Presence
from fsharechat.node import Node
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import IdGenerator
from fsharechat.protocol.signals import (
    REQUESTS,
    Code,
    ContentType,
    ConversationType,
    FriendState,
    UserStatus,
)
from fsharechat.rpc import Call, Method, Reply
from fsharechat.rpc.payloads import decode_pulled
from fsharechat.settings_hooks import BeforeSendSettings, WebhooksSettings
from fsharechat.store import inboxes, users
from fsharechat.store.unit import Dialect, Query, Unit, insert_many

NODE = 3
"""The connector whose devices are online here."""


class HookSections(NamedTuple):
    """The sections of the settings about hooks."""

    webhooks: WebhooksSettings = WebhooksSettings()
    before_send: BeforeSendSettings = BeforeSendSettings()


class Office:
    """`events` is what connector NODE was told, `records` the same as the bus carried it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.now = 1_700_000_000_000
        self.events: list[Event] = []
        self.records: list[Sequence[Event]] = []
        self.ids = IdGenerator(NODE, clock=lambda: self.now)
        self._numbers = iter(range(13_800_000_000, 13_900_000_000))
        self._epoch = 0

    async def listen(self) -> None:
        await self.node.bus.serve_node(NODE, self._hear)

    def _hear(self, events: Sequence[Event]) -> None:
        self.records.append(events)
        self.events.extend(events)

    async def user(self, name: str = "") -> str:
        """Return the uid of a new user."""
        uid, _, _ = await self.node.store.write(users.get_or_create, str(next(self._numbers)), 1)
        if name:
            await self.node.store.write(users.modify, uid, {"display_name": name}, 2)
        return uid

    async def users(self, count: int) -> list[str]:
        """Return the uids of many new users, made at once."""
        uids = [f"user{next(self._numbers)}" for _ in range(count)]

        def insert(_: Dialect) -> Unit[None]:
            columns = ("uid", "number", *users.PROFILE[1:], "status")
            rows = [(uid, uid, *[""] * 9, 0, 0, 1, UserStatus.NORMAL) for uid in uids]
            yield from insert_many("users", columns, rows)

        await self.node.store.write(insert)
        return uids

    def online(self, *uids: str, client: str = "phone") -> None:
        """Put a device of each user on NODE."""
        for uid in uids:
            self._epoch += 1
            self.node.bus.announce(Presence(uid, client, NODE, self._epoch))

    async def set_status(self, uid: str, status: UserStatus, *, told: bool = True) -> None:
        """Change somebody's status; not `told` is as if another process had done it, its news being on the way."""

        def change(_: Dialect) -> Unit[None]:
            yield Query("UPDATE users SET status = ? WHERE uid = ?", (status, uid))

        await self.node.store.write(change)
        if told:
            self.node.bus.invalidate([uid])

    async def blacklist(self, uid: str, other: str) -> None:
        """Let `uid` want nothing of `other`."""

        def insert(_: Dialect) -> Unit[None]:
            sql = "INSERT INTO friends (uid, friend_uid, state, alias, update_dt) VALUES (?, ?, ?, '', 1)"
            yield Query(sql, (uid, other, FriendState.BLACKLISTED))

        await self.node.store.write(insert)
        self.node.bus.invalidate([uid])

    async def ask(
        self,
        uid: str,
        method: int,
        body: Message | bytes = b"",
        *,
        client: str = "phone",
        message_id: int = 0,
        retried: bool = False,
        frame_id: int = 0,
        issued_ms: int = 0,
    ) -> Reply:
        raw = body.SerializeToString() if isinstance(body, Message) else body
        if not message_id and method in REQUESTS and REQUESTS[method].numbered:
            message_id = self.ids.next()
        return await self.node.rpc.call(
            Call(method, uid, client, raw, message_id, retried, frame_id, issued_ms)
        )

    async def code(self, uid: str, method: int, body: Message | bytes = b"") -> int:
        """Ask for what has no payload; return the code."""
        reply = await self.ask(uid, method, body)
        assert reply.payload == b""
        return reply.code

    async def payload(
        self, uid: str, method: int, body: Message | bytes = b"", *, message_id: int = 0
    ) -> bytes:
        reply = await self.ask(uid, method, body, message_id=message_id)
        assert reply.code == Code.SUCCESS
        return reply.payload

    async def inbox(self, uid: str, after: int = 0) -> pb.PullMessageResult:
        """Return what a device gets of an inbox that says it has it up to `after`."""
        found = decode_pulled(
            await self.payload(uid, Method.PULL, orjson.dumps((after or inboxes.NOTHING, 0, 0)))
        )
        entries = [pb.Message.FromString(entry.body) for entry in found.entries]
        return pb.PullMessageResult(message=entries, current=found.head, head=found.head)

    def notified(self) -> list[tuple[int, str]]:
        """Return and forget the sub-signals of the notifications so far, and for whom they were."""
        heard = [(event.sub_signal, event.uid) for event in self.events if isinstance(event, Notify)]
        self.events.clear()
        return heard


def text(
    target: str,
    words: str = "hello",
    *,
    kind: int = ConversationType.PRIVATE,
    content_type: int = ContentType.TEXT,
    flag: int | None = 3,
    local_id: int = 0,
    from_user: str = "somebody else",
) -> pb.Message:
    """Return the body of an MS; `flag` None leaves the field out, as web clients do."""
    return pb.Message(
        conversation=pb.Conversation(type=kind, target=target, line=0),
        from_user=from_user,
        content=pb.MessageContent(type=content_type, searchable_content=words, persist_flag=flag),
        local_message_id=local_id,
    )


def words(result: pb.PullMessageResult) -> list[str]:
    return [message.content.searchable_content for message in result.message]
