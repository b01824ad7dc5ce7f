"""Sections 6, 7 and 8: sending a message, and what it looks like where it arrives."""

from typing import Any

from tools.conformance.checks import refused, same
from tools.conformance.device import SuiteDevice
from tools.conformance.rows import WS, row
from tools.conformance.world import World
from tools.wire.bodies import CHANNEL, CHAT_ROOM, GROUP, new_local_id, text

EPOCH_MS = 1514736000000
CALLS = range(400, 406)
TRANSPARENT = (91, 401, 402, 403, 404, 405)
EVERYTHING = {
    "type": 3,
    "searchableContent": '摘要 "quoted" \\ \u2028 😀',
    "pushContent": "[图片]",
    "content": '{"w": 1}',
    "binaryContent": bytes(range(256)),
    "mediaType": 1,
    "remoteMediaUrl": "http://media.example.com/a%20b?c=d&e=中",
    "mentionedType": 1,
    "mentionedTargets": ["one", "two"],
}


def _check(message: dict[str, Any], sent: dict[str, Any], sender: SuiteDevice, target: str) -> None:
    """Fail unless a message is what was sent."""
    same(message["messageId"], sent["messageId"], "the id")
    same(message["timestamp"], sent["timestamp"], "the timestamp")
    same(
        (message["conversationType"], message["target"], message["line"]), (0, target, 0), "the conversation"
    )
    same(message["from"], sender.uid, "from")


@row("7 MS")
async def send(world: World) -> None:
    ann, ben = await world.people(2)
    local_id = new_local_id()
    sent = await ann.send(ben.uid, "你好", local_id=local_id)
    for device in (ann, ben):
        (message,) = await device.inbox(1)
        _check(message, sent, ann, ben.uid)
        same(message["localMessageId"], local_id, "the local id")
        same(message["content"]["searchableContent"], "你好")


