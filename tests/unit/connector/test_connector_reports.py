"""The cursor in the reports: one MRN stands for many, with the lowest the device lacks (contract.md section 8)."""

import pytest

from fsharechat.bus import Reported
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ReportType, SubSignal
from fsharechat.store.messages import Entry
from roles.connector.logs import LATE_MS, MAX_REPEATS
from tests.unit.connector.connector_fakes import Connector, FakeDevice, Make

DELIVERED, READ = ReportType.DELIVERED, ReportType.READ
NOW = 1_700_000_000_000


def reported(connector: Connector, seq: int, kind: ReportType = READ, uid: str = "anna") -> None:
    connector.events(Reported(kind, [Entry(uid, seq)]))


def mrns(device: FakeDevice) -> list[tuple[int, int]]:
    """Return (type, head) of the MRNs sent since."""
    notes = [sent for sent in device.transport.take("notification") if sent.sub_signal == SubSignal.MRN]
    return [
        (note.type, note.head) for sent in notes if (note := pb.NotifyMessageReport.FromString(sent.body))
    ]


def ask(device: FakeDevice, id: int, kind: ReportType = READ) -> None:
    body = pb.PullMessageReportRequest(id=id, type=kind).SerializeToString()
    device.publish(SubSignal.MRP, body)


async def answer(connector: Connector, upto: int, head: int = 0) -> None:
    payload = pb.PullMessageReportResult(current=upto, head=head or upto).SerializeToString()
    assert (await connector.rpc.reply(payload=payload)).method == SubSignal.MRP


async def asked(connector: Connector) -> int:
    """Return from which id on the store is asked, and answer."""
    payload = pb.PullMessageReportResult(current=NOW + 99, head=NOW + 99).SerializeToString()
    call = await connector.rpc.reply(payload=payload)
    assert call.method == SubSignal.MRP
    return pb.PullMessageReportRequest.FromString(call.body).id


async def test_one_mrn_stands_for_all_reports_until_the_device_asks(connector: Connector) -> None:
    phone = await connector.device()
    for seq in range(1, 1001):
        reported(connector, seq)
    assert mrns(phone) == [(READ, 1)]
    ask(phone, 1)
    await answer(connector, 1000)
    assert mrns(phone) == []
    reported(connector, 1001)
    assert mrns(phone) == [(READ, 1001)]


async def test_what_came_during_a_pull_is_told_behind_it(connector: Connector) -> None:
    phone = await connector.device()
    reported(connector, 1)
    ask(phone, 1)
    reported(connector, 2)
    assert mrns(phone) == [(READ, 1)]
    await answer(connector, 1)
    assert mrns(phone) == [(READ, 2)]


async def test_each_kind_has_its_own_cursor(connector: Connector) -> None:
    phone = await connector.device()
    reported(connector, 4, DELIVERED)
    reported(connector, 2, READ)
    assert mrns(phone) == [(DELIVERED, 1), (READ, 1)]
    ask(phone, 1, DELIVERED)
    await answer(connector, 4)
    reported(connector, 5, DELIVERED)
    reported(connector, 3, READ)
    assert mrns(phone) == [(DELIVERED, 5)]


async def test_a_device_that_connects_is_told_of_what_it_has_not_fetched(connector: Connector) -> None:
    phone = connector.accept()
    await connector.log_in(phone, delivered=9, delivered_fetched=4, read=NOW, read_fetched=NOW)
    assert mrns(phone) == [(DELIVERED, 5)]
    tablet = connector.accept()
    await connector.log_in(tablet, client_id="tablet", delivered=9, read=NOW)
    assert mrns(tablet) == [(DELIVERED, 1), (READ, 1)]


async def test_a_device_that_connects_is_told_of_reads_that_may_have_become_visible_late(
    connector: Connector,
) -> None:
    phone = connector.accept()
    await connector.log_in(phone, read=NOW + 1, read_fetched=NOW)
    assert mrns(phone) == [(READ, NOW - LATE_MS + 1)]
    ask(phone, NOW)  # by what it knows itself
    assert await asked(connector) == NOW - LATE_MS + 1


