"""What only a database that several processes share can do wrong."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest
from structlog.testing import capture_logs

from fsharechat.errors import CommitInDoubt, Refusal, StoreError
from fsharechat.protocol.signals import Code, MemberType, ReportType
from fsharechat.store import groups, inboxes, messages, mysql, reports, users
from fsharechat.store.group_reads import GroupRead
from fsharechat.store.groups import NewMember
from fsharechat.store.mysql import MysqlStore
from fsharechat.store.mysql_connection import Duplicate, Hosts, MysqlConnection, Unprepared
from fsharechat.store.reports import KeptReports, NewReport
from fsharechat.store.unit import Dialect, Query, Unit
from fsharechat.urls import ServiceUrl
from tests.unit.store.commit_cutting_proxy import CommitCuttingProxy, Cut
from tests.unit.store.store_kit import append, inbox, new

pytestmark = pytest.mark.slow


@pytest.fixture
async def proxy(empty_mysql: ServiceUrl) -> AsyncIterator[CommitCuttingProxy]:
    cutting = CommitCuttingProxy(*empty_mysql.hosts[0])
    async with cutting.listener:
        yield cutting


@pytest.fixture
async def behind(proxy: CommitCuttingProxy, empty_mysql: ServiceUrl) -> AsyncIterator[MysqlStore]:
    """Return a store that reaches its database through the proxy."""
    store = MysqlStore(replace(empty_mysql, hosts=(("127.0.0.1", proxy.listener.number),)), 1000)
    await store.open()
    yield store
    await store.close()


async def test_writers_of_several_processes_leave_no_hole_and_no_double(empty_mysql: ServiceUrl) -> None:
    stores = [MysqlStore(empty_mysql, 10_000) for _ in range(4)]
    for store in stores:
        await store.open()
    people = [f"user{n}" for n in range(20)]
    chance = random.Random(1)

    async def send(store: MysqlStore, number: int) -> None:
        for n in range(100):
            sender, *receivers = chance.sample(people, chance.randint(2, 6))
            await append(store, new(sender, *receivers, local_id=number * 1000 + n + 1))

    await asyncio.gather(*(send(store, n) for n, store in enumerate(stores * 8)))
    heads = await stores[0].read(inboxes.heads, people)
    for uid in people:
        pulled = await inbox(stores[1], uid)
        assert len(pulled.bodies) == pulled.head == heads[uid]
    assert sum(store.stats.failed for store in stores) == 0
    for store in stores:
        await store.close()


async def test_messages_and_reports_of_several_processes_do_not_wait_for_each_other_in_a_circle(
    empty_mysql: ServiceUrl,
) -> None:
    stores = [MysqlStore(empty_mysql, 10_000) for _ in range(2)]
    for store in stores:
        await store.open()
    people = [f"user{n:02}" for n in range(30)]
    await append(stores[0], new(people[0], *people[1:]))
    chance = random.Random(1)

    async def talk(number: int) -> None:
        for date in range(1, 30):
            store = chance.choice(stores)
            sender, *receivers = chance.sample(people, 3)
            reported = [
                NewReport(kind, 0, 0, sender, f"reporter{number}", date, (uid,))
                for uid in chance.sample(people, 3)
                for kind in ReportType
            ]
            in_groups = [GroupRead(f"group{n}", 0, chance.choice(people), date, 1) for n in range(3)]
            uids = [uid for report in reported for uid in report.uids]
            await asyncio.gather(
                store.write_heads(uids, reports.keep, reported, in_groups),
                append(store, new(sender, *receivers)),
            )

    with capture_logs() as logs:
        await asyncio.gather(*map(talk, range(40)))
    assert [entry for entry in logs if "Deadlock" in str(entry.get("error"))] == []
    for store in stores:
        await store.close()


async def test_a_read_whose_transaction_lasts_is_below_what_members_were_told_before(
    empty_mysql: ServiceUrl, other: MysqlConnection
) -> None:
    """Its version, which its event tells of, is where who has been told more has to go back to."""

    def lasting(dialect: Dialect, reads: list[GroupRead]) -> Unit[KeptReports]:
        kept = yield from reports.keep(dialect, [], reads)
        yield Query("SELECT GET_LOCK('may commit', 60)")
        yield Query("SELECT RELEASE_LOCK('may commit')")
        return kept

    one, two = MysqlStore(empty_mysql, 1000), MysqlStore(empty_mysql, 1000)
    await one.open()
    await two.open()
    members = [NewMember(uid, MemberType.NORMAL) for uid in ("ann", "bob", "cid")]
    await one.write(groups.put_members, "a group", members, 1)
    await other.execute("SELECT GET_LOCK('may commit', 60)")
    lasts = asyncio.ensure_future(one.write(lasting, [GroupRead("a group", 0, "bob", 5, 1)]))
    waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'"
    async with asyncio.timeout(60):
        while (await other.execute(waiting)).rows[0][0] == 0:
            await asyncio.sleep(0.01)
    later = await two.write(reports.keep, [], [GroupRead("a group", 0, "cid", 6, 1)])
    found = await two.read(reports.pull, "ann", ReportType.READ, 0)
    assert found == ([("cid", 6, "a group")], later.version, later.version)
    await other.execute("SELECT RELEASE_LOCK('may commit')")
    version = (await lasts).version
    assert version < later.version
    assert (await two.read(reports.pull, "ann", ReportType.READ, later.version)).reports == []
    assert await two.read(reports.pull, "ann", ReportType.READ, version - 1) == (
        [("bob", 5, "a group"), ("cid", 6, "a group")],
        later.version,
        later.version,
    )
    await one.close()
    await two.close()


async def test_a_resend_to_another_process_at_the_same_time_finds_the_first_copy(
    empty_mysql: ServiceUrl,
) -> None:
    one, other = MysqlStore(empty_mysql, 1000), MysqlStore(empty_mysql, 1000)
    await one.open()
    await other.open()
    for n in range(1, 51):
        first, second = await asyncio.gather(
            append(one, new("ann", "bob", local_id=n)), append(other, new("ann", "bob", local_id=n))
        )
        assert first.id == second.id
        assert bool(first.entries) != bool(second.entries)
    assert await one.read(inboxes.heads, ["bob"]) == {"bob": 50}
    await one.close()
    await other.close()


async def test_a_process_that_stands_still_in_a_transaction_does_not_hold_up_the_others(
    empty_mysql: ServiceUrl,
) -> None:
    frozen, other = MysqlStore(empty_mysql, 1000), MysqlStore(empty_mysql, 1000)
    await frozen.open()
    await other.open()
    await append(frozen, new("ann", "bob"))
    connection = await frozen._writing_connection()
    await connection.execute("BEGIN")
    await connection.run(frozen.dialect.advance({"bob": 1}, "seq"))
    stored = await append(other, new("cat", "bob"))
    assert {entry.uid: entry.seq for entry in stored.entries} == {"cat": 1, "bob": 2}
    stored = await append(frozen, new("ann", "bob"))  # it wakes
    assert {entry.uid: entry.seq for entry in stored.entries} == {"ann": 2, "bob": 3}
    await frozen.close()
    await other.close()


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_that_was_cut_off_is_resolved_by_looking(
    behind: MysqlStore, proxy: CommitCuttingProxy, cut: Cut
) -> None:
    await append(behind, new("ann", "bob"))
    proxy.cuts = [cut]
    stored = await append(behind, new("ann", "bob", body=b"once"))
    assert [entry.seq for entry in stored.entries] == [2, 2]
    assert not proxy.cuts
    pulled = await inbox(behind, "bob")
    assert pulled.head == 2
    assert pulled.bodies[1:] == [b"once"]


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_unit_whose_commit_was_cut_off_is_done_once(
    behind: MysqlStore, proxy: CommitCuttingProxy, cut: Cut
) -> None:
    async def number_of_heads() -> int:
        return (await behind.read(inboxes.heads, ["ann"])).get("ann", 0)

    def count_up(dialect: Dialect) -> Unit[int]:
        return (yield from dialect.advance({"ann": 1}, "seq"))["ann"]

    assert await behind.write(count_up) == 1
    proxy.cuts = [cut]
    assert await behind.write(count_up) == 2
    assert await number_of_heads() == 2


async def test_a_question_about_a_commit_that_meets_a_conflict_is_asked_again(
    behind: MysqlStore, proxy: CommitCuttingProxy, other: MysqlConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = behind._hosts.connect_writer

    async def connect_impatient() -> MysqlConnection:
        """Have the row that is asked for locked by somebody else."""
        monkeypatch.undo()
        await other.execute("BEGIN")
        await other.execute("SELECT batch FROM writers FOR UPDATE")
        connection = await connect()
        await connection.execute("SET SESSION innodb_lock_wait_timeout = 1")
        return connection

    await append(behind, new("ann", "bob"))
    monkeypatch.setattr(behind._hosts, "connect_writer", connect_impatient)
    proxy.cuts = ["after"]
    with capture_logs() as logs:
        stored = append(behind, new("ann", "bob", body=b"once"))
        while not [line for line in logs if "Lock wait timeout" in str(line.get("error"))]:
            await asyncio.sleep(0.01)
        await other.execute("ROLLBACK")
        assert [entry.seq for entry in (await stored).entries] == [2, 2]
    pulled = await inbox(behind, "bob")
    assert (pulled.head, pulled.bodies[1:]) == (2, [b"once"])


async def test_a_question_that_nobody_answers_is_told_as_one(
    behind: MysqlStore, proxy: CommitCuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql, "DOUBT_SECONDS", 0)
    await append(behind, new("ann", "bob"))
    proxy.refusing = True
    proxy.cuts = ["after"]
    with pytest.raises(CommitInDoubt):
        await append(behind, new("ann", "bob"))
    with pytest.raises(StoreError) as caught:
        await append(behind, new("ann", "bob"))
    assert not isinstance(caught.value, CommitInDoubt)
    proxy.refusing = False


async def test_a_transaction_that_was_undone_with_its_savepoints_is_run_again(behind: MysqlStore) -> None:
    """A Galera node that aborts a transaction says so only to the statement after, and that may name a savepoint."""
    runs = 0

    def aborted(dialect: Dialect) -> Unit[int]:
        nonlocal runs
        runs += 1
        seq = (yield from dialect.advance({"ann": 1}, "seq"))["ann"]
        if runs == 1:
            yield Query("ROLLBACK")
            raise Duplicate("as the node says of a statement that it has undone")
        return seq

    with capture_logs() as logs:
        assert await behind.write(aborted) == 1
    assert runs == 2
    assert [line["event"] for line in logs] == ["store batch is tried again"]


@pytest.fixture
async def other(empty_mysql: ServiceUrl) -> AsyncIterator[MysqlConnection]:
    """Return a connection beside the store, in whose way its transaction may be."""
    connection = await Hosts(empty_mysql).connect()
    yield connection
    await connection.close()


_HAVING_INBOX = "SELECT id FROM information_schema.processlist WHERE info LIKE 'INSERT INTO inbox%'"


async def waiting_at_the_inbox(other: MysqlConnection) -> int:
    """Wait until a writer has inserted messages, and waits for a row of the inbox; return its connection's id."""
    while not (rows := (await other.execute(_HAVING_INBOX)).rows):
        await asyncio.sleep(0.01)
    return int(rows[0][0])


