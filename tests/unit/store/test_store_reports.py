"""Reports of what was fetched and read (protocol.md section 8)."""

import asyncio
import random

import pytest
from store_kit import Exchange, append, new, recorded

from fsharechat.protocol.signals import ConversationType, ReportType
from fsharechat.store import heads, reports
from fsharechat.store.heads import Heads
from fsharechat.store.messages import Entry
from fsharechat.store.reports import NewReport, Pulled
from fsharechat.store.store import Store
from fsharechat.store.unit import MAX_ROWS

DELIVERED, READ = ReportType.DELIVERED, ReportType.READ
Told = dict[ReportType, list[Entry]]


def private(reporter: str, uid: str, date: int, *, kind: ReportType = READ, line: int = 0) -> NewReport:
    return NewReport(kind, ConversationType.PRIVATE, line, reporter, reporter, date, (uid,))


def grouped(reporter: str, group: str, date: int, *uids: str) -> NewReport:
    return NewReport(READ, ConversationType.GROUP, 0, group, reporter, date, uids)


async def keep(store: Store, *batch: NewReport) -> Told:
    return await store.write(reports.keep, batch)


async def pull(store: Store, uid: str, after: int = 0, kind: ReportType = READ) -> Pulled:
    return await store.read(reports.pull, uid, kind, after)


async def reached(store: Store, uid: str) -> Heads:
    return (await store.read(heads.heads, [uid])).get(uid, Heads())


async def test_a_report_is_told_to_whom_it_is_for(store: Store) -> None:
    assert await keep(store, private("bob", "ann", 5)) == {READ: [Entry("ann", 1)]}
    assert await pull(store, "ann") == ([("bob", 5, "bob")], 1, 1)
    assert await pull(store, "bob") == ([], 0, 0)


async def test_nobody_has_no_reports(store: Store) -> None:
    assert await pull(store, "nobody", 7) == ([], 0, 0)
    assert await keep(store) == {}


@pytest.mark.parametrize("date", [4, 5])
async def test_a_date_that_is_not_later_is_no_news(store: Store, date: int) -> None:
    await keep(store, private("bob", "ann", 5))
    assert await keep(store, private("bob", "ann", date)) == {}
    assert await pull(store, "ann") == ([("bob", 5, "bob")], 1, 1)


async def test_a_later_date_takes_the_place_of_the_earlier_one_at_the_end(store: Store) -> None:
    await keep(store, private("bob", "ann", 5))
    await keep(store, private("cid", "ann", 5))
    assert await keep(store, private("bob", "ann", 6)) == {READ: [Entry("ann", 3)]}
    assert await pull(store, "ann") == ([("cid", 5, "cid"), ("bob", 6, "bob")], 3, 3)
    assert await pull(store, "ann", 2) == ([("bob", 6, "bob")], 3, 3)


async def test_each_kind_line_and_conversation_has_its_own_date(store: Store) -> None:
    await keep(store, private("bob", "ann", 9))
    await keep(store, private("bob", "ann", 5, kind=DELIVERED))
    await keep(store, private("bob", "ann", 5, line=1))
    await keep(store, grouped("bob", "a group", 4, "ann"))
    await keep(store, grouped("bob", "bob", 3, "ann"))
    wanted = [("bob", 9, "bob"), ("bob", 5, "bob"), ("bob", 4, "a group"), ("bob", 3, "bob")]
    assert await pull(store, "ann") == (wanted, 4, 4)
    assert await pull(store, "ann", kind=DELIVERED) == ([("bob", 5, "bob")], 1, 1)


async def test_reports_of_both_kinds_in_one_batch_have_a_sequence_each(store: Store) -> None:
    told = await keep(
        store,
        private("bob", "ann", 5),
        private("bob", "ann", 6, kind=DELIVERED),
        private("cid", "ann", 7),
        private("ann", "bob", 8),
    )
    assert told == {DELIVERED: [Entry("ann", 1)], READ: [Entry("ann", 2), Entry("bob", 1)]}
    assert await pull(store, "ann") == ([("bob", 5, "bob"), ("cid", 7, "cid")], 2, 2)
    assert await reached(store, "ann") == Heads(delivered=1, read=2)


