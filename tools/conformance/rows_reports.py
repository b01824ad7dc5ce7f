"""Sections 7 and 8: delivery and read reports."""

from tools.conformance.checks import refused, same
from tools.conformance.device import SuiteDevice
from tools.conformance.rows import row
from tools.conformance.world import World
from tools.wire.bodies import GROUP, Object

DELIVERED, READ = 1, 2


async def _told(device: SuiteDevice, kind: int, at_least: int = 1) -> int:
    """Wait for an MRN of a kind and return its head."""
    found = await device.notified(
        "MRN",
        lambda frame: frame.content["type"] == kind and frame.content["messageHead"] >= at_least,
    )
    head: int = found["messageHead"]
    return head


async def _one(device: SuiteDevice, kind: int) -> Object:
    """Wait for an MRN, and return the one report that it stands for."""
    pulled = await device.reports(kind, await _told(device, kind))
    (report,) = pulled["messageReportList"]
    same(pulled["current"], pulled["head"], "current and head")
    found: Object = report
    return found


def _report(kind: int, reporter: SuiteDevice, date: int, target: str) -> Object:
    return {"reportType": kind, "uid": reporter.uid, "date": date, "target": target}


@row("7 MDR, MRN and MRP: delivered")
async def delivered(world: World) -> None:
    ann, ben = await world.people(2)
    date = (await ann.send(ben.uid, "hello"))["timestamp"]
    await ben.delivered(ann.uid, date)
    same(await _one(ann, DELIVERED), _report(DELIVERED, ben, date, ben.uid))


@row("7 MRR, MRN and MRP: read")
async def read(world: World) -> None:
    ann, ben = await world.people(2)
    date = (await ann.send(ben.uid, "hello"))["timestamp"]
    await ben.read(ann.uid, date)
    same(await _one(ann, READ), _report(READ, ben, date, ben.uid))


@row("8 a report goes to all devices of its target")
async def all_devices(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ann)
    date = (await ann.send(ben.uid, "hello"))["timestamp"]
    await ben.read(ann.uid, date)
    for device in (ann, tablet):
        same(await _one(device, READ), _report(READ, ben, date, ben.uid))


@row("8 the latest date of a reporter and conversation wins")
async def latest(world: World) -> None:
    ann, ben = await world.people(2)
    date = (await ann.send(ben.uid, "hello"))["timestamp"]
    for one in (date - 100, date, date - 50):
        await ben.delivered(ann.uid, one)
    while True:
        found = (await ann.reports(DELIVERED))["messageReportList"]
        if [one["date"] for one in found] == [date]:
            break
        await _told(ann, DELIVERED)
    same(found, [_report(DELIVERED, ben, date, ben.uid)], "one row")


@row("8 a date far off the server's clock counts as now")
async def wrong_clock(world: World) -> None:
    ann, ben = await world.people(2)
    date = (await ann.send(ben.uid, "hello"))["timestamp"]
    await ben.delivered(ann.uid, date + 3_600_000)
    await ben.read(ann.uid, date - 3_600_000)
    for kind in (DELIVERED, READ):
        reported = (await _one(ann, kind))["date"]
        same(date <= reported < date + 1_800_000, True, f"{reported - date} ms after the message")


@row("8 deliveries and readings are apart")
async def apart(world: World) -> None:
    ann, ben = await world.people(2)
    date = (await ann.send(ben.uid, "hello"))["timestamp"]
    await ben.delivered(ann.uid, date - 1)
    await ben.read(ann.uid, date)
    same(await _one(ann, DELIVERED), _report(DELIVERED, ben, date - 1, ben.uid))
    same(await _one(ann, READ), _report(READ, ben, date, ben.uid))


@row("8 the head of an MRN is the lowest report the device has not fetched")
async def lowest(world: World) -> None:
    ann, ben, cat, dan = await world.people(4)
    date = (await ann.send(ben.uid, "hello"))["timestamp"]
    await ben.read(ann.uid, date)
    first = await _told(ann, READ)
    await cat.read(ann.uid, date)
    pulled = await ann.reports(READ, first)
    same({one["uid"] for one in pulled["messageReportList"]}, {ben.uid, cat.uid}, "one MRN stands for both")
    await dan.read(ann.uid, date)
    new = _report(READ, dan, date, dan.uid)
    while True:
        head = await _told(ann, READ)
        found = (await ann.reports(READ, head))["messageReportList"]
        if head > pulled["head"]:
            break
        if new in found:  # in a cluster the news of a report may come behind the answer that held it
            return
    same(head, pulled["head"] + 1)
    same(found, [new], "what follows id - 1")


