"""A new content for an own message: ME; and messages by their ids: MGI (contract.md section 8)."""

from collections.abc import Sequence

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import pull_entry, pull_result
from fsharechat.protocol.signals import Code, ContentType, ConversationType, MemberType, SubSignal
from fsharechat.protocol.sizes import fitting
from fsharechat.rpc import Call
from fsharechat.settings import Settings
from fsharechat.store import groups, messages, recalls
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.before_send import BeforeSend
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers
from roles.group.outbox import EventOutbox
from roles.group.recall import Recall, members_of, parties, those_who_have
from roles.group.standing import Standing, check_heard
from roles.group.words import WordFilter, texts_of

MAX_CONTENT_BYTES = 64 << 10
"""The largest new content, bytes."""

MAX_IDS = 100
"""The most messages in one MGI or REL."""


async def edit(
    settings: Settings,
    store: Store,
    clock: ServerClock,
    standing: Standing,
    word_filter: WordFilter,
    outbox: EventOutbox,
    before_send: BeforeSend,
    call: Call,
    request: pb.EditMessageRequest,
) -> None:
    content = request.content
    if content.type != ContentType.TEXT or content.ByteSize() > MAX_CONTENT_BYTES:
        raise Refusal(Code.INVALID_PARAMETER)
    stored = await store.read_for(call.uid, messages.body, request.id)
    if stored is None:
        raise Refusal(Code.NOT_EXIST)
    message = pb.Message.FromString(stored)
    await check_may_speak(store, clock, standing, call.uid, message)
    if await word_filter.forbids(call.uid, texts_of(content)):
        raise Refusal(Code.SENSITIVE_WORD)
    if message.from_user == call.uid and before_send.asks(call, message):
        message.content.CopyFrom(content)
        await before_send.decide(call, message, message.local_message_id, edit=True)
        content.searchable_content = message.content.searchable_content
    seconds = settings.limits.edit_seconds
    done = await store.write(_edit, call, request, clock.now(), int(seconds * 1000))
    outbox.edited(request.id, done.body, done.entries, call.uid, call.client_id)


async def check_may_speak(
    store: Store, clock: ServerClock, standing: Standing, uid: str, message: pb.Message
) -> None:
    """Raise Refusal unless a user may say something in the conversation of a message now."""
    await standing.check_rights(uid, check_heard)
    where = message.conversation
    if where.type != ConversationType.GROUP:
        other = message.from_user if where.target == uid else where.target
        standing.rights.drop([other])  # another process may have just changed them
        rights = await standing.rights.get(other)
        if rights is not None and uid in rights.blacklist:
            raise Refusal(Code.BLACKLISTED)
        return
    _, seats = await store.read_for(uid, groups.seat, where.target, uid)
    if uid not in seats:
        raise Refusal(Code.NOT_IN_GROUP)
    silenced = seats[uid] == MemberType.SILENCED
    if silenced and not await standing.silence_ends(where.target, uid, clock.now()):
        raise Refusal(Code.NO_RIGHT)


def _edit(
    dialect: Dialect, call: Call, request: pb.EditMessageRequest, now: int, within_ms: int
) -> Unit[Recall]:
    """Replace the content of a message. The same content again changes nothing."""
    id, uid = request.id, call.uid
    stored = yield from messages.body_for_change(dialect, id)
    if stored is None:
        raise Refusal(Code.NOT_EXIST)
    message = pb.Message.FromString(stored)
    if uid != message.from_user:
        seen = yield from may_see(message, uid)
        raise Refusal(Code.NO_RIGHT if seen else Code.NOT_EXIST)
    content = message.content
    if content.type == ContentType.RECALLED:
        raise Refusal(Code.NOT_EXIST)
    if content.type != ContentType.TEXT:
        raise Refusal(Code.INVALID_PARAMETER)
    fresh = pb.MessageContent()
    fresh.CopyFrom(request.content)
    fresh.ClearField("persist_flag")
    if content.HasField("persist_flag"):
        fresh.persist_flag = content.persist_flag
    if content == fresh:
        return Recall(stored, [])
    if now - message.server_timestamp > within_ms:
        raise Refusal(Code.REQUEST_OVERTIME)
    content.CopyFrom(fresh)
    message.edited_dt = max(now, message.edited_dt + 1)
    body = message.SerializeToString()
    yield from messages.replace_body(dialect, id, body)
    told = yield from those_who_have(dialect, message, uid)
    return Recall(body, (yield from recalls.keep_edit(dialect, id, uid, call.client_id, told)))


def may_see(message: pb.Message, uid: str) -> Unit[bool]:
    """Return whether a user has a message, or may find it in the history of a group."""
    if message.conversation.type != ConversationType.GROUP:
        return uid in parties(message, ())
    seats = yield from members_of(message, uid)
    return seats.get(uid, MemberType.REMOVED) != MemberType.REMOVED and uid in parties(message, seats)


def visible(dialect: Dialect, ids: Sequence[int], uid: str) -> Unit[dict[int, pb.Message]]:
    """Return those of the messages that a user may see, by id."""
    found: dict[int, pb.Message] = {}
    bodies = yield from messages.bodies(dialect, ids)
    for id in ids:
        if id in bodies:
            message = pb.Message.FromString(bodies[id])
            if (yield from may_see(message, uid)):
                found[id] = message
    return found


def wanted(request: pb.MessageIds) -> list[int]:
    """Return the ids that a request names, each once. Raises Refusal."""
    if len(request.id) > MAX_IDS:
        raise Refusal(Code.INVALID_PARAMETER)
    return list(dict.fromkeys(request.id))


async def by_ids(store: Store, call: Call, request: pb.MessageIds) -> bytes:
    found = await store.read_for(call.uid, visible, wanted(request), call.uid)
    bodies = (message.SerializeToString() for message in found.values())
    # As JSON a message may be seven times as large.
    return pull_result(map(pull_entry, fitting((body, 7 * len(body)) for body in bodies)), 0, 0)


HANDLERS = Handlers(
    requests={
        SubSignal.ME: edit,
        SubSignal.MGI: by_ids,
    },
)
