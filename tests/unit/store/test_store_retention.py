"""What is removed by age, and what those see who come later."""

from collections.abc import Callable
from typing import Concatenate

import pytest

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ConversationType, ReportType
from fsharechat.store import (
    cursors,
    fence,
    group_log,
    group_reads,
    heads,
    inboxes,
    messages,
    recalls,
    reports,
    retention,
)
from fsharechat.store.cursors import Log, Mark
from fsharechat.store.group_reads import GroupRead
from fsharechat.store.messages import Audience, Entry, conversation_key, directed_key
from fsharechat.store.reports import NewReport
from fsharechat.store.retention import STEP
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, P, Query, Unit
from tests.unit.store.group_log_kit import World
from tests.unit.store.groups_store_kit import group
from tests.unit.store.store_kit import append, append_all, inbox, new, private, select


async def run(
    store: Store, unit: Callable[Concatenate[Dialect, P], Unit[int]], *args: P.args, **kwargs: P.kwargs
) -> int:
    """Run a unit until it finds no more, and return how much it removed."""
    total = count = await store.write(unit, *args, **kwargs)
    while count == STEP:
        count = await store.write(unit, *args, **kwargs)
        total += count
    return total


async def count(store: Store, table: str) -> int:
    return int((await store.read(select, f"SELECT COUNT(*) FROM {table}"))[0][0])


async def talk(store: Store, number: int) -> list[int]:
    """Let ann write to bob, and return the ids."""
    stored = []
    for _ in range(number):
        stored.append((await append(store, private("ann", "bob"))).id)
    return stored


async def trim(store: Store, below: int, fetched: int = 0) -> None:
    for uid in (await store.read(retention.old_inboxes, "", max(below, fetched))).found:
        await run(store, retention.trim_inbox, uid, below, fetched)


def device(dialect: Dialect, uid: str, client_id: str) -> Unit[None]:
    sql = "INSERT INTO sessions (uid, client_id, secret, db_secret, issued_ms) VALUES (?, ?, '', '', 0)"
    yield Query(sql, (uid, client_id))
    yield from cursors.begin(dialect, uid, client_id)


async def test_seqs_stay_and_a_pull_goes_on_behind_what_is_gone(store: Store) -> None:
    ids = await talk(store, 3 * STEP)
    cut = ids[2 * STEP + 50]
    await trim(store, cut)
    assert await run(store, retention.remove_messages, cut) == 2 * STEP + 50
    left = [b"body %d" % id for id in ids[2 * STEP + 50 :]]
    first = await store.read(inboxes.pull, "bob", 5)
    assert [entry.body for entry in first.entries] == left
    assert (first.entries[0].seq, first.head) == (2 * STEP + 51, 3 * STEP)
    new_device = await store.read(inboxes.pull, "bob", inboxes.NOTHING)
    assert [entry.body for entry in new_device.entries] == left
    assert new_device.begin == 2 * STEP + 50
    key = conversation_key(ConversationType.PRIVATE, 0, "bob", "ann")
    assert await store.read(messages.history, key, cut, 20) == []
    assert await store.read(messages.history, key, 0, 20) == left[:-21:-1]
    # The next one has the next seq.
    stored = await append(store, private("ann", "bob"))
    assert [entry.seq for entry in stored.entries if entry.uid == "bob"] == [3 * STEP + 1]
    assert await count(store, "inbox") == 2 * (STEP - 50 + 1)


async def test_an_empty_inbox_has_its_head_and_the_newest_message_stays(store: Store) -> None:
    ids = await talk(store, 5)
    await trim(store, ids[-1] + 100)
    await run(store, retention.remove_messages, ids[-1] + 100)
    assert await inbox(store, "bob", 2) == ([], 5, 5)
    assert await inbox(store, "bob") == ([], 5, 5)
    assert await store.read(messages.newest) == ids[-1]


async def test_messages_that_are_gone_before_their_entries_leave_holes_and_no_more(store: Store) -> None:
    ids = await talk(store, 10)
    await run(store, retention.remove_messages, ids[6])
    assert await inbox(store, "bob", 2) == ([b"body %d" % id for id in ids[6:]], 10, 10)
    assert await inbox(store, "bob", 0) == ([b"body %d" % id for id in ids[6:]], 10, 10)


async def test_entries_go_when_every_device_has_them_and_messages_stay(store: Store) -> None:
    ids = await talk(store, 20)
    above = ids[-1] + 1
    for client_id in ("phone", "web"):
        await store.write(device, "bob", client_id)
    await trim(store, 0, above)
    assert (await inbox(store, "bob", 0)).bodies[0] == b"body %d" % ids[0]
    await store.write(cursors.keep, [Mark("bob", "phone", Log.INBOX, 15), Mark("bob", "web", Log.INBOX, 8)])
    await trim(store, 0, above)
    assert (await inbox(store, "bob", 0)).bodies == [b"body %d" % id for id in ids[8:]]
    await trim(store, 0, ids[3])  # only old ones
    await store.write(cursors.keep, [Mark("bob", "web", Log.INBOX, 15)])
    await trim(store, 0, ids[10])
    assert (await inbox(store, "bob", 0)).bodies == [b"body %d" % id for id in ids[10:]]
    key = conversation_key(ConversationType.PRIVATE, 0, "bob", "ann")
    assert len(await store.read(messages.history, key, 0, 50)) == 20
    # ann has no device: nothing of hers is fetched.
    assert len((await inbox(store, "ann", 0)).bodies) == 20


