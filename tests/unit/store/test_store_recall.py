"""A message that says something else from now on, wherever it is read (contract.md section 8)."""

from fsharechat.store import messages
from fsharechat.store.messages import conversation_key
from fsharechat.store.store import Store
from tests.unit.store.store_kit import Exchange, append, append_all, inbox, new, private, recorded


async def body(store: Store, id: int) -> bytes | None:
    return await store.write(messages.body_for_change, id)


async def test_an_unknown_message_has_no_body(store: Store) -> None:
    await append(store, new("ann", "bob", id=7001))
    assert await body(store, 7002) is None
    await store.write(messages.replace_body, 7002, b"changed")
    assert await body(store, 7001) == b"body 7001"


async def test_a_replaced_body_is_in_every_inbox_and_in_the_history(store: Store) -> None:
    sent = [private("ann", "bob"), private("ann", "bob"), private("bob", "ann")]
    await append_all(store, *sent)
    await store.write(messages.replace_body, sent[1].id, b"changed")
    wanted = [sent[0].body, b"changed", sent[2].body]
    assert await body(store, sent[1].id) == b"changed"
    for uid in ("ann", "bob"):
        assert await inbox(store, uid) == (wanted, 3, 3)
    key = conversation_key(0, 0, "ann", "bob")
    assert await store.read(messages.history, key, 0, 10) == wanted[::-1]


async def test_a_resend_of_a_replaced_message_finds_it(store: Store) -> None:
    message = new("ann", "bob", local_id=5)
    await append(store, message)
    await store.write(messages.replace_body, message.id, b"changed")
    again = await append(store, new("ann", "bob", local_id=5))
    assert (again.id, again.entries) == (message.id, [])
    assert await inbox(store, "bob") == ([b"changed"], 1, 1)


async def test_reading_and_replacing_take_a_statement_each(store: Store) -> None:
    message = new("ann", *[f"member{n}" for n in range(3000)])
    await append(store, message)
    seen: list[Exchange] = []
    await store.write(recorded, seen, messages.body_for_change, message.id)
    await store.write(recorded, seen, messages.replace_body, message.id, b"changed")
    assert len(seen) == 2
