"""Sending, pulling and reading back messages: MS, MP and LRM (contract.md sections 6 to 8)."""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from zlib import adler32, crc32

import orjson
import structlog
from google.protobuf.message import DecodeError, EncodeError

from fsharechat.errors import Refusal, StoreError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import MAX_ITEMS, check_content, pull_entry, pull_result, sent_payload
from fsharechat.protocol.signals import (
    SYSTEM_TYPES,
    TRANSPARENT_TYPES,
    Code,
    ConversationType,
    MemberType,
    PersistFlag,
    SubSignal,
    UserStatus,
)
from fsharechat.rpc import Call, Method, Reply, make_reply, pulled
from fsharechat.store import cursors, groups, messages
from fsharechat.store.groups import GroupMembers
from fsharechat.store.messages import NOTHING, Audience, NewMessage, Stored, conversation_key
from fsharechat.store.users import Rights
from roles.group.conversations import members_with, not_in
from roles.group.handlers import Handlers, carry_out, code_of
from roles.group.service import Group, Waiting
from roles.group.standing import check_heard, rights_of
from roles.group.words import texts_of

log = structlog.get_logger(__name__)


def send(group: Group, call: Call) -> asyncio.Future[Reply]:
    """Store a message, or push it when it is transparent; the payload is its id and time.

    When everything that decides is cached and allows it this is done at once, without a task. A sender's messages
    keep their order: behind one that has to wait, for a read or because its text is large, the following ones wait
    too. A transparent message to a group does: no transaction looks once more at whom it is for.
    """
    try:
        message = _parsed(call)
        waiting = group.sending.get(call.uid)
        if waiting is None:
            return _send_now_or_later(group, call, message)
    except Refusal as refusal:
        return _resolved(group, Reply(refusal.code))
    future: asyncio.Future[Reply] = group.loop.create_future()
    waiting.append((call, message, future))
    return future


def _send_now_or_later(group: Group, call: Call, message: pb.Message) -> asyncio.Future[Reply]:
    """Send a message behind which none of its sender waits. Raises Refusal."""
    words = group.words
    sender = group.rights.peek(call.uid)
    conversation = message.conversation
    if conversation.type == ConversationType.PRIVATE:
        target: Rights | GroupMembers | None = group.rights.peek(conversation.target)
    elif conversation.type == ConversationType.GROUP:
        target = group.members.peek(conversation.target)
    else:
        raise not_in(conversation.type)
    if sender is None or target is None or (words.any and words.looks_later(len(call.body))):
        return _send_later(group, call, message)
    if isinstance(target, GroupMembers) and (
        call.uid not in target.types or _is_transparent(message.content)
    ):
        return _send_later(group, call, message)
    try:
        receivers, audience = _may_send(call.uid, message, sender, target)
    except Refusal:
        return _send_later(group, call, message)  # what is cached may be old: it refuses nobody
    if words.any and words.refuses(message.content):
        raise Refusal(Code.SENSITIVE_WORD)
    return _send(group, call, message, receivers, audience)


def _send_later(group: Group, call: Call, message: pb.Message) -> asyncio.Future[Reply]:
    if not message.IsInitialized():
        raise Refusal(Code.INVALID_DATA)
    waiting: deque[Waiting] = deque()
    group.sending[call.uid] = waiting

    async def send_first(group: Group, call: Call) -> Reply:
        receivers, audience = await _parties(group, call.uid, message)
        if await group.words.forbids(call.uid, texts_of(message.content)):
            raise Refusal(Code.SENSITIVE_WORD)
        if group.words.looks_later(len(call.body)):
            receivers, audience = await _parties(group, call.uid, message)  # they may have changed meanwhile
        stored = _send(group, call, message, receivers, audience)
        release()
        return await stored

    def release(_: object = None) -> None:
        """Let those behind it go: this one is in the store's queue, or has failed."""
        if group.sending.get(call.uid) is waiting:
            del group.sending[call.uid]
            _send_waiting(group, waiting)

    task = group.loop.create_task(carry_out(send_first, group, call))
    task.add_done_callback(release)
    return task


def _send_waiting(group: Group, waiting: deque[Waiting]) -> None:
    """Send the messages of one sender that waited, until one of them has to wait for something else."""
    while waiting:
        call, message, future = waiting.popleft()
        if future.done():
            continue  # its deadline has come, and who asked has been told so
        try:
            sent = _send_now_or_later(group, call, message)
        except Refusal as refusal:
            future.set_result(Reply(refusal.code))
            continue
        sent.add_done_callback(partial(_hand_on, future))
        if (behind := group.sending.get(call.uid)) is not None:
            behind.extend(waiting)
            return


def _hand_on(future: asyncio.Future[Reply], sent: asyncio.Future[Reply]) -> None:
    if not future.done():
        future.set_result(sent.result())