@row("7 MS: every field of the content arrives")
async def every_field(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.send(ben.uid, EVERYTHING)
    (message,) = await ben.inbox(1)
    same({key: message["content"][key] for key in EVERYTHING}, EVERYTHING)


@row("7 MS: what one transport sent arrives on the other")
async def across(world: World) -> None:
    other = "ws" if world.transport == "tcp" else "tcp"
    ann, ben = await world.online(), await world.online(transport=other)
    sent = await ann.send(ben.uid, EVERYTHING)
    (message,) = await ben.inbox(1)
    _check(message, sent, ann, ben.uid)
    same({key: message["content"][key] for key in EVERYTHING}, EVERYTHING)


@row("7 MS: messageId of a web client is its local id", WS)
async def local_id_of_the_web(world: World) -> None:
    ann, ben = await world.people(2)
    content = {
        "conversationType": 0,
        "target": ben.uid,
        "line": 0,
        "from": ann.uid,
        "tos": [],
        "messageId": "4711",
        "content": {"type": 1, "searchableContent": "x"},
    }
    first = (await ann.ask_raw("MS", b"", content)).content
    again = (await ann.ask_raw("MS", b"", content)).content
    same(again, first)


@row("6 the PUB_ACK of MS: id and timestamp, the time being in the id")
async def id_and_time(world: World) -> None:
    ann, ben = await world.people(2)
    before = 0
    for n in range(5):
        sent = await ann.send(ben.uid, str(n))
        drift = (sent["messageId"] >> 21) + EPOCH_MS - sent["timestamp"]
        assert abs(drift) <= 1000, f"the id is of another time than the timestamp: {drift} ms"
        assert sent["messageId"] > before, "ids do not grow"
        before = sent["messageId"]


@row("6 what is acknowledged is stored")
async def stored(world: World) -> None:
    ann, ben = await world.people(2)
    for n in range(10):
        sent = await ann.send(ben.uid, str(n))
        newest = (await ben.history(ann.uid, count=1))[0]
        same(newest["messageId"], sent["messageId"])


@row("6 a resend answers the first one and stores nothing new")
async def resend(world: World) -> None:
    ann, ben = await world.people(2)
    local_id = new_local_id()
    first = await ann.send(ben.uid, "once", local_id=local_id)
    same(await ann.send(ben.uid, "once", local_id=local_id), first)
    ann = await world.online(ann.session)  # as after a broken connection
    same(await ann.send(ben.uid, "once", local_id=local_id), first)
    await ann.send(ben.uid, "more")
    for device in (ann, ben):
        same(await device.texts(2), ["once", "more"])


@row("6 the same local id with another text or target is another message")
async def local_id_again(world: World) -> None:
    ann, ben, cat = await world.people(3)
    local_id = new_local_id()
    sent = [(ben, "one"), (ben, "two"), (cat, "one")]
    ids = [(await ann.send(to.uid, said, local_id=local_id))["messageId"] for to, said in sent]
    same(len(set(ids)), 3, "messages")
    for (to, said), id in zip(sent, ids, strict=True):
        same((await ann.send(to.uid, said, local_id=local_id))["messageId"], id)
    same(await ann.texts(3), ["one", "two", "one"])


@row("6 with local id 0 the same frame of a login session is a resend")
async def frame_again(world: World) -> None:
    ann, ben = await world.people(2)
    first = await ann.send(ben.uid, "once", local_id=0, frame_id=300)
    same(await ann.send(ben.uid, "once", local_id=0, frame_id=300), first)
    ann = await world.online(ann.session)
    same(await ann.send(ben.uid, "once", local_id=0, frame_id=300), first)
    await ann.send(ben.uid, "twice", local_id=0, frame_id=300)
    await ann.send(ben.uid, "once", local_id=0, frame_id=301)
    same(await ben.texts(3), ["once", "twice", "once"])


@row("8 MS of a type that is the server's is refused with 251")
async def system_types(world: World) -> None:
    ann, ben = await world.people(2)
    for kind in (80, 104, 108, 112):
        with refused(251):
            await ann.send(ben.uid, {"type": kind, "content": ann.uid})
    await ben.upto(0)


@row("6 a local id is the sender's own")
async def local_ids(world: World) -> None:
    ann, ben = await world.people(2)
    local_id = new_local_id()
    one = await ann.send(ben.uid, "from ann", local_id=local_id)
    other = await ben.send(ann.uid, "from ben", local_id=local_id)
    assert one["messageId"] != other["messageId"]
    same(sorted(await ann.texts(2)), ["from ann", "from ben"])


@row("6 messages without a local id are all stored")
async def no_local_id(world: World) -> None:
    ann, ben = await world.people(2)
    for _ in range(2):
        await ann.send(ben.uid, "same", local_id=0)
    same(await ben.texts(2), ["same", "same"])


@row("6 transparent messages are pushed at once, as PUB_ACK MP with message id 0")
async def transparent(world: World) -> None:
    ann, ben = await world.people(2)
    for type in TRANSPARENT:
        sent = await ann.send(ben.uid, {"type": type, "content": f"signal {type}", "binaryContent": b"\0\1"})
        pushed = await ben.pushed()
        _check(pushed, sent, ann, ben.uid)
        same((pushed["content"]["type"], pushed["content"]["content"]), (type, f"signal {type}"))
        same(pushed["content"]["binaryContent"], b"\0\1")


@row("6 transparent messages make no entries")
async def transparent_entries(world: World) -> None:
    ann, ben = await world.people(2)
    for type in TRANSPARENT:
        await ann.send(ben.uid, {"type": type})
    await ann.send(ben.uid, "stored")
    for device in (ann, ben):
        same([one["content"]["type"] for one in await device.inbox(1)], [1])
    same([one["content"]["type"] for one in await ben.history(ann.uid)], [1], "the history")


@row("6 transparent messages go to all devices of the receiver and none of the sender")
async def transparent_devices(world: World) -> None:
    ann, ben = await world.people(2)
    ann_tablet, ben_tablet = await world.another(ann), await world.another(ben)
    await ann.send(ben.uid, {"type": 91, "content": "typing"})
    for device in (ben, ben_tablet):
        same((await device.pushed())["content"]["content"], "typing")
    await ben.send(ann.uid, {"type": 91, "content": "back"})
    for device in (ann, ann_tablet):
        same((await device.pushed())["content"]["content"], "back", "the first that is pushed")


@row("6 a message with persist flag 4 is transparent whatever its type", ("tcp",))
async def flag_4(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.send(ben.uid, "now or never", flag=4)
    same((await ben.pushed())["content"]["searchableContent"], "now or never")
    await ben.upto(0)


@row("6 a message with persist flag 0 is not stored", ("tcp",))
async def flag_0(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.send(ben.uid, "not stored", flag=0)
    await ann.send(ben.uid, "stored", flag=1)
    for device in (ann, ben):
        same(await device.texts(1), ["stored"])


@row("8 from_user is always the authenticated user")
async def sender(world: World) -> None:
    ann, ben, cat = await world.people(3)
    await ann.send(ben.uid, "from cat?", sender=cat.uid)
    (message,) = await ben.inbox(1)
    same(message["from"], ann.uid)
    await cat.upto(0)


@row("8 a message to a chat room is refused with 20, to a channel with 21")
async def rooms(world: World) -> None:
    ann = await world.online()
    with refused(20):
        await ann.send("room", "x", kind=CHAT_ROOM)
    with refused(21):
        await ann.send("channel", "x", kind=CHANNEL)


@row("8 a message to a group one is not in is refused with 9")
async def no_member(world: World) -> None:
    ann = await world.online()
    with refused(9):
        await ann.send("no-such-group", "x", kind=GROUP)


@row("8 one-to-one calls are plain forwarding")
async def calls(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.send(ben.uid, text("call", type=400, binaryContent=b'{"audioOnly":true}'))
    (start,) = await ben.inbox(1)
    same((start["content"]["type"], start["content"]["binaryContent"]), (400, b'{"audioOnly":true}'))
    for type in CALLS[1:]:
        await ben.send(ann.uid, {"type": type, "content": "call id", "binaryContent": b"sdp"})
        pushed = await ann.pushed()
        same((pushed["from"], pushed["content"]["type"]), (ben.uid, type))
        same((pushed["content"]["content"], pushed["content"]["binaryContent"]), ("call id", b"sdp"))
