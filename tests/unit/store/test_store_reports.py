"""Reports of what was fetched and read (contract.md section 8)."""

import asyncio
import random

import pytest

from fsharechat.clock import now_ms
from fsharechat.protocol.signals import ConversationType, MemberType, ReportType
from fsharechat.store import groups, heads, reports
from fsharechat.store.groups import NewMember
from fsharechat.store.heads import Heads
from fsharechat.store.messages import Entry
from fsharechat.store.reports import NewReport, PulledReports
from fsharechat.store.store import Store
from fsharechat.store.unit import MAX_ROWS
from tests.unit.store.store_kit import Exchange, append, new, recorded

DELIVERED, READ = ReportType.DELIVERED, ReportType.READ


def private(reporter: str, uid: str, date: int, *, kind: ReportType = READ, line: int = 0) -> NewReport:
    return NewReport(kind, ConversationType.PRIVATE, line, reporter, reporter, date, (uid,))


def grouped(reporter: str, group: str, date: int, *uids: str) -> NewReport:
    return NewReport(READ, ConversationType.GROUP, 0, group, reporter, date, uids)


async def keep(store: Store, *batch: NewReport) -> dict[ReportType, list[Entry]]:
    return (await store.write(reports.keep, batch)).told


async def keep_read(store: Store, *batch: NewReport) -> int:
    """Keep what is news to one user, and return its version."""
    told = await keep(store, *batch)
    ((kind, (entry,)),) = told.items()
    assert kind == READ
    return entry.seq


async def pull(store: Store, uid: str, after: int = 0, kind: ReportType = READ) -> PulledReports:
    return await store.read(reports.pull, uid, kind, after)


async def join(store: Store, group_id: str, *uids: str, at: int = 1) -> None:
    """Make users members of a group."""
    await store.write(groups.put_members, group_id, [NewMember(uid, MemberType.NORMAL) for uid in uids], at)


async def reached(store: Store, uid: str) -> Heads:
    return (await store.read(heads.heads, [uid])).get(uid, Heads())


async def test_a_report_is_told_to_whom_it_is_for(store: Store) -> None:
    version = await keep_read(store, private("bob", "ann", 5))
    assert await keep(store, private("bob", "ann", 5, kind=DELIVERED)) == {DELIVERED: [Entry("ann", 1)]}
    assert await pull(store, "ann") == ([("bob", 5, "bob")], version, version)
    assert await pull(store, "ann", kind=DELIVERED) == ([("bob", 5, "bob")], 1, 1)
    assert await pull(store, "bob") == ([], 0, 0)


async def test_the_version_of_a_read_report_is_the_time_in_ms(store: Store) -> None:
    assert abs(await keep_read(store, private("bob", "ann", 5)) - now_ms()) < 3_600_000


async def test_nobody_has_no_reports(store: Store) -> None:
    assert await pull(store, "nobody", 7) == ([], 0, 0)
    assert await keep(store) == {}


@pytest.mark.parametrize("date", [4, 5])
async def test_a_date_that_is_not_later_is_no_news(store: Store, date: int) -> None:
    version = await keep_read(store, private("bob", "ann", 5))
    assert await keep(store, private("bob", "ann", date)) == {}
    assert await pull(store, "ann") == ([("bob", 5, "bob")], version, version)


async def test_a_later_date_takes_the_place_of_the_earlier_one_at_the_end(store: Store) -> None:
    first = await keep_read(store, private("bob", "ann", 5))
    second = await keep_read(store, private("cid", "ann", 5))
    third = await keep_read(store, private("bob", "ann", 6))
    assert first < second < third
    assert await pull(store, "ann") == ([("cid", 5, "cid"), ("bob", 6, "bob")], third, third)
    assert await pull(store, "ann", second) == ([("bob", 6, "bob")], third, third)


