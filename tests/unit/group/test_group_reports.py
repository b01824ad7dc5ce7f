"""MDR, MRR and MRP: who has fetched and read what (contract.md sections 7 and 8)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from fsharechat.bus import Reported
from fsharechat.errors import StoreError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ConversationType, MemberType, ReportType, SubSignal
from fsharechat.store.messages import Entry
from fsharechat.store.unit import Dialect, Query, Unit
from roles.group import report_book
from roles.group.batches import Batches
from tests.unit.group.group_kit import Office

MDR, MRR, MRP = SubSignal.MDR, SubSignal.MRR, SubSignal.MRP
DELIVERED, READ = ReportType.DELIVERED, ReportType.READ
DAY_MS = 86_400_000
NOW = 1_700_000_000_000
GROUP = "a group"
Row = tuple[int, str, int, str]


async def deliver(office: Office, uid: str, target: str, date: int = 5) -> int:
    return await office.code(uid, MDR, pb.DeliveryReport(date=date, target=target))


async def read(
    office: Office,
    uid: str,
    target: str,
    date: int = 5,
    *,
    kind: int = 0,
    line: int = 0,
    tos: Sequence[str] = (),
) -> int:
    request = pb.ReadReport(type=kind, line=line, target=target, date=date, tos=tos)
    return await office.code(uid, MRR, request)


async def read_in_group(office: Office, uid: str, date: int = 5, *, tos: Sequence[str] = ()) -> int:
    return await read(office, uid, GROUP, date, kind=ConversationType.GROUP, tos=tos)


async def pull(
    office: Office, uid: str, id: int = 0, kind: int = READ, client: str = "phone"
) -> pb.PullMessageReportResult:
    reply = await office.ask(uid, MRP, pb.PullMessageReportRequest(id=id, type=kind), client=client)
    assert reply.code == Code.SUCCESS
    return pb.PullMessageReportResult.FromString(reply.payload)


async def rows(office: Office, uid: str, kind: int = READ) -> list[Row]:
    found = (await pull(office, uid, kind=kind)).report
    return [(report.report_type, report.uid, report.date, report.target) for report in found]


def told(office: Office) -> list[tuple[int, list[Entry]]]:
    """Return and forget the reports that the connector was told of."""
    heard = [(event.kind, sorted(event.entries)) for event in office.events if isinstance(event, Reported)]
    office.events.clear()
    return heard


async def check_told(office: Office, *uids: str) -> None:
    """Check that one event tells just these users to ask from their newest read report on."""
    assert told(office) == [(READ, sorted([Entry(uid, (await pull(office, uid)).head) for uid in uids]))]


@pytest.fixture(autouse=True)
def clock(office: Office) -> None:
    """Let it be so early that the small dates here are of now."""
    office.now = 1000


@pytest.fixture
async def pair(office: Office) -> tuple[str, str]:
    """Return the uids of two users with a device online each."""
    ann, bob = await office.user(), await office.user()
    office.online(ann, bob)
    return ann, bob


async def test_a_delivery_is_told_to_the_other(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    assert await deliver(office, bob, ann, 5) == Code.SUCCESS
    assert told(office) == [(DELIVERED, [Entry(ann, 1)])]
    assert await rows(office, ann, DELIVERED) == [(1, bob, 5, bob)]
    assert await rows(office, ann, READ) == await rows(office, bob, DELIVERED) == []


async def test_a_private_reading_is_told_to_the_other(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    assert await read(office, bob, ann, 5, tos=["somebody"]) == Code.SUCCESS
    await check_told(office, ann)
    assert await rows(office, ann) == [(2, bob, 5, bob)]


@pytest.mark.parametrize(("kind", "report"), [(DELIVERED, deliver), (READ, read)])
async def test_only_a_later_date_is_news(
    office: Office, pair: tuple[str, str], kind: int, report: Callable[..., Awaitable[int]]
) -> None:
    ann, bob = pair
    for date, news in ((5, True), (5, False), (4, False), (6, True)):
        assert await report(office, bob, ann, date) == Code.SUCCESS
        assert bool(told(office)) == news
    assert await rows(office, ann, kind) == [(kind, bob, 6, bob)]


async def test_a_report_to_oneself_is_kept_for_nobody(office: Office, pair: tuple[str, str]) -> None:
    ann, _ = pair
    assert await deliver(office, ann, ann) == await read(office, ann, ann) == Code.SUCCESS
    assert told(office) == []
    assert await rows(office, ann) == []


async def test_a_report_to_nobody_is_refused(office: Office, pair: tuple[str, str]) -> None:
    for report in (deliver, read):
        assert await report(office, pair[0], "nobody") == Code.NOT_EXIST


@pytest.mark.parametrize("off", [0, 2000, -2000])
@pytest.mark.parametrize(("kind", "report"), [(DELIVERED, deliver), (READ, read)])
async def test_a_date_near_the_clock_is_taken(
    office: Office,
    pair: tuple[str, str],
    kind: int,
    report: Callable[..., Awaitable[int]],
    off: int,
) -> None:
    ann, bob = pair
    office.now = NOW
    assert await report(office, bob, ann, NOW + off) == Code.SUCCESS
    assert await rows(office, ann, kind) == [(kind, bob, NOW + off, bob)]


@pytest.mark.parametrize(
    "date", [NOW + 2001, NOW - 2001, NOW + DAY_MS, NOW - 400 * DAY_MS, 0, -1, (1 << 63) - 1, -(1 << 63)]
)
@pytest.mark.parametrize(("kind", "report"), [(DELIVERED, deliver), (READ, read)])
async def test_a_date_by_a_wrong_clock_counts_as_now(
    office: Office, pair: tuple[str, str], kind: int, report: Callable[..., Awaitable[int]], date: int
) -> None:
    ann, bob = pair
    office.now = NOW
    assert await report(office, bob, ann, date) == Code.SUCCESS
    assert await rows(office, ann, kind) == [(kind, bob, NOW, bob)]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ConversationType.GROUP, Code.NOT_IN_GROUP),
        (ConversationType.CHAT_ROOM, Code.NOT_IN_CHATROOM),
        (ConversationType.CHANNEL, Code.NOT_IN_CHANNEL),
        (4, Code.INVALID_PARAMETER),
        (-1, Code.INVALID_PARAMETER),
    ],
)
async def test_a_conversation_that_one_is_not_in_is_not_read(
    office: Office, pair: tuple[str, str], kind: int, code: Code
) -> None:
    ann, bob = pair
    assert await read(office, bob, ann, kind=kind) == code


@pytest.fixture
async def crowd(office: Office) -> list[str]:
    """Return the members of a group, all online; the last one was removed."""
    uids = [await office.user() for _ in range(5)]
    kinds = [MemberType.OWNER, MemberType.NORMAL, MemberType.SILENCED, MemberType.MANAGER, MemberType.REMOVED]

    def insert(_: Dialect) -> Unit[None]:
        yield Query(
            "INSERT INTO chat_groups (id, name, portrait, owner, type, extra, member_count, dismissed, update_dt, "
            "member_update_dt) VALUES (?, '', '', ?, 0, '', 4, 0, 1, 1)",
            (GROUP, uids[0]),
        )
        for uid, kind in zip(uids, kinds, strict=True):
            columns = "(group_id, uid, alias, type, joined_ms, update_dt)"
            sql = f"INSERT INTO group_members {columns} VALUES (?, ?, '', ?, 1, 1)"
            yield Query(sql, (GROUP, uid, int(kind)))

    await office.node.store.write(insert)
    office.online(*uids)
    return uids


async def test_a_date_in_a_group_counts_as_now_too(office: Office, crowd: list[str]) -> None:
    ann, bob, *_ = crowd
    office.now = NOW
    assert await read_in_group(office, bob, 1 << 61) == Code.SUCCESS
    assert await rows(office, ann) == [(READ, bob, NOW, GROUP)]


async def test_a_reading_in_a_group_is_told_to_all_other_members(office: Office, crowd: list[str]) -> None:
    ann, bob, cid, dan, _ = crowd
    assert await read_in_group(office, bob) == Code.SUCCESS
    await check_told(office, ann, cid, dan)
    assert await rows(office, ann) == [(2, bob, 5, GROUP)]


async def test_a_reading_for_some_is_told_to_those_of_them_who_are_members(
    office: Office, crowd: list[str]
) -> None:
    ann, bob, cid, dan, gone = crowd
    eve = await office.user()
    assert await read_in_group(office, bob, tos=[cid, ann, cid, gone, eve, bob, "nobody"]) == Code.SUCCESS
    await check_told(office, ann, cid)
    assert await rows(office, dan) == []
    assert await read_in_group(office, bob, 6, tos=[eve]) == Code.SUCCESS
    assert told(office) == []
    assert await rows(office, eve) == await rows(office, gone) == []


async def test_only_members_read_in_a_group(office: Office, crowd: list[str]) -> None:
    for uid in (crowd[4], await office.user()):
        assert await read_in_group(office, uid) == Code.NOT_IN_GROUP
    assert told(office) == []


async def test_what_many_report_at_once_is_one_event(office: Office, crowd: list[str]) -> None:
    ann, *others = crowd[:4]
    for uid in others:  # what decides is cached then
        assert await read_in_group(office, uid, 4, tos=[ann]) == Code.SUCCESS
    told(office)
    # The first one is stored alone, the rest together.
    await asyncio.gather(*(read_in_group(office, uid, date, tos=[ann]) for date in (5, 6) for uid in others))
    assert len(told(office)) <= 2
    assert sorted(await rows(office, ann)) == sorted((2, uid, 6, GROUP) for uid in others)


@pytest.mark.parametrize(
    ("id", "first"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (5, 0), (1 << 62, 0), (-5, 0)], ids=str
)
async def test_mrp_answers_what_follows_the_one_before(
    office: Office, pair: tuple[str, str], id: int, first: int
) -> None:
    ann, _ = pair
    others = [await office.user() for _ in range(3)]
    for uid in others:
        await deliver(office, uid, ann)
    found = await pull(office, ann, id, DELIVERED)
    assert [report.uid for report in found.report] == others[first:]
    assert (found.current, found.head) == (3, 3)


async def test_mrp_answers_what_was_read_after_the_one_before(office: Office, pair: tuple[str, str]) -> None:
    ann, _ = pair
    others = [await office.user() for _ in range(3)]
    heads = []
    for uid in others:
        await read(office, uid, ann)
        heads.append((await pull(office, ann)).head)
    for id, first in ((0, 0), (1, 0), (heads[0], 0), (heads[0] + 1, 1), (heads[2], 2), (heads[2] + 1, 3)):
        found = await pull(office, ann, id)
        assert [report.uid for report in found.report] == others[first:]
    for id in (-5, 1 << 62):
        assert len((await pull(office, ann, id)).report) == 3


async def test_reads_of_a_group_that_its_members_were_told_of_are_one_row(
    office: Office, crowd: list[str]
) -> None:
    """Also where the client names all of them."""
    ann, bob, cid, dan, _ = crowd

    def count(_: Dialect) -> Unit[int]:
        found = 0
        for table in ("reports", "group_reads"):
            found += (yield Query(f"SELECT COUNT(*) FROM {table}")).rows[0][0]
        return found

    for date, tos in ((5, []), (6, [ann, cid, dan]), (7, [dan, bob, cid, ann, "nobody"])):
        assert await read_in_group(office, bob, date, tos=tos) == Code.SUCCESS
        assert await office.node.store.read(count) == 1
    for uid in (ann, cid, dan):
        assert await rows(office, uid) == [(2, bob, 7, GROUP)]


async def test_members_are_told_in_parts(
    office: Office, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who ask at the same moment would keep others waiting."""
    monkeypatch.setattr(report_book, "TOLD_TOGETHER", 2)
    ann, bob, cid, dan, _ = crowd
    await read_in_group(office, bob)
    heard = told(office)
    assert [len(entries) for _, entries in heard] == [2]
    async with asyncio.timeout(60):
        while not office.events:
            await asyncio.sleep(0.001)
    heard += told(office)
    assert [len(entries) for _, entries in heard] == [2, 1]
    assert {entry.uid for _, entries in heard for entry in entries} == {ann, cid, dan}


