"""What an append and a pull cost: statements and bytes, however much there is in the store."""

import pytest

from fsharechat.store import inboxes, messages
from fsharechat.store.inboxes import MAX_PULL_BYTES, NOTHING
from fsharechat.store.messages import MAX_HISTORY_BYTES, NewMessage
from fsharechat.store.store import Store
from fsharechat.store.unit import MAX_ROWS
from tests.unit.store.store_kit import Exchange, append_all, new, recorded


async def statements(store: Store, batch: list[NewMessage]) -> int:
    seen: list[Exchange] = []
    await store.write(recorded, seen, messages.append, batch)
    return len(seen)


def returned(store: Store, users: int) -> int:
    """Return the statements that read the new heads, where the one that advances them cannot return them."""
    return chunks(users) if store.dialect.name == "mysql" else 0


def chunks(rows: int) -> int:
    return -(-rows // MAX_ROWS)


@pytest.mark.parametrize(("count", "receivers"), [(1, 1), (1, 5000), (500, 1), (500, 20), (1000, 0)], ids=str)
async def test_only_full_statements_make_more_statements(store: Store, count: int, receivers: int) -> None:
    crowd = [f"member{n}" for n in range(receivers)]
    batch = [new(f"sender{n}", *crowd, local_id=1) for n in range(count)]
    entries, users = count * (1 + receivers), count + receivers
    # Look for earlier copies; insert the messages; and the rows of heads and inbox.
    expected = 1 + chunks(count) + chunks(users) + chunks(entries)
    assert await statements(store, batch) == expected + returned(store, users)


async def test_a_batch_of_resends_takes_one_statement(store: Store) -> None:
    batch = [new("ann", "bob", local_id=n) for n in range(1, 501)]
    await store.write(messages.append, batch)
    again = [new("ann", "bob", local_id=n) for n in range(1, 501)]
    assert await statements(store, again) == 1


async def test_messages_without_local_ids_are_not_looked_for(store: Store) -> None:
    assert await statements(store, [new("ann", "bob")]) == 3 + returned(store, 2)


@pytest.mark.parametrize("small", [0, 300], ids=["large", "small after large"])
async def test_a_pull_and_a_page_of_history_read_little_more_than_they_answer(
    store: Store, small: int
) -> None:
    sizes = [MAX_PULL_BYTES // 2] * 20 + [10] * small
    await append_all(store, *[new("ann", "bob", body=bytes(size)) for size in sizes])
    for most, unit, args in (
        (MAX_PULL_BYTES, inboxes.pull, ("bob", NOTHING)),
        (MAX_PULL_BYTES, inboxes.pull, ("bob", 1)),
        (MAX_HISTORY_BYTES, messages.history, ("a conversation", 0, 200)),
    ):
        seen: list[Exchange] = []
        await store.read(recorded, seen, unit, *args)
        assert sum(exchange.bytes_read for exchange in seen) < 2 * most


@pytest.mark.parametrize(
    ("after", "count"), [(7, 2), (1, 2), (NOTHING, 3)], ids=["few", "pull", "first login"]
)
async def test_a_pull_of_a_few_entries_takes_few_statements(store: Store, after: int, count: int) -> None:
    await append_all(store, *[new("ann", "bob") for _ in range(10)])
    seen: list[Exchange] = []
    await store.read(recorded, seen, inboxes.pull, "bob", after)
    assert len(seen) == count
