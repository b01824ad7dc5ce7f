"""Section 8: the groups of a user, and who is what in a group."""

import json
import time

from tools.conformance.checks import refused, same
from tools.conformance.rows import row
from tools.conformance.rows_groups import MANAGER, MEMBER, OWNER, SILENCED, types
from tools.conformance.world import World
from tools.wire.bodies import GROUP, Object

REMOVED = 4
TIP = 90
AN_HOUR_MS = 3_600_000


def check_tip(message: Object, group: str, operator: str, **more: object) -> None:
    """Fail unless a message is the notice of new types."""
    same(message["content"]["type"], TIP, "the type of a notice")
    assert message["content"]["content"], "a tip without a text"
    same(message["from"], operator, "who a notice is from")
    same(json.loads(message["content"]["binaryContent"]), {"g": group, "o": operator, **more})


@row("7 GML: the groups of a user, and what has changed since")
async def my_groups(world: World) -> None:
    ann, ben = await world.people(2)
    same((await ben.my_groups())["groups"], [])
    ids = [await ann.create_group([ben.uid], name=name) for name in ("one", "two")]
    await ben.set_group_alias(ids[0], "Benny")
    first = await ben.my_groups()
    found = {one["groupInfo"]["target"]: one for one in first["groups"]}
    same(set(found), set(ids))
    same((found[ids[0]]["groupInfo"]["name"], found[ids[0]]["groupInfo"]["owner"]), ("one", ann.uid))
    same([(found[id]["type"], found[id]["alias"]) for id in ids], [(MEMBER, "Benny"), (MEMBER, "")])
    same(first["next"], "", "the next page")
    await ben.quit(ids[0])
    await ann.dismiss(ids[1])
    same((await ben.my_groups())["groups"], [], "after the end of both")
    gone = (await ben.my_groups(first["version"]))["groups"]
    same({one["groupInfo"]["target"]: one["type"] for one in gone}, dict.fromkeys(ids, REMOVED))
    later = await ben.my_groups(1 << 45)
    same(later["groups"], [], "since later")


@row("7 GMA: one's own alias in a group, seen by the others")
async def alias(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid])
    (before,) = await ann.groups(group)
    await ben.set_group_alias(group, "本")
    same({one["memberId"]: one["alias"] for one in await ann.members(group)}, {ann.uid: "", ben.uid: "本"})
    (after,) = await ann.groups(group)
    assert after["updateDt"] > before["updateDt"], (before, after)
    await ben.set_group_alias(group, "")
    same([one["alias"] for one in await ann.members(group)], ["", ""])
    with refused(251):
        await ben.set_group_alias(group, "x" * 65)
    with refused(9):
        await (await world.online()).set_group_alias(group, "me")


@row("7 GTG: the new owner has all rights, the old one is a normal member")
async def transfer(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid, cat.uid])
    with refused(248):
        await ben.transfer(group, ben.uid)
    with refused(253):
        await ann.transfer(group, (await world.online()).uid)
    await ann.transfer(group, ben.uid)
    same(await types(cat, group), {ann.uid: MEMBER, ben.uid: OWNER, cat.uid: MEMBER})
    same((await cat.groups(group))[0]["owner"], ben.uid)
    with refused(248):
        await ann.kick(group, cat.uid)
    await ben.kick(group, cat.uid)
    await ann.quit(group)


@row("7 GSM: managers and silenced members")
async def set_types(world: World) -> None:
    ann, ben, cat, dan = await world.people(4)
    group = await ann.create_group([ben.uid, cat.uid, dan.uid])
    with refused(248):
        await ben.set_types(group, SILENCED, cat.uid)
    await ann.set_types(group, MANAGER, ben.uid)
    await ben.set_types(group, SILENCED, cat.uid)
    same(await types(dan, group), {ann.uid: OWNER, ben.uid: MANAGER, cat.uid: SILENCED, dan.uid: MEMBER})
    with refused(248):
        await cat.send(group, "?", kind=GROUP)
    with refused(248):
        await ben.set_types(group, MANAGER, dan.uid)
    await ben.set_types(group, MEMBER, cat.uid)
    await cat.send(group, "!", kind=GROUP)
    await ann.set_types(group, MANAGER, dan.uid)
    with refused(248):
        await ben.set_types(group, SILENCED, dan.uid)
    for wrong in (OWNER, REMOVED, 7):
        with refused(251):
            await ann.set_types(group, wrong, cat.uid)


@row("8 GSM: a silence until a time, which members see")
async def silence_until(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid])
    now = int(time.time() * 1000)
    with refused(251):
        await ann.set_types(group, SILENCED, ben.uid, until=now - AN_HOUR_MS)
    await ann.set_types(group, SILENCED, ben.uid, until=now + AN_HOUR_MS)
    found = {one["memberId"]: one["silencedUntil"] for one in await ann.members(group)}
    same(found, {ann.uid: 0, ben.uid: now + AN_HOUR_MS})
    with refused(248):
        await ben.send(group, "?", kind=GROUP)


@row("8 the notice of a new type, and of a new owner, is a tip with data")
async def notices(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid])
    await ann.set_types(group, MANAGER, ben.uid)
    await ann.transfer(group, ben.uid)
    for device in (ann, ben):
        named, handed = (await device.inbox(3, 1))[-2:]
        check_tip(named, group, ann.uid, ms=[ben.uid], t=MANAGER)
        check_tip(handed, group, ann.uid, ms=[ben.uid], t=OWNER)
