"""Messages to thousands beside others: nobody waits long, and a sender's messages keep their order."""

import asyncio
from collections.abc import Callable

import pytest

from fsharechat.errors import StoreBusy
from fsharechat.store import writer
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.store import Store
from fsharechat.store.unit import Unit
from fsharechat.store.writer import Batch, GroupCommit
from tests.unit.store.store_kit import append, append_all, inbox, new

CROWD = [f"member{n}" for n in range(2000)]
ENTRY_SECONDS = 0.000_01


class Lanes:
    """Notes what each batch has, and finishes it when told to: a batch takes 10 us for each inbox entry or head.

    It is the clock of the lanes.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.batches: list[Batch] = []
        self.commits = GroupCommit(20_000, self.batches.append, self)
        self._done = 0
        self._alarms: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> None:
        self._alarms.append((self.now + delay, callback))

    def append(self, *messages: NewMessage) -> None:
        for message in messages:
            self.commits.append(message, lambda _: None)

    async def step(self) -> Batch | None:
        """Carry out the batch that runs and return it, or else wake who is to be woken next."""
        await asyncio.sleep(0)
        if self._done == len(self.batches):
            if self._alarms:
                at, callback = self._alarms.pop(0)
                self.now = max(self.now, at)
                callback()
                await asyncio.sleep(0)
            return None
        batch = self.batches[self._done]
        batch.results = [None] * len(batch.works)
        batch.stored = [Stored(message.id, []) for message in batch.messages]
        self.now += seconds(batch)
        self._done += 1
        self.commits.finish(batch)
        return batch

    async def run(self) -> list[list[NewMessage]]:
        """Carry out everything; return the messages of each batch."""
        await asyncio.sleep(0)
        while self._done < len(self.batches) or self._alarms:
            await self.step()
        return [batch.messages for batch in self.batches]


def seconds(batch: Batch) -> float:
    entries = sum(len(message.receivers) for message in batch.messages)
    return (entries + sum(len(work.heads_of) for work in batch.works)) * ENTRY_SECONDS


@pytest.fixture
async def lanes() -> Lanes:
    return Lanes()


async def test_a_transaction_has_a_few_large_messages_or_all_small_ones(lanes: Lanes) -> None:
    large = [new(f"ann{n}", *CROWD[:1000]) for n in range(5)]
    small = [new("bob", "cid") for _ in range(5)]
    lanes.append(*large, *small)
    batches = await lanes.run()
    assert batches == [large[:2], small, large[2:4], large[4:]]


async def test_large_messages_have_a_third_of_the_time_beside_others(lanes: Lanes) -> None:
    """Others who send one after the other: when one is stored, the next has not come yet."""
    lanes.append(*[new(f"ann{n}", *CROWD) for n in range(100)])
    large = waited = longest = 0.0
    next_at = 0.0
    while lanes.now < 1:
        if lanes.now >= next_at:
            lanes.append(new("bob", "cid"))
            next_at = lanes.now + 0.002
        batch = await lanes.step()
        if batch is not None and len(batch.messages[0].receivers) == len(CROWD):
            large += seconds(batch)
            waited += seconds(batch)
        else:
            longest, waited = max(longest, waited), 0.0
    assert 0.3 < large / lanes.now < 0.36
    assert longest == pytest.approx(len(CROWD) * ENTRY_SECONDS), "nobody waits for more than one of them"


async def test_large_messages_wait_only_while_there_is_company(lanes: Lanes) -> None:
    large = [new(f"ann{n}", *CROWD) for n in range(200)]
    small = new("bob", "cid")
    lanes.append(*large, small)
    batches = await lanes.run()
    assert batches[:4] == [[large[0]], [small], [large[1]], [large[2]]], "one at a time in company"
    sizes = [len(batch) for batch in batches]
    assert set(sizes[sizes.index(2) : -1]) == {2}, "together when the company has gone"
    assert [message for batch in batches for message in batch if message is not small] == large
    alone = len(large) * len(CROWD) * ENTRY_SECONDS
    assert lanes.now == pytest.approx(alone + writer.COMPANY_SECONDS * 2 / 3, rel=0.02)


async def test_who_closes_does_not_wait_for_the_time_of_the_large(lanes: Lanes) -> None:
    large = [new(f"ann{n}", *CROWD) for n in range(10)]
    lanes.append(*large, new("bob", "cid"))
    for _ in range(2):
        await lanes.step()
    assert len(lanes.batches) == 2
    closing = asyncio.create_task(lanes.commits.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    while not closing.done():
        await lanes.step()
    assert len(lanes.batches) == 11
    assert lanes.now == pytest.approx(10 * len(CROWD) * ENTRY_SECONDS, rel=0.01)


async def test_large_messages_alone_have_all_of_the_time(lanes: Lanes) -> None:
    large = [new(f"ann{n}", *CROWD) for n in range(10)]
    lanes.append(*large)
    assert await lanes.run() == [large[n : n + 2] for n in range(0, 10, 2)], "with up to 5,000 entries"
    assert lanes.now == pytest.approx(10 * len(CROWD) * ENTRY_SECONDS)


async def test_units_that_reach_thousands_share_that_time_by_turns(lanes: Lanes) -> None:
    waiting = [lanes.commits.write(nothing, CROWD) for _ in range(6)]
    large = [new(f"ann{n}", *CROWD) for n in range(4)]
    lanes.append(*large)
    await lanes.run()
    kinds = ["unit" if batch.works else "message" for batch in lanes.batches]
    assert kinds == ["unit", "message"] * 2 + ["unit"] * 4, "two messages in each transaction"
    await asyncio.gather(*waiting)


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
    assert await lanes.run() == [small[:1000], small[1000:], [large]]


async def test_one_larger_than_a_transaction_goes_alone(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_BATCH_ENTRIES", 100)
    monkeypatch.setattr(writer, "ALONE_ENTRIES", 100)
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


async def test_a_transaction_takes_a_few_units_that_reach_thousands_or_all_others(lanes: Lanes) -> None:
    crowds = [CROWD[:1000]] * 3 + [CROWD[:201], ["ann"], *[[]] * 3, CROWD * 10, CROWD]
    waiting = [lanes.commits.write(nothing, crowd) for crowd in crowds]
    small = new("ann", "bob")
    lanes.append(small)
    assert (await lanes.run())[:2] == [[], [small]]
    taken = [[len(work.heads_of) for work in batch.works] for batch in lanes.batches]
    assert taken == [[1000, 1000], [1, 0, 0, 0], [1000, 201], [20_000], [2000]]
    await asyncio.gather(*waiting)


async def test_small_units_of_a_transaction_advance_only_so_many_heads(lanes: Lanes) -> None:
    waiting = [lanes.commits.write(nothing, CROWD[:200]) for _ in range(30)]
    await lanes.run()
    assert [len(batch.works) for batch in lanes.batches] == [12, 12, 6]
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


async def test_a_message_to_a_group_with_a_log_is_as_large_as_those_who_are_awake(lanes: Lanes) -> None:
    many, few, small = new("ann"), new("dan"), new("bob", "cid")
    many.expected, few.expected = 2000, 50
    lanes.append(many, few, small)
    assert await lanes.run() == [[many], [few, small]]


async def test_a_unit_that_writes_many_rows_is_large(lanes: Lanes) -> None:
    waiting = [
        lanes.commits.write(nothing, ["ann"], rows=2500),
        lanes.commits.write(nothing, ["bob"], rows=200),
    ]
    small = new("ann", "bob")
    lanes.append(small)
    await lanes.run()
    assert [(len(batch.works), batch.messages) for batch in lanes.batches] == [(1, []), (1, [small])]
    await asyncio.gather(*waiting)


async def test_a_late_message_is_tried_again_before_what_its_sender_says_next(lanes: Lanes) -> None:
    heard: list[NewMessage] = []

    def append(message: NewMessage) -> None:
        lanes.commits.append(message, lambda _: heard.append(message))

    late, next_to_it = new("ann", "bob"), new("dan", "bob")
    append(late)
    append(next_to_it)
    await asyncio.sleep(0)
    behind, others = [new("ann", "cid"), new("ann", "bob")], [new("eve", "cid"), new("ann", "cid")]
    append(behind[0])
    append(others[0])
    lanes.batches[0].late = {late.id}
    await lanes.step()
    assert heard == [next_to_it]
    append(behind[1])
    append(large := new("ann", *CROWD))
    assert lanes.batches[1].messages == [late, behind[0]]
    lanes.batches[1].late = {late.id, behind[0].id}
    await lanes.step()
    append(others[1])
    await lanes.run()
    assert [message for message in heard if message.sender == "ann"] == [late, *behind, large, others[1]]
    assert [message for message in heard if message.sender != "ann"] == [next_to_it, others[0]]
    assert lanes.commits.stats.messages == len(heard)


async def test_more_late_messages_than_a_transaction_takes_stay_in_order(lanes: Lanes) -> None:
    sent = [new("ann", "bob") for _ in range(writer.MAX_LATE + 50)]
    lanes.append(*sent)
    await asyncio.sleep(0)
    lanes.batches[0].late = {message.id for message in sent}
    await lanes.step()
    lanes.batches[1].late = {message.id for message in lanes.batches[1].messages}
    await lanes.step()
    assert await lanes.run() == [[], [], sent[: writer.MAX_LATE], sent[writer.MAX_LATE :]]


async def test_the_wait_of_the_first_message_of_each_transaction_is_kept(lanes: Lanes) -> None:
    lanes.now = 100.0
    lanes.append(*[new("ann", "bob") for _ in range(3)])
    first = lanes.now
    await lanes.run()
    took = lanes.now - first
    stats = lanes.commits.stats
    assert took > 0
    assert [stats.wait(share, lanes.now) for share in (0.5, 0.99)] == [pytest.approx(took)] * 2
    assert stats.wait(0.99, lanes.now + writer.WAITS_SECONDS + 1) == 0.0
