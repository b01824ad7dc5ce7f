"""Message ids: time, node and counter in 63 bits (contract.md section 6). They order history.

They are a hybrid logical clock: an id is higher than all ids that its maker has given out or seen, whatever the clock
does. Its time is the real time whenever possible. The time of a message that people see does not come from its id.
"""

from collections.abc import Callable, Iterable
from time import time_ns

from fsharechat.clock import EARLIEST_MS, LATEST_MS, ClockWatch, monotonic_ms, now_ms

EPOCH_MS = 1514736000000
_EPOCH_SECONDS = EPOCH_MS / 1000 + 0.0005
"""An id has whole milliseconds: its moment is half of one later, on average."""
NODES = 64
COUNTERS = 1 << 15

MAX_AHEAD_MS = 60_000
"""Ids that are further ahead of this clock, ms, are not followed: one of the two clocks is wrong."""

AFTER_MS = 1000
"""A new generator begins so far after the highest stored id.

Requests of the last holder of the node id may still be on their way to the store, with ids a little higher.
"""


class LeaseError(RuntimeError):
    """Another process may have the node id by now, so no id can be given."""


def compose(ms: int, node: int, n: int) -> int:
    """Return the id of the `n`-th message (0-32767) that `node` (0-63) made in the millisecond `ms`."""
    return (ms - EPOCH_MS) << 21 | node << 15 | n


def time_of(message_id: int) -> int:
    """Return the time of an id, ms: when it was made, or later if its maker had to go ahead of its clock."""
    return (message_id >> 21) + EPOCH_MS


def ages(message_ids: Iterable[int]) -> list[float]:
    """Return how long ago these ids were made, s, by this clock and that of their makers; at least 0."""
    now = time_ns() / 1_000_000_000 - _EPOCH_SECONDS
    return [age if (age := now - (id >> 21) / 1000) > 0 else 0.0 for id in message_ids]


def node_of(message_id: int) -> int:
    """Return the node that made the id."""
    return message_id >> 15 & (NODES - 1)


class IdGenerator:
    """Gives out ids that are unique for `node`. Each is higher than `after` and all ids given out or observed before.

    When the clock stands still or goes back, the counter runs on. When the counter is used up, the time of the ids
    moves on by a millisecond. `after` is the highest stored id, 0 if there is none. `first` and `last` bound the
    counter: connectors use the lower half, group processes the upper half, so a connector and a group process with
    the same node id never give out the same id (docs/decisions/who-owns-what.md). `held` tells whether this process
    still has the node id.
    """

    __slots__ = (
        "_clock",
        "_end",
        "_first",
        "_held",
        "_last",
        "_monotonic",
        "_ms",
        "_next",
        "_started",
        "_watch",
        "node",
    )

    def __init__(
        self,
        node: int,
        *,
        after: int = 0,
        first: int = 0,
        last: int = COUNTERS // 2 - 1,
        clock: Callable[[], int] = now_ms,
        monotonic: Callable[[], int] = monotonic_ms,
        held: Callable[[], bool] = lambda: True,
        watch: ClockWatch | None = None,
    ) -> None:
        if not 0 <= node < NODES:
            raise ValueError(f"a node id is 0-{NODES - 1}, not {node}")
        if not 0 <= first <= last < COUNTERS:
            raise ValueError(f"counters are 0-{COUNTERS - 1}, not {first}-{last}")
        self.node = node
        self._first = first
        self._last = last
        self._clock = clock
        self._monotonic = monotonic
        self._held = held
        self._watch = watch or ClockWatch()
        self._ms = self._next = self._end = 0
        self._begin(max(EARLIEST_MS, time_of(after) + AFTER_MS) if after else EARLIEST_MS)
        # The highest reading of this clock, less the time since then. So when this clock goes back, no peer's clock
        # looks ahead.
        self._started = max(self._read(), self._ms) - monotonic()

    @classmethod
    def for_group(
        cls,
        node: int,
        *,
        after: int = 0,
        clock: Callable[[], int] = now_ms,
        monotonic: Callable[[], int] = monotonic_ms,
        held: Callable[[], bool] = lambda: True,
    ) -> "IdGenerator":
        """Return the generator of a group process: the upper half of the counter."""
        return cls(
            node,
            after=after,
            first=COUNTERS // 2,
            last=COUNTERS - 1,
            clock=clock,
            monotonic=monotonic,
            held=held,
        )

    @property
    def newest(self) -> int:
        """No id that this generator has given out or followed is higher than this."""
        return self._next - 1

    def next(self) -> int:
        """Return the next id. Raises LeaseError when the process does not hold its node id."""
        if not self._held():
            raise LeaseError(f"the lease of node id {self.node} is lost")
        ms = self._clock()
        if self._ms < ms < LATEST_MS:
            self._begin(ms)
        else:
            if self._next > self._end:
                self._begin(self._ms + 1)
            if self._ms - ms > MAX_AHEAD_MS:
                self._watch.behind(self._ms - ms)
        id = self._next
        self._next = id + 1
        return id

    def observe(self, message_id: int) -> None:
        """Give out only ids above this id of another node, unless it is far ahead of this clock."""
        if message_id >= self._next:
            self._follow(message_id)

    def time(self) -> int:
        """Return a time in ms that never goes back: the later one of the clock's time and the ids' time."""
        return max(self._read(), self._ms)

    def _follow(self, message_id: int) -> None:
        ms, monotonic = self._read(), self._monotonic()
        self._started = max(self._started, ms - monotonic)
        seen = time_of(message_id)
        ahead = seen - self._started - monotonic
        if ahead > MAX_AHEAD_MS:
            self._watch.peer_ahead(node_of(message_id), ahead)
            return
        if compose(seen, self.node, self._first) <= message_id:
            seen += 1
        self._begin(max(seen, ms))  # up to this moment; ids made before it need no second look

    def _begin(self, ms: int) -> None:
        """Give the next ids this millisecond."""
        self._ms = ms
        self._next = compose(ms, self.node, self._first)
        self._end = compose(ms, self.node, self._last)

    def _read(self) -> int:
        """Return the time of the clock in ms, 0 if it is impossible."""
        ms = self._clock()
        return ms if ms < LATEST_MS else 0
