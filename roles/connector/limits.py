"""How often a device may ask (protocol.md section 8): a leaky bucket for each (client, user, sub-signal)."""


class RateLimit:
    """`requests` in `seconds` at once, and as many over that time; 0 requests: no limit."""

    __slots__ = ("_capacity", "_rate", "seconds")

    def __init__(self, requests: int, seconds: float) -> None:
        self._capacity = requests
        self._rate = requests / seconds
        self.seconds = seconds

    def allows(self, buckets: "Buckets", sub_signal: int, now: float) -> bool:
        """Count a request at `now` (seconds of a clock that does not go back) unless it is one too many."""
        if not self._capacity:
            return True
        level, since = buckets.levels.get(sub_signal, (0.0, now))
        level = max(0.0, level - (now - since) * self._rate)
        allowed = level + 1 <= self._capacity
        buckets.levels[sub_signal] = (level + 1 if allowed else level, now)
        return allowed


class Buckets:
    """The levels of one device of one user, by sub-signal."""

    __slots__ = ("levels",)

    def __init__(self) -> None:
        self.levels: dict[int, tuple[float, float]] = {}


class BucketTable:
    """Keeps the buckets of devices that have gone until they have leaked out: a reconnect is no fresh start."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._left: dict[tuple[str, str], tuple[float, Buckets]] = {}

    def __len__(self) -> int:
        return len(self._left)

    def keep(self, uid: str, client_id: str, buckets: Buckets, now: float) -> None:
        self._left.pop((uid, client_id), None)
        self._left[uid, client_id] = (now + self._seconds, buckets)

    def take(self, uid: str, client_id: str) -> Buckets:
        """Return what the device left behind, or new buckets."""
        left = self._left.pop((uid, client_id), None)
        return left[1] if left else Buckets()

    def sweep(self, now: float) -> None:
        """Forget the buckets that are empty by now."""
        while self._left:
            key = next(iter(self._left))
            if self._left[key][0] > now:
                return
            del self._left[key]
