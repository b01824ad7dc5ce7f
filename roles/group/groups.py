"""Groups: GC, GAM, GKM, GQ, GD and GMI change them, GPGI and GPGM read them (contract.md sections 7 and 8)."""

import base64
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import (
    Code,
    ContentType,
    GroupInfoType,
    GroupType,
    MemberType,
    SubSignal,
)
from fsharechat.protocol.sizes import GROUP, MAX_ENTRIES_BYTES, MEMBER, sent_size
from fsharechat.rpc import Call
from fsharechat.store import friends, groups, messages, webhooks
from fsharechat.store.groups import Info, NewMember, Silence
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit, rows_within
from roles.group.group_changes import NOTHING, Announcement, Change, GroupChanges, tell
from roles.group.group_rights import (
    as_added,
    check_add,
    check_kick,
    check_member,
    check_modify,
    check_owner,
    check_quit,
)
from roles.group.handlers import Handlers
from roles.group.tokens import TokenSigner

MAX_GROUPS = 2000
"""The most groups in one GPGI."""

MAX_ID = 64
MAX_ALIAS = 64
MAX_NAME, MAX_PORTRAIT, MAX_EXTRA = 255, 2048, 16000

_FIELDS: dict[GroupInfoType, tuple[str, int, int | None]] = {
    GroupInfoType.NAME: ("name", MAX_NAME, ContentType.GROUP_RENAMED),
    GroupInfoType.PORTRAIT: ("portrait", MAX_PORTRAIT, ContentType.GROUP_PORTRAIT_CHANGED),
    GroupInfoType.EXTRA: ("extra", MAX_EXTRA, None),
}
"""For each kind of GMI: the field that it sets, the most characters, and the message type that tells of it."""

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
    made = Info(id, info.name, portrait, call.uid, info.type, info.extra, 0, False, 0, 0)
    unit = partial(_create, info=made, wanted=wanted, limit=limit)
    await changes.make(call, request, id, None, wanted, (info.name, info.extra), unit)
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
    await changes.carry_out(call, request, check_add, wanted, (), _add, wanted, limit)


def _add(
    dialect: Dialect,
    change: Change,
    info: Info,
    members: dict[str, int],
    wanted: Sequence[NewMember],
    limit: int,
) -> Unit[Announcement]:
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
    await changes.carry_out(call, request, check_kick, (), (), _kick, list(request.removed_member))


def _kick(
    dialect: Dialect, change: Change, info: Info, members: dict[str, int], uids: Sequence[str]
) -> Unit[Announcement]:
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
    await changes.carry_out(call, request, check_quit, (), (), _quit)


async def leave_for_good(changes: GroupChanges, uid: str, group_id: str) -> None:
    """Take a user who is deleted out of a group. The oldest member follows an owner. Raises Refusal."""
    call, request = Call(SubSignal.GQ, uid, "", b""), pb.QuitGroupRequest(group_id=group_id)

    def may(_: Info, uid: str, members: Mapping[str, int]) -> None:
        check_member(uid, members)

    await changes.carry_out(call, request, may, (), (), _quit)


def _quit(dialect: Dialect, change: Change, info: Info, members: dict[str, int]) -> Unit[Announcement]:
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
    await changes.carry_out(call, request, check_owner, (), (), end)


def end(dialect: Dialect, change: Change, info: Info, members: dict[str, int]) -> Unit[Announcement]:
    """Dismiss a locked group, whoever wanted it."""
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
    await changes.carry_out(call, request, may, (), texts, _modify, what, request.value)


def _check_field(kind: int, value: str) -> None:
    if kind not in tuple(GroupInfoType) or len(value) > _FIELDS[GroupInfoType(kind)][1]:
        raise Refusal(Code.INVALID_PARAMETER)


def _modify(
    dialect: Dialect, change: Change, info: Info, members: dict[str, int], kind: GroupInfoType, value: str
) -> Unit[Announcement]:
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
