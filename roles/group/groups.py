"""Groups: GC, GAM, GKM, GQ, GD and GMI change them, GPGI and GPGM read them (contract.md sections 7 and 8).

A change, its versions and the message about it are one unit of work, on the locked row of the group. The message has
the id that the connector gave to the request. So a repeated call finds that it has been carried out.
"""

import base64
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, NamedTuple, ParamSpec

import orjson

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import time_of
from fsharechat.protocol.signals import (
    TRANSPARENT_TYPES,
    Code,
    ContentType,
    ConversationType,
    GroupInfoType,
    GroupType,
    MemberType,
    PersistFlag,
    SubSignal,
    UserStatus,
)
from fsharechat.protocol.sizes import GROUP, MAX_ENTRIES_BYTES, MEMBER, sent_size
from fsharechat.rpc import Call
from fsharechat.store import friends, groups, messages, webhooks
from fsharechat.store.groups import Info, NewMember, OldSilence, Silence
from fsharechat.store.messages import AS_IT_IS, Audience, NewMessage, Stored, conversation_key
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit, rows_within
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers
from roles.group.outbox import EventOutbox
from roles.group.portraits import Portraits
from roles.group.standing import Standing, check_heard, check_not_blocked
from roles.group.tokens import TokenSigner
from roles.group.turns import Turns
from roles.group.words import WordFilter, texts_of

# Rights: who may change what (contract.md sections 5 and 8)

GIVEN = (MemberType.NORMAL, MemberType.MANAGER, MemberType.SILENCED)
"""The types that an owner may give to new members."""