async def test_each_kind_line_and_conversation_has_its_own_date(store: Store) -> None:
    await join(store, "a group", "ann", "bob")
    await join(store, "bob", "ann", "bob")
    await keep(store, private("bob", "ann", 9))
    await keep(store, private("bob", "ann", 5, kind=DELIVERED))
    await keep(store, grouped("bob", "a group", 4, "ann"))
    await keep(store, grouped("bob", "bob", 3, "ann"))
    assert await keep(store, private("bob", "ann", 9, line=1))
    # A report on the wire has no line.
    wanted = [("bob", 4, "a group"), ("bob", 3, "bob"), ("bob", 9, "bob")]
    assert (await pull(store, "ann")).reports == wanted
    assert await pull(store, "ann", kind=DELIVERED) == ([("bob", 5, "bob")], 1, 1)


async def test_the_latest_date_of_two_lines_is_the_last_one_told(store: Store) -> None:
    await keep(store, private("bob", "ann", 9))
    await keep(store, private("cid", "ann", 7))
    await keep(store, private("bob", "ann", 5, line=1))
    assert (await pull(store, "ann")).reports == [("cid", 7, "cid"), ("bob", 9, "bob")]


async def test_reports_of_both_kinds_in_one_batch_have_a_sequence_each(store: Store) -> None:
    kept = await store.write(
        reports.keep,
        [
            private("bob", "ann", 5),
            private("bob", "ann", 6, kind=DELIVERED),
            private("cid", "ann", 7),
            private("ann", "bob", 8),
        ],
    )
    version = kept.version
    assert kept.told == {
        DELIVERED: [Entry("ann", 1)],
        READ: [Entry("ann", version), Entry("bob", version)],
    }
    assert await pull(store, "ann") == ([("bob", 5, "bob"), ("cid", 7, "cid")], version, version)
    assert await reached(store, "ann") == Heads(delivered=1, read=version)


@pytest.mark.parametrize("dates", [(5, 7, 6), (7, 5, 6), (7, 7, 7)], ids=str)
async def test_of_one_report_in_a_batch_the_latest_counts_once(store: Store, dates: tuple[int, ...]) -> None:
    version = await keep_read(store, *(private("bob", "ann", date) for date in dates))
    assert await pull(store, "ann") == ([("bob", 7, "bob")], version, version)


async def test_only_those_for_whom_it_is_news_are_told(store: Store) -> None:
    await keep(store, grouped("bob", "a group", 5, "ann", "cid"))
    told = await keep(store, grouped("bob", "a group", 5, "ann", "cid", "dan"))
    assert [entry.uid for entry in told[READ]] == ["dan"]


async def test_reports_leave_the_inbox_alone(store: Store) -> None:
    await append(store, new("ann", "bob"))
    told = await keep(store, private("bob", "ann", 5), private("bob", "eve", 5))
    ((_, version), _) = told[READ]
    await append(store, new("ann", "bob"))
    assert await reached(store, "ann") == Heads(seq=2, read=version)
    assert await reached(store, "eve") == Heads(seq=0, read=version)


async def test_versions_grow_also_when_the_clock_goes_back(store: Store) -> None:
    """Also over the seqs that the version before gives: one more than the last."""
    ahead = now_ms() + 3_600_000
    kept = await store.write(reports.keep, [private("bob", "ann", 5)], [], ahead)
    assert kept.told == {READ: [Entry("ann", ahead + 1)]}
    assert await keep_read(store, private("cid", "ann", 5)) == ahead + 2
    assert (await pull(store, "ann", ahead + 1)).reports == [("cid", 5, "cid")]


@pytest.mark.parametrize(("after", "first"), [(0, 0), (1, 1), (4, 4), (5, 5), (6, 0), (1 << 62, 0)], ids=str)
async def test_a_pull_of_deliveries_answers_what_follows_and_above_the_head_everything(
    store: Store, after: int, first: int
) -> None:
    await keep(store, *(private(f"user{n}", "ann", 5, kind=DELIVERED) for n in range(5)))
    wanted = [(f"user{n}", 5, f"user{n}") for n in range(5)][first:]
    assert await pull(store, "ann", after, DELIVERED) == (wanted, 5, 5)


async def test_a_pull_of_reads_answers_what_follows_and_beyond_the_time_everything(store: Store) -> None:
    versions = [await keep_read(store, private(f"user{n}", "ann", 5)) for n in range(3)]
    wanted = [(f"user{n}", 5, f"user{n}") for n in range(3)]
    last = versions[-1]
    for after, first in ((0, 0), (versions[0], 1), (versions[1], 2), (last, 3), (last + 86_400_000, 0)):
        assert await pull(store, "ann", after) == (wanted[first:], last, last)