@pytest.mark.parametrize("how", ["killed", "dropped"])
async def test_a_connection_lost_between_statements_that_went_out_together(
    behind: MysqlStore, proxy: CommitCuttingProxy, other: MysqlConnection, how: str
) -> None:
    await append(behind, new("ann", "bob"))
    await other.execute("BEGIN")
    await other.execute("INSERT INTO inbox (uid, seq, message_id) VALUES ('bob', 2, 1)")
    stored = append(behind, new("ann", "bob", body=b"once"))
    writing = await waiting_at_the_inbox(other)
    if how == "killed":
        await other.execute(f"KILL {writing}")
    else:
        proxy.drop()
    await other.execute("ROLLBACK")
    assert (await stored).entries == [("ann", 2), ("bob", 2)]
    pulled = await inbox(behind, "bob")
    assert (pulled.head, pulled.bodies[1:]) == (2, [b"once"])


async def test_a_deadlock_between_statements_that_went_out_together(
    behind: MysqlStore, other: MysqlConnection
) -> None:
    await append(behind, new("ann", "bob"))
    await other.execute("BEGIN")
    for seq in range(2, 200):  # the engine undoes the transaction that has changed less
        await other.execute("INSERT INTO inbox (uid, seq, message_id) VALUES ('bob', ?, 1)", (seq,))
    with capture_logs() as logs:
        stored = append(behind, new("ann", "bob", body=b"once"))
        await waiting_at_the_inbox(other)
        await other.execute("UPDATE heads SET seq = seq WHERE uid = 'bob'")
        await other.execute("ROLLBACK")
        assert (await stored).entries == [("ann", 2), ("bob", 2)]
    assert [entry["event"] for entry in logs] == ["store batch is tried again"]
    pulled = await inbox(behind, "bob")
    assert (pulled.head, pulled.bodies[1:]) == (2, [b"once"])