@row("8 an MRN that is not answered is repeated")
async def repeated(world: World) -> None:
    ann, ben = await world.people(2)
    date = (await ann.send(ben.uid, "hello"))["timestamp"]
    await ben.read(ann.uid, date)
    same(await _told(ann, READ), await _told(ann, READ))


@row("8 MRP answers what follows, once the next MRN has shown that the device has the answer")
async def fetched(world: World) -> None:
    ann, ben = await world.people(2)
    for _ in range(2):
        date = (await ann.send(ben.uid, "hello"))["timestamp"]
        await ben.read(ann.uid, date)
        pulled = await ann.reports(READ, await _told(ann, READ))
        same([report["date"] for report in pulled["messageReportList"]], [date])


@row("8 a group MRR goes to all other members when tos is empty")
async def group_all(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid, cat.uid])
    date = (await ann.send(group, "hello", kind=GROUP))["timestamp"]
    await ben.read(group, date, kind=GROUP)
    for device in (ann, cat):
        same(await _one(device, READ), _report(READ, ben, date, group))
    same((await ben.reports(READ))["messageReportList"], [], "what the reporter is told")


@row("8 a group MRR goes to the users in tos")
async def group_tos(world: World) -> None:
    ann, ben, cat = await world.people(3)
    group = await ann.create_group([ben.uid, cat.uid])
    date = (await ann.send(group, "hello", kind=GROUP))["timestamp"]
    await ben.read(group, date, kind=GROUP, tos=[ann.uid])
    same(await _one(ann, READ), _report(READ, ben, date, group))
    same((await cat.reports(READ))["messageReportList"], [], "what one who is not named is told")


@row("8 a report is of its conversation")
async def conversations(world: World) -> None:
    ann, ben = await world.people(2)
    group = await ann.create_group([ben.uid])
    date = (await ann.send(group, "hello", kind=GROUP))["timestamp"]
    await ben.read(group, date, kind=GROUP)
    await ben.read(ann.uid, date - 1)
    wanted = [_report(READ, ben, date, group), _report(READ, ben, date - 1, ben.uid)]
    found: list[Object] = []
    while len(found) < len(wanted):
        await _told(ann, READ)
        found = (await ann.reports(READ))["messageReportList"]
    same(found, wanted)


@row("7 GRL: who has read how far in a group")
async def readers(world: World) -> None:
    ann, ben, cat, dan = await world.people(4)
    group = await ann.create_group([ben.uid, cat.uid, dan.uid])
    sent = await ann.send(group, "read this", kind=GROUP)
    date = sent["timestamp"]
    await ben.read(group, date, kind=GROUP)
    await cat.read(group, date, kind=GROUP, tos=[ann.uid])
    same(set(await ann.readers(group)), {ben.uid, cat.uid})
    same(set(await dan.readers(group)), {ben.uid}, "what the others are told")
    assert all(read >= date for read in (await ann.readers(group)).values())
    with refused(9):
        await (await world.online()).readers(group)


@row("7 RPA: a user or a message is reported to the administrators")
async def report_abuse(world: World) -> None:
    ann, ben, eve = await world.people(3)
    id = (await ann.send(ben.uid, "buy this"))["messageId"]
    await ben.report_abuse("spam", message_id=id)
    await ben.report_abuse("spam", uid=ann.uid)
    with refused(253):
        await eve.report_abuse("spam", message_id=id)
    with refused(253):
        await ben.report_abuse("spam", uid="nobody")
    for wrong in ({}, {"uid": ann.uid, "message_id": id}, {"uid": ben.uid}):
        with refused(251):
            await ben.report_abuse("spam", **wrong)
    with refused(251):
        await ben.report_abuse("", uid=ann.uid)
