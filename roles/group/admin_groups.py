"""The back office and groups of users."""

from fsharechat.protocol.signals import GroupType, MemberType
from fsharechat.rpc import Call
from fsharechat.store import admin
from fsharechat.store.groups import Info
from roles.group.admin import Denied, Request, operation
from roles.group.service import Group


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
    """Return the name of a number that a client may have chosen."""
    return names(number).name.lower() if number in names._value2member_map_ else str(number)


@operation("groups.list")
async def list_groups(group: Group, _: Call, request: Request) -> object:
    limit: int = request["limit"]
    found = await group.store.read(admin.chat_groups, request["search"], request["after"], limit + 1)
    return {
        "groups": list(map(_shown, found[:limit])),
        "next": found[limit - 1].id if len(found) > limit else "",
    }


@operation("groups.get")
async def get(group: Group, _: Call, request: Request) -> object:
    limit: int = request["limit"]
    info = await group.store.read(admin.chat_group, request["group"])
    if info is None:
        raise Denied(404, "there is no such group")
    rows = await group.store.read(admin.group_members, info.id, request["after"], limit + 1)
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
