"""Keeps requests below the server's limit, which is a leaky bucket (contract.md section 8)."""

MARGIN = 0.9
"""The share of the limit that is used, at once and over time: requests sent apart may arrive together."""


class Pacer:
    """Gives each request a turn, in their order: so many at once, and then one at a time."""

    __slots__ = ("_capacity", "_level", "_rate", "_since")

    def __init__(self, requests: int, seconds: float) -> None:
        """The server takes `requests` in `seconds`; 0 requests: no limit."""
        self._capacity = max(1.0, requests * MARGIN) if requests else 0.0
        self._rate = requests * MARGIN / seconds
        self._level = 0.0
        self._since = 0.0

    def turn(self, now: float, within: float) -> float | None:
        """Return the seconds to wait for a turn, None if it would not come `within` seconds.

        A given turn counts, even if it is not used. `now` is from a clock that does not go back.
        """
        if not self._capacity:
            return 0.0
        self._leak(now)
        wait = max(0.0, self._level + 1 - self._capacity) / self._rate
        if wait > within:
            return None
        self._level += 1
        return wait

    def refused(self, now: float) -> None:
        """Note that the server's limit is reached: an earlier run of this device may have used it."""
        self._leak(now)
        self._level = max(self._level, self._capacity)

    def _leak(self, now: float) -> None:
        self._level = max(0.0, self._level - (now - self._since) * self._rate)
        self._since = now
