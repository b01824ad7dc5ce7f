"""Section 9: calls between two users, and the signals of calls in groups."""

import json
from typing import Any

from tools.conformance.checks import Refused, Skip, refused, same
from tools.conformance.device import SuiteDevice, is_probe, is_push
from tools.conformance.rows import WS, row
from tools.conformance.world import World
from tools.wire.bodies import GROUP, Object

START, ANSWER, BYE, SIGNAL, MODIFY, OWN_ANSWER = range(400, 406)
NO_MEDIA_SERVER = 254
NOT_IN_GROUP = 9
OFFER = "\r\n".join(
    (
        "v=0",
        "o=- 4611732 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=msid-semantic: WMS call",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        "a=ice-ufrag:Yx1c",
        "a=ice-pwd:4Zc2yR1H5fXJ0pK8sLq3mVbT",
        "a=ice-options:trickle",
        "a=fingerprint:sha-256 " + ":".join(["5A"] * 32),
        "a=setup:actpass",
        "a=mid:0",
        "a=sendonly",
        "a=msid:call audio",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=ssrc:1001 cname:call",
        "a=ssrc:1001 msid:call audio",
        "",
    )
)
"""What a browser offers that sends audio."""
RECEIVING = "".join(
    line + "\r\n"
    for line in OFFER.replace("a=sendonly", "a=recvonly").split("\r\n")
    if line and not line.startswith(("a=msid", "a=ssrc"))
)
"""What it offers to receive audio."""


def content(kind: int, data: object = b"", call_id: str = "") -> Object:
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return {
        "type": kind,
        **({"content": call_id} if call_id else {}),
        **({"binaryContent": data} if data else {}),
    }


def pushes(device: SuiteDevice) -> list[Object]:
    """Return the transparent messages that came, and that nobody has waited for."""
    return [
        frame.content["messageResponseList"][0]
        for frame in device.link.arrived
        if is_push(frame) and not is_probe(frame)
    ]


async def nothing_came(*devices: SuiteDevice) -> None:
    for device in devices:
        await device.ping()
        same(pushes(device), [], "what was pushed")


async def told(device: SuiteDevice, group: str) -> Any:
    """Wait for a push of a call: return the JSON of a 403, or the type."""
    message = await device.pushed()
    same((message["conversationType"], message["target"], message["line"]), (GROUP, group, 0), "where")
    if message["from"] == device.uid:
        raise AssertionError("it is from the receiver, who ignores it")
    same(message["direction"] if not device.by_tcp else 1, 1, "the direction")
    if not int(message["messageId"]):
        raise AssertionError("it has no id")
    kind = message["content"]["type"]
    return json.loads(message["content"]["binaryContent"]) if kind == SIGNAL else kind


async def signal(device: SuiteDevice, group: str, said: object) -> None:
    await device.send(group, content(SIGNAL, said), kind=GROUP)


class InGroup:
    """Members of a group, and calls among them."""

    def __init__(self, group: str, devices: list[SuiteDevice]) -> None:
        self.group, self.devices = group, devices

    @classmethod
    async def of(cls, world: World, count: int) -> "InGroup":
        devices = await world.people(count)
        group = await devices[0].create_group([device.uid for device in devices[1:]])
        for device in devices:
            await device.upto(1)
        return cls(group, devices)

    async def start(self, device: SuiteDevice, *invited: SuiteDevice) -> Object:
        """Start a call. The row is skipped where there is no media server."""
        start = content(START, {"t": self.group, "a": 0}, f"{self.group}1795645835453")
        tos = [one.uid for one in invited]
        try:
            sent = await device.send(self.group, start, kind=GROUP, to=tos)
        except Refused as refusal:
            if refusal.code in (NO_MEDIA_SERVER, None):
                raise Skip("no media server") from None
            raise
        same(await told(device, self.group), {"type": "existingParticipants", "data": []})
        return sent

    async def answer(self, device: SuiteDevice, *others: SuiteDevice) -> None:
        """Let a device into the call in which the others are; it has fetched the start, which rings."""
        await device.pull()
        await device.send(self.group, content(ANSWER, b"0", f"{self.group}1795645835453"), kind=GROUP)
        for other in others:
            same(await told(other, self.group), {"type": "newParticipantArrived", "name": device.uid})
        existing = await told(device, self.group)
        same(existing["type"], "existingParticipants")
        same(sorted(existing["data"]), sorted(other.uid for other in others), "who is in")


# Between two users


@row("9 a 400 is stored, whatever its flag says")
async def start_is_stored(world: World) -> None:
    ann, ben = await world.people(2)
    for flag in (0, 1, 3, 4, None):
        await ann.send(ben.uid, content(START, {"t": ben.uid, "a": 1}, ben.uid + "1"), flag=flag)
    for device in (ann, ben):
        same([one["content"]["type"] for one in await device.inbox(5)], [START] * 5)


