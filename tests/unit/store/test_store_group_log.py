"""Logs of large groups: who is away is given later what all others have, once, and in order."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fsharechat.store import fence, group_log, groups, messages
from fsharechat.store.messages import AS_IT_IS, Audience, Entry
from fsharechat.store.store import Store
from fsharechat.store.unit import Query
from tests.unit.store.group_log_kit import World, rows_of, sleepers
from tests.unit.store.store_kit import Engine, Exchange, append_all, inbox, new, private, recorded, select

USERS = ["ann", "bob", "cid", "dan", "eve", "fay"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is bounded is bounded by a few, so that each bound is met."""
    for name, value in {
        "LARGE": 2,
        "MAX_GIVEN": 7,
        "FEW_BEHIND": 3,
        "_PAGE": 2,
        "_FIRST_PAGE": 3,
        "_TERMS": 2,
    }.items():
        monkeypatch.setattr(group_log, name, value)


@pytest.fixture
async def stores(engine: Engine) -> AsyncIterator[list[Store]]:
    """Two processes, where the database can have two."""
    opened = [engine.store() for _ in range(2 if engine.store().dialect.shared else 1)]
    for store in opened:
        await store.open()
    await opened[0].write(fence.put_up)
    yield opened
    for store in opened:
        await store.close()


@pytest.fixture
async def world(stores: list[Store]) -> World:
    world = World(*stores)
    await world.group("g", *USERS)
    return world


async def test_a_message_makes_entries_for_those_who_are_awake_alone(world: World) -> None:
    store = world.stores[0]
    assert await world.sleep("g", "dan", "eve", "fay") == ["dan", "eve", "fay"]
    stored = await world.say("bob", "g")
    assert sorted(stored.entries) == [Entry("ann", 2), Entry("bob", 2), Entry("cid", 2)]
    assert await rows_of(store, stored.id) == {"ann", "bob", "cid"}
    await world.check()


async def test_who_is_woken_has_all_in_order_and_is_awake(world: World) -> None:
    store = world.stores[0]
    await world.sleep("g", "dan", "eve")
    for sender in ("ann", "bob", "ann"):
        await world.say(sender, "g")
    given = await store.wake("dan")
    assert given is not None
    assert (given.entries, given.seq, given.message_id, given.more) == (3, 4, max(world.sent), False)
    assert await store.wake("dan") is None
    assert await sleepers(store, "g") == {"eve"}
    stored = await world.say("ann", "g")
    assert Entry("dan", 5) in stored.entries
    await world.check()


async def test_months_of_a_busy_group_are_given_in_many_transactions(world: World) -> None:
    store = world.stores[0]
    await world.sleep("g", "dan")
    for _ in range(50):
        await world.say("ann", "g")
    before = store.stats.units
    given = await store.wake("dan", most=3)
    assert given is not None
    assert (given.entries, given.more) == (21, True)
    given = await store.wake("dan")
    assert given is not None
    assert (given.entries, given.seq, given.more) == (29, 51, False)
    assert store.stats.units - before == 3 + 5
    await world.check()


async def test_a_message_from_elsewhere_comes_behind_what_was_sent_before(world: World) -> None:
    await world.sleep("g", "dan")
    first = await world.say("ann", "g")
    second = await world.private("bob", "dan")
    third = await world.say("ann", "g")
    assert await sleepers(world.stores[0], "g") == {"dan"}, "it wakes nobody"
    assert await world.came("dan") == [first.id, second.id]
    await world.wake("dan")
    assert await world.came("dan") == [first.id, second.id, third.id]
    await world.check()


async def test_so_does_one_to_somebody_who_is_far_behind(world: World) -> None:
    """More than one transaction gives: what the sender says meanwhile waits behind it."""
    store = world.stores[0]
    await world.sleep("g", "dan", "eve")
    for _ in range(30):
        await world.say("ann", "g")
    await asyncio.gather(
        world.private("bob", "dan"),
        world.private("bob", "dan"),
        world.private("bob", "eve"),
        world.private("cid", "ann"),
    )
    assert len(await world.came("dan")) == 32
    assert len(await world.came("eve")) == 31
    assert store.stats.messages == 1 + 34
    await world.check()


async def test_units_wait_for_those_who_are_far_behind_too(world: World) -> None:
    await world.sleep("g", "dan", "eve")
    for _ in range(30):
        await world.say("ann", "g")
    await world.group("other", "ann", "bob")
    await world.change("other", add=["dan"])
    assert len(await world.came("dan")) == 31
    await world.check()


