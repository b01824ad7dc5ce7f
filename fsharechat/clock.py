"""The clock of this machine, and its possible faults."""

import time

import structlog

log = structlog.get_logger(__name__)

EARLIEST_MS = 1_577_836_800_000
"""2020-01-01: a clock before that was never set."""

LATEST_MS = 4_102_444_800_000
"""2100-01-01: no clock is later, and message ids have no room for much more."""

REPORT_SECONDS = 60.0
"""How often a lasting fault is logged, s."""


def now_ms() -> int:
    """Return the time in ms since the Unix epoch. It may step in both directions."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Return the ms of a clock that never steps, counted from some moment."""
    return time.monotonic_ns() // 1_000_000


def problem(ms: int | None = None) -> str | None:
    """Return why the server cannot work with this clock (or one that reads `ms`), None if it may be right."""
    ms = now_ms() if ms is None else ms
    if EARLIEST_MS <= ms < LATEST_MS:
        return None
    try:
        shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(ms / 1000))
    except (OverflowError, ValueError, OSError):
        shown = f"{ms} ms since 1970"
    return f"the clock of this machine says {shown}: set it, and keep it by NTP"


def within(span_ms: int, then: int, now: int) -> bool:
    """Return whether two times are less than `span_ms` apart, in either order.

    The clocks of two processes may differ a little. But a time from a clock that was far ahead must not count: else
    somebody would be locked out until that time comes.
    """
    return abs(now - then) < span_ms


class ClockWatch:
    """Logs that clocks differ too much, each fault once in REPORT_SECONDS."""

    def __init__(self) -> None:
        self._said: dict[object, float] = {}

    def peer_ahead(self, node: int, by_ms: int) -> None:
        """The ids of a node have a time far ahead of this clock."""
        if self._is_due(node):
            log.error(
                "the clock of another machine is ahead, or this one is behind: set both by NTP",
                node=node,
                seconds=by_ms // 1000,
            )

    def behind(self, by_ms: int) -> None:
        """This clock is far behind the time of the ids that are given out."""
        if self._is_due("behind"):
            log.error(
                "the clock went back, or was ahead before: message ids count on from there",
                seconds=by_ms // 1000,
            )

    def _is_due(self, what: object) -> bool:
        now = time.monotonic()
        if now - self._said.get(what, -REPORT_SECONDS) < REPORT_SECONDS:
            return False
        self._said[what] = now
        return True