@pytest.mark.parametrize("dates", [(5, 7, 6), (7, 5, 6), (7, 7, 7)], ids=str)
async def test_of_one_report_in_a_batch_the_latest_counts_once(store: Store, dates: tuple[int, ...]) -> None:
    told = await keep(store, *(private("bob", "ann", date) for date in dates))
    assert told == {READ: [Entry("ann", 1)]}
    assert await pull(store, "ann") == ([("bob", 7, "bob")], 1, 1)


async def test_only_those_for_whom_it_is_news_are_told(store: Store) -> None:
    await keep(store, grouped("bob", "a group", 5, "ann", "cid"))
    told = await keep(store, grouped("bob", "a group", 5, "ann", "cid", "dan"))
    assert told == {READ: [Entry("dan", 1)]}


async def test_reports_leave_the_inbox_alone(store: Store) -> None:
    await append(store, new("ann", "bob"))
    await keep(store, private("bob", "ann", 5), private("bob", "eve", 5))
    await append(store, new("ann", "bob"))
    assert await reached(store, "ann") == Heads(seq=2, read=1)
    assert await reached(store, "eve") == Heads(seq=0, read=1)


@pytest.mark.parametrize(("after", "first"), [(0, 0), (1, 1), (4, 4), (5, 5), (6, 0), (1 << 62, 0)], ids=str)
async def test_a_pull_answers_what_follows_and_above_the_head_everything(
    store: Store, after: int, first: int
) -> None:
    await keep(store, *(private(f"user{n}", "ann", 5) for n in range(5)))
    wanted = [(f"user{n}", 5, f"user{n}") for n in range(5)][first:]
    assert await pull(store, "ann", after) == (wanted, 5, 5)


async def test_of_too_many_reports_the_oldest_come_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MAX_PULL_REPORTS", 3)
    await keep(store, *(private(f"user{n}", "ann", 5) for n in range(5)))
    found = await pull(store, "ann")
    assert [reporter for reporter, *_ in found.reports] == ["user0", "user1", "user2"]
    assert (found.current, found.head) == (3, 5)
    found = await pull(store, "ann", 3)
    assert [reporter for reporter, *_ in found.reports] == ["user3", "user4"]
    assert (found.current, found.head) == (5, 5)


async def test_an_answer_is_within_its_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_PULL_BYTES", 1000)
    group = "群" * 64
    await keep(store, *(grouped(f"user{n}", group, 5, "ann") for n in range(9)))
    found = await pull(store, "ann")
    assert [reporter for reporter, *_ in found.reports] == [f"user{n}" for n in range(4)]
    assert (found.current, found.head) == (4, 9)


async def statements(store: Store, *batch: NewReport) -> int:
    seen: list[Exchange] = []
    await store.write(recorded, seen, reports.keep, batch)
    return len(seen)


def chunks(rows: int) -> int:
    return -(-rows // MAX_ROWS)


@pytest.mark.parametrize("uids", [1, 1000, 5000])
async def test_only_full_statements_make_more_statements(store: Store, uids: int) -> None:
    crowd = [f"member{n}" for n in range(uids)]
    returned = chunks(uids) if store.dialect.name == "mysql" else 0
    for date in (5, 6):  # for new rows and for those that move
        assert await statements(store, grouped("bob", "a group", date, *crowd)) == 3 * chunks(uids) + returned
    assert await statements(store, grouped("bob", "a group", 6, *crowd)) == chunks(uids)
    assert (await pull(store, "member0")).reports == [("bob", 6, "a group")]


async def test_a_thousand_who_read_one_message_cost_a_few_statements(store: Store) -> None:
    readers = [grouped(f"member{n}", "a group", 5, "ann") for n in range(1000)]
    assert await statements(store, *readers) == (4 if store.dialect.name == "mysql" else 3)
    found = await pull(store, "ann")
    assert (len(found.reports), found.current) == (1000, 1000)


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