async def test_the_messages_of_several_groups_are_given_in_the_order_of_their_ids(world: World) -> None:
    for id in ("h", "i"):
        await world.group(id, *USERS)
        await world.sleep(id, "dan")
    await world.sleep("g", "dan")
    before = await world.has("dan")
    ids = [(await world.say("ann", id)).id for id in "ghhiigghighhhhhhi"]
    await world.wake("dan")
    assert await world.has("dan") == [*before, *ids]
    await world.check()


async def test_a_directed_message_comes_behind_the_log(world: World) -> None:
    await world.sleep("g", "dan", "eve")
    sent = [(await world.say("ann", "g")).id, (await world.say("ann", "g", only=["dan", "bob"])).id]
    assert await world.came("dan") == sent
    assert await world.came("eve") == []
    assert await sleepers(world.stores[0], "g") == {"dan", "eve"}
    await world.say("ann", "g")
    await world.check()


async def test_who_sends_while_asleep_gets_what_was_before(world: World) -> None:
    await world.sleep("g", "dan")
    one, two = await world.say("ann", "g"), await world.say("dan", "g")
    assert await world.came("dan") == [one.id, two.id]
    await world.say("ann", "g")
    await world.check()


async def test_messages_of_one_transaction_are_given_in_their_order(world: World) -> None:
    store = world.stores[0]
    await world.sleep("g", "dan", "eve")
    batch = []
    for sender, only in (
        ("ann", ()),
        ("bob", ("dan",)),
        ("ann", ()),
        ("dan", ()),
        ("cid", ()),
        ("bob", ("eve",)),
    ):
        message = new(sender, *only, conversation="1|0|g")
        message.audience = Audience("g", 1000, only, not only)
        world._owe(message, (sender, *(only or USERS)))
        batch.append(message)
    before = store.stats.batches
    await append_all(store, *batch)
    assert store.stats.batches == before + 1
    assert await world.came("dan") == [message.id for message in batch[:4]]
    assert await world.came("eve") == [message.id for n, message in enumerate(batch) if n != 1]
    await world.check()


async def test_a_process_that_knows_of_no_log_writes_to_it_all_the_same(world: World) -> None:
    await world.sleep("g", "dan", "eve")
    stored = await world.say("ann", "g", listed=True)
    assert await rows_of(world.stores[0], stored.id) == {"ann", "bob", "cid", "fay"}
    await world.check()


async def test_who_leaves_is_given_what_came_before_and_who_comes_back_the_rest(world: World) -> None:
    store = world.stores[0]
    await world.sleep("g", "dan", "eve")
    await world.say("ann", "g")
    await world.change("g", remove=["dan"])
    await world.say("ann", "g")
    await world.change("g", add=["dan"])
    await world.sleep("g", "dan")
    await world.say("ann", "g")
    assert len(await world.came("dan")) == 3, "with the notice of the return comes what was before it"
    await world.change("g", remove=["dan", "eve"])
    assert (await world.sleep("g", "dan", "eve"), await sleepers(store, "g")) == ([], set())
    await world.say("ann", "g")
    await world.check()


async def test_a_dismissal_of_thousands_gives_nobody_anything_yet(stores: list[Store]) -> None:
    crowd = [f"member{n}" for n in range(3000)]
    world = World(*stores)
    await world.group("g", "ann", *crowd)
    assert len(await world.sleep("g", *crowd)) == 3000
    for _ in range(3):
        await world.say("ann", "g")
    seen: list[Exchange] = []
    await stores[0].write(recorded, seen, groups.remove_all, "g", 5000)
    rows = sum(exchange.query.sql.count("(?") for exchange in seen if "INSERT" in exchange.query.sql)
    assert rows < 3010, "one for each member, whatever was sent"
    await world.wake("member7")
    assert len(await world.has("member7")) == 4


async def test_who_was_not_given_a_message_needs_no_recall_of_it(world: World) -> None:
    before = await world.say("ann", "g")
    await world.sleep("g", "dan", "eve")
    after = await world.say("ann", "g")
    await world.change("g", remove=["eve"])
    await world.recall(before.id)
    await world.recall(after.id)
    assert world.told == dict.fromkeys(USERS, 2) | {"dan": 1, "eve": 1}
    await world.wake("dan")
    assert (await inbox(world.stores[0], "dan")).bodies[1:3] == [b"recalled"] * 2
    await world.check()


async def test_small_groups_and_dismissed_ones_put_nobody_to_sleep(world: World) -> None:
    store = world.stores[0]
    await world.group("pair", "ann", "bob")
    assert await world.sleep("pair", "bob") == []
    assert await world.sleep("unknown", "bob") == []
    assert await world.sleep("g", "stranger") == []
    assert await store.read(select, "SELECT id FROM chat_groups WHERE log_pos IS NOT NULL") == []


