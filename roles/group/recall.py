"""Taking a message back: MR (contract.md section 8)."""

from collections.abc import Collection
from typing import NamedTuple

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import MAX_AHEAD_MS, time_of
from fsharechat.protocol.signals import (
    Code,
    ContentType,
    ConversationType,
    MemberType,
    PersistFlag,
    SubSignal,
)
from fsharechat.rpc import Call
from fsharechat.store import group_log, messages, recalls
from fsharechat.store.messages import Entry
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Unit
from roles.group.handlers import Handlers
from roles.group.outbox import EventOutbox

_MAY_RECALL = (MemberType.OWNER, MemberType.MANAGER)


class Recall(NamedTuple):
    """The new form of a message, and its seqs in the recalls of the users who may have it."""

    body: bytes
    entries: list[Entry]


async def recall(store: Store, outbox: EventOutbox, call: Call, request: pb.INT64Buf) -> None:
    done = await store.write(_recall, call.uid, call.client_id, request.id)
    outbox.recall(request.id, done.body, done.entries, call.uid, call.client_id)


def _recall(dialect: Dialect, uid: str, client_id: str, message_id: int) -> Unit[Recall]:
    """Replace a message by a notice. A message that is a notice already stays as it is."""
    stored = yield from messages.body_for_change(dialect, message_id)
    if stored is None:
        raise Refusal(Code.NOT_EXIST)
    message = pb.Message.FromString(stored)
    yield from _check(message, uid)
    content = message.content
    if content.type == ContentType.RECALLED and content.data == _data(message_id):
        return Recall(stored, [])  # users who were not told then are told by the head check
    content.CopyFrom(notice_of(uid, message_id))
    body = message.SerializeToString()
    yield from messages.replace_body(dialect, message_id, body)
    told = yield from those_who_have(dialect, message, uid)
    return Recall(body, (yield from recalls.keep(dialect, message_id, uid, client_id, told)))


def _check(message: pb.Message, uid: str) -> Unit[None]:
    """Raise Refusal unless a user may recall a message. Ids can be guessed, so this reads only one row of members."""
    if uid == message.from_user:
        return
    if message.conversation.type != ConversationType.GROUP:
        raise Refusal(Code.NO_RIGHT if uid == message.conversation.target else Code.NOT_EXIST)
    seats = yield from members_of(message, uid)
    kind = seats.get(uid, MemberType.REMOVED)
    if kind not in _MAY_RECALL:
        knows = kind != MemberType.REMOVED and uid in parties(message, [uid])
        raise Refusal(Code.NO_RIGHT if knows else Code.NOT_EXIST)


def notice_of(operator: str, message_id: int) -> pb.MessageContent:
    """Return the content that takes the place of a message."""
    return pb.MessageContent(
        type=ContentType.RECALLED,
        content=operator,
        data=_data(message_id),
        persist_flag=PersistFlag.STORED,
    )


def _data(message_id: int) -> bytes:
    return str(message_id).encode()


def parties(message: pb.Message, members: Collection[str]) -> list[str]:
    """Return those of `members`, or of the two users of a conversation, who may have the message."""
    directed = [uid for uid in (message.to_user, *message.to) if uid]
    if message.conversation.type != ConversationType.GROUP:
        receivers: Collection[str] = [message.conversation.target]
    elif directed:
        receivers = [uid for uid in directed if uid in members]
    else:
        receivers = members
    return list(dict.fromkeys((message.from_user, *receivers)))


def those_who_have(dialect: Dialect, message: pb.Message, operator: str) -> Unit[list[str]]:
    """Return who must be told that `operator` has changed a message: the operator, and all who may have it."""
    if message.conversation.type != ConversationType.GROUP:
        return list(dict.fromkeys((*parties(message, ()), operator)))
    told = dict.fromkeys((*parties(message, (yield from members_of(message))), operator))
    group_id = message.conversation.target
    for other in (yield from group_log.not_given(dialect, group_id, message.message_id, told)):
        told.pop(other, None)
    return list(told)


def members_of(message: pb.Message, only: str = "") -> Unit[dict[str, int]]:
    """Return the MemberType of all who are in a message's group or were when it was sent, or `only` of one."""
    sql = "SELECT uid, type FROM group_members WHERE group_id = ? AND (type <> ? OR update_dt >= ?)"
    # Compare with the time in the id, because clocks may step back. Two machines' ids differ by MAX_AHEAD_MS at most.
    since = time_of(message.message_id) - MAX_AHEAD_MS
    params = [message.conversation.target, MemberType.REMOVED, since]
    if only:
        sql += " AND uid = ?"
        params.append(only)
    return dict((yield Query(sql, params)).rows)


HANDLERS = Handlers(
    requests={
        SubSignal.MR: recall,
    },
)
