"""A cache of rows. A row leaves it when it changes, grows old, or makes room for others."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Values by key that weigh up to `size` together, or one heavier value. The value loaded first is removed first.

    Callers that want a value which is being loaded wait for it. If the value is invalidated meanwhile, the waiting
    callers get it, but it is not kept, and later callers load it again: it may have been read before the change. The
    news of a change may be lost with the process that made it. So `age` is called at intervals, and no value outlives
    two such calls.
    """

    def __init__(
        self, size: int, load: Callable[[str], Awaitable[V | None]], weigh: Callable[[V], int] = lambda _: 1
    ) -> None:
        self._size = size
        self._load = load
        self._weigh = weigh
        self._values: dict[str, V] = {}
        self._aged: dict[str, V] = {}
        self._weight = self._aged_weight = 0
        self._loading: dict[str, asyncio.Task[V | None]] = {}

    def peek(self, key: str) -> V | None:
        """Return the value if it is in the cache."""
        value = self._values.get(key)
        return self._aged.get(key) if value is None else value

    async def get(self, key: str) -> V | None:
        """Return the value, None if there is none. None is not kept."""
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
        """Forget values that were loaded before the last call."""
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
    """Retrieve the failure of a load, since nobody may be waiting for it any more."""
    if not load.cancelled():
        load.exception()
