"""Receipts: told at once or in the background, and learnt under the lowest-not-fetched rule (section 8)."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fsharechat.client import (
    Client,
    Connected,
    ConnectionLost,
    MessagesDelivered,
    MessagesRead,
    Options,
    ReportsChanged,
    RequestError,
    group,
    private,
)
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ReportType, SubSignal
from tests.unit.client.fake_peer import (
    CREDENTIALS,
    DROP,
    FRIEND,
    IGNORE,
    ME,
    TIMEOUT,
    Answer,
    FakePeer,
    stored,
)

FAST = Options.fast()
FOLLOW = replace(FAST, follow_reports=True)
REPORTS = (SubSignal.MDR, SubSignal.MRR)


class ReportedReceipts:
    """What the fake peer answers about reports: one list for each kind, in the order of the sequence."""

    def __init__(self, peer: FakePeer) -> None:
        self.peer = peer
        self.entries: list[pb.MessageReport] = []
        peer.rule = self.rule

    def rule(self, sub: SubSignal, body: Any) -> Answer | None:
        if sub in REPORTS:
            return 0, None
        if sub is SubSignal.MRP:
            found = [entry for entry in self.entries[max(body.id - 1, 0) :] if entry.report_type == body.type]
            return 0, pb.PullMessageReportResult(
                report=found, current=len(self.entries), head=len(self.entries)
            )
        return None

    def add(self, kind: ReportType, uid: str, date: int, target: str) -> None:
        self.entries.append(pb.MessageReport(report_type=kind, uid=uid, date=date, target=target))

    def notify(self, kind: ReportType, head: int) -> None:
        self.peer.tell(SubSignal.MRN, pb.NotifyMessageReport(type=kind, head=head))


@pytest.fixture
def receipts(peer: FakePeer) -> ReportedReceipts:
    return ReportedReceipts(peer)


async def reports_of(client: Client, count: int) -> list[object]:
    found: list[object] = []
    async with asyncio.timeout(TIMEOUT):
        async for event in client.events():
            if not isinstance(event, Connected | ConnectionLost):
                found.append(event)
            if len(found) == count:
                return found
    return found


async def test_reports_are_told(peer: FakePeer, transport: str, receipts: ReportedReceipts) -> None:
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        await client.reports.delivered(FRIEND, 7)
        await client.reports.read(private(FRIEND), 8)
        await client.reports.read(group("g1", line=2), 9, ["b", "a", "b"])
    (delivered,) = peer.asked(SubSignal.MDR)
    assert (delivered.target, delivered.date) == (FRIEND, 7)
    one, many = peer.asked(SubSignal.MRR)
    assert (one.type, one.line, one.target, one.date, list(one.tos)) == (0, 0, FRIEND, 8, [])
    assert (many.type, many.line, many.target, many.date, list(many.tos)) == (1, 2, "g1", 9, ["a", "b"])


async def test_a_refused_report_is_raised(peer: FakePeer, transport: str) -> None:
    peer.rule = lambda sub, body: (9, None)
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        with pytest.raises(RequestError):
            await client.reports.read(group("g1"), 9)


async def test_reports_are_pulled(peer: FakePeer, transport: str, receipts: ReportedReceipts) -> None:
    receipts.add(ReportType.DELIVERED, FRIEND, 5, FRIEND)
    receipts.add(ReportType.READ, FRIEND, 5, FRIEND)
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        result = await client.reports.pull(ReportType.READ, after=1)
    assert [report.uid for report in result.report] == [FRIEND]
    assert peer.asked(SubSignal.MRP)[0].id == 2


async def test_without_following_the_notification_is_the_event(
    peer: FakePeer, receipts: ReportedReceipts
) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        receipts.notify(ReportType.READ, 4)
        assert await reports_of(client, 1) == [ReportsChanged(4, ReportType.READ)]
    assert peer.asked(SubSignal.MRP) == []


async def test_following_learns_what_was_there_and_what_comes(
    peer: FakePeer, transport: str, receipts: ReportedReceipts
) -> None:
    receipts.add(ReportType.DELIVERED, FRIEND, 5, FRIEND)
    async with Client(CREDENTIALS, **peer.address(transport), options=FOLLOW) as client:
        assert await reports_of(client, 1) == [MessagesDelivered(FRIEND, 5)]
        receipts.add(ReportType.READ, FRIEND, 6, FRIEND)
        receipts.add(ReportType.READ, "c", 7, "g1")
        receipts.notify(ReportType.READ, 2)
        assert await reports_of(client, 2) == [
            MessagesRead(FRIEND, private(FRIEND), 6),
            MessagesRead("c", group("g1"), 7),
        ]
    assert peer.asked(SubSignal.MRP)[-1].id == 2  # exactly what the notification named


async def test_following_learns_what_was_missed_between_two_connections(
    peer: FakePeer, receipts: ReportedReceipts
) -> None:
    receipts.add(ReportType.READ, FRIEND, 5, FRIEND)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FOLLOW) as client:
        assert await reports_of(client, 1) == [MessagesRead(FRIEND, private(FRIEND), 5)]
        await peer.until(lambda: len(peer.asked(SubSignal.MRP)) == 2)
        await client.request(SubSignal.MDR, pb.DeliveryReport(date=1, target=FRIEND))  # both were answered
        receipts.add(ReportType.READ, FRIEND, 6, FRIEND)
        peer.session.drop()
        assert await reports_of(client, 1) == [MessagesRead(FRIEND, private(FRIEND), 6)]
    assert {request.id for request in peer.asked(SubSignal.MRP)} == {1, 2}


async def test_of_several_notifications_the_lowest_is_pulled(
    peer: FakePeer, receipts: ReportedReceipts
) -> None:
    options = replace(FOLLOW, request_timeout=0.2)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        await peer.until(lambda: len(peer.asked(SubSignal.MRP)) == 2)  # those of the connection
        await client.reports.delivered(FRIEND, 1)  # they were answered
        peer.rule = lambda sub, body: IGNORE if sub is SubSignal.MRP else receipts.rule(sub, body)
        receipts.notify(ReportType.READ, 3)
        await peer.until(lambda: len(peer.asked(SubSignal.MRP)) == 3)
        receipts.notify(ReportType.READ, 5)
        receipts.notify(ReportType.READ, 4)
        await peer.until(lambda: len(peer.asked(SubSignal.MRP)) >= 4)
    assert {request.id for request in peer.asked(SubSignal.MRP)[2:]} == {3}


async def test_refused_pulls_of_reports_are_repeated(peer: FakePeer, receipts: ReportedReceipts) -> None:
    receipts.add(ReportType.READ, FRIEND, 5, FRIEND)
    refusals = iter([(4, None), (250, None), (4, None)])
    peer.rule = lambda sub, body: (
        (next(refusals, None) if sub is SubSignal.MRP else None) or receipts.rule(sub, body)
    )
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FOLLOW) as client:
        assert await reports_of(client, 1) == [MessagesRead(FRIEND, private(FRIEND), 5)]


async def test_marks_of_one_conversation_go_out_as_the_latest(
    peer: FakePeer, receipts: ReportedReceipts
) -> None:
    peer.rule = lambda sub, body: IGNORE if sub in REPORTS else None
    options = replace(FAST, request_timeout=0.05)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        client.reports.mark_delivered("first", 1)
        await peer.until(lambda: len(peer.asked(SubSignal.MDR)) == 1)  # and stays unanswered for a while
        for date in (3, 9, 4):
            client.reports.mark_read(group("g1"), date, [f"s{date}"])
        peer.rule = receipts.rule
        await peer.until(lambda: bool(peer.asked(SubSignal.MRR)))
    (report,) = peer.asked(SubSignal.MRR)
    assert (report.date, list(report.tos)) == (9, ["s3", "s4", "s9"])


async def test_a_group_report_to_all_stays_one_to_all(peer: FakePeer, receipts: ReportedReceipts) -> None:
    client = Client(CREDENTIALS, tcp=peer.tcp, options=FAST)
    client.reports.mark_read(group("g1"), 3)
    client.reports.mark_read(group("g1"), 4, ["a"])
    client.reports.mark_read(group("g2"), 5, (f"s{n}" for n in range(150)))
    client.reports.mark_read(group("g2"), 5, (f"t{n}" for n in range(150)))
    async with client:
        await peer.until(lambda: len(peer.asked(SubSignal.MRR)) == 2)
    assert [(report.date, list(report.tos)) for report in peer.asked(SubSignal.MRR)] == [(4, []), (5, [])]


async def test_a_mark_outlives_the_connection(
    peer: FakePeer, transport: str, receipts: ReportedReceipts
) -> None:
    peer.rule = lambda sub, body: DROP if sub in REPORTS else None
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        client.reports.mark_read(private(FRIEND), 8)
        await peer.until(lambda: len(peer.asked(SubSignal.MRR)) == 2)
        peer.rule = receipts.rule
        client.reports.mark_read(private(FRIEND), 7)
        count = len(peer.asked(SubSignal.MRR))
        await peer.until(lambda: len(peer.asked(SubSignal.MRR)) > count)
    assert {report.date for report in peer.asked(SubSignal.MRR)} == {8}


async def test_a_mark_that_is_refused_again_and_again_is_given_up(
    peer: FakePeer, receipts: ReportedReceipts
) -> None:
    peer.rule = lambda sub, body: (253, None) if sub is SubSignal.MDR else receipts.rule(sub, body)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        client.reports.mark_delivered("nobody", 1)
        client.reports.mark_read(private(FRIEND), 8)
        await peer.until(lambda: bool(peer.asked(SubSignal.MRR)) and len(peer.asked(SubSignal.MDR)) == 5)


async def test_delivery_is_reported_by_itself_when_told_to(
    peer: FakePeer, transport: str, receipts: ReportedReceipts
) -> None:
    options = replace(FAST, report_delivery=True)
    in_group = stored(12)
    in_group.conversation.CopyFrom(group("g1"))
    peer.inbox = [stored(11), in_group, stored(13), stored(14, sender=ME)]
    async with Client(CREDENTIALS, **peer.address(transport), options=options) as client:
        await peer.until(lambda: bool(peer.asked(SubSignal.MDR)))
        await client.reports.read(private(FRIEND), 1)  # what was marked before has gone out by then
    (report,) = peer.asked(SubSignal.MDR)
    assert (report.target, report.date) == (FRIEND, stored(13).server_timestamp)


async def test_delivery_is_not_reported_by_default(peer: FakePeer, receipts: ReportedReceipts) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        peer.deliver(stored(11))
        await anext(client.messages())
        await client.reports.read(private(FRIEND), 1)
    assert peer.asked(SubSignal.MDR) == []
