"""Recalled messages whose own events may still come."""

from collections.abc import Callable

REMEMBERED_SECONDS = 60.0
"""The event of a message may come so many seconds later than the event of its recall."""

MAX_REMEMBERED = 10_000
MAX_REMEMBERED_BYTES = 32 << 20
"""The most bytes that are remembered. A body may be as large as a message, since it names the receivers."""


class Recalls:
    """The bodies of messages that were recalled a short time ago, by message id."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self.remembered: dict[int, tuple[float, bytes]] = {}
        """The time until which each is remembered, and its body. Only to be read."""
        self._size = 0
        """The size of all bodies, bytes."""

    def __len__(self) -> int:
        return len(self.remembered)

    def remember(self, message_id: int, body: bytes) -> None:
        if message_id in self.remembered:
            self._forget(message_id)
        self.remembered[message_id] = (self._time() + REMEMBERED_SECONDS, body)
        self._size += len(body)
        while len(self.remembered) > MAX_REMEMBERED or self._size > MAX_REMEMBERED_BYTES:
            self._forget(next(iter(self.remembered)))

    def body_of(self, message_id: int) -> bytes | None:
        """Return the body of a message after its recall, if it was recalled a short time ago."""
        recall = self.remembered.get(message_id)
        return recall[1] if recall is not None else None

    def forget_old(self, now: float) -> None:
        while self.remembered and self.remembered[oldest := next(iter(self.remembered))][0] < now:
            self._forget(oldest)

    def _forget(self, message_id: int) -> None:
        _, body = self.remembered.pop(message_id)
        self._size -= len(body)
