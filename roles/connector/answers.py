"""What a connector counts of the requests that it has answered, for the metrics. The hot path adds to plain lists."""

from collections import Counter

from fsharechat.metrics import Histogram, Labelled, Metrics
from fsharechat.protocol.signals import REQUESTS, SubSignal

_OTHER = "other"


class AnswerCounts:
    """The requests that were answered, by kind and code, and how long it took."""

    __slots__ = ("acks", "deliveries", "done", "refused", "times")

    def __init__(self) -> None:
        self.done = [0] * 256
        """How many requests of each sub-signal got code 0."""
        self.refused: Counter[tuple[int, int]] = Counter()
        """How many requests got another code, by sub-signal and code."""
        self.acks = Histogram()
        """How long messages waited for their PUB_ACK, s."""
        self.times = Histogram()
        """How long other requests that the group role answers waited, s."""
        self.deliveries = Histogram()
        """How old messages were when a device got them, s, if they were not old before it asked."""

    def publish(self, metrics: Metrics) -> None:
        metrics.counter("requests", "Answered requests of devices.", self._by_kind, ("kind", "code"))
        metrics.histogram("ack_seconds", "From the frame of a message to its acknowledgement.", self.acks)
        metrics.histogram("request_seconds", "From the frame of another request to its answer.", self.times)
        metrics.histogram(
            "delivery_seconds", "From the frame of a message until a device is given it.", self.deliveries
        )

    def _by_kind(self) -> Labelled:
        found = {(_name(kind), "0"): self.done[kind] for kind in REQUESTS if self.done[kind]}
        # A client may send any number as a sub-signal: those that are none share a name.
        for (kind, code), count in self.refused.items():
            key = _name(kind), str(code)
            found[key] = found.get(key, 0) + count
        return list(found.items())


def _name(kind: int) -> str:
    return SubSignal(kind).name if kind in REQUESTS else _OTHER
