"""Messages that the server itself sends in the name of a user."""

import asyncio
from collections.abc import Sequence
from hashlib import blake2b

import structlog

from fsharechat.errors import StoreError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import (
    TRANSPARENT_TYPES,
    ContentType,
    ConversationType,
    MemberType,
    PersistFlag,
)
from fsharechat.store import groups, messages
from fsharechat.store.messages import AS_IT_IS, Audience, NewMessage, Stored, conversation_key
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.clock import ServerClock
from roles.group.outbox import EventOutbox

log = structlog.get_logger(__name__)


def text_content(said: str) -> pb.MessageContent:
    """Return a text, which counts as unread."""
    return pb.MessageContent(
        type=ContentType.TEXT, searchable_content=said, persist_flag=PersistFlag.STORED_AND_COUNTED
    )


def local_id_of(name: str) -> int:
    """Return the local id of what has a name: 63 bits, never 0. A second message with it counts as a resend."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1 or 1


def private_message(
    id: int, sender: str, target: str, content: pb.MessageContent, now: int, local_id: int = 0
) -> NewMessage:
    """Return a message from one user to another that the server writes. `now` is its time in ms."""
    return _own_message(id, sender, ConversationType.PRIVATE, target, (target,), content, now, local_id)


def _own_message(
    id: int,
    sender: str,
    kind: ConversationType,
    target: str,
    receivers: Sequence[str],
    content: pb.MessageContent,
    now: int,
    local_id: int,
) -> NewMessage:
    message = pb.Message(
        conversation=pb.Conversation(type=kind, target=target, line=0),
        from_user=sender,
        content=content,
        message_id=id,
        server_timestamp=now,
    )
    key = conversation_key(kind, 0, target, sender)
    return NewMessage(id, sender, local_id, key, message.SerializeToString(), receivers)


class MayNotSpeak(Exception):
    """The sender is no member of the group, or is silenced there. Nothing was stored."""


def store_for_group(
    dialect: Dialect,
    id: int,
    sender: str,
    group_id: str,
    content: pb.MessageContent,
    now: int,
    local_id: int,
    *,
    member: bool,
) -> Unit[tuple[NewMessage, Stored] | None]:
    """Store a message that the server writes to a group, None if there is no such group.

    `member`: the sender must be one who may speak. Else it need not be a member. Raises MayNotSpeak.
    """
    info = yield from groups.locked(dialect, group_id)
    if info is None or info.dismissed:
        return None
    members = yield from groups.present(group_id)
    if member and members.get(sender, MemberType.SILENCED) == MemberType.SILENCED:
        raise MayNotSpeak
    receivers = [uid for uid in members if uid != sender]
    new = _own_message(id, sender, ConversationType.GROUP, group_id, receivers, content, now, local_id)
    new.audience = Audience(group_id, AS_IT_IS)
    (stored,) = yield from messages.append(dialect, [new])
    return new, stored


def send_private(
    store: Store,
    clock: ServerClock,
    outbox: EventOutbox,
    sender: str,
    uid: str,
    content: pb.MessageContent,
    *,
    local_id: int = 0,
    retried: bool = False,
) -> asyncio.Future[int | None]:
    """Store a message, or push it if it is transparent. The future gets its id, None if it was not stored.

    By the `local_id` it is recognised when it is sent again. Raises LeaseError.
    """
    id = clock.next_id()
    future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    new = private_message(id, sender, uid, content, clock.now(), local_id)
    new.retried = retried
    if content.type in TRANSPARENT_TYPES:
        outbox.push(new.body, (uid,))
        future.set_result(id)
        return future

    def stored(outcome: Stored | StoreError) -> None:
        if isinstance(outcome, StoreError):
            log.log(outcome.log_level, "message not stored", uid=sender, trace=str(id), error=str(outcome))
        elif outcome.entries:
            outbox.deliver(id, new.body, outcome.entries, sender, "")
        if not future.done():  # the caller's deadline may have come first
            future.set_result(None if isinstance(outcome, StoreError) else outcome.id)

    try:
        store.append(new, stored)
    except StoreError as error:
        stored(error)
    return future
