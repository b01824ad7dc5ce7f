"""Sections 7 and 8: friend requests, friends and aliases."""

import asyncio
from functools import partial

from tools.conformance.checks import refused, refused_soon, same
from tools.conformance.rows import WS, row
from tools.conformance.world import World
from tools.wire.clients import BOUND

SENT, ACCEPTED, REJECTED = range(3)
DELETED, BLACKLISTED = 1, 2
TIPS = ["以上是打招呼信息", "你们已经成为好友了，现在可以开始聊天了"]
GREETINGS = 3


@row("7 FAR and FRN: a request reaches its target")
async def ask(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid, "it is me")
    head = await ben.notified("FRN")
    (seen,) = await ben.friend_requests()
    same((seen["from"], seen["target"], seen["reason"]), (ann.uid, ben.uid, "it is me"))
    same((seen["status"], seen["readStatus"]), (SENT, 0))
    assert seen["timestamp"] <= head["version"], (seen, head)


@row("7 FRN goes to every device of the target")
async def ask_all_devices(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ben)
    await ann.add_friend(ben.uid)
    await asyncio.gather(ben.notified("FRN"), tablet.notified("FRN"))


@row("7 FRP shows a request to the one who sent it too")
async def requests_sent(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid, "hi")
    (mine,) = await ann.friend_requests()
    same((mine["from"], mine["target"], mine["reason"], mine["status"]), (ann.uid, ben.uid, "hi", SENT))


@row("7 FRP answers entries newer than the version")
async def newer_requests(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid)
    (one,) = await ben.friend_requests()
    # Web clients are answered a second more than they ask for.
    same(await ben.friend_requests(one["timestamp"] + 1000), [])
    same(len(await ben.friend_requests(one["timestamp"] - 1)), 1)


@row("7 FRP of web clients: entries newer than version - 1000", WS)
async def newer_requests_of_the_web(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid)
    (one,) = await ben.friend_requests()
    same(len(await ben.friend_requests(one["timestamp"] + 999)), 1)
    same(len(await ben.friend_requests(one["timestamp"] + 1000)), 0)


@row("7 FRUS marks requests as read, then FRN to the user")
async def read_requests(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid)
    await ben.notified("FRN")
    (before,) = await ben.friend_requests()
    same(before["readStatus"], 0)
    await ben.read_friend_requests(before["timestamp"])
    await ben.notified("FRN")
    (after,) = await ben.friend_requests()
    same(after["readStatus"], 1)


@row("7 FHR accepts: FN to both, and both are friends")
async def accept(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid)
    await ben.notified("FRN")
    await ben.handle_friend(ann.uid, ACCEPTED)
    for device, other in ((ann, ben), (ben, ann)):
        head = await device.notified("FN")
        (friend,) = await device.friends()
        same((friend["friendUid"], friend["state"], friend["alias"]), (other.uid, 0, ""))
        assert friend["timestamp"] <= head["head"], (friend, head)
    (request,) = await ann.friend_requests()
    same(request["status"], ACCEPTED)


@row("7 FHR accepts by status 0 as well")
async def accept_by_zero(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid)
    await ben.handle_friend(ann.uid, SENT)
    for device, other in ((ann, ben), (ben, ann)):
        same([friend["friendUid"] for friend in await device.friends()], [other.uid])


@row("7 FP answers friends newer than the version")
async def newer_friends(world: World) -> None:
    ann, ben = await world.people(2)
    await world.befriend(ann, ben)
    (friend,) = await ann.friends()
    same(await ann.friends(friend["timestamp"]), [])
    same(len(await ann.friends(friend["timestamp"] - 1)), 1)


@row("7 FALS: an alias that only its owner sees")
async def alias(world: World) -> None:
    ann, ben = await world.people(2)
    await world.befriend(ann, ben)
    tablet = await world.another(ann)
    (before,) = await ann.friends()
    await ann.set_alias(ben.uid, "班")
    await tablet.notified("FN")
    (friend,) = await tablet.friends(before["timestamp"])
    same((friend["friendUid"], friend["alias"]), (ben.uid, "班"))
    (theirs,) = await ben.friends()
    same(theirs["alias"], "")


