"""What is read in groups: one row for a reporter, told to whom it concerns when they ask (contract.md section 8)."""

import random
from collections.abc import Iterable, Sequence

import pytest

from fsharechat.protocol.signals import ConversationType, FriendState, MemberType, ReportType
from fsharechat.store import friends, group_reads, groups, heads, reports
from fsharechat.store.friends import Tie
from fsharechat.store.group_reads import GroupRead
from fsharechat.store.groups import NewMember, Silence
from fsharechat.store.heads import Heads
from fsharechat.store.reports import KeptReports, NewReport, PulledReports
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Unit, insert_many
from tests.unit.store.store_kit import Engine, Exchange, recorded, select

READ = ReportType.READ
GROUP = "a group"


def read(reporter: str, date: int, group_id: str = GROUP, *, members_dt: int = 1, line: int = 0) -> GroupRead:
    return GroupRead(group_id, line, reporter, date, members_dt)


def addressed(reporter: str, date: int, *uids: str, group_id: str = GROUP) -> NewReport:
    return NewReport(READ, ConversationType.GROUP, 0, group_id, reporter, date, uids)


class Process:
    """What a process keeps in mind between units."""

    newest = 0


async def keep(store: Store, *reads: GroupRead, to_users: Sequence[NewReport] = ()) -> KeptReports:
    """Keep reads with a version above all before, as one process does."""
    kept = await store.write(reports.keep, to_users, reads, Process.newest)
    Process.newest = max(Process.newest, kept.version)
    return kept


async def pull(store: Store, uid: str, after: int = 0) -> PulledReports:
    return await store.read(reports.pull, uid, READ, after)


async def pull_all(store: Store, uid: str, after: int = 0) -> list[tuple[str, int, str]]:
    """Pull until nothing is left, as a device does."""
    found: list[tuple[str, int, str]] = []
    while True:
        answer = await pull(store, uid, after)
        found += answer.reports
        assert answer.current >= after
        if answer.current >= answer.head:
            return found
        assert answer.current > after
        after = answer.current


async def join(store: Store, uids: Iterable[str], group_id: str = GROUP, at: int = 1) -> None:
    await store.write(groups.put_members, group_id, [NewMember(uid, MemberType.NORMAL) for uid in uids], at)


async def leave(store: Store, uid: str, group_id: str = GROUP) -> None:
    await store.write(groups.remove_members, group_id, [uid], 1, Silence.LEFT)


async def blacklist(store: Store, uid: str, other: str, state: FriendState = FriendState.BLACKLISTED) -> None:
    await store.write(friends.put_tie, uid, other, Tie(state), 1)


async def reached(store: Store, uid: str) -> int:
    return (await store.read(heads.heads, [uid])).get(uid, Heads()).read


async def rows(store: Store) -> int:
    count = 0
    for table in ("reports", "group_reads", "heads"):
        count += (await store.read(select, f"SELECT COUNT(*) FROM {table}"))[0][0]
    return count


async def test_a_read_in_a_group_of_thousands_is_one_row(store: Store) -> None:
    await join(store, [f"user{n}" for n in range(5000)])
    seen: list[Exchange] = []
    kept = await store.write(recorded, seen, reports.keep, [], [read("user7", 5)])
    assert await rows(store) == 1
    assert len(seen) == (3 if store.dialect.name == "mysql" else 2)
    for uid in ("user0", "user4999"):
        assert await pull(store, uid) == ([("user7", 5, GROUP)], kept.version, kept.version)
    await keep(store, read("user7", 6))
    assert await rows(store) == 1


async def test_the_reporter_is_not_told(store: Store) -> None:
    await join(store, ["ann", "bob"])
    await keep(store, read("bob", 5))
    assert await pull(store, "bob") == ([], 0, 0)
    assert await reached(store, "bob") == 0
    kept = await keep(store, read("ann", 5))
    await keep(store, read("bob", 6))
    assert await reached(store, "bob") == kept.version


async def test_only_a_later_date_is_news(store: Store) -> None:
    await join(store, ["ann", "bob"])
    assert (await keep(store, read("bob", 5), read("bob", 4))).reads == [read("bob", 5)]
    for date, news in ((5, False), (4, False), (6, True)):
        kept = await keep(store, read("bob", date))
        assert bool(kept.reads) == bool(kept.version) == news
    assert (await pull(store, "ann")).reports == [("bob", 6, GROUP)]


async def test_what_was_told_before_is_not_told_again(store: Store) -> None:
    await join(store, ["ann", "bob", "cid"])
    first = await keep(store, read("bob", 5))
    second = await keep(store, read("cid", 5))
    assert first.version < second.version
    found = await pull(store, "ann", first.version)
    assert found == ([("cid", 5, GROUP)], second.version, second.version)
    assert await reached(store, "ann") == second.version


