"""Operations of the back office on groups of users."""

from collections.abc import Callable
from functools import partial

from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, GroupType, MemberType
from fsharechat.rpc import Call
from fsharechat.store import admin, groups
from fsharechat.store.admin import Order
from fsharechat.store.groups import Info
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Row, Unit
from roles.group import group_roles
from roles.group.admin import OFFICE, Denied, OfficeRequest, Operations, cursor_for, cursor_of, page
from roles.group.group_changes import NOTHING, Announcement, Change, GroupChanges, May, Notice, changing
from roles.group.group_rights import check_owner, check_set_type
from roles.group.groups import end


def _shown(info: Info) -> dict[str, object]:
    return {
        "id": info.id,
        "name": info.name,
        "owner": info.owner,
        "type": _name(GroupType, info.type),
        "memberCount": info.member_count,
        "dismissed": bool(info.dismissed),
        "updateDt": info.update_dt,
    }


def _name(names: type[GroupType] | type[MemberType], number: int) -> str:
    """Return the name for a number; the number may come from a client."""
    return names(number).name.lower() if number in names._value2member_map_ else str(number)


_ORDERS = {"id": "id", "name": "name", "memberCount": "member_count", "updateDt": "update_dt"}


async def list_groups(store: Store, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    column = _ORDERS[request.get("sort", "id")]
    order = Order(column, request.get("order") == "desc")
    after = cursor_of(request["after"])
    found = await store.search_for(OFFICE, admin.chat_groups, request["search"], order, after, limit + 1)
    return page("groups", found, limit, _shown, lambda last: cursor_for(getattr(last, column), last.id))


async def get(store: Store, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    info = await store.read(admin.chat_group, request["group"])
    if info is None:
        raise Denied(404, "there is no such group")
    rows = await store.read(admin.group_members, info.id, request["after"], limit + 1)
    members = page("members", rows, limit, _member, lambda row: row[0])
    return {**_shown(info), "portrait": info.portrait, "extra": info.extra, **members}


def _member(row: Row) -> dict[str, object]:
    uid, name, alias, kind, joined = row
    return {
        "uid": uid,
        "displayName": name,
        "alias": alias,
        "type": _name(MemberType, kind),
        "joinedAt": joined,
    }


async def set_member(changes: GroupChanges, call: Call, request: OfficeRequest) -> object:
    """Silence a member, or end the silence, in the owner's name."""
    kind = MemberType[request["type"].upper()]
    uid: str = request["member"]

    def unit(dialect: Dialect, change: Change, info: Info, members: dict[str, int]) -> Unit[Announcement]:
        if uid not in members:
            raise Denied(404, "there is no such member")
        if uid == info.owner:
            raise Denied(409, "the owner cannot be silenced: hand the group over first")
        return (yield from group_roles.set_types(dialect, change, info, members, [uid], kind, 0))

    return await _carry_out(changes, call, request, check_set_type, unit)


async def hand_over(changes: GroupChanges, call: Call, request: OfficeRequest) -> object:
    """Make another member the owner of a group."""
    unit = partial(group_roles.hand_over, uid=request["owner"])
    return await _carry_out(changes, call, request, check_owner, unit)


async def _found(store: Store, id: str) -> Info:
    """Return a group that is not dismissed. Raises Denied."""
    info = await store.read(admin.chat_group, id)
    if info is None:
        raise Denied(404, "there is no such group")
    if info.dismissed:
        raise Denied(409, "the group is dismissed")
    return info


async def _carry_out(
    changes: GroupChanges,
    call: Call,
    request: OfficeRequest,
    may: May,
    unit: Callable[[Dialect, Change, Info, dict[str, int]], Unit[Announcement]],
) -> object:
    """Change a group in its owner's name, and tell its members. Raises Denied."""
    info = await _found(changes.store, request["group"])
    change = Change(Notice(changes.clock.next_id(), changes.clock.now(), info.owner, info.id), call.retried)

    def changed(dialect: Dialect) -> Unit[Announcement]:
        return changing(dialect, change, may, unit)

    try:
        told = await changes.store.write_group(info.id, (), request.audited(changed))
    except Refusal as refusal:
        if refusal.code == Code.NOT_EXIST:
            raise Denied(404, "there is no such member") from None
        raise Denied(409, "the group has changed meanwhile, try again") from None
    changes.standing.group_changed(info.id)
    changes.outbox.announce(told.messages, told.stored)
    return _shown(await _found(changes.store, info.id))


async def dismiss(changes: GroupChanges, call: Call, request: OfficeRequest) -> object:
    """Dismiss a group. Its members are told as if its owner had done it."""
    id, clock = request["group"], changes.clock
    info, told = await changes.store.write_group(
        id, (), request.audited(_dismiss), clock.next_id(), id, clock.now(), call.retried
    )
    changes.standing.group_changed(info.id)
    changes.outbox.announce(told.messages, told.stored)
    return _shown(info._replace(dismissed=True, member_count=0))


def _dismiss(
    dialect: Dialect, id: int, group_id: str, now: int, retried: bool
) -> Unit[tuple[Info, Announcement]]:
    info = yield from groups.locked(dialect, group_id)
    if info is None:
        raise Denied(404, "there is no such group")
    if info.dismissed:
        if retried:
            return info, NOTHING  # the first try of this call did it
        raise Denied(409, "the group is dismissed already")
    change = Change(Notice(id, now, info.owner, group_id), retried)
    return info, (yield from end(dialect, change, info, (yield from groups.present(group_id))))


OPERATIONS: Operations = {
    "groups.list": list_groups,
    "groups.get": get,
    "groups.member": set_member,
    "groups.owner": hand_over,
    "groups.dismiss": dismiss,
}