async def test_a_device_without_a_mark_keeps_all(store: Store) -> None:
    ids = await talk(store, 5)
    await store.write(device, "bob", "phone")
    await store.write(cursors.keep, [Mark("bob", "phone", Log.INBOX, 5)])
    sql = (
        "INSERT INTO sessions (uid, client_id, secret, db_secret, issued_ms) VALUES ('bob', 'old', '', '', 0)"
    )

    def imported(_: Dialect) -> Unit[None]:
        yield Query(sql)

    await store.write(imported)
    await trim(store, 0, ids[-1] + 1)
    assert len((await inbox(store, "bob", 0)).bodies) == 5


async def test_members_who_sleep_are_given_what_is_left(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_log, "LARGE", 2)
    await store.write(fence.put_up)
    world = World(store)
    await world.group("g", "ann", "bob", "cat")
    assert await store.put_to_sleep("g", ["bob"])
    stored = [await world.say("ann", "g") for _ in range(10)]
    cut = stored[6].id
    await trim(store, cut)
    await run(store, retention.remove_messages, cut)
    await store.wake("bob")
    bodies = (await inbox(store, "bob", 1)).bodies
    assert bodies == [world.sent[one.id].body for one in stored[6:]]
    assert await store.read(select, "SELECT COUNT(*) FROM group_log WHERE message_id < ?", cut) == [(0,)]
    # And both go on.
    last = await world.say("cat", "g")
    assert (await inbox(store, "bob", 1)).bodies == [*bodies, world.sent[last.id].body]


async def test_what_leads_to_a_message_for_some_goes_with_it(store: Store) -> None:
    await group(store, "g", "bob", "cat", owner="ann")
    version = (await store.read(select, "SELECT member_update_dt FROM chat_groups WHERE id = 'g'"))[0][0]
    ids = []
    for _ in range(3):
        message = new("ann", "bob", conversation=conversation_key(ConversationType.GROUP, 0, "g", "ann"))
        message.audience = Audience("g", version, {"bob"})
        body = pb.Message(message_id=message.id, from_user="ann", to_user="bob", to=["bob"])
        body.conversation.type, body.conversation.target, body.conversation.line = (
            ConversationType.GROUP,
            "g",
            0,
        )
        body.content.type = 1
        message.body = body.SerializePartialToString()
        ids.append((await append(store, message)).id)
    assert await count(store, "directed") == 6
    assert messages.is_directed_key(directed_key("1|0|g"))
    assert not messages.is_directed_key("1|0|g")
    await run(store, retention.remove_messages, ids[2])
    assert await store.read(select, "SELECT uid, message_id FROM directed ORDER BY uid") == [
        ("ann", ids[2]),
        ("bob", ids[2]),
    ]


async def test_old_recalls_go_and_their_log_goes_on(store: Store) -> None:
    ids = await talk(store, 4)
    for id in ids[:3]:
        await store.write(recalls.keep, id, "ann", "phone", ["bob"])
    assert (await store.read(retention.old_recalls, "", ids[2])).found == ["bob"]
    assert await run(store, retention.trim_recalls, "bob", ids[2]) == 2
    assert [one.message_id for one in await store.read(recalls.missed, "bob", 0)] == [ids[2]]
    [entry] = await store.write(recalls.keep, ids[3], "ann", "phone", ["bob"])
    assert entry.seq == 4


@pytest.mark.parametrize("after", ["", "ann"])
async def test_pages_of_users_go_on_after_the_last(store: Store, after: str) -> None:
    await append_all(store, *[new("ann", f"u{n:04}") for n in range(STEP + 5)])
    found, last = await store.read(retention.old_inboxes, after, 1 << 62)
    rest, end = await store.read(retention.old_inboxes, last, 1 << 62)
    assert end == ""
    everybody = [*([] if after else ["ann"]), *(f"u{n:04}" for n in range(STEP + 5))]
    assert [*found, *rest] == everybody


async def test_one_process_claims_a_round(store: Store) -> None:
    assert await store.write(retention.claim, 1000, 500)
    assert not await store.write(retention.claim, 1499, 500)
    assert await store.write(retention.claim, 1500, 500)
    assert await store.write(retention.claim, 1000, 500)  # a clock that stepped back stops nothing


async def test_old_reports_go_and_the_heads_of_their_logs_stay(store: Store) -> None:
    def report(kind: ReportType, date: int, reporter: str) -> NewReport:
        return NewReport(kind, ConversationType.PRIVATE, 0, reporter, reporter, date, ("ann",))

    for kind in (ReportType.DELIVERED, ReportType.READ):
        await store.write(reports.keep, [report(kind, 1000, "bob"), report(kind, 5000, "cat")])
    before = (await store.read(heads.heads, ["ann"]))["ann"]
    assert (await store.read(retention.old_reports, "", 5000)).found == ["ann"]
    assert await run(store, retention.remove_reports, "ann", 5000) == 2
    assert (await store.read(retention.old_reports, "", 5000)).found == []
    assert await store.read(select, "SELECT DISTINCT reporter FROM reports") == [("cat",)]
    assert (await store.read(heads.heads, ["ann"]))["ann"] == before
    told = (await store.write(reports.keep, [report(ReportType.DELIVERED, 900, "bob")])).told
    assert told == {ReportType.DELIVERED: [Entry("ann", 3)]}


async def test_old_reads_in_groups_go_but_not_the_last(store: Store) -> None:
    await group(store, "g", "bob", "cat", owner="ann")
    for version, reporter in ((10, "ann"), (20, "bob"), (30, "cat")):
        await store.write(group_reads.keep, [GroupRead("g", 0, reporter, version, 0)], version)
    assert (await store.read(retention.old_group_reads, "", 1000)).found == ["g"]
    assert await run(store, retention.remove_group_reads, "g", 20) == 1
    assert await run(store, retention.remove_group_reads, "g", 1000) == 1
    assert await store.read(select, "SELECT reporter, version FROM group_reads") == [("cat", 30)]
    assert await store.read(group_reads.newest, ["ann"]) == {"ann": 30}
