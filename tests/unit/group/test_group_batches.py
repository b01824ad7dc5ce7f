"""Small writes of many callers, put together."""

import asyncio
from collections.abc import Sequence

import pytest

from fsharechat.errors import StoreError
from roles.group.batches import Batches


class Shelf:
    """What batches are written to; `hold` lets it wait."""

    def __init__(self) -> None:
        self.written: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def write(self, batch: Sequence[int]) -> None:
        self.written.append(list(batch))
        await self.open.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
async def shelf() -> Shelf:
    return Shelf()


def batches(shelf: Shelf) -> Batches[int]:
    return Batches(shelf.write, lambda item: item, batch=10, room=30)


async def test_what_comes_while_a_batch_is_written_goes_into_the_next(shelf: Shelf) -> None:
    mine = batches(shelf)
    shelf.open.clear()
    first = mine.add(1)
    await asyncio.sleep(0)
    rest = [mine.add(item) for item in (2, 3, 4)]
    assert not first.done()
    shelf.open.set()
    await asyncio.gather(first, *rest)
    assert shelf.written == [[1], [2, 3, 4]]


async def test_a_batch_is_bounded_but_takes_one_that_is_heavier(shelf: Shelf) -> None:
    mine = batches(shelf)
    await asyncio.gather(*(mine.add(item) for item in (4, 6, 1, 12, 5)))
    assert shelf.written == [[4, 6], [1], [12], [5]]


async def test_only_so_much_waits(shelf: Shelf) -> None:
    mine = batches(shelf)
    shelf.open.clear()
    taken = [mine.add(25), mine.add(25)]
    with pytest.raises(StoreError):
        mine.add(1)
    shelf.open.set()
    await asyncio.gather(*taken)
    await mine.add(1)


@pytest.mark.parametrize("error", [StoreError("away"), ValueError("a mistake")], ids=repr)
async def test_a_batch_that_fails_fails_its_own_callers(shelf: Shelf, error: Exception) -> None:
    mine = batches(shelf)
    shelf.error = error
    failed = [mine.add(1), mine.add(2)]
    failed[0].cancel()  # its caller has gone
    with pytest.raises(StoreError):
        await failed[1]
    shelf.error = None
    await mine.add(3)
    assert shelf.written == [[1, 2], [3]]