async def test_a_lock_that_stays_away_undoes_all_that_went_out_before(
    behind: MysqlStore, other: MysqlConnection
) -> None:
    await append(behind, new("ann", "bob"))
    await (await behind._writing_connection()).execute("SET SESSION innodb_lock_wait_timeout = 1")
    await other.execute("BEGIN")
    await other.execute("INSERT INTO inbox (uid, seq, message_id) VALUES ('bob', 2, 1)")
    with capture_logs() as logs:
        stored = append(behind, new("ann", "bob", body=b"once"))
        while not logs:  # until the engine has undone the one statement that waited
            await asyncio.sleep(0.01)
        await other.execute("ROLLBACK")
        assert (await stored).entries == [("ann", 2), ("bob", 2)]
    pulled = await inbox(behind, "bob")
    assert (pulled.head, pulled.bodies[1:]) == (2, [b"once"])


async def test_what_a_refused_unit_has_not_sent_is_never_sent(behind: MysqlStore) -> None:
    def refuse(_: Dialect) -> Unit[None]:
        yield Query("INSERT INTO nowhere (name) VALUES (?)", ("name",), unread=True)
        raise Refusal(Code.NO_RIGHT)

    outcomes = await asyncio.gather(
        behind.write(refuse), behind.write(users.fact, "name", b"value"), return_exceptions=True
    )
    assert isinstance(outcomes[0], Refusal)
    assert outcomes[1] == b"value"