def check_add(group: Info, uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may add members."""
    check_member(uid, members)
    if group.type == GroupType.RESTRICTED and uid != group.owner:
        raise Refusal(Code.NO_RIGHT)


def check_modify(group: Info, uid: str, members: Mapping[str, int], what: int) -> None:
    """Raise Refusal unless a user may change the field `what` (GroupInfoType) of a group."""
    check_member(uid, members)
    anybody = group.type != GroupType.RESTRICTED and what == GroupInfoType.NAME
    if not anybody and uid != group.owner:
        raise Refusal(Code.NO_RIGHT)


def check_kick(group: Info, uid: str, _: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may remove members: the owner, and in a free group nobody."""
    if uid != group.owner or group.type == GroupType.FREE:
        raise Refusal(Code.NO_RIGHT)


def check_dismiss(group: Info, uid: str, _: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may dismiss a group."""
    if uid != group.owner:
        raise Refusal(Code.NO_RIGHT)


def check_quit(group: Info, uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may leave a group."""
    check_member(uid, members)
    if uid == group.owner and group.type != GroupType.FREE:
        raise Refusal(Code.NO_RIGHT)


def check_may_say(uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal if the user is silenced in the group and wants to say something there."""
    if members.get(uid) == MemberType.SILENCED:
        raise Refusal(Code.NO_RIGHT)


def as_added(member: NewMember, by_owner: bool, silence: OldSilence | None) -> NewMember:
    """Return a new member with the right type. Only the owner may name managers and silenced members.

    A member who left while silenced is still silenced, unless the owner removed them and adds them again.
    """
    if silence is not None and not (by_owner and silence.how == Silence.KICKED):
        return member._replace(type=MemberType.SILENCED, until=silence.until)
    return member._replace(type=member.type if by_owner and member.type in GIVEN else MemberType.NORMAL)


def check_member(uid: str, members: Mapping[str, int]) -> None:
    if uid not in members:
        raise Refusal(Code.NOT_IN_GROUP)


# Notices: the messages that tell the members what has changed (section 8)

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


MAX_GROUPS = 2000
"""The most groups in one GPGI."""

MAX_ID = 64
MAX_ALIAS = 64
MAX_NAME, MAX_PORTRAIT, MAX_EXTRA = 255, 2048, 16000
MAX_NOTICE_BYTES = 64 << 10
"""The largest message inside a request, bytes: it is no place for a picture."""

_FIELDS: dict[GroupInfoType, tuple[str, int, int | None]] = {
    GroupInfoType.NAME: ("name", MAX_NAME, ContentType.GROUP_RENAMED),
    GroupInfoType.PORTRAIT: ("portrait", MAX_PORTRAIT, ContentType.GROUP_PORTRAIT_CHANGED),
    GroupInfoType.EXTRA: ("extra", MAX_EXTRA, None),
}
"""For each kind of GMI: the field that it sets, the most characters, and the message type that tells of it."""

P = ParamSpec("P")
May = Callable[[Info, str, Mapping[str, int]], None]
"""Raises Refusal unless a user may change a group. Of the members it looks only at that user."""
GroupRequest = (
    pb.CreateGroupRequest
    | pb.AddGroupMemberRequest
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
        request: GroupRequest,
        group_id: str,
        may: May | None,
        new: Sequence[NewMember],
        texts: Sequence[str],
        unit: Callable[Concatenate[Dialect, Change, P], Unit[Announcement]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Carry out a change and tell of it.

        `new` are the users who may become members by it, `texts` are the texts that others will read. `may` is also
        asked before: the change locks all members, and a user without the right must not cause that.
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
            told = await self.store.write_group(group_id, uids, unit, change, *args, **kwargs)
        self.standing.group_changed(group_id)
        self.portraits.want(group_id)
        self.outbox.announce(told.messages, told.stored)

    async def _if_still_silenced(self, group_id: str, uid: str, seats: dict[str, int]) -> dict[str, int]:
        """Return the seat of a silenced member, as it is once a silence that is over has ended."""
        if await self.standing.silence_ends(group_id, uid, self.clock.now()):
            return {uid: MemberType.NORMAL}
        return seats


def begin(dialect: Dialect, change: Change) -> Unit[Info | None]:
    """Return the group, locked; None when the first try of a retried call did it. Raises Refusal."""
    info = yield from groups.locked(dialect, change.group_id)
    if change.retried and (yield from messages.is_stored(dialect, change.notice.id)):
        return None
    if info is None or info.dismissed:
        raise Refusal(Code.NOT_EXIST)
    return info


def tell(dialect: Dialect, message: NewMessage) -> Unit[Announcement]:
    return Announcement([message], (yield from messages.append(dialect, [message])))


# Making


async def create(changes: GroupChanges, call: Call, request: pb.CreateGroupRequest) -> bytes:
    info = request.group.group_info
    if info.type not in tuple(GroupType):
        raise Refusal(Code.INVALID_PARAMETER)
    for kind, value in enumerate((info.name, info.portrait, info.extra)):
        _check_field(kind, value)
    id = info.target_id
    if not id:
        if not call.message_id:
            call = call._replace(message_id=changes.clock.next_id())
        id = new_id(changes.tokens, call.message_id)
    elif len(id) > MAX_ID or "|" in id or not id.isprintable() or id != id.strip():
        raise Refusal(Code.INVALID_PARAMETER)
    limit = changes.limit
    wanted = _wanted(request.group.members, limit)
    portrait = info.portrait
    if not portrait:
        portrait = await changes.portraits.first(id, [call.uid, *(member.uid for member in wanted)])
    await changes.carry_out(
        call,
        request,
        id,
        None,
        wanted,
        (info.name, info.extra),
        _create,
        Info(id, info.name, portrait, call.uid, info.type, info.extra, 0, False, 0, 0),
        wanted,
        limit,
    )
    return id.encode()


def new_id(tokens: TokenSigner, message_id: int) -> str:
    """Return the id of a group whose request has this id: the same when the call is made again, and not guessed."""
    return base64.b32encode(tokens.digest("group", str(message_id))[:10]).decode().lower()


def _create(
    dialect: Dialect, change: Change, info: Info, wanted: Sequence[NewMember], limit: int
) -> Unit[Announcement]:
    info = groups.members_changed(info, 0, change.now)
    if not (yield from groups.create(dialect, info)):
        if change.retried and (yield from messages.is_stored(dialect, change.notice.id)):
            return NOTHING
        raise Refusal(Code.GROUP_EXISTS)
    creator = NewMember(change.operator, MemberType.OWNER)
    members = [creator, *(yield from _new(dialect, info, creator.uid, wanted, (creator.uid,), change.now))]
    if len(members) > limit:
        raise Refusal(Code.INVALID_PARAMETER)
    yield from groups.put_members(dialect, info.id, members, info.member_update_dt)
    yield from groups.save(dialect, info._replace(member_count=len(members)))
    types = {member.uid: member.type for member in members}
    told = change.notice.message(ContentType.GROUP_CREATED, types, name=info.name)
    yield from change.note(
        dialect, webhooks.GROUP_CREATED, name=info.name, type=info.type, members=list(types)
    )
    return (yield from tell(dialect, told))


def _wanted(members: Iterable[pb.GroupMember], limit: int) -> list[NewMember]:
    """Return whom a request names, each once and no more than a group may have. Raises Refusal."""
    found: dict[str, NewMember] = {}
    for member in members:
        if len(member.alias) > MAX_ALIAS:
            raise Refusal(Code.INVALID_PARAMETER)
        found.setdefault(member.member_id, NewMember(member.member_id, member.type, member.alias))
    if len(found) > limit:
        raise Refusal(Code.INVALID_PARAMETER)
    return list(found.values())


def _new(
    dialect: Dialect,
    info: Info,
    operator: str,
    wanted: Sequence[NewMember],
    members: Container[str],
    now: int,
) -> Unit[list[NewMember]]:
    """Return those who exist, are no members and have not blacklisted the operator, as the types that they get."""
    new = [member for member in wanted if member.uid not in members]
    known = yield from groups.known_users(member.uid for member in new)
    known -= yield from friends.blacklisters(dialect, sorted(known), operator)
    silences = yield from groups.silences(dialect, info.id, sorted(known), now)
    by_owner = operator == info.owner
    return [as_added(member, by_owner, silences.get(member.uid)) for member in new if member.uid in known]


# Changing


async def add_members(changes: GroupChanges, call: Call, request: pb.AddGroupMemberRequest) -> None:
    limit = changes.limit
    wanted = _wanted(request.added_member, limit)
    may = check_add
    await changes.carry_out(call, request, request.group_id, may, wanted, (), _add, wanted, limit)


def _add(dialect: Dialect, change: Change, wanted: Sequence[NewMember], limit: int) -> Unit[Announcement]:
    info = yield from begin(dialect, change)
    if info is None:
        return NOTHING
    members = yield from groups.present(info.id)
    check_add(info, change.operator, members)
    if change.says:
        check_may_say(change.operator, members)
    new = yield from _new(dialect, info, change.operator, wanted, members, change.now)
    if not new:
        if (yield from friends.blacklisters(dialect, [member.uid for member in wanted], change.operator)):
            raise Refusal(Code.BLACKLISTED)
        return NOTHING
    if len(members) + len(new) > limit:
        raise Refusal(Code.INVALID_PARAMETER)
    info = groups.members_changed(info, len(members) + len(new), change.now)
    yield from groups.put_members(dialect, info.id, new, info.member_update_dt)
    yield from groups.save(dialect, info)
    uids = [member.uid for member in new]
    members.update((member.uid, member.type) for member in new)
    yield from change.note(dialect, webhooks.GROUP_MEMBERS_JOINED, members=uids)
    return (yield from tell(dialect, change.notice.message(ContentType.MEMBERS_ADDED, members, uids=uids)))


async def kick_members(changes: GroupChanges, call: Call, request: pb.RemoveGroupMemberRequest) -> None:
    may = check_kick
    await changes.carry_out(call, request, request.group_id, may, (), (), _kick, list(request.removed_member))


def _kick(dialect: Dialect, change: Change, uids: Sequence[str]) -> Unit[Announcement]:
    info = yield from begin(dialect, change)
    if info is None:
        return NOTHING
    check_kick(info, change.operator, {})
    members = yield from groups.present(info.id)
    gone = [uid for uid in dict.fromkeys(uids) if uid in members and uid != change.operator]
    if not gone:
        return NOTHING
    message = change.notice.message(ContentType.MEMBERS_KICKED, members, uids=gone)
    told = yield from tell(dialect, message)  # before the change: those who go are told too
    info = groups.members_changed(info, len(members) - len(gone), change.now)
    yield from groups.remove_members(dialect, info.id, gone, info.member_update_dt, Silence.KICKED)
    yield from groups.save(dialect, info)
    yield from change.note(dialect, webhooks.GROUP_MEMBERS_LEFT, members=gone, owner=info.owner)
    return told


async def quit_group(changes: GroupChanges, call: Call, request: pb.QuitGroupRequest) -> None:
    await changes.carry_out(call, request, request.group_id, check_quit, (), (), _quit, check_quit)


async def leave_for_good(changes: GroupChanges, uid: str, group_id: str) -> None:
    """Take a user who is deleted out of a group. The oldest member follows an owner. Raises Refusal."""
    call, request = Call(SubSignal.GQ, uid, "", b""), pb.QuitGroupRequest(group_id=group_id)

    def may(_: Info, uid: str, members: Mapping[str, int]) -> None:
        check_member(uid, members)

    await changes.carry_out(call, request, group_id, may, (), (), _quit, may)


def _quit(dialect: Dialect, change: Change, may: May) -> Unit[Announcement]:
    info = yield from begin(dialect, change)
    if info is None:
        return NOTHING
    members = yield from groups.present(info.id)
    may(info, change.operator, members)
    told = yield from tell(dialect, change.notice.message(ContentType.MEMBER_QUIT, members))
    info = groups.members_changed(info, len(members) - 1, change.now)
    yield from groups.remove_members(dialect, info.id, [change.operator], info.member_update_dt, Silence.LEFT)
    if info.owner == change.operator:
        owner = yield from groups.promote_eldest(dialect, info.id, info.member_update_dt)
        info = info._replace(owner=owner, dismissed=not owner)
    yield from groups.save(dialect, info)
    yield from change.note(dialect, webhooks.GROUP_MEMBERS_LEFT, members=[change.operator], owner=info.owner)
    if info.dismissed:
        yield from change.note(dialect, webhooks.GROUP_DISMISSED)
    return told


async def dismiss(changes: GroupChanges, call: Call, request: pb.DismissGroupRequest) -> None:
    await changes.carry_out(call, request, request.group_id, check_dismiss, (), (), _dismiss)


def _dismiss(dialect: Dialect, change: Change) -> Unit[Announcement]:
    info = yield from begin(dialect, change)
    if info is None:
        return NOTHING
    check_dismiss(info, change.operator, {})
    return (yield from end(dialect, change, info))


def end(dialect: Dialect, change: Change, info: Info) -> Unit[Announcement]:
    """Dismiss a locked group, whoever wanted it."""
    members = yield from groups.present(info.id)
    told = yield from tell(dialect, change.notice.message(ContentType.GROUP_DISMISSED, members))
    info = groups.members_changed(info, 0, change.now)._replace(dismissed=True)
    yield from groups.remove_all(dialect, info.id, info.member_update_dt)
    yield from groups.save(dialect, info)
    yield from change.note(dialect, webhooks.GROUP_DISMISSED)
    return told


async def modify(changes: GroupChanges, call: Call, request: pb.ModifyGroupInfoRequest) -> None:
    _check_field(request.type, request.value)
    what = GroupInfoType(request.type)
    may = partial(check_modify, what=what)
    texts = () if what == GroupInfoType.PORTRAIT else (request.value,)
    await changes.carry_out(call, request, request.group_id, may, (), texts, _modify, what, request.value)


def _check_field(kind: int, value: str) -> None:
    if kind not in tuple(GroupInfoType) or len(value) > _FIELDS[GroupInfoType(kind)][1]:
        raise Refusal(Code.INVALID_PARAMETER)


def _modify(dialect: Dialect, change: Change, kind: GroupInfoType, value: str) -> Unit[Announcement]:
    info = yield from begin(dialect, change)
    if info is None:
        return NOTHING
    members = yield from groups.present(info.id)
    check_modify(info, change.operator, members, kind)
    if change.says:
        check_may_say(change.operator, members)
    field, _, told_by = _FIELDS[kind]
    changes: dict[str, Any] = {field: value, "update_dt": groups.after(info.update_dt, change.now)}
    yield from groups.save(dialect, info._replace(**changes))
    yield from change.note(dialect, webhooks.GROUP_CHANGED, **{field: value})
    if told_by is None:
        if change.notice.content is None:
            return NOTHING
        told_by = change.notice.content.type
    name = value if kind == GroupInfoType.NAME else None
    return (yield from tell(dialect, change.notice.message(told_by, members, name=name)))


# Reading


async def pull_groups(store: Store, call: Call, request: pb.PullUserRequest) -> pb.PullGroupInfoResult:
    if len(request.request) > MAX_GROUPS:
        raise Refusal(Code.INVALID_PARAMETER)
    ids = list(dict.fromkeys(wanted.uid for wanted in request.request))
    found = await store.read_for(call.uid, _infos, ids)
    return pb.PullGroupInfoResult(info=[group_info(info) for _, info in found if info is not None])


def _infos(dialect: Dialect, ids: Sequence[str]) -> Unit[list[tuple[str, Info | None]]]:
    return (yield from rows_within(GROUP, ids, partial(groups.infos, dialect)))


def group_info(info: Info) -> pb.GroupInfo:
    return pb.GroupInfo(
        target_id=info.id,
        name=info.name,
        portrait=info.portrait,
        owner=info.owner,
        type=info.type,
        member_count=info.member_count,
        extra=info.extra,
        update_dt=info.update_dt,
        member_update_dt=info.member_update_dt,
    )


async def pull_members(
    store: Store, call: Call, request: pb.PullGroupMemberRequest
) -> pb.PullGroupMemberResult:
    """Answer all members: a client takes who is not among them for gone. Aliases come as far as there is room."""
    rows = await store.read_for(call.uid, groups.member_list, request.target, call.uid, request.head)
    room = MAX_ENTRIES_BYTES - len(rows) * (MEMBER + sent_size(request.target))
    room -= sum(len(uid) for uid, *_ in rows)
    result = pb.PullGroupMemberResult()
    for uid, alias, kind, update_dt, until in rows:
        room -= sent_size(alias) if alias else 0
        member = result.member.add(
            member_id=uid, alias=alias if room >= 0 else "", type=kind, update_dt=update_dt
        )
        if until and kind == MemberType.SILENCED:
            member.silenced_until = until
    return result


HANDLERS = Handlers(
    requests={
        SubSignal.GC: create,
        SubSignal.GAM: add_members,
        SubSignal.GKM: kick_members,
        SubSignal.GQ: quit_group,
        SubSignal.GD: dismiss,
        SubSignal.GMI: modify,
        SubSignal.GPGI: pull_groups,
        SubSignal.GPGM: pull_members,
    },
)
