"""The cursor of a device in the reports of its user: what it has fetched, and what it has been told of."""

from fsharechat.protocol.bodies import notify_report
from fsharechat.protocol.signals import ReportType

MAX_REPEATS = 3
"""An MRN without an answer is repeated so often, until there is another report: not every client asks for them."""


class ReportCursor:
    """The reports of one kind, by the rule of the inbox: one MRN until the device asks, with the lowest it lacks."""

    __slots__ = ("_pulling", "_repeats", "_told", "fetched", "told_at")

    def __init__(self, fetched: int) -> None:
        self.fetched = fetched
        self.told_at: float | None = None
        """When the MRN went out that the device has not answered."""
        self._told = 0
        self._repeats = 0
        self._pulling = 0

    def tell(self, kind: ReportType, head: int, now: float) -> bytes | None:
        """Return the MRN to send, if there is a report that the device neither has nor has been told of."""
        if head <= self.fetched or self.told_at is not None or self._pulling:
            return None
        if head > self._told:
            self._told, self._repeats = head, 0
        elif self._repeats >= MAX_REPEATS:
            return None
        else:
            self._repeats += 1
        self.told_at = now
        return notify_report(kind, self.fetched + 1)

    def asked(self) -> None:
        """Take note that the device asks; `answered` follows."""
        self.told_at = None
        self._pulling += 1

    def answered(self, current: int | None) -> None:
        """Take note of the answer: up to `current`, or None for a refusal."""
        self._pulling -= 1
        if current is not None:
            self.fetched = max(self.fetched, current)