async def test_who_joins_later_is_told_of_what_is_read_from_then_on(store: Store) -> None:
    await join(store, ["ann", "bob", "cid"])
    await keep(store, read("bob", 5), read("cid", 5))
    await join(store, ["dan"], at=8)
    assert (await pull(store, "dan")).reports == []
    kept = await keep(store, read("bob", 9, members_dt=8))
    assert await pull(store, "dan") == ([("bob", 9, GROUP)], kept.version, kept.version)


async def test_who_has_left_is_told_of_nothing(store: Store) -> None:
    await join(store, ["ann", "bob"])
    await keep(store, read("bob", 5))
    await keep(store, to_users=[addressed("bob", 6, "ann")])
    await leave(store, "ann")
    assert (await pull(store, "ann")).reports == []
    await join(store, ["ann"], at=7)
    await keep(store, read("bob", 6))  # by a process that has not heard of it
    assert (await pull(store, "ann")).reports == [("bob", 6, GROUP)]  # to ann, when she was there
    await keep(store, read("bob", 8, members_dt=7))
    assert (await pull(store, "ann")).reports == [("bob", 8, GROUP)]


async def test_a_device_whose_user_has_left_goes_on_behind_what_it_was_told(store: Store) -> None:
    await join(store, ["ann", "bob"])
    to_ann = NewReport(READ, ConversationType.PRIVATE, 0, "eve", "eve", 5, ("ann",))
    await keep(store, to_users=[to_ann])
    version = (await keep(store, read("bob", 5))).version
    await leave(store, "ann")
    assert await pull(store, "ann", version) == ([], version, version)
    kept = await keep(store, to_users=[to_ann._replace(date=6)])
    assert await pull(store, "ann", version) == ([("eve", 6, "eve")], kept.version, kept.version)


async def test_whom_the_reporter_has_blacklisted_is_not_told(store: Store) -> None:
    await join(store, ["ann", "bob", "cid"])
    await blacklist(store, "bob", "ann")
    await blacklist(store, "ann", "cid")
    await keep(store, read("bob", 5))
    assert await pull(store, "ann") == ([], 0, 0)
    assert await reached(store, "ann") == 0
    kept = await keep(store, read("cid", 5))
    assert await pull(store, "ann") == ([("cid", 5, GROUP)], kept.version, kept.version)
    await keep(store, read("bob", 6))
    assert await reached(store, "ann") == kept.version
    await blacklist(store, "bob", "ann", FriendState.FRIEND)
    assert (await pull(store, "ann")).reports == [("cid", 5, GROUP), ("bob", 6, GROUP)]


async def test_what_a_member_alone_was_told_and_what_all_were_told_go_together(store: Store) -> None:
    """The newest date comes last, whichever way it came."""
    await join(store, ["ann", "bob", "cid"])
    await keep(store, to_users=[addressed("bob", 7, "ann")])
    after = (await pull(store, "ann")).head
    await keep(store, read("bob", 5))
    assert (await pull(store, "ann", after)).reports == [("bob", 7, GROUP)]
    assert (await pull(store, "cid")).reports == [("bob", 5, GROUP)]
    await keep(store, read("bob", 9))
    after = (await pull(store, "ann")).head
    await keep(store, to_users=[addressed("bob", 8, "ann")])
    assert (await pull(store, "ann", after)).reports == [("bob", 9, GROUP)]


async def test_what_a_member_alone_was_told_has_no_date_that_is_not_for_them(store: Store) -> None:
    await join(store, ["ann", "bob", "cid"])
    await keep(store, to_users=[addressed("bob", 5, "ann"), addressed("cid", 5, "ann")])
    await blacklist(store, "bob", "ann")
    await keep(store, read("bob", 9), read("cid", 9, members_dt=0))
    assert (await pull(store, "ann")).reports == [("bob", 5, GROUP), ("cid", 5, GROUP)]


async def test_what_the_version_before_has_written_is_told_too(store: Store) -> None:
    """It has a row for each member, with seqs from 1 on."""
    await join(store, ["ann", "bob"])

    def old(_: Dialect) -> Unit[None]:
        columns = ("uid", "kind", "conversation", "line", "target", "reporter", "date", "seq")
        old_rows = [
            ("ann", int(READ), int(ConversationType.GROUP), 0, GROUP, "bob", 5, 1),
            ("ann", int(READ), int(ConversationType.PRIVATE), 0, "bob", "bob", 5, 2),
        ]
        yield from insert_many("reports", columns, old_rows)
        yield Query("INSERT INTO heads (uid, seq, read_seq) VALUES ('ann', 0, 2)")

    await store.write(old)
    assert await pull(store, "ann") == ([("bob", 5, GROUP), ("bob", 5, "bob")], 2, 2)
    kept = await keep(store, read("bob", 6))
    assert await pull(store, "ann", 2) == ([("bob", 6, GROUP)], kept.version, kept.version)
    assert (await pull(store, "ann")).reports == [("bob", 5, "bob"), ("bob", 6, GROUP)]


