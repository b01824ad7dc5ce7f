"""Sending, pulling and reading back messages: MS, MP and LRM (contract.md sections 6 to 8)."""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b

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
    ContentType,
    ConversationType,
    MemberType,
    PersistFlag,
    SubSignal,
    UserStatus,
)
from fsharechat.rpc import Call, Method, Reply, make_reply
from fsharechat.rpc.payloads import encode_pulled
from fsharechat.store import cursors, groups, inboxes, messages
from fsharechat.store.groups import GroupMembers
from fsharechat.store.inboxes import NOTHING
from fsharechat.store.messages import Audience, NewMessage, Stored, conversation_key
from fsharechat.store.store import Store
from fsharechat.store.users import Rights
from fsharechat.tracing import trace_of
from roles.group.before_send import BeforeSend
from roles.group.calls import GroupCalls, is_group_call
from roles.group.clock import ServerClock
from roles.group.handlers import Direct, Handlers, HandlerServices, carry_out, code_of
from roles.group.outbox import EventOutbox
from roles.group.robots import Robots
from roles.group.sleepers import Sleepers
from roles.group.standing import Standing, check_heard, not_in
from roles.group.words import WordFilter, texts_of

log = structlog.get_logger(__name__)

# On the path of every message, so read once (protocol/numbers.py).
_PRIVATE, _GROUP = ConversationType.PRIVATE, ConversationType.GROUP
_TEXT, _CALL_START = ContentType.TEXT, ContentType.CALL_START
_SUCCESS = Code.SUCCESS
_NORMAL = UserStatus.NORMAL
_TRANSPARENT = PersistFlag.TRANSPARENT

_OWN_DEVICES_HEAR = frozenset({ContentType.CALL_ANSWER, ContentType.CALL_ANSWER_AUDIO})
"""What the sender's other devices are pushed too: they ring no more (calls.md section 9.2)."""


Waiting = tuple[Call, pb.Message, "asyncio.Future[Reply]"]
"""A message that waits for an earlier one of its sender, and the future of its answer."""


