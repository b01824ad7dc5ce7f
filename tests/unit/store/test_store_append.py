"""Appending: every inbox counts 1, 2, 3 …, whoever appends at the same time (contract.md section 6)."""

import asyncio
import random
from collections import defaultdict

import pytest

from fsharechat.store import messages
from fsharechat.store.messages import Entry, NewMessage, Stored
from fsharechat.store.store import Store
from tests.unit.store.store_kit import append, append_all, heads, inbox, new

USERS = [f"user{n}" for n in range(8)]


async def test_a_message_makes_one_entry_for_each_receiver_and_one_for_the_sender(store: Store) -> None:
    message = new("ann", "bob", "cid")
    stored = await append(store, message)
    assert stored.id == message.id
    assert sorted(stored.entries) == [Entry("ann", 1), Entry("bob", 1), Entry("cid", 1)]
    for uid in ("ann", "bob", "cid"):
        assert await inbox(store, uid) == ([message.body], 1, 1)


async def test_whatever_characters_users_have_each_has_its_own_inbox(store: Store) -> None:
    people = ["o'neil", 'say "hi"', "back\\slash", "%s ?;--", "tab\tnew\nline\x01", "飞享😀", "Ann", "ann"]
    await append(store, new(people[0], *people[1:]))
    stored = await append(store, new(people[1], *people[2:]))
    assert dict(stored.entries) == dict.fromkeys(people[1:], 2)
    assert await heads(store, *people) == dict.fromkeys(people, 2) | {people[0]: 1}


async def test_a_message_to_oneself_makes_one_entry(store: Store) -> None:
    stored = await append(store, new("ann"))
    assert stored.entries == [Entry("ann", 1)]
    assert await heads(store, "ann") == {"ann": 1}


async def test_a_user_without_entries_has_no_head(store: Store) -> None:
    await append(store, new("ann", "bob"))
    assert await heads(store, "ann", "bob", "cid") == {"ann": 1, "bob": 1}
    assert await heads(store) == {}


async def test_messages_of_one_turn_are_stored_in_the_order_of_the_calls(store: Store) -> None:
    # More than one transaction takes, so that the order of the transactions counts too.
    batch = [new("ann", "bob") for _ in range(2500)]
    random.Random(1).shuffle(batch)  # the order of the ids is not the order of the calls
    stored = await append_all(store, *batch)
    assert [where.entries for where in stored] == [
        [Entry("ann", seq), Entry("bob", seq)] for seq in range(1, 2501)
    ]
    assert (await inbox(store, "bob")).bodies == [message.body for message in batch]


async def test_a_message_goes_to_thousands_of_receivers(store: Store) -> None:
    crowd = [f"member{n}" for n in range(5000)]
    await append(store, new("ann", *crowd))
    stored = await append(store, new("member7", *crowd[:7], *crowd[8:], "ann"))
    assert sorted(stored.entries) == sorted(Entry(uid, 2) for uid in (*crowd, "ann"))
    assert await heads(store, *crowd) == dict.fromkeys(crowd, 2)


@pytest.mark.parametrize("seed", range(4))
async def test_no_inbox_has_holes_whoever_appends_at_the_same_time(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    sent: list[tuple[NewMessage, Stored]] = []

    async def talk(sender: str) -> None:
        others = [uid for uid in USERS if uid != sender]
        waiting: list[tuple[NewMessage, asyncio.Future[Stored]]] = []
        for _ in range(60):
            message = new(sender, *dice.sample(others, dice.randint(0, 5)))
            waiting.append((message, append(store, message)))
            if dice.random() < 0.5:
                await asyncio.sleep(0)  # the others' turn, and perhaps the next transaction's
            if dice.random() < 0.1:
                await waiting[-1][1]
        sent.extend([(message, await stored) for message, stored in waiting])

    await asyncio.gather(*map(talk, USERS))
    bodies: dict[str, dict[int, bytes]] = defaultdict(dict)
    for message, stored in sent:
        assert stored.id == message.id
        assert [uid for uid, _ in stored.entries] == [message.sender, *message.receivers]
        for uid, seq in stored.entries:
            assert seq not in bodies[uid]
            bodies[uid][seq] = message.body
    for uid, by_seq in bodies.items():
        last = len(by_seq)
        assert sorted(by_seq) == list(range(1, last + 1))
        assert await inbox(store, uid) == ([by_seq[seq] for seq in range(1, last + 1)], last, last)
    assert store.stats.batches > 4  # or this was no test


async def test_what_one_turn_brings_is_one_transaction(store: Store) -> None:
    before = store.stats.batches
    await append_all(store, *[new("ann", "bob") for _ in range(100)])
    assert store.stats.batches == before + 1
    assert store.stats.messages == 100


async def test_the_newest_message_is_known_and_found(store: Store) -> None:
    assert await store.read(messages.newest) == 0
    first, second = new("ann", "bob"), new("ann", "bob")
    for message in (second, first):
        await append(store, message)
    assert await store.read(messages.newest) == second.id > first.id
    assert await store.read(messages.body, first.id) == first.body
    assert await store.read(messages.body, second.id + 1) is None
