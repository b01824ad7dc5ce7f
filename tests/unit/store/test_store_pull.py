"""Reading an inbox and a conversation back: MP and LRM (protocol.md section 6)."""

import pytest
from store_kit import append, append_all, inbox, new, private

from fsharechat.protocol.bodies import pull_entry, pull_result
from fsharechat.store import messages
from fsharechat.store.messages import MAX_HISTORY, MAX_PULL_BYTES, NewMessage, conversation_key
from fsharechat.store.store import Store

ENTRY = 6
"""Bytes that the store counts beside a body."""


async def filled(store: Store, sizes: list[int]) -> list[bytes]:
    """Give bob messages of those sizes."""
    bodies = [b"%3d" % n + bytes(size - 3) for n, size in enumerate(sizes)]
    await append_all(store, *[new("ann", "bob", body=body) for body in bodies])
    return bodies


async def test_an_empty_inbox_answers_zeros(store: Store) -> None:
    assert await inbox(store, "nobody") == ([], 0, 0)
    assert await store.read(messages.pull, "nobody", 5) == ([], 0, 0)


@pytest.mark.parametrize(
    ("after", "first"),
    [(0, 1), (1, 2), (9, 10), (10, 11), (11, 1), (1 << 62, 1)],
    ids=["all", "some", "last", "none", "above the head is as 0", "far above the head is as 0"],
)
async def test_a_pull_answers_what_follows_oldest_first(store: Store, after: int, first: int) -> None:
    bodies = await filled(store, [10] * 10)
    assert await store.read(messages.pull, "bob", after) == (bodies[first - 1 :], 10, 10)


@pytest.mark.parametrize("count", [16, 17, 18, 2047, 2048, 2049, 4100])
async def test_a_pull_of_many_entries_is_whole(store: Store, count: int) -> None:
    bodies = await filled(store, [10] * count)
    assert await inbox(store, "bob") == (bodies, count, count)
    assert await store.read(messages.pull, "bob", 1) == (bodies[1:], count, count)


async def test_over_the_size_limit_the_newest_are_kept(store: Store) -> None:
    bodies = await filled(store, [300_000] * 10)
    assert await inbox(store, "bob") == (bodies[-3:], 10, 10)
    assert await store.read(messages.pull, "bob", 8) == (bodies[-2:], 10, 10)


@pytest.mark.parametrize(("more", "kept"), [(0, 4), (1, 3)])
async def test_the_size_limit_is_met_to_the_byte(store: Store, more: int, kept: int) -> None:
    quarter = MAX_PULL_BYTES // 4 - ENTRY
    bodies = await filled(store, [quarter + more, quarter, quarter, quarter])
    assert await inbox(store, "bob") == (bodies[-kept:], 4, 4)


async def test_an_answer_is_within_the_size_limit_with_all_that_stands_around_the_bodies(
    store: Store,
) -> None:
    await filled(store, [1000] * 1100)
    pulled = await inbox(store, "bob")
    assert 1000 < len(pulled.bodies) < 1100
    assert len(pull_result(map(pull_entry, pulled.bodies), pulled.current, pulled.head)) <= MAX_PULL_BYTES


async def test_a_message_over_the_size_limit_is_answered_alone(store: Store) -> None:
    bodies = await filled(store, [10, MAX_PULL_BYTES + 1, 10, MAX_PULL_BYTES + 1])
    assert await inbox(store, "bob") == (bodies[-1:], 4, 4)


async def history(store: Store, conversation: str, before: int = 0, count: int = 100) -> list[bytes]:
    return await store.read(messages.history, conversation, before, count)


def bodies(sent: list[NewMessage]) -> list[bytes]:
    return [message.body for message in sent]


async def test_history_of_a_private_conversation_has_both_directions_newest_first(store: Store) -> None:
    sent = [private("ann", "bob"), private("bob", "ann"), private("ann", "bob")]
    await append_all(store, *sent)
    for one, other in (("ann", "bob"), ("bob", "ann")):
        assert await history(store, conversation_key(0, 0, one, other)) == bodies(sent[::-1])


async def test_history_never_has_messages_of_another_conversation(store: Store) -> None:
    wanted = private("ann", "bob")
    others = [
        private("ann", "cid"),
        private("cid", "bob"),
        private("ann", "bob", line=1),
        private("ann", "ann"),
        new("ann", "bob", conversation=conversation_key(1, 0, "bob", "ann")),
    ]
    await append_all(store, *others, wanted)
    assert await history(store, conversation_key(0, 0, "ann", "bob")) == [wanted.body]
    assert await history(store, conversation_key(1, 0, "bob", "cid")) == [others[-1].body]


async def test_history_pages_from_before_an_id(store: Store) -> None:
    sent = [private("ann", "bob") for _ in range(7)]
    await append_all(store, *sent)
    key = conversation_key(0, 0, "ann", "bob")
    newest = await history(store, key, 0, 3)
    assert newest == bodies(sent[:3:-1])
    assert await history(store, key, sent[4].id, 3) == bodies(sent[3:0:-1])
    assert await history(store, key, sent[1].id, 3) == bodies(sent[:1])
    assert await history(store, key, sent[0].id, 3) == []
    assert await history(store, key, 0, 0) == []


async def test_history_is_bounded_in_number_and_bytes(store: Store) -> None:
    await append_all(store, *[private("ann", "bob") for _ in range(MAX_HISTORY + 1)])
    assert len(await history(store, conversation_key(0, 0, "ann", "bob"), 0, 1 << 31)) == MAX_HISTORY
    large = [new("ann", "cid", conversation="large", body=b"%d" % n + bytes(400_000)) for n in range(4)]
    await append_all(store, *large)
    assert await history(store, "large") == bodies(large[:1:-1])


async def test_history_follows_ids_whatever_the_order_of_storing(store: Store) -> None:
    later, earlier = private("ann", "bob"), private("bob", "ann")
    later.id, earlier.id = earlier.id, later.id
    await append(store, later)
    await append(store, earlier)
    assert await history(store, conversation_key(0, 0, "ann", "bob")) == bodies([later, earlier])