@row(
    "9 401 to 405 are pushed once, with ids of their own and the server's time, untouched, whatever the flag"
)
async def signals_are_pushed(world: World) -> None:
    ann, ben = await world.people(2)
    ids = set()
    for kind in range(ANSWER, OWN_ANSWER + 1):
        for flag in (0, 1, 4, None):
            said = {**content(kind, b"\x00\xff", "call id"), "searchableContent": "old builds"}
            sent = await ann.send(ben.uid, said, flag=flag)
            pushed = await ben.pushed()
            same({key: pushed["content"][key] for key in said}, said, "the content")
            same((pushed["messageId"], pushed["timestamp"]), (sent["messageId"], sent["timestamp"]))
            same((pushed["from"], pushed["target"]), (ann.uid, ben.uid))
            ids.add(pushed["messageId"])
    same(len(ids), 20, "ids")
    await nothing_came(ben)
    same((await ben.pull())["head"], 0, "the head of the inbox")


@row("9 401 and 405 go to the sender's other devices too, 402 to 404 never")
async def own_devices(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ben)
    for kind in (OWN_ANSWER, BYE, SIGNAL, MODIFY, ANSWER):
        await ben.send(ann.uid, content(kind, b"0", "call id"))
    for kind in (OWN_ANSWER, ANSWER):
        pushed = await tablet.pushed()
        same((pushed["content"]["type"], pushed["from"], pushed["target"]), (kind, ben.uid, ann.uid))
    await nothing_came(ben, tablet)


@row("7 TURN: what goes into the iceServers of WebRTC")
async def turn(world: World) -> None:
    ann = await world.online()
    told = await ann.ask("TURN", "Version", {"version": 0}, {})
    same(set(told), {"urls", "username", "credential", "ttl"})


# In groups


@row("9 a 400 in a group is for those it invites alone, and they are told whom it invites")
async def invited(world: World) -> None:
    it = await InGroup.of(world, 4)
    ann, ben, cat, dan = it.devices
    sent = await it.start(ann, ben, cat)
    for device in (ann, ben, cat):
        (message,) = await device.inbox(2, after=1)
        same(message["messageId"], sent["messageId"])
        same(message["content"]["type"], START)
        same(message["tos"], [ben.uid, cat.uid], "tos")
    same((await dan.pull())["head"], 1, "the inbox of who is not invited")


@row("9 a 400 in a group without tos invites all members, and web clients get them as an array", WS)
async def invited_all(world: World) -> None:
    it = await InGroup.of(world, 3)
    ann, ben, cat = it.devices
    await it.start(ann)
    for device in (ben, cat):
        (message,) = await device.inbox(2, after=1)
        same(sorted(message["tos"]), sorted([ben.uid, cat.uid]), "tos")


@row("9 who answers is told who is in, and they are told who has come")
async def answers(world: World) -> None:
    it = await InGroup.of(world, 3)
    ann, ben, cat = it.devices
    await it.start(ann, ben, cat)
    await it.answer(ben, ann)
    await it.answer(cat, ann, ben)
    await nothing_came(ann, ben, cat)


@row("9 offers are answered, to the one device that is in the call")
async def offers(world: World) -> None:
    it = await InGroup.of(world, 2)
    ann, ben = it.devices
    tablet = await world.another(ann)
    await it.start(ann, ben)
    await it.answer(ben, ann)
    for device, sender, offer in (
        (ann, ann, OFFER),
        (ben, ben, OFFER),
        (ben, ann, RECEIVING),
        (ann, ben, RECEIVING),
    ):
        await signal(device, it.group, {"type": "receiveVideoFrom", "sender": sender.uid, "sdpOffer": offer})
        answer = await told(device, it.group)
        same((answer["type"], answer["name"]), ("receiveVideoAnswer", sender.uid))
        if not isinstance(answer["sdpAnswer"], str) or not answer["sdpAnswer"]:
            raise AssertionError(f"no answer: {answer}")
    await nothing_came(tablet)


@row("9 candidates are taken, whatever their name says, and what is none is dropped")
async def candidates(world: World) -> None:
    it = await InGroup.of(world, 2)
    ann, ben = it.devices
    await it.start(ann, ben)
    text = "candidate:1 1 udp 2122260223 127.0.0.1 40000 typ host"
    candidate = {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "Yx1c"}
    for name in ("", ann.uid, ben.uid, "nobody"):
        await signal(ann, it.group, {"type": "onIceCandidate", "candidate": candidate, "name": name})
    for wrong in (None, {}, {"candidate": 7}, {**candidate, "sdpMid": []}):
        await signal(ann, it.group, {"type": "onIceCandidate", "candidate": wrong, "name": ""})
    await it.answer(ben, ann)


@row("9 who leaves, or declines, is in no more; the others are told of who was in")
async def leaves(world: World) -> None:
    it = await InGroup.of(world, 3)
    ann, ben, cat = it.devices
    await it.start(ann, ben, cat)
    await it.answer(ben, ann)
    await signal(cat, it.group, {"type": "leaveRoom"})
    await nothing_came(ann, ben, cat)
    await signal(ben, it.group, {"type": "leaveRoom"})
    same(await told(ann, it.group), {"type": "participantLeft", "name": ben.uid})
    await it.answer(ben, ann)  # and comes back


