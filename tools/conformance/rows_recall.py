"""Sections 7 and 8: recalling a message."""

from tools.conformance.checks import refused, same
from tools.conformance.device import SuiteDevice
from tools.conformance.rows import row
from tools.conformance.rows_groups import MANAGER
from tools.conformance.world import World
from tools.wire.bodies import GROUP, Object

RECALLED = 80


def _is_recalled(message: Object, id: int, operator: SuiteDevice, sender: SuiteDevice) -> None:
    """Fail unless a message is what is left of a recalled one."""
    content = message["content"]
    same(message["messageId"], id, "the id of what was recalled")
    same(message["from"], sender.uid, "whom it is from")
    same(content["type"], RECALLED, "the type")
    same(content["content"], operator.uid, "the operator")
    same(content["binaryContent"], str(id).encode(), "the id in the data")
    same(content["searchableContent"], "", "the text")


async def _told_nothing(sender: SuiteDevice, *devices: SuiteDevice) -> None:
    """Fail if devices were told of a recall: something that they are told later has come."""
    for device in devices:
        await sender.send(device.uid, {"type": 91, "content": "later"})
        await device.pushed()
        same(device.came("RMN"), [], "what the operator's device is told")


@row("7 MR and RMN: the sender recalls a private message")
async def private(world: World) -> None:
    ann, ben = await world.people(2)
    id = (await ann.send(ben.uid, "wrong"))["messageId"]
    await ann.send(ben.uid, "right")
    await ben.upto(2)
    await ann.recall(id)
    same(await ben.notified("RMN"), {"fromUser": ann.uid, "messageUid": id})
    for device in (ann, ben):
        found = await device.inbox(2)
        _is_recalled(found[0], id, ann, ann)
        same(found[1]["content"]["searchableContent"], "right")


@row("8 a recalled message is recalled in the history")
async def in_history(world: World) -> None:
    ann, ben = await world.people(2)
    id = (await ann.send(ben.uid, "wrong"))["messageId"]
    await ann.recall(id)
    for device, other in ((ann, ben), (ben, ann)):
        (message,) = await device.history(other.uid)
        _is_recalled(message, id, ann, ann)


@row("8 a device that has not fetched a recalled message fetches what is left of it")
async def before_pull(world: World) -> None:
    ann, ben = await world.people(2)
    id = (await ann.send(ben.uid, "wrong"))["messageId"]
    await ben.mn()
    await ann.recall(id)
    await ben.notified("RMN")
    (message,) = await ben.inbox(1)
    _is_recalled(message, id, ann, ann)
    tablet = await world.another(ben)
    (message,) = await tablet.inbox(1)
    _is_recalled(message, id, ann, ann)


@row("8 RMN goes to all devices of the receivers and of the operator, but the one that asked")
async def who_is_told(world: World) -> None:
    ann, ben = await world.people(2)
    ann_tablet, ben_tablet = await world.another(ann), await world.another(ben)
    id = (await ann.send(ben.uid, "wrong"))["messageId"]
    await ann.recall(id)
    for device in (ben, ben_tablet, ann_tablet):
        same((await device.notified("RMN"))["messageUid"], id)
    await _told_nothing(ben, ann)


@row("8 a private message is recalled by its sender only: 248")
async def not_by_receiver(world: World) -> None:
    ann, ben, cat = await world.people(3)
    id = (await ann.send(ben.uid, "mine"))["messageId"]
    with refused(248):
        await ben.recall(id)
    with refused(248, 253):  # who never got it need not be told that there is one
        await cat.recall(id)
    same(await ben.texts(1), ["mine"])


@row("8 a recall of an unknown message is refused with 253")
async def unknown(world: World) -> None:
    ann = await world.online()
    for id in (1, 1 << 62):
        with refused(253):
            await ann.recall(id)


@row("8 in a group the sender recalls")
async def group_sender(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid, cat.uid])
    id = (await ben.send(group, "wrong", kind=GROUP))["messageId"]
    await ben.recall(id)
    for device in (ann, cat):
        same(await device.notified("RMN"), {"fromUser": ben.uid, "messageUid": id})
    for device in (ann, ben, cat):
        _is_recalled((await device.inbox(2))[-1], id, ben, ben)
    _is_recalled((await cat.history(group, kind=GROUP))[0], id, ben, ben)


@row("8 in a group the owner recalls, and the sender is told")
async def group_owner(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid, cat.uid])
    id = (await ben.send(group, "wrong", kind=GROUP))["messageId"]
    await ann.recall(id)
    for device in (ben, cat):
        same(await device.notified("RMN"), {"fromUser": ann.uid, "messageUid": id})
        _is_recalled((await device.inbox(2))[-1], id, ann, ben)
    await _told_nothing(ben, ann)


@row("8 in a group a manager recalls")
async def group_manager(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid])
    await ann.add_members(group, cat.uid, kind=MANAGER)
    id = (await ben.send(group, "wrong", kind=GROUP))["messageId"]
    await cat.recall(id)
    same(await ben.notified("RMN"), {"fromUser": cat.uid, "messageUid": id})
    _is_recalled((await ann.inbox(3))[-1], id, cat, ben)


@row("8 in a group other members do not recall: 248")
async def group_member(world: World) -> None:
    ann, ben, cat, dan = await world.people(4)
    group = await ann.create_group([ben.uid, cat.uid])
    id = (await ben.send(group, "stays", kind=GROUP))["messageId"]
    with refused(248):
        await cat.recall(id)
    with refused(248, 9, 253):
        await dan.recall(id)
    same((await cat.inbox(2))[-1]["content"]["searchableContent"], "stays")
