"""What recalls made of messages whose events may still come."""

from collections.abc import Callable

REMEMBERED_SECONDS = 60.0
"""An event that brings a message may come so much later than the one that says it has been recalled."""

MAX_REMEMBERED = 10_000
MAX_REMEMBERED_BYTES = 32 << 20
"""What is remembered may be as large as a message: it names whom the message was for."""


class Recalls:
    """The bodies of messages that were recalled lately, by message id."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self.remembered: dict[int, tuple[float, bytes]] = {}
        """Until when each is remembered, and its body; to be read only."""
        self._size = 0
        """Bytes of the bodies."""

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
        """Return what became of a message, if it was recalled lately."""
        recall = self.remembered.get(message_id)
        return recall[1] if recall is not None else None

    def forget_old(self, now: float) -> None:
        while self.remembered and self.remembered[oldest := next(iter(self.remembered))][0] < now:
            self._forget(oldest)

    def _forget(self, message_id: int) -> None:
        _, body = self.remembered.pop(message_id)
        self._size -= len(body)
