"""Reading an inbox and a conversation back: MP and LRM (contract.md section 6)."""

import pytest

from fsharechat.protocol.bodies import pull_entry
from fsharechat.store import inboxes, messages
from fsharechat.store.inboxes import MAX_PULL_BYTES, NOTHING
from fsharechat.store.messages import MAX_HISTORY, NewMessage, conversation_key
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from tests.unit.store.store_kit import append, append_all, inbox, new, private

ENTRY = 6
"""Bytes that the store counts beside a body."""


async def filled(store: Store, sizes: list[int]) -> list[bytes]:
    """Give bob messages of those sizes."""
    bodies = [b"%3d" % n + bytes(size - 3) for n, size in enumerate(sizes)]
    await append_all(store, *[new("ann", "bob", body=body) for body in bodies])
    return bodies


async def test_an_empty_inbox_answers_zeros(store: Store) -> None:
    assert await inbox(store, "nobody") == ([], 0, 0)
    assert await inbox(store, "nobody", 5) == ([], 0, 0)


@pytest.mark.parametrize(
    ("after", "first"),
    [(0, 1), (1, 2), (9, 10), (10, 11), (11, 1), (1 << 62, 1)],
    ids=["all", "some", "last", "none", "above the head is as 0", "far above the head is as 0"],
)
async def test_a_pull_answers_what_follows_oldest_first(store: Store, after: int, first: int) -> None:
    bodies = await filled(store, [10] * 10)
    assert await inbox(store, "bob", after) == (bodies[first - 1 :], 10, 10)


@pytest.mark.parametrize("count", [3, 255, 256, 257, 511, 512, 513, 767, 768, 769, 3900])
async def test_a_pull_of_many_entries_is_whole(store: Store, count: int) -> None:
    bodies = await filled(store, [10] * count)
    assert await inbox(store, "bob") == (bodies, count, count)
    assert await inbox(store, "bob", 1) == (bodies[1:], count, count)


async def test_large_and_small_messages_come_in_their_order(store: Store) -> None:
    """Bodies over 1,024 bytes are read by themselves."""
    bodies = await filled(store, [1024, 1025, 10, 5000, 1024, 1025])
    assert await inbox(store, "bob") == (bodies, 6, 6)
    assert await inbox(store, "bob", 1) == (bodies[1:], 6, 6)
    assert await inbox(store, "bob", NOTHING) == (bodies, 6, 6)


@pytest.mark.parametrize(("most", "taken"), [(1, 1), (20_000, 1), (39_999, 1), (40_000, 2), (1 << 20, 4)])
async def test_only_so_many_bytes_are_read_by_ids(store: Store, most: int, taken: int) -> None:
    """A small request may name a hundred messages of a megabyte each."""
    made = [new("ann", "bob", body=bytes([n]) * 20_000) for n in range(1, 5)]
    await append_all(store, *made)
    asked = [made[2], made[0], made[3], made[1]]
    ids = [asked[0].id, 10**9, *(one.id for one in asked[1:])]

    def watched(dialect: Dialect) -> Unit[dict[int, bytes]]:
        unit = messages.bodies(dialect, ids, most)
        query = next(unit)
        while True:
            result = yield query
            assert sum(len(value) for row in result.rows for value in row if isinstance(value, bytes)) <= max(
                most, 20_000
            )
            try:
                query = unit.send(result)
            except StopIteration as stop:
                return dict(stop.value)

    assert await store.read(watched) == {one.id: one.body for one in asked[:taken]}
    assert await store.read(messages.bodies, [10**9], most) == {}


async def test_over_the_size_limit_the_oldest_are_kept_and_the_rest_comes_next(store: Store) -> None:
    bodies = await filled(store, [20_000] * 10)
    assert await inbox(store, "bob", 1) == (bodies[1:4], 4, 10)
    assert await inbox(store, "bob", 4) == (bodies[4:7], 7, 10)
    assert await inbox(store, "bob", 7) == (bodies[7:], 10, 10)


async def test_a_device_that_has_nothing_gets_the_newest_and_begins_below_them(store: Store) -> None:
    bodies = await filled(store, [20_000] * 10)
    assert await inbox(store, "bob") == (bodies[-3:], 10, 10)
    assert (await store.read(inboxes.pull, "bob", NOTHING)).begin == 7
    assert (await store.read(inboxes.pull, "bob", 1)).begin == -1
    assert (await store.read(inboxes.pull, "nobody", NOTHING)).begin == 0


async def test_a_device_that_was_given_nothing_and_says_it_has_something_is_believed(store: Store) -> None:
    await filled(store, [20_000] * 10)
    for claim, seqs, begin in (
        (3, [4, 5, 6], 3),
        (7, [8, 9, 10], 7),
        (9, [8, 9, 10], 7),
        (50, [8, 9, 10], 7),
    ):
        found = await store.read(inboxes.pull, "bob", NOTHING, claim)
        assert ([entry.seq for entry in found.entries], found.begin) == (seqs, begin)


@pytest.mark.parametrize(("more", "kept"), [(0, 4), (1, 3)])
async def test_the_size_limit_is_met_to_the_byte(store: Store, more: int, kept: int) -> None:
    quarter = MAX_PULL_BYTES // 4 - ENTRY
    bodies = await filled(store, [quarter, quarter, quarter, quarter, quarter + more])
    assert await inbox(store, "bob", 1) == (bodies[1 : 1 + kept], 1 + kept, 5)
    assert await inbox(store, "bob") == (bodies[-kept:], 5, 5)


async def test_an_answer_is_within_the_size_limit_with_all_that_stands_around_the_bodies(
    store: Store,
) -> None:
    await filled(store, [1000] * 100)
    for after in (NOTHING, 1):
        pulled = await inbox(store, "bob", after)
        assert 60 < len(pulled.bodies) < 70
        assert len(b"".join(map(pull_entry, pulled.bodies))) <= MAX_PULL_BYTES


async def test_a_message_over_the_size_limit_is_answered_alone(store: Store) -> None:
    bodies = await filled(store, [10, MAX_PULL_BYTES + 1, 10, MAX_PULL_BYTES + 1])
    assert await inbox(store, "bob") == (bodies[-1:], 4, 4)
    assert await inbox(store, "bob", 1) == (bodies[1:2], 2, 4)


async def test_an_entry_tells_who_sent_it_and_from_where_if_it_has_no_local_id(store: Store) -> None:
    for local_id in (0, 7):
        message = new("ann", "bob", local_id=local_id)
        message.sender_client = "phone"
        await append(store, message)
    for after in (NOTHING, 0, 1):
        found = (await store.read(inboxes.pull, "bob", after)).entries
        assert [(entry.sender, entry.sender_client) for entry in found] == [("ann", "phone"), ("ann", "")][
            max(after, 0) :
        ]


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
