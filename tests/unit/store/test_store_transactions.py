"""Units and messages share transactions; failures stay with whom they concern; what was taken is finished."""

import asyncio

import pytest
from structlog.testing import capture_logs

from fsharechat.errors import Refusal, StoreBusy, StoreError
from fsharechat.protocol.signals import Code
from fsharechat.store.messages import Stored
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Unit
from tests.unit.store.store_kit import (
    Engine,
    append,
    append_all,
    fact_names,
    heads,
    inbox,
    new,
    put_fact,
    select,
)


async def test_units_and_messages_of_one_turn_are_one_transaction(store: Store) -> None:
    one, two, (stored,) = await asyncio.gather(
        store.write(put_fact, "one"), store.write(put_fact, "two"), append_all(store, new("ann", "bob"))
    )
    assert (one, two, len(stored.entries)) == ("one", "two", 2)
    assert (store.stats.batches, store.stats.units, store.stats.messages) == (1, 2, 1)


async def test_an_exception_of_a_unit_undoes_that_unit_alone(store: Store) -> None:
    results = await asyncio.gather(
        store.write(put_fact, "before"),
        store.write(put_fact, "refused", Refusal(Code.NO_RIGHT)),
        store.write(put_fact, "after"),
        append(store, new("ann", "bob")),
        return_exceptions=True,
    )
    assert isinstance(results[1], Refusal)
    assert await fact_names(store) == ["after", "before"]
    assert await heads(store, "bob") == {"bob": 1}


async def test_a_statement_that_fails_is_a_store_error_of_its_unit(store: Store) -> None:
    await store.write(put_fact, "taken")
    results = await asyncio.gather(
        store.write(put_fact, "taken"), store.write(put_fact, "new"), return_exceptions=True
    )
    assert isinstance(results[0], StoreError)
    assert results[1] == "new"
    with pytest.raises(StoreError):
        await store.read(select, "SELECT nothing FROM nowhere")
    assert await fact_names(store) == ["new", "taken"]


async def test_statements_that_a_unit_does_not_look_at_are_undone_with_it(store: Store) -> None:
    def put(name: str, error: Exception | None = None) -> Unit[str]:
        for part in (name, f"{name} too"):
            yield Query("INSERT INTO facts (name, value) VALUES (?, ?)", (part, b""), unread=True)
        if error is not None:
            raise error
        return name

    await store.write(put_fact, "taken too")
    results = await asyncio.gather(
        store.write(lambda _: put("refused", Refusal(Code.NO_RIGHT))),
        store.write(lambda _: put("taken")),  # its second row exists
        store.write(lambda _: put("last")),
        return_exceptions=True,
    )
    assert isinstance(results[0], Refusal)
    assert isinstance(results[1], StoreError)
    assert results[2] == "last"
    assert await fact_names(store) == ["last", "last too", "taken too"]


@pytest.mark.parametrize(
    "text",
    ["o'clock", '"', "back\\slash", "\\'; DROP TABLE facts; --", "%s ? %% ??", "\n\r\t\x1a\0", "飞享😀", ""],
    ids=repr,
)
async def test_texts_and_bytes_come_back_as_they_were(store: Store, text: str) -> None:
    everything = bytes(range(255, -1, -1))[: 255 - len(text.encode())] + text.encode()

    def put(_: Dialect) -> Unit[None]:
        yield Query("INSERT INTO facts (name, value) VALUES (?, ?)", (text, everything))

    await store.write(put)
    found = await store.read(
        select, "SELECT name, value FROM facts WHERE name = ? AND value = ?", text, everything
    )
    assert found == [(text, everything)]


@pytest.mark.parametrize(
    ("value", "found"),
    [(None, None), (True, 1), (Code.NO_RIGHT, int(Code.NO_RIGHT)), (-(1 << 63), -(1 << 63))],
)
async def test_other_parameters_come_back_as_the_engine_has_them(
    store: Store, value: object, found: object
) -> None:
    assert await store.read(select, "SELECT ?", value) == [(found,)]


