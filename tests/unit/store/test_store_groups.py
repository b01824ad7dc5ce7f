"""Groups and members in the store, and who gets a message when members change (contract.md sections 6 and 8)."""

import asyncio

import pytest

from fsharechat.protocol.signals import MemberType
from fsharechat.store import groups, inboxes, messages
from fsharechat.store.groups import GroupMembers, NewMember, OldSilence, Silence
from fsharechat.store.messages import Audience, Entry, NewMessage, conversation_key
from fsharechat.store.store import Store
from fsharechat.store.unit import MAX_ROWS, Dialect, Unit
from tests.unit.store.groups_store_kit import change_members, group, info, make, put_users
from tests.unit.store.store_kit import Engine, Exchange, append, append_all, inbox, new, recorded, select

CROWD = [f"member{n}" for n in range(4999)]


def to_group(
    id: str, version: int, sender: str, *receivers: str, only: tuple[str, ...] = (), local_id: int = 0
) -> NewMessage:
    message = new(sender, *receivers, conversation=conversation_key(1, 0, id, sender), local_id=local_id)
    message.audience = Audience(id, version, only)
    return message


async def test_a_group_is_read_back_as_it_was_made(store: Store) -> None:
    made = await group(store, "g", "bob", "cid")
    await group(store, "other", "dan")
    assert await store.read(groups.infos, ["g", "unknown"]) == {"g": made}
    assert await store.read(groups.members, "g") == GroupMembers(
        0, "ann", 1000, {"ann": MemberType.OWNER, "bob": 0, "cid": 0}
    )
    assert await store.read(groups.members, "unknown") is None


async def test_an_id_is_given_once(store: Store) -> None:
    assert await store.write(make, info("g"), ["bob"])
    assert not await store.write(make, info("g", "eve"), ["eve"])
    assert (await store.read(groups.infos, ["g"]))["g"].owner == "ann"
    for id in ("G", "g ", "ｇ", ""):  # another id, whatever the engine makes of it
        assert await store.read(groups.members, id) is None
        assert await store.write(groups.locked, id) is None
        assert id not in await store.read(groups.infos, [id])


async def test_an_id_is_given_once_whoever_is_first(engine: Engine) -> None:
    stores = [engine.store() for _ in range(2 if engine_is_shared(engine) else 1)]
    for store in stores:
        await store.open()
    made = await asyncio.gather(
        *[stores[n % len(stores)].write(make, info(f"g{n // 4}", f"user{n}"), []) for n in range(40)]
    )
    for n in range(10):
        assert sum(made[4 * n : 4 * n + 4]) == 1
        found = await stores[0].read(groups.members, f"g{n}")
        assert found is not None
        assert list(found.types) == [found.owner]
    for store in stores:
        await store.close()


def engine_is_shared(engine: Engine) -> bool:
    """Return whether several processes may write the same database."""
    return engine.store().dialect.name == "mysql"


async def test_changes_of_several_processes_come_one_after_the_other(engine: Engine) -> None:
    stores = [engine.store() for _ in range(2 if engine_is_shared(engine) else 1)]
    for store in stores:
        await store.open()
    await group(stores[0], "g")
    changed = await asyncio.gather(
        *[stores[n % len(stores)].write(change_members, "g", [f"user{n}"]) for n in range(30)]
    )
    versions = [one.member_update_dt for one in changed]
    assert sorted(versions) == list(range(1001, 1031))
    found = (await stores[0].read(groups.infos, ["g"]))["g"]
    assert (found.member_count, found.update_dt) == (31, 1030)
    members = await stores[0].read(groups.members, "g")
    assert members is not None
    assert len(members.types) == 31
    for store in stores:
        await store.close()


async def test_who_is_removed_is_no_member_until_they_are_added_again(store: Store) -> None:
    await group(store, "g", "bob", "cid")
    await store.write(change_members, "g", (), ["bob"])
    members = await store.read(groups.members, "g")
    assert members is not None
    assert (members.version, set(members.types)) == (1001, {"ann", "cid"})
    assert await store.read(lambda _: groups.left_by("bob")) == {"g"}
    await store.write(change_members, "g", ["bob"])
    members = await store.read(groups.members, "g")
    assert members is not None
    assert set(members.types) == {"ann", "bob", "cid"}
    assert await store.read(lambda _: groups.left_by("bob")) == set()


