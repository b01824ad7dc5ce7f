"""Private messages that the server itself sends in the name of a user."""

import asyncio

import structlog

from fsharechat.errors import StoreError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import TRANSPARENT_TYPES, ConversationType
from fsharechat.store.messages import NewMessage, Stored, conversation_key
from fsharechat.store.store import Store
from roles.group.clock import ServerClock
from roles.group.outbox import EventOutbox

log = structlog.get_logger(__name__)


def private_message(
    id: int, sender: str, target: str, content: pb.MessageContent, now: int, local_id: int = 0
) -> NewMessage:
    """Return a message from one user to another that the server writes. `now` is its time in ms."""
    message = pb.Message(
        conversation=pb.Conversation(type=ConversationType.PRIVATE, target=target, line=0),
        from_user=sender,
        content=content,
        message_id=id,
        server_timestamp=now,
    )
    key = conversation_key(ConversationType.PRIVATE, 0, target, sender)
    return NewMessage(id, sender, local_id, key, message.SerializeToString(), (target,))


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