async def test_members_are_told_at_once_and_then_of_many_reads_together(
    office: Office, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_book, "TOLD_PER_SECOND", 6)  # of three, in half a second
    ann, bob, cid, dan, _ = crowd
    await read_in_group(office, bob)
    await check_told(office, ann, cid, dan)
    before = (await pull(office, ann)).head
    for date in (6, 7):
        for uid in (bob, cid):
            await read_in_group(office, uid, date)
    assert told(office) == []
    async with asyncio.timeout(60):
        while not office.events:
            await asyncio.sleep(0.01)
    ((kind, entries),) = told(office)
    first = dict(entries)
    assert kind == READ
    assert set(first) == {ann, bob, cid, dan}
    assert before < first[ann] == first[cid] == first[dan] < first[bob]
    assert await rows(office, ann) == [(2, bob, 7, GROUP), (2, cid, 7, GROUP)]


@pytest.mark.parametrize("kind", [0, 3, -1])
async def test_there_are_two_kinds(office: Office, pair: tuple[str, str], kind: int) -> None:
    assert (
        await office.code(pair[0], MRP, pb.PullMessageReportRequest(id=0, type=kind))
        == Code.INVALID_PARAMETER
    )


async def test_no_reports_are_zeros_on_the_wire(office: Office, pair: tuple[str, str]) -> None:
    payload = await office.payload(pair[0], MRP, pb.PullMessageReportRequest(id=7, type=READ))
    assert payload == pb.PullMessageReportResult(current=0, head=0).SerializeToString()


async def test_a_report_that_finds_no_room_is_a_server_error(
    office: Office, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = pair

    def full(_: object, item: object) -> None:
        raise StoreError("full")

    await read(office, bob, ann)
    monkeypatch.setattr(Batches, "add", full)
    assert await read(office, bob, ann, 6) == Code.SERVER_ERROR
    assert len((await pull(office, ann)).report) == 1  # without its cursor