async def test_nobody_is_put_to_sleep_beside_processes_that_wake_nobody(stores: list[Store]) -> None:
    world = World(*stores)
    await world.group("g", *USERS)
    store = stores[0]
    await store.write(_lower_fence)
    slept = await store.write(group_log.put_to_sleep, "g", ["dan"])
    if store.dialect.shared:
        assert slept is None
        assert await sleepers(store, "g") == set()
        assert await store.read(fence.lowest) == fence.LEVEL - 1
    else:
        assert slept == ["dan"]
        assert await store.read(fence.lowest) == fence.LEVEL, "no other can come"


def _lower_fence(dialect: Any) -> Any:
    sql = dialect.upsert("facts", ("name",), ("value",))
    yield Query(sql, (fence.NAME, b"%d" % (fence.LEVEL - 1)))


async def test_who_is_awake_costs_no_statement_more(world: World) -> None:
    store = world.stores[0]
    seen: list[Exchange] = []
    await store.write(recorded, seen, messages.append, [private("ann", "bob")])
    few = len(seen)
    await world.sleep("g", "dan")
    seen.clear()
    await store.write(recorded, seen, messages.append, [private("ann", "bob")])
    assert len(seen) == few


async def test_a_message_to_thousands_costs_what_its_few_awake_members_cost(stores: list[Store]) -> None:
    crowd = [f"member{n}" for n in range(3000)]
    world = World(*stores)
    await world.group("g", "ann", "bob", *crowd)
    await world.sleep("g", *crowd)
    message = new("ann", conversation="1|0|g")
    message.audience = Audience("g", AS_IT_IS, (), True)
    seen: list[Exchange] = []
    await stores[0].write(recorded, seen, messages.append, [message])
    assert sum(len(exchange.result.rows) for exchange in seen) < 10
    assert sum(len(exchange.query.params) for exchange in seen) < 50


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_everybody_has_the_same_as_if_nobody_slept(world: World, seed: int) -> None:
    """Random deeds, one after the other, beside a model in which everybody gets everything at once."""
    await world.group("h", *USERS[:4])
    await world.group("pair", *USERS[4:])
    dice = random.Random(seed)
    recalled: set[int] = set()
    for _ in range(80):
        deed = dice.randrange(14)
        id = dice.choice(["g", "h"])
        members = world.members[id]
        at = dice.randrange(len(world.stores))
        if deed < 5:
            for _ in range(dice.choice([1, 1, 6])):
                await world.say(dice.choice(members), id, at, listed=dice.random() < 0.2)
        elif deed == 5:
            await world.say(dice.choice(members), id, at, dice.sample(USERS, 2))
        elif deed == 6:
            one, other = dice.sample(USERS, 2)
            await world.private(one, other, at)
        elif deed == 7:
            await world.say(dice.choice(world.members["pair"]), "pair", at)
        elif deed == 8:
            away = [uid for uid in USERS if uid not in members]
            await world.change(id, add=dice.sample(away, min(len(away), 2)))
        elif deed == 9 and len(members) > 3:
            await world.change(id, remove=dice.sample(members[1:], dice.randint(1, 2)))
        elif deed == 10:
            await world.wake(dice.choice(USERS), at)
        elif deed == 11 and (ids := [id for id in world.sent if id not in recalled]):
            recalled.add(message_id := dice.choice(ids[-8:]))
            await world.recall(message_id, at)
        else:
            await world.sleep(id, *dice.sample(USERS, 4), at=at)
    await world.check()


@pytest.mark.parametrize("seed", range(4))
async def test_so_it_is_when_all_happens_at_once(world: World, seed: int) -> None:
    await world.group("h", *USERS[:4])
    dice = random.Random(seed)

    async def talk(uid: str) -> None:
        for _ in range(25):
            at, deed = dice.randrange(len(world.stores)), dice.randrange(9)
            id = dice.choice(["g", "h"] if uid in world.members["h"] else ["g"])
            if deed < 4:
                await asyncio.gather(*[world.say(uid, id, at) for _ in range(dice.choice([1, 4]))])
            elif deed == 4:
                await world.private(uid, dice.choice([one for one in USERS if one != uid]), at)
            elif deed == 5:
                await world.say(uid, id, at, dice.sample(world.members[id], 2))
            elif deed == 6:
                await world.wake(dice.choice(USERS), at)
            else:
                await world.sleep(id, *dice.sample(USERS, 4), at=at)

    await asyncio.gather(*map(talk, USERS))
    await world.check(ordered=False)