@row("9 a 402 of who started the call ends it for who is in and who rings")
async def over(world: World) -> None:
    it = await InGroup.of(world, 4)
    ann, ben, cat, dan = it.devices
    await it.start(ann, ben, cat)
    await it.answer(ben, ann)
    await cat.pull()
    await ann.send(it.group, content(BYE), kind=GROUP, to=[ben.uid, cat.uid, dan.uid])
    for device in (ben, cat):
        same(await told(device, it.group), BYE)
    await signal(ben, it.group, {"type": "leaveRoom"})  # as web clients do then
    await nothing_came(ann, ben, cat, dan)
    await it.start(ann, dan)


@row("9 who was not invited gets nothing of a call")
async def strangers(world: World) -> None:
    it = await InGroup.of(world, 3)
    ann, ben, cat = it.devices
    dan = await world.online()
    await it.start(ann, ben)
    offer = {"type": "receiveVideoFrom", "sender": ann.uid, "sdpOffer": RECEIVING}
    for device in (cat, dan):
        with refused(248, 9):
            await device.send(it.group, content(ANSWER, b"0"), kind=GROUP)
        with refused(248, 9):
            await signal(device, it.group, offer)
        await signal(device, it.group, {"type": "leaveRoom"})
        await device.send(it.group, content(BYE), kind=GROUP)
    with refused(248):  # who rings, and has not answered
        await signal(ben, it.group, offer)
    await nothing_came(ann, ben, cat, dan)


@row("9 a forged sender gets nothing: who somebody is comes from the session")
async def forged(world: World) -> None:
    it = await InGroup.of(world, 3)
    ann, ben, cat = it.devices
    await it.start(ann, ben)
    with refused(248):
        await cat.send(it.group, content(ANSWER, b"0"), kind=GROUP, sender=ben.uid)
    await cat.send(it.group, content(BYE), kind=GROUP, sender=ann.uid)
    await it.answer(ben, ann)


@row("9 a 403 that is no JSON is refused, and concerns nobody else")
async def bad_json(world: World) -> None:
    it = await InGroup.of(world, 2)
    ann, ben = it.devices
    await it.start(ann, ben)
    for data in (b"{", b"\xff\xff", b"[]", b"7", b'{"type":"receiveVideoFrom"}'):
        with refused(2):
            await ann.send(it.group, content(SIGNAL, data), kind=GROUP)
    await it.answer(ben, ann)


@row("9 a second 400 of who is invited joins the call, and rings nobody")
async def second_start(world: World) -> None:
    it = await InGroup.of(world, 3)
    ann, ben, cat = it.devices
    await it.start(ann, ben)
    await ben.pull()
    await ben.send(
        it.group, content(START, {"t": it.group}, it.group + "2"), kind=GROUP, to=[ann.uid, cat.uid]
    )
    same(await told(ann, it.group), {"type": "newParticipantArrived", "name": ben.uid})
    same(await told(ben, it.group), {"type": "existingParticipants", "data": [ann.uid]})
    same((await cat.pull())["head"], 1, "the inbox of who was not rung")


@row("9 signals between two users ring all devices of the other one, and nobody else's")
async def all_devices_ring(world: World) -> None:
    ann, ben, cat = await world.people(3)
    tablet = await world.another(ben)
    sent = await ann.send(ben.uid, content(START, {"t": ben.uid}, ben.uid + "1"))
    for device in (ben, tablet):
        same((await device.inbox(1))[0]["messageId"], sent["messageId"], "the start")
    await ann.send(ben.uid, content(BYE, call_id=ben.uid + "1"))
    for device in (ben, tablet):
        pushed = await device.pushed()
        same((pushed["content"]["type"], pushed["content"]["content"]), (BYE, ben.uid + "1"))
    await nothing_came(ann, cat)


@row("9 who is no member of a group starts no call there")
async def outsiders_start(world: World) -> None:
    it = await InGroup.of(world, 2)
    ann, ben = it.devices
    dan = await world.online()
    with refused(NOT_IN_GROUP):
        await dan.send(it.group, content(START, {"t": it.group}, it.group + "1"), kind=GROUP, to=[ben.uid])
    await nothing_came(ann, ben)
    await it.start(ann, ben)


@row("9 a call is over when the last one has left, and the next 400 opens another")
async def last_leaves(world: World) -> None:
    it = await InGroup.of(world, 2)
    ann, ben = it.devices
    await it.start(ann, ben)
    await it.answer(ben, ann)
    await signal(ann, it.group, {"type": "leaveRoom"})
    same(await told(ben, it.group), {"type": "participantLeft", "name": ann.uid})
    await signal(ben, it.group, {"type": "leaveRoom"})
    await it.start(ben, ann)
    await it.answer(ann, ben)