async def test_a_batch_whose_first_statements_fail_has_their_error_and_does_nothing(
    behind: MysqlStore, other: MysqlConnection
) -> None:
    await other.execute("RENAME TABLE writers TO hidden")
    try:
        results = await asyncio.gather(
            behind.write(users.fact, "name", b"value"),
            append(behind, new("ann", "bob")),
            return_exceptions=True,
        )
    finally:
        await other.execute("RENAME TABLE hidden TO writers")
    assert [type(result) for result in results] == [Unprepared] * 2
    assert "writers" in str(results[0])
    assert await behind.write(users.fact, "name", b"other") == b"other"
    assert (await append(behind, new("ann", "bob"))).entries == [("ann", 1), ("bob", 1)]


async def test_a_batch_asks_the_server_few_times(behind: MysqlStore, proxy: CommitCuttingProxy) -> None:
    await append(behind, new("ann", "bob"))
    before = proxy.queries
    await asyncio.gather(*[append(behind, new("ann", "bob", local_id=n)) for n in range(1, 10)])
    # Begin and look for earlier copies; advance heads and read them; insert; commit.
    assert proxy.queries - before == 4


async def test_a_database_that_is_away_fails_requests_and_is_found_again(
    behind: MysqlStore, proxy: CommitCuttingProxy
) -> None:
    await append(behind, new("ann", "bob"))
    proxy.refusing = True
    proxy.cuts = ["before"]
    with pytest.raises(StoreError):
        await append(behind, new("ann", "bob", body=b"lost"))
    proxy.refusing = False
    while True:
        try:
            stored = await append(behind, new("ann", "bob", body=b"kept"))
            break
        except StoreError:
            await asyncio.sleep(0.05)
    assert [entry.seq for entry in stored.entries] == [2, 2]


