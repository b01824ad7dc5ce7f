"""Message ids: time, node and counter in 63 bits (protocol.md section 6). They order history."""

import time
from collections.abc import Callable

EPOCH_MS = 1514736000000
NODES = 64
COUNTERS = 1 << 15
MAX_STEP_BACK_MS = 5


class IdError(RuntimeError):
    """No id can be given now; the text says why."""


class ClockError(IdError):
    """The clock went back further than ids can wait for; no id is given until it has caught up."""


class LeaseError(IdError):
    """The node id may be another process's by now."""


def compose(ms: int, node: int, n: int) -> int:
    """Return the id of the `n`-th message (0-32767) that `node` (0-63) made in the millisecond `ms`."""
    return (ms - EPOCH_MS) << 21 | node << 15 | n


def time_of(message_id: int) -> int:
    """Return the millisecond in which the id was made."""
    return (message_id >> 21) + EPOCH_MS


def node_of(message_id: int) -> int:
    """Return the node that made the id."""
    return message_id >> 15 & (NODES - 1)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class IdGenerator:
    """Gives out ids that are unique for `node` and never fall.

    `first` and `last` bound the counter: connectors use the lower half, group processes the upper one, so that a
    connector and a group process with the same lease never meet (design: who owns what). `held` tells whether the
    process still has its node id.
    """

    __slots__ = ("_base", "_clock", "_first", "_held", "_last", "_ms", "_n", "node")

    def __init__(
        self,
        node: int,
        *,
        first: int = 0,
        last: int = COUNTERS // 2 - 1,
        clock: Callable[[], int] = now_ms,
        held: Callable[[], bool] = lambda: True,
    ) -> None:
        if not 0 <= node < NODES:
            raise ValueError(f"a node id is 0-{NODES - 1}, not {node}")
        if not 0 <= first <= last < COUNTERS:
            raise ValueError(f"counters are 0-{COUNTERS - 1}, not {first}-{last}")
        self.node = node
        self._first = first
        self._last = last
        self._clock = clock
        self._held = held
        self._ms = 0
        self._base = 0
        self._n = first

    @classmethod
    def for_group(
        cls, node: int, clock: Callable[[], int] = now_ms, held: Callable[[], bool] = lambda: True
    ) -> "IdGenerator":
        """Return the generator of a group process: the upper half of the counter."""
        return cls(node, first=COUNTERS // 2, last=COUNTERS - 1, clock=clock, held=held)

    def next(self) -> int:
        """Return the next id.

        A clock that steps back by at most 5 ms, and a millisecond whose counter is used up, are waited for (a few
        milliseconds at the most). Raises ClockError when the clock stepped back further, and LeaseError when the
        process does not hold its node id.
        """
        if not self._held():
            raise LeaseError(f"the lease of node id {self.node} is lost")
        ms = self._clock()
        if ms > self._ms:
            self._start(ms)
        elif self._ms - ms > MAX_STEP_BACK_MS:
            raise ClockError(
                f"the clock went back by {self._ms - ms} ms; no message id until it has caught up "
                f"(up to {MAX_STEP_BACK_MS} ms are waited for)"
            )
        elif self._n == self._last or ms < self._ms:
            self._start(self._wait_past(self._ms))
        else:
            self._n += 1
        return self._base | self._n

    def _start(self, ms: int) -> None:
        self._ms = ms
        self._base = compose(ms, self.node, 0)
        self._n = self._first

    def _wait_past(self, last_ms: int) -> int:
        """Return the clock once it is past `last_ms`, which it is within MAX_STEP_BACK_MS + 1 ms of real time."""
        deadline = time.monotonic() + (MAX_STEP_BACK_MS + 1) / 1000 + 0.05
        while (ms := self._clock()) <= last_ms:
            if time.monotonic() > deadline:
                raise ClockError(
                    f"the clock stands still or falls: it should be past {last_ms} ms and reads {ms}"
                )
            time.sleep(0.0002)
        return ms
