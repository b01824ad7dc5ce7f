"""The leaky bucket, by which every rate of requests is limited (contract.md section 8)."""

_TOLERANCE = 1e-3
"""Of one request: times are floats, and what is right at the limit is within it."""


class LeakyBucket:
    """`count` at once, and as many over `seconds`; `count` 0: no limit.

    The level of one bucket is a single float, the time at which it will have leaked out, and the caller keeps it:
    a bucket that nobody has poured into yet, or that has leaked out, need not be kept. Times are seconds of a clock
    that does not go back.
    """

    __slots__ = ("_each", "_seconds", "count")

    def __init__(self, count: int, seconds: float) -> None:
        self.count = count
        self._each = seconds / count if count else 0.0
        self._seconds = seconds + self._each * _TOLERANCE

    def pour(self, empty_at: float, now: float) -> tuple[bool, float]:
        """Return whether one more is within the limit at `now`, and the level with it, or else the level as it is.

        `empty_at` is the level before, 0 of a new bucket.
        """
        filled = (empty_at if empty_at > now else now) + self._each
        if filled - now > self._seconds:
            return False, empty_at
        return True, filled