@row("7 FDL ends a friendship on both sides, FN to both")
async def delete(world: World) -> None:
    ann, ben = await world.people(2)
    await world.befriend(ann, ben)
    tablet = await world.another(ann)
    (friend,) = await ben.friends()
    await ann.delete_friend(ben.uid)
    for device in (ben, tablet):
        head = await device.notified("FN")
        assert head["head"] > friend["timestamp"], (head, friend)
    for device, other in ((ann, ben), (ben, ann)):
        (gone,) = await device.friends(friend["timestamp"])
        same((gone["friendUid"], gone["state"]), (other.uid, DELETED))
        same(await device.friends(), [], "the whole list")
    with refused(253):
        await ben.delete_friend(ann.uid)
    await ben.add_friend(ann.uid)
    await ann.handle_friend(ben.uid)
    same([friend["friendUid"] for friend in await ben.friends()], [ann.uid])


@row("7 BLU puts a user on the blacklist and off it, and tells the own other devices")
async def blacklist(world: World) -> None:
    ann, ben = await world.people(2)
    await world.befriend(ann, ben)
    tablet = await world.another(ann)
    (before,) = await ann.friends()
    await ann.blacklist(ben.uid)
    await tablet.notified("FN")
    (entry,) = await tablet.friends(before["timestamp"])
    same((entry["friendUid"], entry["state"]), (ben.uid, BLACKLISTED))
    same([friend["state"] for friend in await ben.friends()], [0], "what the other sees")
    await ann.blacklist(ben.uid, 0)
    (entry,) = await tablet.friends(entry["timestamp"])
    same((entry["friendUid"], entry["state"]), (ben.uid, 0))


@row("8 who is blacklisted is kept away with 246")
async def kept_away(world: World) -> None:
    ann, ben, cat = await world.people(3)
    await ann.add_friend(ben.uid)
    await ann.blacklist(ben.uid)
    for content in ("hello", {"type": 400, "content": "a call"}, {"type": 401, "content": "a call"}):
        await refused_soon(246, partial(ben.send, ann.uid, content), BOUND)
    with refused(246):
        await ben.add_friend(ann.uid)
    with refused(246):
        await ben.handle_friend(ann.uid)
    group = await ben.create_group([ann.uid, cat.uid])
    same({member["memberId"] for member in await ben.members(group)}, {ben.uid, cat.uid})
    await ann.blacklist(ben.uid, 0)
    await ben.send(ann.uid, "hello again")
    texts = [one["content"]["searchableContent"] for one in await ann.history(ben.uid)]
    assert "hello again" in texts, texts


@row("8 FAR a second time is refused with 16")
async def ask_twice(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid)
    with refused(16):
        await ann.add_friend(ben.uid)
    same(len(await ben.friend_requests()), 1)


@row("8 FAR after a rejection is refused with 18")
async def ask_after_rejection(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid)
    await ben.handle_friend(ann.uid, REJECTED)
    with refused(18):
        await ann.add_friend(ben.uid)
    (request,) = await ben.friend_requests()
    same(request["status"], REJECTED)
    same(await ben.friends(), [], "friends after a rejection")


@row("8 FAR to nobody is refused with 253")
async def ask_nobody(world: World) -> None:
    ann = await world.online()
    with refused(253):
        await ann.add_friend("nobody-at-all")


@row("8 FHR without a request is refused with 253")
async def accept_nothing(world: World) -> None:
    ann, ben = await world.people(2)
    with refused(253):
        await ben.handle_friend(ann.uid, ACCEPTED)
    await ann.add_friend(ben.uid)
    with refused(253):  # it is the target who handles it
        await ann.handle_friend(ben.uid, ACCEPTED)


@row("8 accepting stores the reason and two tips from the requester")
async def greetings(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.add_friend(ben.uid, "你好，我是安")
    await ben.handle_friend(ann.uid, ACCEPTED)
    for device in (ann, ben):
        found = await device.inbox(GREETINGS)
        same(
            [(one["from"], one["target"], one["content"]["type"]) for one in found],
            [(ann.uid, ben.uid, type) for type in (1, 90, 90)],
        )
        same(found[0]["content"]["searchableContent"], "你好，我是安")
        same([one["content"]["content"] for one in found[1:]], TIPS)


@row("8 the greetings reach the accepter's devices by MN, and the requester's")
async def greetings_told(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ben)
    await ann.add_friend(ben.uid)
    await ben.handle_friend(ann.uid, ACCEPTED)
    for device in (ann, ben, tablet):
        same(await device.mn(), 1)