class Sending:
    """MS: keeps the messages of each sender in order, and stores or pushes them."""

    def __init__(
        self,
        store: Store,
        clock: ServerClock,
        standing: Standing,
        word_filter: WordFilter,
        outbox: EventOutbox,
        sleepers: Sleepers,
        calls: GroupCalls,
        robots: Robots,
        before_send: BeforeSend,
    ) -> None:
        self._store = store
        self._now = clock.now
        self._standing = standing
        self._rights = standing.rights
        self._members = standing.members
        self._words = word_filter
        self._outbox = outbox
        self._sleepers = sleepers
        self._calls = calls
        self._robots = robots
        self._agents = robots.agents
        self._before = before_send
        self._asks = before_send.on
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, deque[Waiting]] = {}
        """Senders with a message that waits, but not for the store, and their later messages."""

    def send(self, call: Call) -> asyncio.Future[Reply]:
        """Store a message, or push it if it is transparent. The payload of the reply is its id and time.

        If all needed facts are cached and allow the message, this is done at once, without a task. The messages of a
        sender keep their order: if one must wait, for a read or because its text is large, the later ones wait too. A
        transparent message to a group always waits for a read, because no transaction checks its receivers again.
        """
        try:
            message = _parsed(call)
            waiting = self._waiting.get(call.uid)
            if waiting is None:
                return self._send_now_or_later(call, message)
        except Refusal as refusal:
            return self._resolved(Reply(refusal.code))
        future: asyncio.Future[Reply] = self._loop.create_future()
        waiting.append((call, message, future))
        return future

    def _send_now_or_later(self, call: Call, message: pb.Message) -> asyncio.Future[Reply]:
        """Send a message; no later message of its sender waits yet. Raises Refusal."""
        words = self._words
        sender = self._rights.peek(call.uid)
        conversation = message.conversation
        if conversation.type == _PRIVATE:
            target: Rights | GroupMembers | None = self._rights.peek(conversation.target)
        elif conversation.type == _GROUP:
            target = self._members.peek(conversation.target)
        else:
            raise not_in(conversation.type)
        if sender is None or target is None or (words.any and words.looks_later(len(call.body))):
            return self._send_later(call, message)
        content = message.content
        if self._asks and self._before.asks(call, message):
            return self._send_later(call, message)
        if isinstance(target, GroupMembers) and (
            call.uid not in target.types or _is_transparent(content) or content.type == _CALL_START
        ):
            return self._send_later(call, message)
        try:
            receivers, audience = _may_send(call.uid, message, sender, target)
        except Refusal:
            return self._send_later(call, message)  # cached facts may be old: they refuse nobody
        if words.any and words.refuses(content):
            raise Refusal(Code.SENSITIVE_WORD)
        return self._send(call, message, receivers, audience)

    def _send_later(self, call: Call, message: pb.Message) -> asyncio.Future[Reply]:
        if not message.IsInitialized():
            raise Refusal(Code.INVALID_DATA)
        waiting: deque[Waiting] = deque()
        self._waiting[call.uid] = waiting

        async def send_first(call: Call) -> Reply:
            if is_group_call(message) and message.content.type != _CALL_START:
                if message.content.type == ContentType.CALL_ANSWER:
                    await self._standing.members_with(message.conversation.target, call.uid)
                return await self._calls.signal(call, message, release)
            receivers, audience = await self._parties(call.uid, message)
            if await self._words.forbids(call.uid, texts_of(message.content)):
                raise Refusal(Code.SENSITIVE_WORD)
            known = None
            if self._asks and not _is_transparent(message.content) and self._before.asks(call, message):
                known = _known_by(call, message)  # a resend is known by what the client has sent
                if known[0] and (earlier := await self._store.read(messages.first_copy, call.uid, *known)):
                    return await self._first_copy(earlier)
                await self._before.decide(call, message, known[0])
            if known is not None or self._words.looks_later(len(call.body)):
                receivers, audience = await self._parties(
                    call.uid, message
                )  # they may have changed meanwhile
            if is_group_call(message):
                return await self._start_call(call, message)
            stored = self._send(call, message, receivers, audience, known)
            release()
            return await stored

        def release(_: object = None) -> None:
            """Let the next messages go: this one is in the store's queue, or has failed."""
            if self._waiting.get(call.uid) is waiting:
                del self._waiting[call.uid]
                self._send_waiting(waiting)

        task = self._loop.create_task(carry_out(send_first, call))
        task.add_done_callback(release)
        return task

    async def _start_call(self, call: Call, message: pb.Message) -> Reply:
        """Open the room of a call in a group; the message invites into it (calls.md section 9.4). Raises Refusal."""
        members = await self._standing.members_with(message.conversation.target, call.uid)
        opening = await self._calls.open(call, message, members.types)
        if opening.room is None:
            return Reply(_SUCCESS, sent_payload(call.message_id, self._now()))
        everybody = opening.everybody and not members.logged
        only = () if everybody else {call.uid, *opening.receivers}
        audience = Audience(message.conversation.target, members.version, only)
        try:
            reply = await self._send(call, message, opening.receivers, audience)
        except Refusal:
            await self._calls.failed(opening)
            raise
        if reply.code == _SUCCESS:
            await self._calls.begun(opening)
        else:
            await self._calls.failed(opening)
        return reply

    def _send_waiting(self, waiting: deque[Waiting]) -> None:
        """Send the waiting messages of one sender, until one of them must wait for something else."""
        while waiting:
            call, message, future = waiting.popleft()
            if future.done():
                continue  # its deadline has passed, and the caller has been told
            try:
                sent = self._send_now_or_later(call, message)
            except Refusal as refusal:
                future.set_result(Reply(refusal.code))
                continue
            sent.add_done_callback(partial(_hand_on, future))
            if (behind := self._waiting.get(call.uid)) is not None:
                behind.extend(waiting)
                return

    async def _parties(self, uid: str, message: pb.Message) -> tuple[Sequence[str], Audience | None]:
        """Do the same as `_may_send`, but read uncached facts, and read refusing ones again. Raises Refusal."""
        sender = await self._standing.rights_of(uid)
        target = await self._target(uid, message)
        try:
            return _may_send(uid, message, sender, target)
        except Refusal:
            self._rights.drop([uid])
            if isinstance(target, Rights):
                self._rights.drop([message.conversation.target])
            else:
                await self._drop_if_old(message.conversation.target)
                if target.types.get(uid) == MemberType.SILENCED:
                    await self._standing.silence_ends(message.conversation.target, uid, self._now())
            return _may_send(
                uid, message, await self._standing.rights_of(uid), await self._target(uid, message)
            )

    async def _target(self, uid: str, message: pb.Message) -> Rights | GroupMembers:
        """Return the target of a message. Read it again if the sender seems not to be a member. Raises Refusal."""
        name = message.conversation.target
        if message.conversation.type == _PRIVATE:
            return await self._standing.rights_of(name)
        if _is_transparent(message.content):
            await self._drop_if_old(name)
        return await self._standing.members_with(name, uid)

    async def _drop_if_old(self, name: str) -> None:
        """Forget the cached members of a group that are no longer its members."""
        known = self._members.peek(name)
        if known is not None and await self._store.read(groups.version, name) != known.version:
            self._members.drop([name])

    def _send(
        self,
        call: Call,
        message: pb.Message,
        receivers: Sequence[str],
        audience: Audience | None,
        known: tuple[int, int] | None = None,
    ) -> asyncio.Future[Reply]:
        """Store or push a message that may be sent. Raises Refusal. The future does not fail.

        `known` is what a resend is known by, if the message is not any more what the client has sent.
        """
        conversation, content = message.conversation, message.content
        local_id, digest = known or _known_by(call, message)
        timestamp = self._now()
        message.message_id = call.message_id
        message.server_timestamp = timestamp
        try:
            body = message.SerializeToString()
        except EncodeError:  # a required field is missing
            raise Refusal(Code.INVALID_DATA) from None
        if _is_transparent(content):
            self._outbox.push(body, receivers)
            if content.type in _OWN_DEVICES_HEAR:
                self._outbox.push_to_others(body, call.uid, call.uid, (call.client_id,))
            return self._resolved(Reply(_SUCCESS, sent_payload(call.message_id, timestamp)))
        future: asyncio.Future[Reply] = self._loop.create_future()

        def stored(outcome: Stored | StoreError) -> None:
            if isinstance(outcome, Stored) and outcome.outdated:
                self._members.drop([conversation.target])
            if isinstance(outcome, StoreError):
                log.log(
                    outcome.log_level,
                    "message not stored",
                    uid=call.uid,
                    trace=trace_of(call),
                    error=str(outcome),
                )
                reply = Reply(code_of(outcome))
            elif not outcome.id:
                reply = Reply(Code.NOT_IN_GROUP)
            elif not outcome.entries:
                self._answer_resend(call, outcome.id, future)
                return
            else:
                self._outbox.deliver(outcome.id, body, outcome.entries, call.uid, call.client_id)
                if self._agents and content.type == _TEXT:
                    self._robots.heard(call.uid, message)
                if audience is not None and not audience.only:
                    self._sleepers.stored(audience.group, self._members.peek(audience.group), outcome.entries)
                seq = outcome.entries[0].seq  # of the sender
                reply = make_reply((_SUCCESS, sent_payload(outcome.id, timestamp, seq)))
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
        if audience is not None and audience.logged and (members := self._members.peek(audience.group)):
            new.expected = self._sleepers.expected(audience.group, members)
        try:
            self._store.append(new, stored)
        except StoreError as error:
            stored(error)
        return future

    def _answer_resend(self, call: Call, id: int, future: asyncio.Future[Reply]) -> None:
        """Answer with the id and the time of the first copy. Only resends pay for reading the time."""
        log.debug("message sent again", trace=trace_of(call), uid=call.uid, first=str(id))

        async def answer(call: Call) -> Reply:
            return await self._first_copy(id)

        def answered(task: asyncio.Task[Reply]) -> None:
            if not future.done():  # the caller's deadline may have come first
                future.set_result(task.result())

        self._loop.create_task(carry_out(answer, call)).add_done_callback(answered)

    async def _first_copy(self, id: int) -> Reply:
        body = await self._store.read(messages.body, id)
        if body is None:
            raise StoreError("the first copy of a message was not found again")
        return Reply(_SUCCESS, sent_payload(id, pb.Message.FromString(body).server_timestamp))

    def _resolved(self, reply: Reply) -> asyncio.Future[Reply]:
        future: asyncio.Future[Reply] = self._loop.create_future()
        future.set_result(reply)
        return future


