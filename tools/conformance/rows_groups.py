"""Sections 7 and 8: groups, their members, and the notices of their changes."""

import json
from typing import Any

from tools.conformance.checks import refused, same
from tools.conformance.device import SuiteDevice
from tools.conformance.rows import TCP, row
from tools.conformance.world import World, new_client_id
from tools.wire.bodies import GROUP, Object

NORMAL, FREE, RESTRICTED = range(3)
MEMBER, MANAGER, OWNER, SILENCED = range(4)
CREATED, ADDED, KICKED, QUIT, DISMISSED, RENAMED, PORTRAIT = 104, 105, 106, 107, 108, 110, 112
NAME_OF_GROUP, PORTRAIT_OF_GROUP, EXTRA_OF_GROUP = range(3)
TOMORROW = 1 << 45
"""A version, in ms, that no group has reached."""


async def types(device: SuiteDevice, group: str) -> dict[str, int]:
    """Return the type of each member of a group, as a device is told."""
    return {one["memberId"]: one["type"] for one in await device.members(group)}


def check_notice(message: Object, type: int, group: str, operator: SuiteDevice, **more: Any) -> None:
    """Fail unless a message is the notice of a change."""
    same(message["content"]["type"], type, "the type of a notice")
    same((message["conversationType"], message["target"]), (GROUP, group), "the conversation of a notice")
    same(message["from"], operator.uid, "who a notice is from")
    data = json.loads(message["content"]["binaryContent"])
    if "ms" in data:
        data["ms"] = sorted(data["ms"])
    same(data, {"g": group, "o": operator.uid, **more}, "the data of a notice")


# Requests


@row("7 GC: the creator is the owner, the others are members")
async def create(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid, cat.uid], name="组")
    for device in (ann, ben, cat):
        same(await types(device, group), {ann.uid: OWNER, ben.uid: MEMBER, cat.uid: MEMBER})


@row("7 GC: the creator may be among the members of the request")
async def create_with_self(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ann.uid, ben.uid])
    same(await types(ben, group), {ann.uid: OWNER, ben.uid: MEMBER})
    (info,) = await ann.groups(group)
    same(info["memberCount"], 2)


@row("8 GC: an empty id gets a generated one")
async def generated_ids(world: World) -> None:
    ann = await world.online()
    first, second = await ann.create_group([]), await ann.create_group([])
    assert first, "an empty id"
    assert first != second, "the same id twice"


@row("7 GC: an id of the client's own")
async def own_id(world: World) -> None:
    ann, ben = await world.people(2)
    wanted = new_client_id()
    same(await ann.create_group([ben.uid], group_id=wanted), wanted)
    same(set(await types(ben, wanted)), {ann.uid, ben.uid})


@row("5 GC of an id that is taken is refused with 11")
async def taken_id(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([])
    with refused(11):
        await ben.create_group([], group_id=group)
    same(set(await types(ann, group)), {ann.uid})


@row("7 GPGI")
async def info(world: World) -> None:
    ann, ben = await world.people(2)
    ids = [
        await ann.create_group([ben.uid], kind=kind, name=f"{kind} 组") for kind in (NORMAL, FREE, RESTRICTED)
    ]
    found = {one["target"]: one for one in await ben.groups(*ids)}
    same(set(found), set(ids))
    for kind, group in enumerate(ids):
        one = found[group]
        same((one["name"], one["owner"], one["type"], one["memberCount"]), (f"{kind} 组", ann.uid, kind, 2))
        assert one["updateDt"] > 0, one


@row("7 GPGM: each member's id, alias, type and update_dt")
async def members(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid])
    found = await ben.members(group)
    same(sorted(one["memberId"] for one in found), sorted([ann.uid, ben.uid]))
    assert all(one["updateDt"] > 0 for one in found), found


@row("8 GPGM answers members who are not removed")
async def members_left(world: World) -> None:
    ann, ben, cat, dan = await world.people(4)
    group = await ann.create_group([ben.uid, cat.uid, dan.uid])
    await ann.kick(group, ben.uid)
    await cat.quit(group)
    same(await types(ann, group), {ann.uid: OWNER, dan.uid: MEMBER})


@row("8 GPGM is empty for an unknown group, and for who is not a member")
async def members_of_others(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([])
    same(await ben.members("no-such-group"), [])
    same(await ben.members(group), [])


@row("8 GPGM is empty for a group that has not changed since head")
async def members_unchanged(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid])
    newest = max(one["updateDt"] for one in await ben.members(group))
    same(await ben.members(group, newest), [], "since the newest change")
    same(await ben.members(group, TOMORROW), [], "since later")
    same(len(await ben.members(group, newest - 1)), 2, "since before")
    await ann.add_members(group, cat.uid)
    same(len(await ben.members(group, newest)), 3, "since before somebody came")


@row("7 GAM")
async def add(world: World) -> None:
    ann, ben, cat, dan = await world.people(4)
    group = await ann.create_group([ben.uid])
    await ann.add_members(group, cat.uid, dan.uid)
    same(set(await types(dan, group)), {ann.uid, ben.uid, cat.uid, dan.uid})
    (info,) = await cat.groups(group)
    same(info["memberCount"], 4)


@row("7 GKM")
async def kick(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid, cat.uid])
    await ann.kick(group, ben.uid)
    same(set(await types(ann, group)), {ann.uid, cat.uid})
    same(await ben.members(group), [])
    with refused(9):
        await ben.send(group, "am I in?", kind=GROUP)
    (info,) = await ann.groups(group)
    same(info["memberCount"], 2)


