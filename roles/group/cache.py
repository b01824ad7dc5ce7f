"""Rows that were read before, until they change, grow old or are crowded out."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Values by key that weigh up to `size` together, or one that is heavier; the oldest load goes first.

    Who wants a value that is being loaded waits for it. One that is invalidated meanwhile is given to those who wait,
    but not kept, nor given to who comes later: what was read may be from before the change. And since the news of a
    change may be lost with the process that would have told it, `age` is called now and then, and no value outlives
    two such calls.
    """

    def __init__(
        self,
        size: int,
        load: Callable[[str], Awaitable[V | None]],
        weigh: Callable[[V], int] = lambda _: 1,
    ) -> None:
        self._size = size
        self._load = load
        self._weigh = weigh
        self._values: dict[str, V] = {}
        self._aged: dict[str, V] = {}
        self._weight = self._aged_weight = 0
        self._loading: dict[str, asyncio.Task[V | None]] = {}

    def peek(self, key: str) -> V | None:
        """Return the value if it is here."""
        value = self._values.get(key)
        return self._aged.get(key) if value is None else value

    async def get(self, key: str) -> V | None:
        """Return the value; None (which is not kept) when there is none."""
        value = self.peek(key)
        if value is not None:
            return value
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.get_running_loop().create_task(self._read(key))
            loading.add_done_callback(_seen)
        return await asyncio.shield(loading)  # others may wait for it too

    async def _read(self, key: str) -> V | None:
        this = asyncio.current_task()
        try:
            value = await self._load(key)
            if value is not None and self._loading.get(key) is this:
                self._keep(key, value)
            return value
        finally:
            if self._loading.get(key) is this:
                del self._loading[key]

    def drop(self, keys: Iterable[str]) -> None:
        """Forget values that have changed."""
        for key in keys:
            self._forget(key)
            self._loading.pop(key, None)

    def age(self) -> None:
        """Forget what was loaded before the last call."""
        self._values, self._aged = {}, self._values
        self._weight, self._aged_weight = 0, self._weight

    def _keep(self, key: str, value: V) -> None:
        self._forget(key)
        self._weight += self._weigh(value)
        while self._weight + self._aged_weight > self._size and (eldest := self._aged or self._values):
            self._forget(next(iter(eldest)))
        self._values[key] = value

    def _forget(self, key: str) -> None:
        if (value := self._values.pop(key, None)) is not None:
            self._weight -= self._weigh(value)
        if (value := self._aged.pop(key, None)) is not None:
            self._aged_weight -= self._weigh(value)


def _seen(load: asyncio.Task[V | None]) -> None:
    """Look at the failure of a load, for which nobody may be waiting any more."""
    if not load.cancelled():
        load.exception()
