"""Message ids: time, node and counter in 63 bits (contract.md section 6). They order history.

They are a hybrid logical clock: an id is above all that its maker has given out or seen, whatever the clock does, and
its time is the real one wherever that is possible. What people are shown as the time of a message is not taken from
its id.
"""

from collections.abc import Callable

from fsharechat.clock import EARLIEST_MS, LATEST_MS, ClockWatch, monotonic_ms, now_ms

EPOCH_MS = 1514736000000
NODES = 64
COUNTERS = 1 << 15

MAX_AHEAD_MS = 60_000
"""Ids that are further ahead of this clock are not followed: their maker's clock is wrong, or this one is."""

AFTER_MS = 1000
"""So far behind the highest id that is stored a new generator begins.

Requests of whoever had the node id before may be on their way to the store still, with ids a little higher.
"""


class LeaseError(RuntimeError):
    """The node id may be another process's by now, so no id can be given."""


def compose(ms: int, node: int, n: int) -> int:
    """Return the id of the `n`-th message (0-32767) that `node` (0-63) made in the millisecond `ms`."""
    return (ms - EPOCH_MS) << 21 | node << 15 | n


def time_of(message_id: int) -> int:
    """Return the millisecond of an id: when it was made, or later where its maker had to go ahead of its clock."""
    return (message_id >> 21) + EPOCH_MS


def node_of(message_id: int) -> int:
    """Return the node that made the id."""
    return message_id >> 15 & (NODES - 1)


class IdGenerator:
    """Gives out ids that are unique for `node` and above all that it has given, was begun `after`, and has observed.

    Where the clock stands still or has gone back the counter runs on; a counter that is used up moves the time of the
    ids on by a millisecond. `after` is the highest id that is stored, 0 where there is none. `first` and `last` bound
    the counter: connectors use the lower half, group processes the upper one, so that a connector and a group process
    with the same lease never meet (docs/decisions/who-owns-what.md). `held` tells whether the id is
    still this process's.
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
        # What this clock has read at the most, less the time since: so a clock that goes back makes no peer's ahead.
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
        """The highest id that this generator may have given out, and all that it has followed are at most this."""
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
        """Give out only ids above this one, which another node has made, unless it is far ahead of this clock."""
        if message_id >= self._next:
            self._follow(message_id)

    def time(self) -> int:
        """Return a time in ms that never goes back: the clock's, or that of the ids where it is later."""
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
        self._begin(max(seen, ms))  # up to this moment, so that what was made before costs no second look

    def _begin(self, ms: int) -> None:
        """Let the next ids be of this millisecond."""
        self._ms = ms
        self._next = compose(ms, self.node, self._first)
        self._end = compose(ms, self.node, self._last)

    def _read(self) -> int:
        """Return what the clock says, 0 where that cannot be."""
        ms = self._clock()
        return ms if ms < LATEST_MS else 0
