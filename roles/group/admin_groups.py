"""Operations of the back office on groups of users."""

from collections.abc import Callable

from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, GroupType, MemberType
from fsharechat.rpc import Call
from fsharechat.store import admin, groups
from fsharechat.store.admin import Order
from fsharechat.store.groups import Info
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group import group_roles
from roles.group.admin import OFFICE, Denied, OfficeRequest, Operations, cursor_for, cursor_of
from roles.group.clock import ServerClock
from roles.group.group_changes import NOTHING, Announcement, Change, Notice
from roles.group.groups import end
from roles.group.outbox import EventOutbox
from roles.group.standing import Standing


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
    last = found[limit - 1] if len(found) > limit else None
    return {
        "groups": list(map(_shown, found[:limit])),
        "next": cursor_for(getattr(last, column), last.id) if last else "",
    }


async def get(store: Store, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    info = await store.read(admin.chat_group, request["group"])
    if info is None:
        raise Denied(404, "there is no such group")
    rows = await store.read(admin.group_members, info.id, request["after"], limit + 1)
    members = [
        {"uid": uid, "displayName": name, "alias": alias, "type": _name(MemberType, kind), "joinedAt": joined}
        for uid, name, alias, kind, joined in rows[:limit]
    ]
    return {
        **_shown(info),
        "portrait": info.portrait,
        "extra": info.extra,
        "members": members,
        "next": rows[limit - 1][0] if len(rows) > limit else "",
    }


async def set_member(
    store: Store,
    clock: ServerClock,
    standing: Standing,
    outbox: EventOutbox,
    call: Call,
    request: OfficeRequest,
) -> object:
    """Silence a member, or end the silence, in the owner's name."""
    kind = MemberType[request["type"].upper()]
    info = await _found(store, request["group"])
    change = Change(Notice(clock.next_id(), clock.now(), info.owner, info.id), call.retried)
    uid: str = request["member"]

    def unit(dialect: Dialect) -> Unit[Announcement]:
        if uid not in (yield from groups.present(info.id)):
            raise Denied(404, "there is no such member")
        if uid == info.owner:
            raise Denied(409, "the owner cannot be silenced: hand the group over first")
        return (yield from group_roles.set_types(dialect, change, [uid], kind, 0))

    await _carry_out(store, standing, outbox, request, info, unit)
    return _shown(await _found(store, info.id))


async def hand_over(
    store: Store,
    clock: ServerClock,
    standing: Standing,
    outbox: EventOutbox,
    call: Call,
    request: OfficeRequest,
) -> object:
    """Make another member the owner of a group."""
    info = await _found(store, request["group"])
    change = Change(Notice(clock.next_id(), clock.now(), info.owner, info.id), call.retried)
    uid: str = request["owner"]
    await _carry_out(
        store,
        standing,
        outbox,
        request,
        info,
        lambda dialect: group_roles.hand_over(dialect, change, uid),
    )
    return _shown(await _found(store, info.id))


async def _found(store: Store, id: str) -> Info:
    """Return a group that is not dismissed. Raises Denied."""
    info = await store.read(admin.chat_group, id)
    if info is None:
        raise Denied(404, "there is no such group")
    if info.dismissed:
        raise Denied(409, "the group is dismissed")
    return info


async def _carry_out(
    store: Store,
    standing: Standing,
    outbox: EventOutbox,
    request: OfficeRequest,
    info: Info,
    unit: Callable[[Dialect], Unit[Announcement]],
) -> None:
    """Change a group in its owner's name, and tell its members. Raises Denied."""
    try:
        told = await store.write_group(info.id, (), request.audited(unit))
    except Refusal as refusal:
        if refusal.code == Code.NOT_EXIST:
            raise Denied(404, "there is no such member") from None
        raise Denied(409, "the group has changed meanwhile, try again") from None
    standing.group_changed(info.id)
    outbox.announce(told.messages, told.stored)


async def dismiss(
    store: Store,
    clock: ServerClock,
    standing: Standing,
    outbox: EventOutbox,
    call: Call,
    request: OfficeRequest,
) -> object:
    """Dismiss a group. Its members are told as if its owner had done it."""
    id = request["group"]
    info, told = await store.write_group(
        id, (), request.audited(_dismiss), clock.next_id(), id, clock.now(), call.retried
    )
    standing.group_changed(info.id)
    outbox.announce(told.messages, told.stored)
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
    return info, (yield from end(dialect, change, info))


OPERATIONS: Operations = {
    "groups.list": list_groups,
    "groups.get": get,
    "groups.member": set_member,
    "groups.owner": hand_over,
    "groups.dismiss": dismiss,
}
