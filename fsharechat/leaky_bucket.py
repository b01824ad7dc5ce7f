"""The leaky bucket: it limits every rate of requests (contract.md section 8)."""

_TOLERANCE = 1e-3
"""The tolerance, in requests: times are floats, and a request exactly at the limit must pass."""


class LeakyBucket:
    """`count` at once, and as many again over `seconds`. 0: no limit.

    The level of a bucket is one float, the time at which it is empty. The caller keeps it. A new or empty bucket need
    not be kept. Times are seconds of a clock that does not go back.
    """

    __slots__ = ("_each", "_seconds", "count")

    def __init__(self, count: int, seconds: float) -> None:
        self.count = count
        self._each = seconds / count if count else 0.0
        self._seconds = seconds + self._each * _TOLERANCE

    def pour(self, empty_at: float, now: float) -> tuple[bool, float]:
        """Return whether one more is within the limit at `now`, and the new level; if not, the old level.

        `empty_at` is the level before, 0 for a new bucket.
        """
        filled = (empty_at if empty_at > now else now) + self._each
        if filled - now > self._seconds:
            return False, empty_at
        return True, filled