async def _parties(group: Group, uid: str, message: pb.Message) -> tuple[Sequence[str], Audience | None]:
    """Return what `_may_send` does, with what is not cached read, and what refuses read again. Raises Refusal."""
    sender = await rights_of(group, uid)
    target = await _target(group, uid, message)
    try:
        return _may_send(uid, message, sender, target)
    except Refusal:
        group.rights.drop([uid])
        if isinstance(target, Rights):
            group.rights.drop([message.conversation.target])
        else:
            await _drop_if_old(group, message.conversation.target)
        return _may_send(uid, message, await rights_of(group, uid), await _target(group, uid, message))


async def _target(group: Group, uid: str, message: pb.Message) -> Rights | GroupMembers:
    """Return the target of a message, read again where the sender seems not to be a member. Raises Refusal."""
    name = message.conversation.target
    if message.conversation.type == ConversationType.PRIVATE:
        return await rights_of(group, name)
    if _is_transparent(message.content):
        await _drop_if_old(group, name)
    return await members_with(group, name, uid)


async def _drop_if_old(group: Group, name: str) -> None:
    """Forget the cached members of a group that are no longer its members."""
    known = group.members.peek(name)
    if known is not None and await group.store.read(groups.version, name) != known.version:
        group.members.drop([name])


def _parsed(call: Call) -> pb.Message:
    try:
        message = pb.Message.FromString(call.body)
        check_content(message.content)
    except DecodeError:
        raise Refusal(Code.INVALID_DATA) from None
    message.from_user = call.uid  # whatever the client wrote
    if type(message.conversation.target) is not str:  # the runtime gives what is not UTF-8 as bytes
        raise Refusal(Code.INVALID_DATA)
    to = message.to
    if (
        type(message.to_user) is not str
        or len(to) > MAX_ITEMS
        or (to and not all(type(uid) is str for uid in to))
    ):
        raise Refusal(Code.INVALID_DATA)
    return message


def _may_send(
    uid: str, message: pb.Message, sender: Rights, target: Rights | GroupMembers
) -> tuple[Sequence[str], Audience | None]:
    """Return who gets a message beside its sender. Raises Refusal where they may not send it."""
    if sender.status != UserStatus.NORMAL:
        check_heard(sender)
    if message.content.type in SYSTEM_TYPES:
        raise Refusal(Code.INVALID_PARAMETER)
    if isinstance(target, GroupMembers):
        return _group_receivers(uid, message, target)
    if uid in target.blacklist:
        raise Refusal(Code.BLACKLISTED)
    other = message.conversation.target
    return (() if other == uid else (other,)), None


def _send(
    group: Group, call: Call, message: pb.Message, receivers: Sequence[str], audience: Audience | None
) -> asyncio.Future[Reply]:
    """Store or push a message that may be sent. Raises Refusal; the future does not fail."""
    conversation, content = message.conversation, message.content
    local_id, digest = _known_by(call, message)
    timestamp = group.now()
    message.message_id = call.message_id
    message.server_timestamp = timestamp
    try:
        body = message.SerializeToString()
    except EncodeError:  # a required field is missing
        raise Refusal(Code.INVALID_DATA) from None
    if _is_transparent(content):
        group.outbox.push(body, receivers)
        return _resolved(group, Reply(Code.SUCCESS, sent_payload(call.message_id, timestamp)))
    future: asyncio.Future[Reply] = group.loop.create_future()

    def stored(outcome: Stored | StoreError) -> None:
        if isinstance(outcome, Stored) and outcome.outdated:
            group.members.drop([conversation.target])
        if isinstance(outcome, StoreError):
            log.log(outcome.log_level, "message not stored", uid=call.uid, error=str(outcome))
            reply = Reply(code_of(outcome))
        elif not outcome.id:
            reply = Reply(Code.NOT_IN_GROUP)
        elif not outcome.entries:
            _answer_resend(group, call, outcome.id, future)
            return
        else:
            group.outbox.deliver(outcome.id, body, outcome.entries, call.uid, call.client_id)
            if audience is not None and not audience.only:
                group.sleepers.stored(audience.group, group.members.peek(audience.group), outcome.entries)
            seq = outcome.entries[0].seq  # of the sender
            reply = make_reply((Code.SUCCESS, sent_payload(outcome.id, timestamp, seq)))
        if not future.done():  # the caller's deadline may have come first
            future.set_result(reply)

    new = NewMessage(
        call.message_id,
        call.uid,
        local_id,
        conversation_key(conversation.type, conversation.line, conversation.target, call.uid),
        body,
        receivers,
        call.retried,
        audience,
        call.client_id,
        digest,
        not message.local_message_id,
    )
    if audience is not None and audience.logged and (members := group.members.peek(audience.group)):
        new.expected = group.sleepers.expected(audience.group, members)
    try:
        group.store.append(new, stored)
    except StoreError as error:
        stored(error)
    return future