async def test_the_list_of_members_is_for_members_when_it_has_changed(store: Store) -> None:
    await group(store, "g", "bob")
    await store.write(change_members, "g", ["cid"], ["bob"])

    async def listed(uid: str, head: int) -> list[str]:
        return [row[0] for row in await store.read(groups.member_list, "g", uid, head)]

    assert await listed("ann", 1000) == ["ann", "cid"]
    assert await listed("cid", 0) == ["ann", "cid"]
    assert await listed("ann", 1001) == await listed("bob", 0) == await listed("eve", 0) == []


async def test_the_eldest_member_becomes_the_owner(store: Store) -> None:
    await group(store, "g", "zoe", "bob")
    await store.write(change_members, "g", ["adam"])
    await store.write(change_members, "g", (), ["ann"])
    assert await store.write(groups.promote_eldest, "g", 5) == "bob"
    members = await store.read(groups.members, "g")
    assert members is not None
    assert members.types == {"bob": MemberType.OWNER, "zoe": 0, "adam": 0}
    await store.write(groups.remove_all, "g", 6)
    assert await store.write(groups.promote_eldest, "g", 7) == ""


async def test_how_the_silenced_went_is_kept_until_they_come_back(store: Store) -> None:
    await group(store, "g", "bob", "cid", "dan")
    for uid in ("bob", "cid"):
        await store.write(groups.put_members, "g", [NewMember(uid, MemberType.SILENCED)], 5)
    await store.write(groups.remove_members, "g", ["bob", "dan"], 6, Silence.LEFT)
    await store.write(groups.remove_members, "g", ["cid"], 7, Silence.KICKED)
    uids = ["ann", "bob", "cid", "dan"]
    assert await store.read(groups.silences, "g", uids, 9) == {
        "bob": OldSilence(Silence.LEFT, 0),
        "cid": OldSilence(Silence.KICKED, 0),
    }
    await store.write(groups.put_members, "g", [NewMember("bob", 0)], 8)
    assert await store.read(groups.silences, "g", uids, 9) == {"cid": OldSilence(Silence.KICKED, 0)}


async def test_a_silence_that_is_over_does_not_come_back(store: Store) -> None:
    await group(store, "g", "bob", "cid")
    await store.write(groups.set_types, "g", ["bob", "cid"], MemberType.SILENCED, 10, 5)
    await store.write(groups.remove_members, "g", ["bob"], 9, Silence.LEFT)
    await store.write(groups.remove_members, "g", ["cid"], 10, Silence.LEFT)
    assert await store.read(groups.silences, "g", ["bob", "cid"], 9) == {"bob": OldSilence(Silence.LEFT, 10)}
    assert await store.read(groups.silences, "g", ["bob", "cid"], 10) == {}


# Messages while members change


async def test_a_message_goes_to_who_is_a_member_when_it_is_stored(store: Store) -> None:
    await group(store, "g", "bob", "cid")
    await store.write(change_members, "g", ["dan"], ["bob"])
    stored = await append(store, to_group("g", 1000, "ann", "bob", "cid"))
    assert stored.outdated
    assert sorted(stored.entries) == [Entry("ann", 1), Entry("cid", 1), Entry("dan", 1)]
    stored = await append(store, to_group("g", 1001, "ann", "cid", "dan"))
    assert not stored.outdated
    assert sorted(stored.entries) == [Entry("ann", 2), Entry("cid", 2), Entry("dan", 2)]


async def test_a_directed_message_goes_to_who_is_named_and_still_a_member(store: Store) -> None:
    await group(store, "g", "bob", "cid")
    await store.write(change_members, "g", ["dan"], ["bob"])
    message = to_group("g", 1000, "ann", "bob", only=("bob", "dan", "ann", "eve"))
    stored = await append(store, message)
    assert sorted(stored.entries) == [Entry("ann", 1), Entry("dan", 1)]


async def test_who_has_left_sends_nothing(store: Store) -> None:
    await group(store, "g", "bob", "cid")
    await store.write(change_members, "g", (), ["bob"])
    lost, kept = to_group("g", 1000, "bob", "ann", "cid"), to_group("g", 1000, "ann", "bob", "cid")
    stored = await append_all(store, lost, kept)
    assert (stored[0].id, stored[0].entries, stored[0].outdated) == (0, [], True)
    assert (await inbox(store, "cid")).bodies == [kept.body]
    assert await store.read(select, "SELECT id FROM messages WHERE id = ?", lost.id) == []


