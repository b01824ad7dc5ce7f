"""Sections 5, 6 and 8: who may do what in a group, and who gets what is said in it."""

from collections.abc import Awaitable, Callable

from tools.conformance.checks import refused, same
from tools.conformance.device import SuiteDevice
from tools.conformance.rows import TCP, row
from tools.conformance.rows_groups import (
    EXTRA_OF_GROUP,
    FREE,
    MEMBER,
    NAME_OF_GROUP,
    NORMAL,
    OWNER,
    PORTRAIT_OF_GROUP,
    RESTRICTED,
    SILENCED,
    types,
)
from tools.conformance.world import World
from tools.wire.bodies import GROUP

Change = Callable[[], Awaitable[None]]


async def _group(world: World, kind: int) -> tuple[SuiteDevice, SuiteDevice, SuiteDevice, SuiteDevice, str]:
    """Return an owner, two members and somebody else, and a group of a type."""
    ann, ben, cat, dan = await world.people(4)
    return ann, ben, cat, dan, await ann.create_group([ben.uid, cat.uid], kind=kind, name="group")


async def _about(device: SuiteDevice, group: str) -> tuple[object, ...]:
    """Return what only requests change: a server may compose a portrait when it has the time."""
    (info,) = await device.groups(group)
    return *(info[key] for key in ("name", "owner", "type", "memberCount", "extra")), await types(
        device, group
    )


async def _unchanged(device: SuiteDevice, group: str, head: int, *changes: Change) -> None:
    """Fail unless changes are refused with 248, and nothing changes. `head` is that of the device's inbox."""
    before = await _about(device, group), await device.upto(head)
    for change in changes:
        with refused(248):
            await change()
    after = await _about(device, group), await device.upto(head)
    same(after, before, "the group after what was refused")


@row("5 members of normal groups invite, rename and quit")
async def members_of_normal(world: World) -> None:
    ann, ben, cat, dan, group = await _group(world, NORMAL)
    await ben.add_members(group, dan.uid)
    await ben.modify_group(group, NAME_OF_GROUP, "renamed")
    await ben.quit(group)
    same(await types(ann, group), {ann.uid: OWNER, cat.uid: MEMBER, dan.uid: MEMBER})
    (info,) = await ann.groups(group)
    same(info["name"], "renamed")


@row("5 the owner of a normal group does the rest")
async def rest_of_normal(world: World) -> None:
    ann, ben, cat, _, group = await _group(world, NORMAL)
    await _unchanged(
        ann,
        group,
        1,
        lambda: ben.modify_group(group, PORTRAIT_OF_GROUP, "http://media.example.com/p.png"),
        lambda: ben.modify_group(group, EXTRA_OF_GROUP, "x"),
        lambda: ben.kick(group, cat.uid),
        lambda: ben.dismiss(group),
    )
    await ann.modify_group(group, EXTRA_OF_GROUP, "x")
    await ann.kick(group, cat.uid)
    await ann.dismiss(group)


@row("5 members of free groups invite, rename and quit, and nobody kicks")
async def free(world: World) -> None:
    ann, ben, cat, dan, group = await _group(world, FREE)
    await ben.add_members(group, dan.uid)
    await ben.modify_group(group, NAME_OF_GROUP, "renamed")
    await _unchanged(
        ann,
        group,
        3,
        lambda: ann.kick(group, cat.uid),
        lambda: ben.kick(group, cat.uid),
        lambda: ben.dismiss(group),
    )
    await cat.quit(group)
    same(set(await types(ann, group)), {ann.uid, ben.uid, dan.uid})


@row("5 members of restricted groups only quit")
async def restricted(world: World) -> None:
    ann, ben, cat, _, group = await _group(world, RESTRICTED)
    await ben.quit(group)
    same(set(await types(ann, group)), {ann.uid, cat.uid})


@row("8 in restricted groups only the owner adds or modifies")
async def restricted_owner(world: World) -> None:
    ann, ben, cat, dan, group = await _group(world, RESTRICTED)
    await _unchanged(
        ann,
        group,
        1,
        lambda: ben.add_members(group, dan.uid),
        lambda: ben.modify_group(group, NAME_OF_GROUP, "renamed"),
        lambda: ben.modify_group(group, PORTRAIT_OF_GROUP, "http://media.example.com/p.png"),
        lambda: ben.kick(group, cat.uid),
        lambda: ben.dismiss(group),
    )
    await ann.add_members(group, dan.uid)
    await ann.modify_group(group, NAME_OF_GROUP, "renamed")
    (info,) = await dan.groups(group)
    same(info["name"], "renamed")