async def test_a_refusal_in_a_shared_batch_concerns_its_unit_alone(behind: MysqlStore) -> None:
    def refuse(_: Dialect) -> Unit[None]:
        yield from inboxes.heads(_, ["ann"])
        raise Refusal(Code.NOT_EXIST)

    outcomes = await asyncio.gather(
        behind.write(refuse),
        behind.write(users.fact, "name", b"value"),
        append(behind, new("ann", "bob")),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], Refusal)
    assert outcomes[1] == b"value"
    assert cast(messages.Stored, outcomes[2]).entries


async def test_the_next_host_is_taken_when_one_is_dead(empty_mysql: ServiceUrl) -> None:
    dead = ("127.0.0.1", 1)
    store = MysqlStore(replace(empty_mysql, hosts=(dead, *empty_mysql.hosts)), 1000)
    await store.open()
    assert (await append(store, new("ann", "bob"))).entries
    await store.close()


async def test_no_host_is_one_clear_error(empty_mysql: ServiceUrl) -> None:
    store = MysqlStore(replace(empty_mysql, hosts=(("127.0.0.1", 1), ("127.0.0.1", 2))), 1000)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1: .*; 127\.0\.0\.1:2: "):
        await store.open()
    await store.close()


async def test_a_batch_that_fails_in_the_middle_leaves_nothing_for_the_next_one(
    empty_mysql: ServiceUrl,
) -> None:
    store = MysqlStore(empty_mysql, 1000)
    await store.open()
    too_long = new(
        "ann", "bob", conversation="c" * 200
    )  # found by the engine after it has advanced the heads
    with pytest.raises(StoreError, match="too long"):
        await append(store, too_long)
    assert (await append(store, new("ann", "bob"))).entries == [("ann", 1), ("bob", 1)]
    await store.close()


async def test_a_host_without_room_is_left_for_the_next_one(empty_mysql: ServiceUrl) -> None:
    """It answers and reads on, so nothing but its refusals shows that its disk is full."""
    (_, port), *_ = empty_mysql.hosts
    two = replace(empty_mysql, hosts=(("127.0.0.1", port), ("localhost", port)))
    store = MysqlStore(two, 1000)
    await store.open()
    try:
        await append(store, new("ann", "ben", local_id=1))
        later = await Hosts(empty_mysql).connect()
        found = await later.execute("SELECT CONNECTION_ID()")
        # All connections of the store are older than this one.
        await later.execute(
            f"""CREATE TRIGGER full BEFORE INSERT ON messages FOR EACH ROW
            IF CONNECTION_ID() < {found.rows[0][0]} THEN
                SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full';
            END IF"""
        )
        await later.close()
        with capture_logs() as logs:
            await append(store, new("ann", "ben", local_id=2))
        assert [entry["host"] for entry in logs if "has no room" in entry["event"]] == ["127.0.0.1"]
        assert (await inbox(store, "ben")).head == 2
    finally:
        await store.close()
