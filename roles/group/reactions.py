"""Reactions to messages: REA and REL (contract.md section 8)."""

import unicodedata
from collections.abc import Sequence

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, ConversationType, SubSignal
from fsharechat.protocol.sizes import REACTIONS, fitting, sent_size
from fsharechat.rpc import Call
from fsharechat.store import reactions
from fsharechat.store.reactions import Reaction
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.clock import ServerClock
from roles.group.edits import check_may_speak, visible, wanted
from roles.group.handlers import Handlers
from roles.group.outbox import EventOutbox
from roles.group.recall import parties
from roles.group.standing import Standing
from roles.group.words import WordFilter

MAX_EMOJI = 5
MAX_EMOJI_BYTES = 64
MAX_USERS = 500
"""How many emoji a user reacts with, how long each may be, and how many users react to one message."""

_JOINERS = frozenset({0x200D, 0xFE0F, *range(0xE0020, 0xE0080)})
"""Signs inside an emoji that cannot be seen alone: joiner, variation, and the letters of flags."""


def is_emoji(text: object) -> bool:
    """Return whether a text may be a reaction: short, and without spaces and control characters."""
    if not isinstance(text, str) or not 0 < len(text.encode(errors="replace")) <= MAX_EMOJI_BYTES:
        return False
    return all(ord(sign) in _JOINERS or unicodedata.category(sign)[0] not in "CZ" for sign in text) and any(
        ord(sign) not in _JOINERS for sign in text
    )


async def react(
    store: Store,
    clock: ServerClock,
    standing: Standing,
    word_filter: WordFilter,
    outbox: EventOutbox,
    call: Call,
    request: pb.ReactRequest,
) -> None:
    emoji = list(dict.fromkeys(request.emoji))
    if len(emoji) > MAX_EMOJI or not all(map(is_emoji, emoji)):
        raise Refusal(Code.INVALID_PARAMETER)
    message = (await store.read_for(call.uid, visible, [request.id], call.uid)).get(request.id)
    if message is None or message.content.type == ContentType.RECALLED:
        raise Refusal(Code.NOT_EXIST)
    await check_may_speak(store, clock, standing, call.uid, message)
    if await word_filter.forbids(call.uid, emoji):
        raise Refusal(Code.SENSITIVE_WORD)
    reaction = Reaction(request.id, call.uid, emoji, clock.now())
    if not await store.write(reactions.put, reaction, MAX_USERS):
        raise Refusal(Code.INVALID_PARAMETER)
    members: Sequence[str] = ()
    if message.conversation.type == ConversationType.GROUP:
        found = await standing.members.get(message.conversation.target)
        members = list(found.types) if found is not None else ()
    body = _written(reaction).SerializeToString()
    for uid in dict.fromkeys((*parties(message, members), call.uid)):
        outbox.notify(SubSignal.REN, body, uid, call.client_id if uid == call.uid else "")


def _written(reaction: Reaction) -> pb.Reactions:
    return pb.Reactions(
        id=reaction.message_id, uid=reaction.uid, emoji=reaction.emoji, update_dt=reaction.update_dt
    )


async def pull(store: Store, call: Call, request: pb.MessageIds) -> pb.ReactionsResult:
    found = await store.read_for(call.uid, _of_visible, wanted(request), call.uid)
    sized = ((_written(one), REACTIONS + sent_size(one.uid, *one.emoji)) for one in found)
    return pb.ReactionsResult(entry=fitting(sized))


def _of_visible(dialect: Dialect, ids: Sequence[int], uid: str) -> Unit[list[Reaction]]:
    seen = yield from visible(dialect, ids, uid)
    shown = [id for id, message in seen.items() if message.content.type != ContentType.RECALLED]
    return (yield from reactions.of_messages(dialect, shown))


HANDLERS = Handlers(
    requests={
        SubSignal.REA: react,
        SubSignal.REL: pull,
    },
)