async def test_a_read_that_is_committed_behind_a_later_one_is_there_for_who_goes_back(engine: Engine) -> None:
    """Two processes: the transaction of one lasts."""
    one = engine.store()
    await one.open()
    try:
        await join(one, ["ann", "bob", "cid"])
        later = await keep(one, read("cid", 5))
        await one.write(group_reads.keep, [read("bob", 5)], later.version - 40)
        assert (await pull(one, "ann", later.version)).reports == []
        assert (await pull(one, "ann", later.version - 41)).reports == [("bob", 5, GROUP), ("cid", 5, GROUP)]
    finally:
        await one.close()


async def test_an_answer_takes_the_oldest_of_many_groups(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MAX_PULL_REPORTS", 8)
    ids = [f"group{n}" for n in range(250)]
    wanted = []
    for group_id in ids:
        await join(store, ["ann", "bob", "cid"], group_id)
    for n in range(12):
        group_id = ids[n * 20]
        await keep(store, read("bob", 5, group_id))
        await keep(store, read("cid", 5, group_id))
        wanted += [("bob", 5, group_id), ("cid", 5, group_id)]
    assert await pull_all(store, "ann") == wanted
    assert len((await pull(store, "ann")).reports) <= 8


async def test_a_pull_looks_at_a_part_of_what_many_groups_have(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member of 200 groups with 100 reads each."""
    monkeypatch.setattr(reports, "MAX_PULL_BYTES", 20_000)
    monkeypatch.setattr(reports, "MAX_PULL_REPORTS", 500)
    ids = [f"group{n}" for n in range(200)]
    for group_id in ids:
        await join(store, ["ann"], group_id)
    for n in range(100):
        await keep(store, *(read(f"user{n}", 5, group_id) for group_id in ids))
    seen: list[Exchange] = []
    found: PulledReports = await store.read(recorded, seen, reports.pull, "ann", READ, 0)
    assert len(found.reports) == 400  # those of one transaction have one version
    assert found.current < found.head
    assert sum(len(exchange.result.rows) for exchange in seen) < 2_000


def _newest(told: Sequence[tuple[str, int, str]]) -> dict[tuple[str, str], int]:
    """Return what a client believes that takes the last report of each reporter and conversation."""
    return {(reporter, target): date for reporter, date, target in told}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_comes_between_a_device_has_the_newest_dates_in_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Members read, for all or for some, come and go; transactions are committed late; answers are small."""
    monkeypatch.setattr(reports, "MAX_PULL_REPORTS", 3)
    dice = random.Random(seed)
    people = [f"user{n}" for n in range(5)]
    ids = ["one", "two", "three"]
    for group_id in ids:
        await join(store, ["ann", *people], group_id)
    newest: dict[tuple[str, str], int] = {}
    seen: dict[tuple[str, str], int] = {}
    members_dt = 1
    inside = set(ids)
    covered = 0
    await keep(store, read("somebody", 1, "elsewhere"))
    for date in range(1, 81):
        reporter, group_id = dice.choice(people), dice.choice(ids)
        late = 0
        match dice.randrange(8):
            case 0 | 1 | 2:
                await keep(store, read(reporter, date, group_id, members_dt=members_dt))
            case 3:
                late = Process.newest - dice.randrange(1, 30)
                known = await store.read(group_reads.dates, [(group_id, 0, reporter)])
                if known:
                    continue  # a row moves only forward
                read_late = read(reporter, date, group_id, members_dt=members_dt)
                await store.write(group_reads.keep, [read_late], late)
            case 4:
                told = [addressed(reporter, date, "ann", group_id=group_id)]
                await keep(store, to_users=told)
            case 5:
                told = [NewReport(READ, ConversationType.PRIVATE, 0, reporter, reporter, date, ("ann",))]
                await keep(store, to_users=told)
                newest[reporter, reporter] = date
                continue
            case 6:
                members_dt += 1
                if group_id in inside:
                    inside.discard(group_id)
                    await leave(store, "ann", group_id)
                else:
                    inside.add(group_id)
                    await join(store, ["ann"], group_id, at=members_dt)
                    # What was read while she was away, or before, is none of hers.
                    newest = {key: found for key, found in newest.items() if key[1] != group_id}
                    seen = {key: found for key, found in seen.items() if key[1] != group_id}
                continue
            case _:
                answer = await pull(store, "ann", covered)
                seen |= _newest(answer.reports)
                covered = answer.current
                continue
        if group_id in inside:
            newest[reporter, group_id] = date
            if late:
                covered = min(covered, late - 1)  # its event says so
    seen |= _newest(await pull_all(store, "ann", covered))
    mine = {key: date for key, date in newest.items() if key[1] not in ids or key[1] in inside}
    assert {key: seen.get(key) for key in mine} == mine
