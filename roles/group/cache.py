"""Rows that were read before, until they change, grow old or are crowded out."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Values by key that weigh up to `size` together, or one that is heavier; the oldest load goes first.

    A value that is invalidated while it is being loaded is given to those who wait, but not kept: what was read may
    be from before the change. And since the news of a change may be lost with the process that would have told it,
    `age` is called now and then, and no value outlives two such calls.
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
        self._loading: dict[str, int] = {}
        self._changed: set[str] = set()

    def peek(self, key: str) -> V | None:
        """Return the value if it is here."""
        value = self._values.get(key)
        return self._aged.get(key) if value is None else value

    async def get(self, key: str) -> V | None:
        """Return the value; None (which is not kept) when there is none."""
        value = self.peek(key)
        if value is not None:
            return value
        self._loading[key] = self._loading.get(key, 0) + 1
        try:
            value = await self._load(key)
            if value is not None and key not in self._changed:
                self._keep(key, value)
            return value
        finally:
            self._loading[key] -= 1
            if not self._loading[key]:
                del self._loading[key]
                self._changed.discard(key)

    def drop(self, keys: Iterable[str]) -> None:
        """Forget values that have changed."""
        for key in keys:
            self._forget(key)
            if key in self._loading:
                self._changed.add(key)

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