@row("8 owners of normal groups cannot quit")
async def owner_of_normal(world: World) -> None:
    ann, _, _, _, group = await _group(world, NORMAL)
    await _unchanged(ann, group, 1, lambda: ann.quit(group))


@row("8 owners of restricted groups cannot quit")
async def owner_of_restricted(world: World) -> None:
    ann, _, _, _, group = await _group(world, RESTRICTED)
    await _unchanged(ann, group, 1, lambda: ann.quit(group))


@row("8 owners of free groups can quit")
async def owner_of_free(world: World) -> None:
    ann, ben, cat, _, group = await _group(world, FREE)
    await ann.quit(group)
    same(set(await types(ben, group)), {ben.uid, cat.uid})


@row("8 only the owner kicks")
async def who_kicks(world: World) -> None:
    for kind in (NORMAL, RESTRICTED):
        ann, ben, cat, _, group = await _group(world, kind)
        await _unchanged(ann, group, 1, lambda ben=ben, cat=cat, group=group: ben.kick(group, cat.uid))  # type: ignore[misc]
        await ann.kick(group, cat.uid)
        same(set(await types(ann, group)), {ann.uid, ben.uid})


@row("8 only the owner dismisses")
async def who_dismisses(world: World) -> None:
    for kind in (NORMAL, FREE, RESTRICTED):
        ann, ben, _, _, group = await _group(world, kind)
        await _unchanged(ann, group, 1, lambda ben=ben, group=group: ben.dismiss(group))  # type: ignore[misc]
        await ann.dismiss(group)
        same(await ben.members(group), [])


@row("8 who is not in a group changes nothing of it")
async def strangers(world: World) -> None:
    ann, ben, _, dan, group = await _group(world, NORMAL)
    changes: tuple[Change, ...] = (
        lambda: dan.add_members(group, dan.uid),
        lambda: dan.modify_group(group, NAME_OF_GROUP, "mine"),
        lambda: dan.kick(group, ben.uid),
        lambda: dan.quit(group),
        lambda: dan.dismiss(group),
    )
    before = await _about(ann, group)
    for change in changes:
        with refused(9, 248):
            await change()
    same(await _about(ann, group), before)


# What is said in a group


@row("8 a group message goes to all members")
async def to_all(world: World) -> None:
    ann, ben, cat, dan, group = await _group(world, NORMAL)
    for device in (ann, ben, cat):
        await device.upto(1)
    sent = await ben.send(group, "大家好", kind=GROUP)
    for device in (ann, cat):
        same(await device.mn(2), 2)
    for device in (ann, ben, cat):
        (message,) = await device.inbox(2, 1)
        same((message["messageId"], message["timestamp"]), (sent["messageId"], sent["timestamp"]))
        same((message["conversationType"], message["target"], message["from"]), (GROUP, group, ben.uid))
        same((message["content"]["searchableContent"], message["tos"]), ("大家好", []))
    await dan.upto(0)


@row("8 a group message does not reach those who are removed")
async def not_to_removed(world: World) -> None:
    ann, ben, cat, _, group = await _group(world, NORMAL)
    await ann.kick(group, ben.uid)
    await cat.quit(group)
    await ann.send(group, "who is left?", kind=GROUP)
    await ann.upto(4)
    await ben.upto(2)  # the group, and the notice that ben was kicked
    await cat.upto(3)


@row("8 who comes back to a group gets its messages again")
async def back(world: World) -> None:
    ann, ben, _, _, group = await _group(world, NORMAL)
    await ben.quit(group)
    await ann.add_members(group, ben.uid)
    same((await types(ben, group))[ben.uid], MEMBER)
    await ann.send(group, "welcome", kind=GROUP)
    same((await ben.inbox(4, 1))[-1]["content"]["searchableContent"], "welcome")
    await ben.send(group, "thanks", kind=GROUP)


