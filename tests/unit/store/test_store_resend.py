"""A resend finds the first copy and stores nothing (contract.md section 6)."""

import pytest

from fsharechat.errors import StoreError
from fsharechat.store import messages, users
from fsharechat.store.messages import Stored
from fsharechat.store.store import Store
from tests.unit.store.store_kit import append, append_all, heads, inbox, new


async def test_a_later_resend_answers_the_first_id_and_makes_no_entries(store: Store) -> None:
    first = new("ann", "bob", local_id=7)
    await append(store, first)
    assert await append(store, new("ann", "bob", local_id=7)) == Stored(first.id, [])
    assert await inbox(store, "bob") == ([first.body], 1, 1)


async def test_a_resend_in_the_same_batch_answers_the_first_id_and_makes_no_entries(store: Store) -> None:
    first, again, other = (new("ann", "bob", local_id=local_id) for local_id in (7, 7, 8))
    stored = await append_all(store, first, again, other)
    assert [where.id for where in stored] == [first.id, first.id, other.id]
    assert [len(where.entries) for where in stored] == [2, 0, 2]
    assert await inbox(store, "bob") == ([first.body, other.body], 2, 2)


async def test_a_resend_among_new_messages_leaves_no_hole(store: Store) -> None:
    first = new("ann", "bob", local_id=7)
    await append(store, first)
    batch = [new("ann", "bob", local_id=local_id) for local_id in (6, 7, 8)]
    assert [where.id for where in await append_all(store, *batch)] == [batch[0].id, first.id, batch[2].id]
    assert (await inbox(store, "bob")).bodies == [first.body, batch[0].body, batch[2].body]


async def test_resends_that_overtake_each_other_agree_on_one_copy(store: Store) -> None:
    # In flight in different transactions: not one of them is answered when the next is sent.
    futures = []
    for _ in range(10):
        copies = [new("ann", "bob", local_id=local_id) for local_id in (1, 2, 3)]
        futures.append([append(store, copy) for copy in copies])
        await heads(store)  # lets a transaction start
    stored = [[await future for future in copies] for copies in futures]
    assert {tuple(where.id for where in copies) for copies in stored} == {
        tuple(where.id for where in stored[0])
    }
    assert await heads(store, "ann", "bob") == {"ann": 3, "bob": 3}


async def test_local_ids_of_different_senders_are_different(store: Store) -> None:
    stored = await append_all(store, new("ann", "bob", local_id=7), new("bob", "ann", local_id=7))
    assert [len(where.entries) for where in stored] == [2, 2]


async def test_the_same_local_id_with_another_digest_is_another_message(store: Store) -> None:
    first = new("ann", "bob", local_id=7, digest=1)
    await append(store, first)
    same, other, other_again = [new("ann", "bob", local_id=7, digest=digest) for digest in (1, 2, 2)]
    stored = await append_all(store, same, other, other_again)
    assert [where.id for where in stored] == [first.id, other.id, other.id]
    assert await inbox(store, "bob") == ([first.body, other.body], 2, 2)


async def test_a_message_that_was_kept_without_a_digest_is_known_by_its_local_id(store: Store) -> None:
    """A resend may come after the server was renewed. The migration notes that there are such messages."""
    assert not store.dialect.undigested
    await store.write(users.fact, "messages_without_digest", b"1")
    store.dialect.undigested = await store.read(messages.any_undigested)
    first = new("ann", "bob", local_id=7)
    await append(store, first)
    assert await append(store, new("ann", "bob", local_id=7, digest=5)) == Stored(first.id, [])


async def test_a_resent_frame_is_known_for_a_day(store: Store) -> None:
    ms = 1 << 21  # of an id
    first = new("ann", "bob", local_id=7, digest=1, of_frame=True)
    await append(store, first)

    async def resent(after_ms: int) -> int:
        again = new(
            "ann", "bob", id=first.id + after_ms * ms, local_id=7, digest=1, body=b"again", of_frame=True
        )
        return (await append(store, again)).id - first.id

    assert await resent(86_400_000) == 0
    assert await resent(86_400_001) == 86_400_001 * ms, (
        "a day later it is a message that happens to be the same"
    )
    assert await resent(86_400_002) == 86_400_001 * ms
    assert await inbox(store, "bob") == ([first.body, b"again"], 2, 2)


async def test_a_retried_call_finds_what_was_kept_without_a_local_id(store: Store) -> None:
    first = new("ann", "bob")
    await append(store, first)
    again = new("ann", "bob", id=first.id, local_id=7, digest=1, of_frame=True, retried=True)
    assert await append(store, again) == Stored(first.id, [])


async def test_messages_without_a_local_id_are_never_resends(store: Store) -> None:
    same = [new("ann", "bob", local_id=0, body=b"same") for _ in range(3)]
    stored = await append_all(store, *same)
    stored.append(await append(store, new("ann", "bob", local_id=0, body=b"same")))
    assert len({where.id for where in stored}) == 4
    assert await heads(store, "bob") == {"bob": 4}


@pytest.mark.parametrize("local_id", [0, 7])
async def test_a_retried_call_finds_what_it_stored_before_it_was_cut_off(store: Store, local_id: int) -> None:
    first = new("ann", "bob", local_id=local_id)
    await append(store, first)
    again = new("ann", "bob", id=first.id, local_id=local_id, retried=True)
    assert await append(store, again) == Stored(first.id, [])
    assert await heads(store, "bob") == {"bob": 1}


async def test_a_retried_call_in_the_batch_of_the_first_makes_no_entries(store: Store) -> None:
    first = new("ann", "bob")
    stored = await append_all(store, first, new("ann", "bob", id=first.id, retried=True))
    assert [len(where.entries) for where in stored] == [2, 0]


async def test_a_retried_call_whose_first_attempt_stored_nothing_stores(store: Store) -> None:
    stored = await append(store, new("ann", "bob", retried=True))
    assert len(stored.entries) == 2


async def test_a_foreign_id_is_not_taken_for_a_resend(store: Store) -> None:
    first = new("ann", "bob")
    foreign = new("cid", "bob", id=first.id)
    kept, refused = append(store, first), append(store, foreign)  # in one batch
    assert len((await kept).entries) == 2
    with pytest.raises(StoreError):
        await refused
    with pytest.raises(StoreError):
        await append(store, foreign)
    assert await inbox(store, "bob") == ([first.body], 1, 1)
