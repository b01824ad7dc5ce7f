"""What webhooks are still to tell, in the store."""

from fsharechat.protocol.ids import EPOCH_MS
from fsharechat.store import messages, users, webhooks
from fsharechat.store.store import Store
from tests.unit.store.store_kit import append_all, new

NOW = EPOCH_MS + 1000


async def test_messages_are_noted_with_their_transaction_and_settled(store: Store) -> None:
    store.dialect.hears = {webhooks.MESSAGE_STORED: ["one", "other"]}
    ids = [stored.id for stored in await append_all(store, *(new("ann", "ben") for _ in range(3)))]
    rows = await store.read(webhooks.untold, "one", 0, 10)
    assert [id for row in rows for id in row.messages] == ids
    assert all(row.event is None for row in rows)
    places = await store.read(webhooks.places, [*ids, 999])
    assert sorted(places) == ids
    await store.write(webhooks.settle, [row.pos for row in rows[:-1]], {rows[-1].pos: ids[-1:]})
    left = await store.read(webhooks.untold, "one", 0, 10)
    assert [row.messages for row in left] == [(ids[-1],)]
    assert len(await store.read(webhooks.untold, "other", 0, 10)) == len(rows)
    assert await store.read(webhooks.untold, "one", left[0].pos, 10) == []
    assert await store.read(messages.body, ids[0])


async def test_events_are_noted_for_who_hears_of_them(store: Store) -> None:
    store.dialect.hears = {webhooks.USER_REGISTERED: ["one"]}
    assert await store.read(webhooks.oldest, "one") == 0
    uid, _, created = await store.write(users.get_or_create, "13800000001", NOW)
    assert created
    await store.write(users.get_or_create, "13800000001", NOW + 1)
    [row] = await store.read(webhooks.untold, "one", 0, 10)
    assert row.event is not None
    assert (row.messages, row.event.kind, row.event.about) == ((), webhooks.USER_REGISTERED, uid)
    assert await store.read(webhooks.oldest, "one") == NOW
    assert await store.write(webhooks.forget_others, ["one"], NOW + 1, 10) == 0
    assert await store.write(webhooks.forget_others, ["other"], NOW, 10) == 0
    assert await store.write(webhooks.forget_others, ["other"], NOW + 1, 10) == 1
    assert await store.read(webhooks.untold, "one", 0, 10) == []


async def test_a_first_login_is_noted_once(store: Store) -> None:
    store.dialect.hears = {webhooks.USER_FIRST_LOGIN: ["one"]}
    uid, _, _ = await store.write(users.get_or_create, "13800000001", NOW)
    for now in (NOW + 1, NOW + 2):
        await store.write(users.has_come, uid, now)
    assert len(await store.read(webhooks.untold, "one", 0, 10)) == 1