@row("7 GQ")
async def leave(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid])
    await ben.quit(group)
    same(set(await types(ann, group)), {ann.uid})
    with refused(9):
        await ben.send(group, "am I in?", kind=GROUP)


@row("7 GD")
async def dismiss(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid])
    await ann.dismiss(group)
    for device in (ann, ben):
        same(await device.members(group), [])
        with refused(9, 253):
            await device.send(group, "is it there?", kind=GROUP)


@row("7 GMI: name, portrait and extra")
async def modify(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid], name="old")
    (before,) = await ben.groups(group)
    await ann.modify_group(group, NAME_OF_GROUP, "新名")
    await ann.modify_group(group, PORTRAIT_OF_GROUP, "http://media.example.com/p.png")
    await ann.modify_group(group, EXTRA_OF_GROUP, '{"a": 1}')
    (after,) = await ben.groups(group)
    same(
        (after["name"], after["portrait"], after["extra"]),
        ("新名", "http://media.example.com/p.png", '{"a": 1}'),
    )
    assert after["updateDt"] > before["updateDt"], (before, after)


# Notices


@row("8 the notice of a new group is 104")
async def notice_created(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid], name="组")
    for device in (ann, ben):
        (notice,) = await device.inbox(1)
        check_notice(notice, CREATED, group, ann, n="组")


@row("8 the notice of new members is 105")
async def notice_added(world: World) -> None:
    ann, ben, cat, dan = await world.people(4)
    group = await ann.create_group([ben.uid])
    await ben.add_members(group, cat.uid, dan.uid)
    for device in (ann, ben, cat, dan):
        notice = (await device.inbox(2 if device in (ann, ben) else 1))[-1]
        check_notice(notice, ADDED, group, ben, ms=sorted([cat.uid, dan.uid]))


@row("8 the notice of those who were kicked is 106, and reaches them")
async def notice_kicked(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid, cat.uid])
    for device in (ben, cat):
        await device.upto(1)
    await ann.kick(group, ben.uid)
    same(await ben.mn(2), 2, "the MN of one who was kicked")
    for device in (ann, ben, cat):
        (notice,) = await device.inbox(2, 1)
        check_notice(notice, KICKED, group, ann, ms=[ben.uid])


@row("8 the notice of one who quits is 107, and reaches their devices too")
async def notice_quit(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ben)
    group = await ann.create_group([ben.uid])
    await ben.quit(group)
    for device in (ann, ben, tablet):
        (notice,) = await device.inbox(2, 1)
        check_notice(notice, QUIT, group, ben)


@row("8 the notice of a dismissed group is 108, and reaches all who were in it")
async def notice_dismissed(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid])
    await ann.dismiss(group)
    for device in (ann, ben):
        (notice,) = await device.inbox(2, 1)
        check_notice(notice, DISMISSED, group, ann)


@row("8 the notice of a new name is 110")
async def notice_renamed(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid], name="old")
    await ben.modify_group(group, NAME_OF_GROUP, "新名")
    for device in (ann, ben):
        (notice,) = await device.inbox(2, 1)
        check_notice(notice, RENAMED, group, ben, n="新名")


@row("8 the notice of a new portrait is 112")
async def notice_portrait(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid])
    await ann.modify_group(group, PORTRAIT_OF_GROUP, "http://media.example.com/p.png")
    for device in (ann, ben):
        (notice,) = await device.inbox(2, 1)
        check_notice(notice, PORTRAIT, group, ann)


@row("8 a notice has the request's notify_content, where it brings one", TCP)
async def notice_brought(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid], notice=_brought(CREATED))
    first = await ben.inbox(1)  # the answer to id 0 may leave a dismissed group out
    await ann.add_members(group, cat.uid, notice=_brought(ADDED))
    for sub, message, type, fields in (
        ("GMI", "ModifyGroupInfoRequest", RENAMED, {"type": NAME_OF_GROUP, "value": "new"}),
        ("GKM", "RemoveGroupMemberRequest", KICKED, {"removed_member": [cat.uid]}),
        ("GD", "DismissGroupRequest", DISMISSED, {}),
    ):
        await ann.ask(sub, message, {"group_id": group, **fields, "notify_content": _brought(type)}, None)
    brought = [*first, *await ben.inbox(5, 1)]
    for type, one in zip((CREATED, ADDED, RENAMED, KICKED, DISMISSED), brought, strict=True):
        same((one["content"]["type"], one["content"]["content"]), (type, "custom"))
        same((one["content"]["binaryContent"], one["from"]), (b'{"own": 1}', ann.uid))


def _brought(type: int) -> Object:
    return {"type": type, "content": "custom", "data": b'{"own": 1}', "persist_flag": 1}


@row("8 the operator's devices get the MN of a notice too")
async def notice_of_operator(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ann)
    await ann.create_group([ben.uid], group_id=new_client_id())
    for device in (ann, tablet, ben):
        same(await device.mn(), 1)


@row("8 notices are in the history of the group")
async def notices_in_history(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid], name="old")
    await ann.modify_group(group, NAME_OF_GROUP, "new")
    found = await ben.history(group, kind=GROUP)
    same([one["content"]["type"] for one in found], [RENAMED, CREATED])
