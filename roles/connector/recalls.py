"""What recalls made of messages whose events may still come."""

from collections.abc import Callable

from roles.connector.tail import TailMessage

REMEMBERED_SECONDS = 60.0
"""An event that brings a message may come so much later than the one that says it has been recalled."""

MAX_REMEMBERED = 10_000
MAX_REMEMBERED_BYTES = 32 << 20
"""What is remembered may be as large as a message: it names whom the message was for."""


class Recalls:
    """The bodies of messages that were recalled lately, by message id."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._remembered: dict[int, tuple[float, bytes]] = {}
        self._size = 0
        """Bytes of the bodies."""

    def __len__(self) -> int:
        return len(self._remembered)

    def remember(self, message_id: int, body: bytes) -> None:
        if message_id in self._remembered:
            self._forget(message_id)
        self._remembered[message_id] = (self._time() + REMEMBERED_SECONDS, body)
        self._size += len(body)
        while len(self._remembered) > MAX_REMEMBERED or self._size > MAX_REMEMBERED_BYTES:
            self._forget(next(iter(self._remembered)))

    def as_it_is(self, message: TailMessage) -> TailMessage:
        """Return a message that an event brings; one that was recalled meanwhile as what became of it."""
        if self._remembered and (recall := self._remembered.get(message.about().id)) is not None:
            return message.with_body(recall[1])
        return message

    def forget_old(self, now: float) -> None:
        while self._remembered and self._remembered[oldest := next(iter(self._remembered))][0] < now:
            self._forget(oldest)

    def _forget(self, message_id: int) -> None:
        _, body = self._remembered.pop(message_id)
        self._size -= len(body)