def _hand_on(future: asyncio.Future[Reply], sent: asyncio.Future[Reply]) -> None:
    if not future.done():
        future.set_result(sent.result())


def _parsed(call: Call) -> pb.Message:
    try:
        message = pb.Message.FromString(call.body)
        check_content(message.content)
    except DecodeError:
        raise Refusal(Code.INVALID_DATA) from None
    message.from_user = call.uid  # whatever the client wrote
    if message.edited_dt:
        message.ClearField("edited_dt")
    if type(message.conversation.target) is not str:  # the runtime gives text that is not UTF-8 as bytes
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
    """Return the receivers of a message, without its sender. Raises Refusal if the sender may not send it."""
    if sender.status != _NORMAL:
        check_heard(sender)
    if message.content.type in SYSTEM_TYPES:
        raise Refusal(Code.INVALID_PARAMETER)
    if isinstance(target, GroupMembers):
        return _group_receivers(uid, message, target)
    if uid in target.blacklist:
        raise Refusal(Code.BLACKLISTED)
    other = message.conversation.target
    return (() if other == uid else (other,)), None


def _known_by(call: Call, message: pb.Message) -> tuple[int, int]:
    """Return the local id and the digest by which a resend is recognised (contract.md section 6).

    If the client gives no local id, one is made from the frame and the login session, if there is a session.
    """
    if not message.local_message_id:
        if not call.issued_ms:
            return 0, 0
        frame = f"{call.client_id}\0{call.issued_ms}\0{call.frame_id}"
        return _number(frame.encode()), _number(call.body)
    message.ClearField("message_id")  # clients write a different value there in a resend
    message.ClearField("server_timestamp")
    return message.local_message_id, _number(message.SerializePartialToString())