async def test_an_exception_of_a_reading_unit_is_raised(store: Store) -> None:
    def refuse(_: object) -> None:
        raise Refusal(Code.NOT_EXIST)

    with pytest.raises(Refusal):
        await store.read(refuse)  # type: ignore[arg-type]


async def test_a_message_that_cannot_be_stored_fails_alone(store: Store) -> None:
    taken = new("ann", "bob")
    await append(store, taken)
    batch = [new("ann", "bob"), new("cid", "bob", id=taken.id), new("ann", "bob")]
    results = await asyncio.gather(*[append(store, message) for message in batch], return_exceptions=True)
    assert isinstance(results[1], StoreError)
    assert (await inbox(store, "bob")) == ([taken.body, batch[0].body, batch[2].body], 3, 3)
    assert await heads(store, "cid") == {}
    assert store.stats.failed == 1


async def test_a_caller_that_gives_up_disturbs_nobody(store: Store) -> None:
    gone = asyncio.create_task(store.write(put_fact, "gone"))
    stays = asyncio.create_task(store.write(put_fact, "stays"))
    await asyncio.sleep(0)  # both have asked, and nothing is answered yet
    gone.cancel()
    assert await stays == "stays"
    assert await store.write(put_fact, "later") == "later"


async def test_a_listener_that_fails_keeps_the_others_waiting_for_nothing(store: Store) -> None:
    def fail(_: Stored | StoreError) -> None:
        raise RuntimeError("listener")

    with capture_logs() as logs:
        store.append(new("ann", "bob"), fail)
        assert len((await append(store, new("ann", "bob"))).entries) == 2
    assert [line["log_level"] for line in logs] == ["error"]


async def test_more_than_the_queue_holds_is_refused_and_later_taken_again(engine: Engine) -> None:
    store = engine.store(max_queue=3)
    await store.open()
    taken = [append(store, new("ann", "bob")) for _ in range(3)]
    with pytest.raises(StoreBusy):
        append(store, new("ann", "bob"))
    with pytest.raises(StoreBusy):
        await store.write(put_fact, "refused")
    await asyncio.gather(*taken)
    await append_all(store, new("ann", "bob"))
    await store.write(put_fact, "taken")
    assert await fact_names(store) == ["taken"]
    await store.close()


async def test_more_reads_than_the_queue_holds_are_refused(engine: Engine) -> None:
    store = engine.store(max_queue=3)
    await store.open()
    results = await asyncio.gather(*[fact_names(store) for _ in range(4)], return_exceptions=True)
    assert [type(result) for result in results] == [list, list, list, StoreBusy]
    assert await fact_names(store) == []
    await store.close()


async def test_close_finishes_what_was_taken_and_refuses_what_comes_later(engine: Engine) -> None:
    store = engine.store()
    await store.open()
    messages = [new("ann", "bob") for _ in range(1500)]
    taken = [append(store, message) for message in messages]
    await store.close()
    assert [future.result().id for future in taken] == [message.id for message in messages]
    with pytest.raises(StoreError):
        append(store, new("ann", "bob"))
    with pytest.raises(StoreError):
        await store.write(put_fact, "late")
    with pytest.raises(StoreError):
        await fact_names(store)


async def test_another_store_reads_what_one_has_acknowledged(engine: Engine) -> None:
    store = engine.store()
    await store.open()
    message = new("ann", "bob", local_id=7)
    await append(store, message)
    await store.write(put_fact, "kept")
    await store.close()
    store = engine.store()
    await store.open()
    assert await inbox(store, "bob") == ([message.body], 1, 1)
    assert await append(store, new("ann", "bob", local_id=7)) == Stored(message.id, [])
    assert (await append(store, new("ann", "bob"))).entries == [("ann", 2), ("bob", 2)]
    assert await fact_names(store) == ["kept"]
    await store.close()
