"""Sections 6 and 7: the inbox, its notifications, and history."""

import asyncio
import time

from tools.conformance.checks import Refused, Skip, same
from tools.conformance.device import SuiteDevice
from tools.conformance.rows import WS, row
from tools.conformance.world import World

LARGE = 20_000
COUNT = 20
"""Texts of LARGE bytes that no answer takes together, on either transport."""

MANY = 400
"""Requests that a limit of 100 in 5 s cannot let pass."""


async def _said(world: World, count: int) -> tuple[SuiteDevice, SuiteDevice]:
    """Return two people, the first of whom has said "0", "1" and so on to the second."""
    ann, ben = await world.people(2)
    for n in range(count):
        await ann.send(ben.uid, str(n))
    return ann, ben


def _most(device: SuiteDevice) -> int:
    """Return the bytes that an answer to a device may have."""
    return (64 if device.by_tcp else 256) * 1024


@row("6 seq starts at 1 and grows by exactly 1 for each entry")
async def seq(world: World) -> None:
    ann, ben, cat = await world.people(3)
    for n, (sender, receiver) in enumerate([(ann, ben), (ben, ann), (cat, ben), (ben, cat)], 1):
        await sender.send(receiver.uid, str(n))
        await ben.upto(n)
    for after in range(4):
        same(await ben.texts(4, after), ["1", "2", "3", "4"][after:], f"after {after}")


@row("6 a message makes one entry for its receiver and one for its sender")
async def both_sides(world: World) -> None:
    ann, ben = await _said(world, 1)
    for device in (ann, ben):
        same(await device.texts(1), ["0"])


@row("7 MP: oldest first, current the last covered, head the last there is")
async def pull(world: World) -> None:
    _, ben = await _said(world, 5)
    pulled = await ben.upto(5)
    same((pulled["current"], pulled["head"]), (5, 5))
    same([one["content"]["searchableContent"] for one in pulled["messageResponseList"]], list("01234"))
    same(await ben.texts(5, 3), list("34"))


OUTLIVED_SECONDS = 5.0
"""A device that sends something so long after an answer has that answer (contract.md section 6)."""


@row("7 MP of what is all fetched is empty, but for what the device is not sure to have")
async def pull_nothing(world: World) -> None:
    ann, ben = await _said(world, 2)
    same(await ben.mn(), 1)
    await ben.upto(2)
    await ann.send(ben.uid, "2")
    same(await ben.mn(3), 3)
    await ben.pull(2)
    await ann.send(ben.uid, "3")
    same(await ben.mn(4), 4)
    begun = time.monotonic()
    await ben.pull(3)
    pulled = await ben.pull(4)  # the device has 3 for certain
    same((pulled["current"], pulled["head"]), (4, 4))
    again = [one["content"]["searchableContent"] for one in pulled["messageResponseList"]]
    if again or time.monotonic() - begun < OUTLIVED_SECONDS:
        same(again, ["3"])
    cat = await world.online()
    pulled = await cat.pull(0)
    same((pulled["messageResponseList"], pulled["current"], pulled["head"]), ([], 0, 0), "nothing ever came")