def _number(data: bytes) -> int:
    """Return 64 bits that stand for the data, never 0.

    They are stored, and a resend may come to another version of this program: they must never change.
    """
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True) or 1


def _group_receivers(uid: str, message: pb.Message, target: GroupMembers) -> tuple[Sequence[str], Audience]:
    """Return the receivers of a group message, without its sender. Raises Refusal if the sender may not send it.

    If the group has a log they are not listed: the store knows which of them are awake.
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
    """Return the members that a group message names as receivers. None named: it is for all."""
    return {uid for uid in (message.to_user, *message.to) if uid}


def _is_transparent(content: pb.MessageContent) -> bool:
    """Return whether a message goes only to devices that are online.

    A flag of 0 means "not stored". Web clients send no flag, and mean a stored message.
    """
    if content.type in TRANSPARENT_TYPES:
        return True
    flag = content.persist_flag
    if flag != _TRANSPARENT and (flag or not content.HasField("persist_flag")):
        return False
    return content.type != _CALL_START  # which is stored, whatever the flag says


async def pull(store: Store, call: Call) -> Reply:
    """Read an inbox for a connector. The connector cuts the answer to its size and keeps the device's mark.

    For a device that has nothing, the first entries given set its mark. The mark is kept before they are given.
    """
    after, mark, claim = orjson.loads(call.body)
    found = await store.read_for(call.uid, inboxes.pull, call.uid, after, claim)
    if found.begin not in (NOTHING, mark):
        await store.write(cursors.begin_inbox_at, call.uid, call.client_id, found.begin, found.head)
    return Reply(_SUCCESS, encode_pulled(found))


async def history(store: Store, standing: Standing, call: Call, request: pb.LoadRemoteMessages) -> bytes:
    where = request.conversation
    reader = ""
    if where.type == _GROUP:
        await standing.members_with(where.target, call.uid)
        reader = call.uid
    elif where.type != _PRIVATE:
        raise not_in(where.type)
    key = conversation_key(where.type, where.line, where.target, call.uid)
    before, count = max(request.before_uid, 0), max(request.count, 0)
    bodies = await store.read_for(call.uid, messages.history, key, before, count, reader)
    return pull_result(map(pull_entry, bodies), 0, 0)


def sending(services: HandlerServices, robots: Robots) -> Direct:
    send = services.bind(Sending)().send
    robots.send = send
    return send


HANDLERS = Handlers(
    requests={
        SubSignal.LRM: history,
    },
    raw={
        Method.PULL: pull,
    },
    direct={
        SubSignal.MS: sending,
    },
)
