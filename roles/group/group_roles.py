"""Who is what in a group: GSM, GTG and GMA (contract.md section 8), and GML, the groups of a user."""

from collections.abc import Mapping, Sequence

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, MemberType, SubSignal
from fsharechat.protocol.sizes import GROUP, MAX_ENTRIES_BYTES, sent_size
from fsharechat.rpc import Call
from fsharechat.store import groups, webhooks
from fsharechat.store.groups import Info, MyGroup
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.clock import ServerClock
from roles.group.group_changes import NOTHING, Announcement, Change, GroupChanges, tell
from roles.group.group_rights import GIVEN, check_alias, check_owner, check_set_type
from roles.group.groups import MAX_ALIAS, group_info
from roles.group.handlers import Handlers

NAMED = 10
"""How many members the text of a notice names."""

_NOW_SAID = {
    MemberType.NORMAL: "{} 现在是普通成员",
    MemberType.MANAGER: "{} 成为了管理员",
    MemberType.OWNER: "群主已转让给 {}",
    MemberType.SILENCED: "{} 被禁言",
}
"""The texts of the notices. Deployed clients show them as they are."""


async def set_type(changes: GroupChanges, call: Call, request: pb.SetMemberTypeRequest) -> None:
    kind, until = request.type, request.until
    if kind not in GIVEN or until < 0 or (until and kind != MemberType.SILENCED):
        raise Refusal(Code.INVALID_PARAMETER)
    if until and until <= changes.clock.now():
        raise Refusal(Code.INVALID_PARAMETER)
    if len(request.member_id) > changes.limit:
        raise Refusal(Code.INVALID_PARAMETER)
    uids = list(dict.fromkeys(request.member_id))
    await changes.carry_out(call, request, check_set_type, (), (), set_types, uids, MemberType(kind), until)


def set_types(
    dialect: Dialect,
    change: Change,
    info: Info,
    members: dict[str, int],
    uids: Sequence[str],
    kind: MemberType,
    until: int,
) -> Unit[Announcement]:
    """Set the type of members in the name of the operator, as far as that user may. Raises Refusal."""
    there = [uid for uid in uids if uid in members and uid != info.owner]
    if change.operator != info.owner:
        ruled = (MemberType.NORMAL, MemberType.SILENCED)
        if kind not in ruled or any(members[uid] not in ruled for uid in there):
            raise Refusal(Code.NO_RIGHT)
    # A silence may get another end. Else a member who is so already is not told of again.
    changed = [uid for uid in there if members[uid] != kind or kind == MemberType.SILENCED]
    if not changed:
        return NOTHING
    info = groups.members_changed(info, len(members), change.now)
    yield from groups.set_types(dialect, info.id, changed, kind, until, info.member_update_dt)
    yield from groups.save(dialect, info)
    members.update(dict.fromkeys(changed, kind))
    yield from change.note(
        dialect,
        webhooks.GROUP_ROLES_CHANGED,
        members=changed,
        role=kind.name.lower(),
        until=until,
        owner=info.owner,
    )
    return (yield from _tell(dialect, change, members, changed, kind, until))


async def transfer(changes: GroupChanges, call: Call, request: pb.TransferGroupRequest) -> None:
    await changes.carry_out(call, request, check_owner, (), (), hand_over, request.new_owner)


def hand_over(
    dialect: Dialect, change: Change, info: Info, members: dict[str, int], uid: str
) -> Unit[Announcement]:
    """Make another member the owner in place of the operator. Raises Refusal."""
    if uid not in members:
        raise Refusal(Code.NOT_EXIST)
    if uid == info.owner:
        return NOTHING
    info = groups.members_changed(info, len(members), change.now)._replace(owner=uid)
    for one, kind in ((change.operator, MemberType.NORMAL), (uid, MemberType.OWNER)):
        yield from groups.set_types(dialect, info.id, [one], kind, 0, info.member_update_dt)
        members[one] = kind
    yield from groups.save(dialect, info)
    role = MemberType.OWNER.name.lower()
    yield from change.note(
        dialect, webhooks.GROUP_ROLES_CHANGED, members=[uid], role=role, until=0, owner=uid
    )
    return (yield from _tell(dialect, change, members, [uid], MemberType.OWNER))


def _tell(
    dialect: Dialect,
    change: Change,
    members: Mapping[str, int],
    uids: Sequence[str],
    kind: MemberType,
    until: int = 0,
) -> Unit[Announcement]:
    """Tell the members who has which type now. It is a tip, because deployed clients know no other notice."""
    faces = yield from groups.faces_of(dialect, uids, NAMED)
    names = "、".join(face.name for face in faces)
    if len(uids) > len(faces):
        names += f" 等 {len(uids)} 人"
    said = _NOW_SAID[kind].format(names)
    about = {"t": int(kind), **({"u": until} if until else {})}
    told = change.notice.message(ContentType.TIP, members, uids=uids, said=said, about=about)
    return (yield from tell(dialect, told))


async def set_alias(changes: GroupChanges, call: Call, request: pb.ModifyGroupAliasRequest) -> None:
    alias = request.alias
    if len(alias) > MAX_ALIAS:
        raise Refusal(Code.INVALID_PARAMETER)
    await changes.carry_out(call, request, check_alias, (), (alias,), _set_alias, alias)


def _set_alias(
    dialect: Dialect, change: Change, info: Info, members: dict[str, int], alias: str
) -> Unit[Announcement]:
    info = groups.members_changed(info, len(members), change.now)
    yield from groups.set_alias(dialect, info.id, change.operator, alias, info.member_update_dt)
    yield from groups.save(dialect, info)
    brought = change.notice.content
    if brought is None:
        return NOTHING
    return (yield from tell(dialect, change.notice.message(brought.type, members)))


# Reading

PAGE = 200
"""The most groups in one page of a GML."""

LATE_MS = 60_000
"""A change may become visible so long after its version, ms. So a client is given a version that is so much older."""


async def my_groups(
    store: Store, clock: ServerClock, call: Call, request: pb.MyGroupsRequest
) -> pb.MyGroupsResult:
    version = max(clock.now() - LATE_MS, 1)
    found = await store.read_for(call.uid, groups.of_user, call.uid, request.version, request.after, PAGE + 1)
    result = pb.MyGroupsResult(version=version)
    size = 0
    for mine in found:
        one = _my_group(mine)
        info = one.group_info
        size += GROUP + sent_size(info.target_id, info.name, info.portrait, info.owner, info.extra, one.alias)
        if result.group and (size > MAX_ENTRIES_BYTES or len(result.group) == PAGE):
            result.next = result.group[-1].group_info.target_id
            break
        result.group.append(one)
    return result


def _my_group(mine: MyGroup) -> pb.MyGroup:
    if mine.type == MemberType.REMOVED:
        gone = pb.GroupInfo(target_id=mine.info.id, name="", type=mine.info.type)
        return pb.MyGroup(group_info=gone, type=mine.type)
    return pb.MyGroup(group_info=group_info(mine.info), type=mine.type, alias=mine.alias)


HANDLERS = Handlers(
    requests={
        SubSignal.GML: my_groups,
        SubSignal.GMA: set_alias,
        SubSignal.GTG: transfer,
        SubSignal.GSM: set_type,
    },
)