@row("8 a directed group message goes to those it names")
async def directed(world: World) -> None:
    ann, ben, cat, _, group = await _group(world, NORMAL)
    for device in (ann, ben, cat):
        await device.upto(1)
    await ann.send(group, "for ben", kind=GROUP, to=[ben.uid])
    same(await ben.mn(2), 2)
    for device in (ann, ben):
        (message,) = await device.inbox(2, 1)
        same((message["target"], message["tos"]), (group, [ben.uid]))
        same(message["content"]["searchableContent"], "for ben")
    await cat.upto(1)


@row("8 a directed group message may name one in to_user", TCP)
async def directed_to_user(world: World) -> None:
    ann, ben, cat, _, group = await _group(world, NORMAL)
    fields = {
        "conversation": {"type": GROUP, "target": group, "line": 0},
        "from_user": ann.uid,
        "content": {"type": 1, "searchable_content": "for ben", "persist_flag": 3},
        "to_user": ben.uid,
    }
    await ann.ask("MS", "Message", fields, None)
    (message,) = await ben.inbox(2, 1)
    same((message["content"]["searchableContent"], message["tos"]), ("for ben", [ben.uid]))
    await cat.upto(1)


@row("8 a directed group message does not leave the group")
async def directed_outside(world: World) -> None:
    ann, _, _, dan, group = await _group(world, NORMAL)
    await ann.send(group, "for dan", kind=GROUP, to=[dan.uid])
    await dan.upto(0)


@row("8 who is silenced is refused with 248, and gets what others say")
async def silenced(world: World) -> None:
    ann, ben, _, dan, group = await _group(world, NORMAL)
    await ann.add_members(group, dan.uid, kind=SILENCED)
    same((await types(ann, group))[dan.uid], SILENCED)
    with refused(248):
        await dan.send(group, "hush", kind=GROUP)
    await ben.send(group, "hello", kind=GROUP)
    same((await dan.inbox(2))[-1]["content"]["searchableContent"], "hello")


@row("8 who is silenced, leaves and comes back is silenced still")
async def silenced_again(world: World) -> None:
    ann, ben, _, dan, group = await _group(world, NORMAL)
    await ann.add_members(group, dan.uid, kind=SILENCED)
    await dan.quit(group)
    await ben.add_members(group, dan.uid)
    same((await types(ann, group))[dan.uid], SILENCED)
    with refused(248):
        await dan.send(group, "hush", kind=GROUP)


@row("6 transparent messages of a group are pushed to all members but the sender")
async def transparent(world: World) -> None:
    ann, ben, cat, _, group = await _group(world, NORMAL)
    await ann.send(group, {"type": 91, "content": "typing"}, kind=GROUP)
    for device in (ben, cat):
        pushed = await device.pushed()
        same((pushed["conversationType"], pushed["target"], pushed["from"]), (GROUP, group, ann.uid))
        await device.upto(1)
    await ben.send(group, {"type": 91, "content": "me too"}, kind=GROUP)
    same((await ann.pushed())["content"]["content"], "me too", "the first that is pushed to the sender")


@row("6 an MP of id 0 leaves out groups that the user has left")
async def first_login(world: World) -> None:
    ann, ben, _, dan, group = await _group(world, NORMAL)
    await ann.send(group, "in the group", kind=GROUP)
    await dan.send(ben.uid, "beside it")
    await ben.quit(group)
    tablet = await world.another(ben)
    pulled = await tablet.upto(4)
    same([one["content"]["searchableContent"] for one in pulled["messageResponseList"]], ["beside it"])
    same(pulled["current"], 4)


@row("7 LRM of a group")
async def history(world: World) -> None:
    ann, ben, cat, _, group = await _group(world, NORMAL)
    for n in range(4):
        await (ann, ben)[n % 2].send(group, str(n), kind=GROUP)
    newest = await cat.history(group, kind=GROUP, count=3)
    same([one["content"]["searchableContent"] for one in newest], ["3", "2", "1"])
    older = await cat.history(group, kind=GROUP, before=newest[-1]["messageId"])
    same([one["content"]["searchableContent"] for one in older[:-1]], ["0"], "before the notice")


@row("8 the history of a group is for its members")
async def history_of_others(world: World) -> None:
    ann, _, _, dan, group = await _group(world, NORMAL)
    await ann.send(group, "between us", kind=GROUP)
    with refused(9, 248):
        await dan.history(group, kind=GROUP)