@row("6 sendMessageCount is no claim: web clients count call signals too", WS)
async def pull_type_0(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.send(ben.uid, "first")
    same(await ben.mn(), 1)
    await ben.pull(0)
    await ann.send(ben.uid, "second")
    same(await ben.mn(2), 2)
    request = {"messageId": "1", "type": 0, "pullType": 0, "sendMessageCount": 15}
    pulled = (await ben.ask_raw("MP", b"", request)).content
    same([one["content"]["searchableContent"] for one in pulled["messageResponseList"]], ["second"])


@row("6 an MP above the head is answered as for 0")
async def pull_above(world: World) -> None:
    _, ben = await _said(world, 3)
    await ben.upto(3)
    for after in (4, 1000, 1 << 40):
        pulled = await ben.pull(after)
        same((len(pulled["messageResponseList"]), pulled["current"], pulled["head"]), (3, 3, 3), f"{after}")


@row("6 a device that says it has nothing gets the newest of one answer, the older ones are in the history")
async def cut(world: World) -> None:
    ann, ben = await world.people(2)
    ids = [(await ann.send(ben.uid, "x" * LARGE))["messageId"] for _ in range(COUNT)]
    ben = await world.another(ben)
    pulled = await ben.upto(COUNT)
    got = [one["messageId"] for one in pulled["messageResponseList"]]
    assert 1 <= len(got) <= _most(ben) // LARGE, f"{len(got)} entries of {LARGE} bytes"
    same(got, ids[-len(got) :], "the newest")
    same((pulled["current"], pulled["head"]), (COUNT, COUNT))
    older = await ben.history(ann.uid, before=got[0], count=1)
    same([one["messageId"] for one in older], [ids[-len(got) - 1]])


@row(
    "6 an answer is cut at 64 KiB on TCP and 256 KiB on WebSocket, oldest first, and an MN asks for the rest"
)
async def rounds(world: World) -> None:
    ann, ben = await world.people(2)
    ids = [(await ann.send(ben.uid, "\x01" * LARGE))["messageId"] for _ in range(COUNT)]
    got: list[int] = []
    head = await ben.mn()
    while True:
        pulled = await ben.pull(head - 1)
        entries = [one["messageId"] for one in pulled["messageResponseList"]]
        assert 1 <= len(entries) <= max(1, _most(ben) // (LARGE if ben.by_tcp else 7 * LARGE)), len(entries)
        got += entries
        same((pulled["current"], pulled["head"]), (len(got), len(got)), "what the answer covers")
        if len(got) == COUNT:
            break
        head = await ben.mn(len(got) + 1)
        same(head, len(got) + 1)
    same(got, ids, "all, in order")


@row("6 what a device says it has is not believed: it gets what no answer brought it for certain")
async def claims_too_much(world: World) -> None:
    ann, ben = await world.people(2)
    await ben.disconnect(0)
    for n in range(3):
        await ann.send(ben.uid, str(n))
    ben = await world.online(ben.session)
    same(ben.connected["messageHead"], 3)
    pulled = await ben.pull(3)
    same([one["content"]["searchableContent"] for one in pulled["messageResponseList"]], list("012"))


@row("7 MN: a number and no content")
async def told(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.send(ben.uid, "hello")
    same(await ben.notified("MN"), {"messageHead": 1, "type": 0})


@row("6 the head of an MN is the lowest entry the device has not fetched")
async def lowest(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.send(ben.uid, "0")
    same(await ben.mn(), 1)
    for n in (1, 2):
        await ann.send(ben.uid, str(n))
    same(await ben.mn(), 1, "the MN that is repeated")
    same(await ben.texts(3), list("012"), "one MN stands for all")
    await ann.send(ben.uid, "3")
    same(await ben.mn(4), 4)


@row("6 each device has its own lowest entry")
async def lowest_of_each(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ben)
    await ann.send(ben.uid, "0")
    await asyncio.gather(ben.mn(), tablet.mn())
    await ben.inbox(1)
    await ann.send(ben.uid, "1")
    same(await ben.mn(2), 2)
    same(await tablet.mn(), 1, "a repeated MN of the device that has fetched nothing")


@row("6 an MN that is not answered is repeated")
async def repeated(world: World) -> None:
    _, ben = await _said(world, 1)
    for _ in range(2):
        same(await ben.mn(), 1)
    same(await ben.texts(1), ["0"])


@row("6 the sender's own device gets no MN for what it sent, its other devices do")
async def own(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ann)
    await ann.send(ben.uid, "mine")
    same(await tablet.mn(), 1)
    same(await tablet.texts(1), ["mine"])
    await ben.send(ann.uid, "yours")
    same(await ann.mn(), 2, "the first MN of the device that sent")


@row("6 what came while a device was away is in its next MP")
async def away(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.send(ben.uid, "before")
    await ben.inbox(1)
    await ben.disconnect(0)
    for n in range(3):
        await ann.send(ben.uid, str(n))
    ben = await world.online(ben.session)
    same(ben.connected["messageHead"], 4)
    same(await ben.texts(4, 1), ["0", "1", "2"])


@row("7 LRM: newest first, up to count, below before_uid")
async def history(world: World) -> None:
    ann, ben = await _said(world, 5)
    await ben.send(ann.uid, "5")
    for device, other in ((ann, ben), (ben, ann)):
        newest = await device.history(other.uid, count=4)
        same([one["content"]["searchableContent"] for one in newest], list("5432"))
        older = await device.history(other.uid, before=newest[-1]["messageId"], count=4)
        same([one["content"]["searchableContent"] for one in older], list("10"))
        same(await device.history(other.uid, before=older[-1]["messageId"]), [], "before the first")


@row("7 LRM is of one conversation")
async def one_conversation(world: World) -> None:
    ann, ben, cat = await world.people(3)
    await ann.send(ben.uid, "to ben")
    await ann.send(cat.uid, "to cat")
    same([one["content"]["searchableContent"] for one in await ann.history(ben.uid)], ["to ben"])
    same(await ben.history(cat.uid), [])


@row("7 LRM: the conversation's type may be called conversationType", WS)
async def other_key(world: World) -> None:
    ann, ben = await _said(world, 1)
    where = {"conversationType": 0, "target": ben.uid, "line": 0}
    request = {"beforeUid": "0", "count": 10, "conversation": where}
    found = (await ann.ask_raw("LRM", b"", request)).content["messageResponseList"]
    same([one["content"]["searchableContent"] for one in found], ["0"])


# Limits


async def _exhaust(device: SuiteDevice) -> None:
    """Search until the limit is reached."""
    answers = await asyncio.gather(*(device.search("nobody") for _ in range(MANY)), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    if not refusals:
        raise Skip("the server limits nothing")
    for refusal in refusals:
        assert isinstance(refusal, Refused), refusal
        assert refusal.code in (None, 250), refusal
    assert len(answers) - len(refusals) >= 100, f"{len(answers) - len(refusals)} were let pass"


@row("8 more than 100 requests in 5 s are refused with 250, until the bucket has leaked")
async def limit(world: World) -> None:
    ann = await world.online()
    await _exhaust(ann)
    while True:
        try:
            same(await ann.search("nobody"), [])
            return
        except Refused:
            await asyncio.sleep(0.02)  # each of the requests that leak away takes 50 ms


@row("8 the limit is for each client, user and sub-signal")
async def limit_of_each(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ann)
    await _exhaust(ann)
    same(await ann.friends(), [], "another sub-signal")
    same(await tablet.search("nobody"), [], "another client")
    same(await ben.search("nobody"), [], "another user")


@row("8 MP, MDR and MRR are not counted by that limit")
async def limit_of_follow_ups(world: World) -> None:
    ann, ben = await world.people(2)
    await ann.send(ben.uid, "0")
    await ben.mn(1)
    await asyncio.gather(*(ben.pull(0) for _ in range(MANY)))
    await asyncio.gather(*(ben.delivered(ann.uid, n + 1) for n in range(MANY)))
    await asyncio.gather(*(ben.read(ann.uid, n + 1) for n in range(MANY)))
    same(await ben.texts(1), ["0"])
