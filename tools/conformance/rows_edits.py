"""Sections 7 and 8: editing a message, messages by their ids, and reactions."""

from tools.conformance.checks import refused, same
from tools.conformance.rows import row
from tools.conformance.rows_groups import SILENCED
from tools.conformance.world import World
from tools.wire.bodies import GROUP, Object, text

UNKNOWN = 1 << 50


def check_edited(message: Object, id: int, words: str) -> None:
    """Fail unless a message is an edited one with that text."""
    same((message["messageId"], message["content"]["searchableContent"]), (id, words))
    assert message["editedDt"] >= message["timestamp"], message


@row("7 ME and MEN: the sender gives a text another text")
async def edit(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ann)
    id = (await ann.send(ben.uid, "wrnog"))["messageId"]
    await ben.upto(1)
    await ann.edit(id, text("wrong"))
    for device in (ben, tablet):
        same(await device.notified("MEN"), {"fromUser": ann.uid, "messageUid": id})
    for device, other in ((ann, ben), (ben, ann), (tablet, ben)):
        (found,) = await device.inbox(1)
        check_edited(found, id, "wrong")
        (found,) = await device.history(other.uid)
        check_edited(found, id, "wrong")
        (found,) = await device.by_ids(id)
        check_edited(found, id, "wrong")
    same(ann.came("MEN"), [], "what the device that asked is told")


@row("8 ME: a device that was away is told of an edit after its next CONNECT")
async def edit_while_away(world: World) -> None:
    ann, ben = await world.people(2)
    id = (await ann.send(ben.uid, "old"))["messageId"]
    await ben.upto(1)
    await ben.disconnect(0)
    await ann.edit(id, text("new"))
    again = await world.online(ben.session)
    same(await again.notified("MEN"), {"fromUser": ann.uid, "messageUid": id})


@row("8 ME: not of others, not what is unknown, recalled or no text")
async def edit_refused(world: World) -> None:
    ann, ben, eve = await world.people(3)
    id = (await ann.send(ben.uid, "mine"))["messageId"]
    with refused(248):
        await ben.edit(id, text("yours"))
    with refused(248, 253):
        await eve.edit(id, text("hers"))
    with refused(253):
        await ann.edit(UNKNOWN, text("?"))
    with refused(251):
        await ann.edit(id, {"type": 3, "searchableContent": "a picture"})
    await ann.recall(id)
    with refused(253):
        await ann.edit(id, text("back again"))
    (left,) = await ben.history(ann.uid)
    same(left["content"]["type"], 80, "the type of what was recalled")


@row("8 ME: in a group, by who may speak there")
async def edit_in_group(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid, cat.uid])
    id = (await ben.send(group, "old", kind=GROUP))["messageId"]
    await ben.edit(id, text("new"))
    for device in (ann, cat):
        same((await device.notified("MEN"))["messageUid"], id)
    await ann.set_types(group, SILENCED, ben.uid)
    with refused(248):
        await ben.edit(id, text("newer"))
    await ben.quit(group)
    with refused(9):
        await ben.edit(id, text("newer"))


@row("7 MGI: messages by their ids, without those of others")
async def by_ids(world: World) -> None:
    ann, ben, eve = await world.people(3)
    ids = [(await ann.send(ben.uid, word))["messageId"] for word in ("one", "two")]
    same([one["messageId"] for one in await ben.by_ids(*ids, UNKNOWN)], ids)
    same(await eve.by_ids(*ids), [])
    with refused(251):
        await ann.by_ids(*range(1, 102))


@row("7 REA, REN and REL: reactions to a message")
async def react(world: World) -> None:
    ann, ben, eve = await world.people(3)
    tablet = await world.another(ben)
    id = (await ann.send(ben.uid, "look"))["messageId"]
    await ben.react(id, "👍", "❤️")
    for device in (ann, tablet):
        told = await device.notified("REN")
        same((told["messageUid"], told["uid"], told["emoji"]), (id, ben.uid, ["👍", "❤️"]))
    await ann.react(id, "🙏")
    found = {one["uid"]: one["emoji"] for one in await ann.reactions(id, UNKNOWN)}
    same(found, {ann.uid: ["🙏"], ben.uid: ["👍", "❤️"]})
    await ben.react(id)
    same([one["uid"] for one in await ben.reactions(id)], [ann.uid])
    same(await eve.reactions(id), [])
    with refused(253):
        await eve.react(id, "👍")
    with refused(251):
        await ben.react(id, "a b")
    with refused(251):
        await ben.react(id, *"123456")
    await ann.recall(id)
    with refused(253):
        await ben.react(id, "👍")
    same(await ann.reactions(id), [])
