"""How a group is changed: the rights are checked, the change is stored, and its members are told.

A change, its versions and the message about it are one unit of work, on the locked row of the group. The message has
the id that the connector gave to the request. So a repeated call finds that it has been carried out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Concatenate, NamedTuple, ParamSpec

import orjson

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import time_of
from fsharechat.protocol.signals import (
    TRANSPARENT_TYPES,
    Code,
    ConversationType,
    MemberType,
    PersistFlag,
    UserStatus,
)
from fsharechat.rpc import Call
from fsharechat.store import groups, messages, webhooks
from fsharechat.store.groups import Info, NewMember
from fsharechat.store.messages import AS_IT_IS, Audience, NewMessage, Stored, conversation_key
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.clock import ServerClock
from roles.group.group_rights import check_may_say
from roles.group.outbox import EventOutbox
from roles.group.portraits import Portraits
from roles.group.standing import Standing, check_heard, check_not_blocked
from roles.group.tokens import TokenSigner
from roles.group.turns import Turns
from roles.group.words import WordFilter, texts_of

MAX_NOTICE_BYTES = 64 << 10
"""The largest message inside a request, bytes: it is no place for a picture."""

_STORED = (PersistFlag.STORED, PersistFlag.STORED_AND_COUNTED)


@dataclass(frozen=True, slots=True)
class Notice:
    """The parts of a request for the message that tells of the change.

    `id` is the id of the message, `now` its time in ms. `content` is the message that the request brought, if any.
    """

    id: int
    now: int
    operator: str
    group_id: str
    line: int = 0
    content: pb.MessageContent | None = None

    def message(
        self,
        kind: int,
        members: Mapping[str, int],
        *,
        name: str | None = None,
        uids: Sequence[str] | None = None,
        said: str = "",
        about: Mapping[str, int] | None = None,
    ) -> NewMessage:
        """Return the message to `members` (MemberType by uid): the content of the request, or one of type `kind`.

        The content of a silenced user is not used. `name` and `uids` are the changed values, None for other changes.
        `said` is the text of a tip, `about` has further keys of its data.
        """
        content = self.content
        if content is None or members.get(self.operator) == MemberType.SILENCED:
            told = {"g": self.group_id, "o": self.operator, "n": name, "ms": uids, **(about or {})}
            data = orjson.dumps({key: value for key, value in told.items() if value is not None})
            content = pb.MessageContent(type=kind, data=data, persist_flag=PersistFlag.STORED)
            if said:
                content.content = said
        where = pb.Conversation(type=ConversationType.GROUP, target=self.group_id, line=self.line)
        message = pb.Message(
            conversation=where,
            from_user=self.operator,
            content=content,
            message_id=self.id,
            server_timestamp=self.now,
        )
        key = conversation_key(where.type, where.line, where.target, self.operator)
        receivers = [uid for uid in members if uid != self.operator]
        audience = Audience(self.group_id, AS_IT_IS)
        body = message.SerializeToString()
        return NewMessage(self.id, self.operator, 0, key, body, receivers, audience=audience)


def brought(content: pb.MessageContent) -> pb.MessageContent | None:
    """Return the notice that a request brought, if it can be stored. Else the server makes one."""
    stored = content.persist_flag in _STORED or not content.HasField("persist_flag")
    return content if content.type > 0 and content.type not in TRANSPARENT_TYPES and stored else None


P = ParamSpec("P")
May = Callable[[Info, str, Mapping[str, int]], None]
"""Raises Refusal unless a user may change a group. Of the members it looks only at that user."""
ChangeRequest = (
    pb.AddGroupMemberRequest
    | pb.RemoveGroupMemberRequest
    | pb.QuitGroupRequest
    | pb.DismissGroupRequest
    | pb.ModifyGroupInfoRequest
    | pb.ModifyGroupAliasRequest
    | pb.TransferGroupRequest
    | pb.SetMemberTypeRequest
)


class Announcement(NamedTuple):
    """The messages about a change, and their seqs. Empty if there was nothing left to change."""

    messages: Sequence[NewMessage] = ()
    stored: Sequence[Stored] = ()


NOTHING = Announcement()


class Change(NamedTuple):
    """The common part of all changes of groups."""

    notice: Notice
    retried: bool

    says: bool = False
    """Whether it has a text that the members will read."""

    @property
    def now(self) -> int:
        """The time of the change in ms, for versions. It is never below the time in the ids of earlier messages.

        So the id of a message tells who was a member when it was sent, whatever the clocks have done since.
        """
        return max(self.notice.now, time_of(self.notice.id))

    @property
    def operator(self) -> str:
        return self.notice.operator

    @property
    def group_id(self) -> str:
        return self.notice.group_id

    def note(self, dialect: Dialect, kind: str, **data: object) -> Unit[None]:
        """Note the change for webhooks that hear of this kind."""
        about = {"operator": self.operator, **data}
        yield from webhooks.note(dialect, kind, self.group_id, self.now, about)


@dataclass(frozen=True)
class GroupChanges:
    """Carries out changes of groups. `limit` is the most members of a group."""

    store: Store
    clock: ServerClock
    standing: Standing
    word_filter: WordFilter
    outbox: EventOutbox
    portraits: Portraits
    tokens: TokenSigner
    turns: Turns
    limit: int

    async def carry_out(
        self,
        call: Call,
        request: ChangeRequest,
        may: May,
        new: Sequence[NewMember],
        texts: Sequence[str],
        unit: Callable[Concatenate[Dialect, Change, Info, dict[str, int], P], Unit[Announcement]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Change a group (see `changing`), and tell of it. `new` and `texts` are as for `make`."""

        def changed(dialect: Dialect, change: Change) -> Unit[Announcement]:
            return changing(dialect, change, may, unit, *args, **kwargs)

        await self.make(call, request, request.group_id, may, new, texts, changed)

    async def make(
        self,
        call: Call,
        request: ChangeRequest | pb.CreateGroupRequest,
        group_id: str,
        may: May | None,
        new: Sequence[NewMember],
        texts: Sequence[str],
        unit: Callable[[Dialect, Change], Unit[Announcement]],
    ) -> None:
        """Make or change a group by a unit of work, and tell of it.

        `new` are the users who may become members by it, `texts` are the texts that others will read. `may` is asked
        before: the unit locks all members, and a user without the right must not cause that.
        """
        texts = [text for text in (*texts, *(member.alias for member in new)) if text]
        rights = await self.standing.check_rights(call.uid, check_heard if texts else check_not_blocked)
        if may is not None and not call.retried:  # (the first try may have been the last that they might)
            info, seats = await self.store.read_for(call.uid, groups.seat, group_id, call.uid)
            if info is None:
                raise Refusal(Code.NOT_EXIST)
            if seats.get(call.uid) == MemberType.SILENCED:
                seats = await self._if_still_silenced(group_id, call.uid, seats)
            may(info, call.uid, seats)
            if texts:
                check_may_say(call.uid, seats)
        content = brought(request.notify_content) if rights.status == UserStatus.NORMAL else None
        if content is not None and content.ByteSize() > MAX_NOTICE_BYTES:
            raise Refusal(Code.INVALID_PARAMETER)
        said = texts_of(content) if content is not None else ()
        if await self.word_filter.forbids(call.uid, (*said, *texts)):
            raise Refusal(Code.SENSITIVE_WORD)
        line = request.to_line[0] if request.to_line else 0
        notice = Notice(
            call.message_id or self.clock.next_id(), self.clock.now(), call.uid, group_id, line, content
        )
        members = await self.standing.members.get(group_id)
        uids = [call.uid, *(members.types if members else ()), *(member.uid for member in new)]
        change = Change(notice, call.retried, says=bool(texts))
        async with self.turns.turn(call.uid):
            told = await self.store.write_group(group_id, uids, unit, change)
        self.standing.group_changed(group_id)
        self.portraits.want(group_id)
        self.outbox.announce(told.messages, told.stored)

    async def _if_still_silenced(self, group_id: str, uid: str, seats: dict[str, int]) -> dict[str, int]:
        """Return the seat of a silenced member, as it is once a silence that is over has ended."""
        if await self.standing.silence_ends(group_id, uid, self.clock.now()):
            return {uid: MemberType.NORMAL}
        return seats


def changing(
    dialect: Dialect,
    change: Change,
    may: May,
    unit: Callable[Concatenate[Dialect, Change, Info, dict[str, int], P], Unit[Announcement]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Unit[Announcement]:
    """Lock a group, check what the operator may, and change it by `unit`, which gets the group and its members.

    Nothing happens if the first try of a retried call did it. Raises Refusal.
    """
    info = yield from groups.locked(dialect, change.group_id)
    if change.retried and (yield from messages.is_stored(dialect, change.notice.id)):
        return NOTHING
    if info is None or info.dismissed:
        raise Refusal(Code.NOT_EXIST)
    members = yield from groups.present(info.id)
    may(info, change.operator, members)
    if change.says:
        check_may_say(change.operator, members)
    return (yield from unit(dialect, change, info, members, *args, **kwargs))


def tell(dialect: Dialect, message: NewMessage) -> Unit[Announcement]:
    return Announcement([message], (yield from messages.append(dialect, [message])))