async def test_a_read_that_became_visible_late_is_told(connector: Connector) -> None:
    phone = await connector.device()
    reported(connector, NOW)
    ask(phone, 1)
    await answer(connector, NOW)
    assert mrns(phone) == [(READ, 1)]
    reported(connector, NOW - 40)
    assert mrns(phone) == [(READ, NOW - 40)]
    ask(phone, NOW - 40)
    assert await asked(connector) == NOW - 40
    assert mrns(phone) == []


async def test_a_read_that_became_visible_late_during_a_pull_is_told_behind_it(connector: Connector) -> None:
    """The answer was read before."""
    phone = await connector.device()
    reported(connector, NOW - 80)
    ask(phone, 1)
    reported(connector, NOW - 40)
    assert mrns(phone) == [(READ, 1)]
    await answer(connector, NOW)
    assert mrns(phone) == [(READ, NOW - 40)]


async def test_who_was_told_of_a_later_read_before_gets_a_late_one_too(connector: Connector) -> None:
    phone = await connector.device()
    reported(connector, NOW)
    ask(phone, 1)
    await answer(connector, NOW)
    reported(connector, NOW + 10)
    reported(connector, NOW - 40)
    assert mrns(phone) == [(READ, 1), (READ, NOW + 1)]
    ask(phone, NOW + 1)
    assert await asked(connector) == NOW - 40


async def test_a_delivery_report_that_the_bus_repeats_is_not_told_again(connector: Connector) -> None:
    phone = await connector.device()
    reported(connector, 4, DELIVERED)
    ask(phone, 1, DELIVERED)
    await answer(connector, 4)
    reported(connector, 4, DELIVERED)
    assert mrns(phone) == [(DELIVERED, 1)]


async def test_what_an_answer_says_that_it_leaves_out_is_told(connector: Connector) -> None:
    """The event told of the first of them alone."""
    phone = await connector.device()
    reported(connector, NOW)
    ask(phone, 1)
    await answer(connector, NOW, NOW + 20)
    assert mrns(phone) == [(READ, 1), (READ, NOW + 1)]


async def test_a_device_without_reports_is_told_nothing(connector: Connector) -> None:
    phone = await connector.device()
    reported(connector, 1, uid="ben")
    connector.clock.now += 100
    assert mrns(phone) == []


async def test_an_mrn_is_repeated_a_few_times_and_again_for_the_next_report(connector: Connector) -> None:
    phone = await connector.device()
    reported(connector, 1)
    assert mrns(phone) == [(READ, 1)]
    told = []
    for _ in range(MAX_REPEATS + 3):
        connector.clock.now += 6
        phone.session.heard_at = connector.clock.now
        await connector.hub.sweep()
        told += mrns(phone)
    assert told == [(READ, 1)] * MAX_REPEATS
    reported(connector, 2)
    assert mrns(phone) == [(READ, 1)]


async def test_an_mrp_has_a_bound_of_its_own(make: Make) -> None:
    connector = make(limits={"requests": 1, "follow_ups": 4, "seconds": 60})
    phone = await connector.device()
    for seq in range(1, 4):
        reported(connector, seq)
        ask(phone, seq)
        await answer(connector, seq)
    assert phone.transport.codes() == [(1, 0)] * 3
    ask(phone, 4)
    await answer(connector, 3)
    ask(phone, 4)
    assert phone.transport.codes() == [(1, Code.SUCCESS), (1, Code.TOO_OFTEN)]


async def test_a_refused_pull_is_not_asked_for_at_once(connector: Connector) -> None:
    phone = await connector.device()
    reported(connector, 1)
    ask(phone, 1)
    await connector.rpc.reply(Code.SERVER_ERROR)
    assert mrns(phone) == [(READ, 1)]
    reported(connector, 2)
    assert mrns(phone) == []
    connector.clock.now += connector.hub.table.settings.notify_repeat_seconds + 1
    await connector.hub.sweep()
    assert mrns(phone) == [(READ, 1)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\x08\x01\x10\x03", Code.INVALID_PARAMETER),
        (b"\x08\x01\x10\x00", Code.INVALID_PARAMETER),
        (b"\xff", Code.INVALID_DATA),
        (b"\x08\x01", Code.INVALID_DATA),
    ],
)
async def test_a_pull_of_no_known_kind_is_refused(connector: Connector, body: bytes, code: Code) -> None:
    phone = await connector.device()
    phone.publish(SubSignal.MRP, body)
    assert phone.transport.codes() == [(1, code)]
    assert connector.rpc.waiting() == []