async def test_reports_of_one_version_are_in_one_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows a version would leave out the rest of them."""
    monkeypatch.setattr(reports, "MAX_PULL_REPORTS", 2)
    first = await keep_read(store, private("user0", "ann", 5))
    second = await keep_read(store, *(private(f"user{n}", "ann", 5) for n in range(1, 5)))
    third = await keep_read(store, private("user5", "ann", 5))
    found: list[list[str]] = []
    after = 0
    while not found or after < third:
        answer = await pull(store, "ann", after)
        found.append([reporter for reporter, *_ in answer.reports])
        after = answer.current
    assert found == [["user0"], ["user1", "user2", "user3", "user4"], ["user5"]]
    assert first < second < third


async def test_of_too_many_reports_the_oldest_come_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MAX_PULL_REPORTS", 3)
    await keep(store, *(private(f"user{n}", "ann", 5, kind=DELIVERED) for n in range(5)))
    found = await pull(store, "ann", kind=DELIVERED)
    assert [reporter for reporter, *_ in found.reports] == ["user0", "user1", "user2"]
    assert (found.current, found.head) == (3, 5)
    found = await pull(store, "ann", 3, DELIVERED)
    assert [reporter for reporter, *_ in found.reports] == ["user3", "user4"]
    assert (found.current, found.head) == (5, 5)


async def test_an_answer_is_within_its_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_PULL_BYTES", 1000)
    group = "群" * 64
    await join(store, group, "ann")
    versions = [await keep_read(store, grouped(f"user{n}", group, 5, "ann")) for n in range(9)]
    found = await pull(store, "ann")
    assert [reporter for reporter, *_ in found.reports] == [f"user{n}" for n in range(4)]
    assert (found.current, found.head) == (versions[3], versions[8])


async def statements(store: Store, *batch: NewReport) -> int:
    seen: list[Exchange] = []
    await store.write(recorded, seen, reports.keep, batch)
    return len(seen)


def chunks(rows: int) -> int:
    return -(-rows // MAX_ROWS)


@pytest.mark.parametrize("uids", [1, 1000, 5000])
async def test_only_full_statements_make_more_statements(store: Store, uids: int) -> None:
    crowd = [f"member{n}" for n in range(uids)]
    await join(store, "a group", "bob", *crowd)
    # MySQL is asked for the heads, and for the time.
    returned = chunks(uids) + 1 if store.dialect.name == "mysql" else 0
    for date in (5, 6):  # for new rows and for those that move
        wanted = 3 * chunks(uids) + returned
        assert await statements(store, grouped("bob", "a group", date, *crowd)) == wanted
    assert await statements(store, grouped("bob", "a group", 6, *crowd)) == chunks(uids)
    assert (await pull(store, "member0")).reports == [("bob", 6, "a group")]


async def test_a_thousand_who_read_one_message_cost_a_few_statements(store: Store) -> None:
    await join(store, "a group", "ann")
    readers = [grouped(f"member{n}", "a group", 5, "ann") for n in range(1000)]
    assert await statements(store, *readers) == (5 if store.dialect.name == "mysql" else 3)
    found = await pull(store, "ann")
    assert len(found.reports) == 1000
    assert found.current == found.head


@pytest.mark.parametrize("seed", range(3))
async def test_a_device_that_pulls_now_and_then_has_the_latest_dates(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    latest: dict[str, int] = {}
    seen: dict[str, int] = {}
    after = 0

    async def report() -> None:
        reporter, date = f"user{dice.randrange(6)}", dice.randrange(1, 100)
        latest[reporter] = max(date, latest.get(reporter, 0))
        await keep(store, private(reporter, "ann", date))

    for _ in range(20):
        await asyncio.gather(*(report() for _ in range(dice.randrange(1, 8))))
        found = await pull(store, "ann", after)
        assert found.current == found.head >= after
        seen.update((reporter, date) for reporter, date, _ in found.reports)
        after = found.current
        assert seen == latest
