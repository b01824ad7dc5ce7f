"""How often a device may ask (contract.md section 8): a leaky bucket for each (client, user, kind of request)."""

from enum import Enum

from fsharechat.leaky_bucket import LeakyBucket
from fsharechat.protocol.signals import REQUESTS

PING = -1
"""The kind of a PING and of the web client's heartbeat; the kind of a request is its sub-signal."""

FOLLOW_UPS = frozenset(number for number, row in REQUESTS.items() if row.follow_up)
"""What the server itself asks for, and what clients say of each message they get and never say again."""

FLOOD = 10
"""So many times the limit end the connection: requests that are refused count for this too."""


class Verdict(Enum):
    ALLOWED = 0
    TOO_OFTEN = 1
    FLOOD = 2


class Buckets:
    """The levels of one device of one user, by kind: of its requests, and of those that were refused."""

    __slots__ = ("levels", "refused")

    def __init__(self) -> None:
        self.levels: dict[int, float] = {}
        self.refused: dict[int, float] | None = None

    def leaked(self, now: float) -> bool:
        """Return whether all of them are empty, so that new ones would do."""
        if self.refused and max(self.refused.values()) > now:
            return False
        return max(self.levels.values(), default=0.0) <= now


class RateLimit:
    """`requests` of each kind in `seconds` at once, and as many over that time, and `follow_ups` of FOLLOW_UPS.

    0: no limit. Beyond, a request is refused; beyond FLOOD times as many, it ends its connection.
    """

    __slots__ = ("_follow_ups", "_requests")

    def __init__(self, requests: int, follow_ups: int, seconds: float) -> None:
        self._requests = _Pair(requests, seconds)
        self._follow_ups = _Pair(follow_ups, seconds)

    def count(self, buckets: Buckets, kind: int, now: float) -> Verdict:
        """Count a request at `now` (seconds of a clock that does not go back), and say what it gets."""
        pair = self._follow_ups if kind in FOLLOW_UPS else self._requests
        if not pair.allowed.count:
            return Verdict.ALLOWED
        allowed, level = pair.allowed.pour(buckets.levels.get(kind, 0.0), now)
        if allowed:
            buckets.levels[kind] = level
            return Verdict.ALLOWED
        if buckets.refused is None:
            buckets.refused = {}
        refused, buckets.refused[kind] = pair.refused.pour(buckets.refused.get(kind, 0.0), now)
        return Verdict.TOO_OFTEN if refused else Verdict.FLOOD


class _Pair:
    """The bucket of what is allowed, and the one of what is refused before the connection ends."""

    __slots__ = ("allowed", "refused")

    def __init__(self, count: int, seconds: float) -> None:
        self.allowed = LeakyBucket(count, seconds)
        self.refused = LeakyBucket(count * (FLOOD - 1), seconds)


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