async def test_a_resend_is_found_whoever_is_a_member_now(store: Store) -> None:
    await group(store, "g", "bob")
    first = to_group("g", 1000, "bob", "ann", local_id=7)
    await append(store, first)
    await store.write(change_members, "g", (), ["bob"])
    stored = await append(store, to_group("g", 1000, "bob", "ann", local_id=7))
    assert (stored.id, stored.entries) == (first.id, [])


async def test_a_change_and_messages_of_one_transaction(store: Store) -> None:
    await group(store, "g", "bob")
    batches = store.stats.batches
    change = asyncio.create_task(store.write(change_members, "g", ["cid"], ["bob"]))
    await asyncio.sleep(0)
    first, second = await append_all(
        store, to_group("g", 1000, "ann", "bob"), to_group("g", 1000, "bob", "ann")
    )
    assert (await change).member_update_dt == 1001
    assert store.stats.batches == batches + 1
    assert sorted(first.entries) == [Entry("ann", 1), Entry("cid", 1)]
    assert second.id == 0


# What it costs


def full(rows: int) -> int:
    return -(-rows // MAX_ROWS)


async def test_a_message_to_thousands_takes_a_fixed_number_of_statements(store: Store) -> None:
    await store.write(make, info("g"), CROWD)
    heads = full(5000) * (2 if store.dialect.name == "mysql" else 1)
    known = 1 + 1 + full(1) + heads + full(5000)  # resends, the version, the message, heads, inbox
    for version, more in ((1000, 0), (999, 1)):  # who is outdated reads the members, once
        batch = [to_group("g", version, "ann", *CROWD, local_id=new("ann").id)]
        seen: list[Exchange] = []
        await store.write(recorded, seen, messages.append, batch)
        assert len(seen) == known + more
    batch = [to_group("g", 999, "ann", *CROWD, local_id=new("ann").id) for _ in range(4)]
    seen = []
    await store.write(recorded, seen, messages.append, batch)
    assert len(seen) == 1 + 1 + 1 + full(4) + heads + full(20_000)


async def test_thousands_come_and_go_by_a_fixed_number_of_statements(store: Store) -> None:
    await store.write(put_users, CROWD)
    seen: list[Exchange] = []
    assert await store.write(recorded, seen, make, info("g"), CROWD)
    # insert and look at the group; delete and insert members; save
    assert len(seen) == 2 + 2 * full(5000) + 1
    for unit, args, count in (
        (groups.members, ("g",), 2),
        (groups.member_list, ("g", "ann", 0), 3),
        (groups.remove_members, ("g", CROWD, 5, Silence.LEFT), 1 + full(4999)),  # one looks for its log
        (groups.put_members, ("g", [NewMember(uid, 0) for uid in CROWD], 6), 2 * full(4999)),
        (groups.remove_all, ("g", 7), 2),
    ):
        seen = []
        await store.write(recorded, seen, unit, *args)
        assert len(seen) == count, unit.__name__
    seen = []

    def known(_: Dialect, uids: list[str]) -> Unit[set[str]]:
        return groups.known_users(uids)

    assert len(await store.write(recorded, seen, known, [*CROWD, "nobody"])) == 4999
    assert len(seen) == full(5000)


# Reading back


async def left_and_other(store: Store, sizes: list[tuple[str, int]]) -> list[bytes]:
    """Give bob messages of those groups and sizes; return those of "other"."""
    sent = [
        new("ann", "bob", conversation=f"1|0|{id}", body=b"%3d" % n + bytes(size - 3))
        for n, (id, size) in enumerate(sizes)
    ]
    await append_all(store, *sent)
    await group(store, "left", "bob")
    await store.write(change_members, "left", (), ["bob"])
    return [message.body for message in sent if message.conversation.endswith("other")]


@pytest.mark.parametrize("count", [1, 5, 2047, 2048, 2049, 3600])
async def test_a_first_pull_leaves_out_what_was_left(store: Store, count: int) -> None:
    wanted = await left_and_other(store, [("left", 10), ("other", 10)] * count)
    assert await inbox(store, "bob") == (wanted, 2 * count, 2 * count)


async def test_a_first_pull_looks_at_only_so_much_of_what_was_left(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "_PAGE", 10)
    monkeypatch.setattr(inboxes, "_MAX_PAGE", 10)
    monkeypatch.setattr(inboxes, "MAX_LOOKED_AT", 50)
    wanted = await left_and_other(store, [("other", 10)] * 3 + [("left", 10)] * 48)
    seen: list[Exchange] = []
    found = await store.read(recorded, seen, inboxes.pull, "bob", inboxes.NOTHING)
    assert ([entry.body for entry in found.entries], found.head) == (wanted[1:], 51)
    await append_all(store, *[new("ann", "bob", conversation="1|0|left") for _ in range(100)])
    seen.clear()
    found = await store.read(recorded, seen, inboxes.pull, "bob", inboxes.NOTHING)
    assert (found.entries, found.head) == ([], 151)
    assert sum(len(exchange.result.rows) for exchange in seen) <= 50 + 2


async def test_what_is_left_out_takes_no_room(store: Store) -> None:
    half = inboxes.MAX_PULL_BYTES // 2 - 10
    sizes = [("other", half), ("left", half), ("other", half), ("left", half), ("left", half)]
    wanted = await left_and_other(store, sizes)
    assert await inbox(store, "bob") == (wanted, 5, 5)
    await append(store, new("ann", "bob", conversation="1|0|other", body=bytes(100)))
    assert await inbox(store, "bob") == ([wanted[1], bytes(100)], 6, 6)


async def test_a_conversation_of_users_is_none_of_a_group(store: Store) -> None:
    await left_and_other(store, [("left", 10)])
    kept = [new("ann", "bob", conversation=key) for key in ("0|0|bob|left", "2|0|left", "1|0|left|x")]
    await append_all(store, *kept)
    assert (await inbox(store, "bob")).bodies == [message.body for message in kept]


async def test_history_has_of_directed_messages_those_of_the_reader(store: Store) -> None:
    await group(store, "g", "bob", "cid")
    sent = [
        to_group("g", 1000, "ann", "bob", "cid"),
        to_group("g", 1000, "ann", "bob", only=("bob", "eve")),
        to_group("g", 1000, "bob", "cid", only=("cid",)),
        to_group("g", 1000, "cid", "ann", "bob"),
    ]
    await append_all(store, *sent)
    for uid, wanted in (("ann", "310"), ("bob", "3210"), ("cid", "320"), ("eve", "30"), ("", "30")):
        found = await store.read(messages.history, "1|0|g", 0, 9, uid)
        assert found == [sent[int(n)].body for n in wanted]
        assert await store.read(messages.history, "1|0|g", sent[3].id, 1, uid) == found[1:2]
    assert await store.read(messages.history, "1|1|g", 0, 9, "bob") == []


@pytest.mark.parametrize("count", [20, 200])
async def test_a_page_is_full_behind_thousands_of_messages_to_others(store: Store, count: int) -> None:
    """However many there are, a page takes the same few statements, which find no more than it needs."""
    await group(store, "g", "bob", "cid")
    old = [to_group("g", 1000, "ann", "bob", "cid") for _ in range(count // 2)]
    mine = [to_group("g", 1000, "ann", "bob", only=("bob",)) for _ in range(count)]
    others = [to_group("g", 1000, "ann", "cid", only=("cid",)) for _ in range(12_000)]
    for part in (old, mine, others):
        await append_all(store, *part)
    seen: list[Exchange] = []
    found = await store.read(recorded, seen, messages.history, "1|0|g", 0, count, "bob")
    assert found == [message.body for message in reversed(mine)]
    assert len(seen) == 3
    assert sum(len(exchange.result.rows) for exchange in seen) <= 3 * count
    found = await store.read(messages.history, "1|0|g", mine[count // 4].id, count, "bob")
    wanted = [*old, *mine[: count // 4]]
    assert found == [message.body for message in reversed(wanted)]


async def test_a_directed_message_takes_one_more_statement(store: Store) -> None:
    await group(store, "g", *CROWD)
    counts = []
    for only in ((), tuple(CROWD[:100])):
        seen: list[Exchange] = []
        batch = [to_group("g", 1000, "ann", *CROWD[:100], only=only) for _ in range(10)]
        await store.write(recorded, seen, messages.append, batch)
        counts.append(len(seen))
    assert counts[1] == counts[0] + 1


async def test_a_first_pull_leaves_out_directed_messages_of_what_was_left(store: Store) -> None:
    for id in ("left", "other"):
        await group(store, id, "bob")
    sent = [to_group(id, 1000, "ann", "bob", only=("bob",)) for id in ("left", "other")]
    await append_all(store, *sent)
    await store.write(change_members, "left", (), ["bob"])
    assert (await inbox(store, "bob")).bodies == [sent[1].body]