def _answer_resend(group: Group, call: Call, id: int, future: asyncio.Future[Reply]) -> None:
    """Answer with the id and the time of the first copy. The time is read: only resends pay for it."""

    async def answer(group: Group, call: Call) -> Reply:
        body = await group.store.read(messages.body, id)
        if body is None:
            raise StoreError("the first copy of a message was not found again")
        return Reply(Code.SUCCESS, sent_payload(id, pb.Message.FromString(body).server_timestamp))

    def answered(task: asyncio.Task[Reply]) -> None:
        if not future.done():  # the caller's deadline may have come first
            future.set_result(task.result())

    group.loop.create_task(carry_out(answer, group, call)).add_done_callback(answered)


def _known_by(call: Call, message: pb.Message) -> tuple[int, int]:
    """Return the local id and the digest by which a resend of a message is known (contract.md section 6).

    Where the client gives no local id one stands for the frame and the login session, if there is one.
    """
    if not message.local_message_id:
        if not call.issued_ms:
            return 0, 0
        frame = f"{call.client_id}\0{call.issued_ms}\0{call.frame_id}"
        return _number(frame.encode()), _number(call.body)
    message.ClearField("message_id")  # what clients write there differs between resends
    message.ClearField("server_timestamp")
    data = message.SerializePartialToString()
    # Who makes two of their own messages seem the same has lost one of them, and nothing else.
    return message.local_message_id, (crc32(data) << 31 | adler32(data) >> 1) or 1


def _number(data: bytes) -> int:
    """Return 64 bits that stand for the data, never 0."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True) or 1


def _group_receivers(uid: str, message: pb.Message, target: GroupMembers) -> tuple[Sequence[str], Audience]:
    """Return who gets a message to a group beside its sender. Raises Refusal where they may not send it.

    They are not listed where the group has a log: the store knows who of them is awake.
    """
    kind = target.types.get(uid)
    if kind is None:
        raise Refusal(Code.NOT_IN_GROUP)
    if kind == MemberType.SILENCED:
        raise Refusal(Code.NO_RIGHT)
    only = addressees(message)
    if target.logged and not only and not _is_transparent(message.content):
        return (), Audience(message.conversation.target, target.version, logged=True)
    receivers = [other for other in only or target.types if other in target.types and other != uid]
    return receivers, Audience(message.conversation.target, target.version, only)


def addressees(message: pb.Message) -> set[str]:
    """Return the members whom a group message is for; it is for all of them when there are none."""
    return {uid for uid in (message.to_user, *message.to) if uid}


def _is_transparent(content: pb.MessageContent) -> bool:
    """Return whether a message goes to devices that are online, and nowhere else.

    A flag that is there and 0 says "not stored"; web clients send none, and mean a stored message.
    """
    if content.type in TRANSPARENT_TYPES:
        return True
    flag = content.persist_flag
    return flag == PersistFlag.TRANSPARENT or (flag == 0 and content.HasField("persist_flag"))


def _resolved(group: Group, reply: Reply) -> asyncio.Future[Reply]:
    future: asyncio.Future[Reply] = group.loop.create_future()
    future.set_result(reply)
    return future


async def pull(group: Group, call: Call) -> Reply:
    """Read an inbox for a connector, which cuts the answer to an MP to its size and keeps the device's mark.

    What a device is given that has nothing is the beginning of its mark; that is kept before it is given.
    """
    after, mark, claim = orjson.loads(call.body)
    found = await group.store.read_for(call.uid, messages.pull, call.uid, after, claim)
    if found.begin not in (NOTHING, mark):
        await group.store.write(cursors.begin_inbox_at, call.uid, call.client_id, found.begin, found.head)
    return Reply(Code.SUCCESS, pulled.encode(found))


async def history(group: Group, call: Call, request: pb.LoadRemoteMessages) -> bytes:
    where = request.conversation
    reader = ""
    if where.type == ConversationType.GROUP:
        await members_with(group, where.target, call.uid)
        reader = call.uid
    elif where.type != ConversationType.PRIVATE:
        raise not_in(where.type)
    key = conversation_key(where.type, where.line, where.target, call.uid)
    before, count = max(request.before_uid, 0), max(request.count, 0)
    bodies = await group.store.read_for(call.uid, messages.history, key, before, count, reader)
    return pull_result(map(pull_entry, bodies), 0, 0)


HANDLERS = Handlers(
    requests={
        SubSignal.LRM: history,
    },
    raw={
        Method.PULL: pull,
    },
    direct={
        SubSignal.MS: send,
    },
)
