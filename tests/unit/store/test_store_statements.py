"""Appending takes a fixed number of statements, however many messages and receivers there are."""

import pytest
from store_kit import new, recorded

from fsharechat.store import messages
from fsharechat.store.messages import NewMessage
from fsharechat.store.store import Store
from fsharechat.store.unit import MAX_ROWS, Query


async def statements(store: Store, batch: list[NewMessage]) -> int:
    seen: list[Query] = []
    await store.write(recorded, seen, messages.append, batch)
    return len(seen)


def chunks(rows: int) -> int:
    return -(-rows // MAX_ROWS)


@pytest.mark.parametrize(("count", "receivers"), [(1, 1), (1, 5000), (500, 1), (500, 20), (1000, 0)], ids=str)
async def test_only_full_statements_make_more_statements(store: Store, count: int, receivers: int) -> None:
    crowd = [f"member{n}" for n in range(receivers)]
    batch = [new(f"sender{n}", *crowd, local_id=1) for n in range(count)]
    entries, users = count * (1 + receivers), count + receivers
    # Look for earlier copies; insert the messages; and the rows of heads and inbox.
    assert await statements(store, batch) == 1 + chunks(count) + chunks(users) + chunks(entries)


async def test_a_batch_of_resends_takes_one_statement(store: Store) -> None:
    batch = [new("ann", "bob", local_id=n) for n in range(1, 501)]
    await store.write(messages.append, batch)
    again = [new("ann", "bob", local_id=n) for n in range(1, 501)]
    assert await statements(store, again) == 1


async def test_messages_without_local_ids_are_not_looked_for(store: Store) -> None:
    assert await statements(store, [new("ann", "bob")]) == 3
