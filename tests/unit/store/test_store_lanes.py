"""Messages to thousands beside others: nobody waits long, and a sender's messages keep their order."""

import asyncio

import pytest
from store_kit import append, append_all, inbox, new

from fsharechat.errors import StoreBusy
from fsharechat.store import writer
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.store import Store
from fsharechat.store.unit import Unit
from fsharechat.store.writer import Batch, GroupCommit

CROWD = [f"member{n}" for n in range(2000)]


class Lanes:
    """Notes what each batch has, and finishes it when told to."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.commits = GroupCommit(20_000, self.batches.append)

    def append(self, *messages: NewMessage) -> None:
        for message in messages:
            self.commits.append(message, lambda _: None)

    async def run(self) -> list[list[NewMessage]]:
        """Carry out everything; return the messages of each batch."""
        await asyncio.sleep(0)
        done = 0
        while done < len(self.batches):
            batch = self.batches[done]
            batch.results = [None] * len(batch.works)
            batch.stored = [Stored(message.id, []) for message in batch.messages]
            done += 1
            self.commits.finish(batch)
        return [batch.messages for batch in self.batches]


@pytest.fixture
async def lanes() -> Lanes:
    return Lanes()


async def test_a_transaction_takes_a_few_large_messages_and_all_small_ones(lanes: Lanes) -> None:
    large = [new(f"ann{n}", *CROWD) for n in range(12)]
    small = [new("bob", "cid") for _ in range(5)]
    lanes.append(*large, *small)
    batches = await lanes.run()
    assert batches == [[*small, *large[:5]], large[5:10], large[10:]]


async def test_messages_of_one_sender_stay_in_order(lanes: Lanes) -> None:
    sent = [new("ann", *CROWD) if n % 4 == 0 else new("ann", "bob") for n in range(40)]
    others = [new("bob", "cid") for _ in range(1500)]
    lanes.append(*others, *sent, *others)
    stored = [message for batch in await lanes.run() for message in batch]
    assert [message for message in stored if message.sender == "ann"] == sent
    assert len(stored) == len(sent) + 2 * len(others)


async def test_a_large_message_does_not_pass_small_ones_before_it(lanes: Lanes) -> None:
    small = [new(f"bob{n}", "cid") for n in range(1500)]
    large = new("bob1400", *CROWD)
    lanes.append(*small, large)
    assert await lanes.run() == [small[:1000], [*small[1000:], large]]


async def test_one_larger_than_a_transaction_goes_alone(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_BATCH_ENTRIES", 100)
    large = [new("ann", *CROWD) for _ in range(3)]
    lanes.append(*large)
    assert await lanes.run() == [[message] for message in large]


def nothing() -> Unit[None]:
    yield from ()


async def test_a_transaction_takes_only_so_many_small_units(lanes: Lanes) -> None:
    waiting = [lanes.commits.write(nothing) for _ in range(2 * writer.MAX_BATCH + 1)]
    small = new("ann", "bob")
    lanes.append(small)
    assert (await lanes.run())[0] == [small], "messages do not wait for all of them"
    assert [len(batch.works) for batch in lanes.batches] == [writer.MAX_BATCH, writer.MAX_BATCH, 1]
    await asyncio.gather(*waiting)


async def test_a_transaction_takes_a_few_units_that_reach_thousands_and_all_others(lanes: Lanes) -> None:
    crowds = [*[CROWD] * 6, ["ann"], *[[]] * 3, CROWD * 10, CROWD]
    waiting = [lanes.commits.write(nothing, crowd) for crowd in crowds]
    small = new("ann", "bob")
    lanes.append(small)
    assert (await lanes.run())[0] == [small]
    taken = [[len(work.heads_of) for work in batch.works] for batch in lanes.batches]
    assert taken == [[0, 0, 0, *[2000] * 5], [2000, 1], [20_000], [2000]]
    await asyncio.gather(*waiting)


async def test_units_that_reach_thousands_are_bounded_and_keep_nobody_out(lanes: Lanes) -> None:
    count = writer.MAX_WAITING_ENTRIES // len(CROWD)
    waiting = [lanes.commits.write(nothing, CROWD) for _ in range(count)]
    with pytest.raises(StoreBusy, match="heads wait"):
        lanes.commits.write(nothing, CROWD)
    waiting.append(lanes.commits.write(nothing))
    await lanes.run()
    waiting.append(lanes.commits.write(nothing, CROWD))  # there is room again
    await lanes.run()
    await asyncio.gather(*waiting)


async def test_what_waits_is_bounded(lanes: Lanes) -> None:
    for _ in range(writer.MAX_WAITING_ENTRIES // len(CROWD)):
        lanes.append(new("ann", *CROWD))
    with pytest.raises(StoreBusy, match="inbox entries wait"):
        lanes.append(new("bob", *CROWD))
    lanes.append(new("bob", "cid"))
    await lanes.run()
    lanes.append(new("bob", *CROWD))  # there is room again


async def test_the_store_keeps_the_order_of_a_sender(store: Store) -> None:
    sent = [new("ann", *CROWD[:300]) if n % 3 == 0 else new("ann", "member1") for n in range(60)]
    others = [new("bob", "member1") for _ in range(100)]
    await append_all(store, *others, *sent)
    await append(store, new("cid", "member1"))
    bodies = (await inbox(store, "ann")).bodies
    assert bodies == [message.body for message in sent]
    assert len((await inbox(store, "member1")).bodies) == 161
