"""Limits of requests (contract.md section 8): a leaky bucket for each client, user and kind of request."""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from functools import partial

from fsharechat.leaky_bucket import LeakyBucket
from fsharechat.protocol.signals import REQUESTS
from fsharechat.rpc import Reply, Rpc
from fsharechat.settings import Settings
from roles.connector.answers import AnswerCounts

PING = -1
"""The kind of a PING and of the web client's heartbeat. The kind of a request is its sub-signal."""

FOLLOW_UPS = frozenset(number for number, row in REQUESTS.items() if row.follow_up)
"""Requests that the server itself causes, and requests that clients send once for each message they get."""

MAX_UNDER_WAY = 128
"""So many CONNECTs of a connector are under way, and so many reads: work for the store, of less than a second."""

FLOOD = 10
"""So many times the limit end the connection. Refused requests count too."""


BeginCall = Callable[[], "asyncio.Future[Reply] | None"]


class Verdict(Enum):
    ALLOWED = 0
    TOO_OFTEN = 1
    FLOOD = 2


# On the path of every message, so read once (protocol/numbers.py).
_ALLOWED = Verdict.ALLOWED


class Buckets:
    """The buckets of one device of one user, by kind: one for its requests, one for refused requests."""

    __slots__ = ("levels", "refused")

    def __init__(self) -> None:
        self.levels: dict[int, float] = {}
        self.refused: dict[int, float] | None = None

    def leaked(self, now: float) -> bool:
        """Return whether all buckets are empty. Then new ones would be the same."""
        if self.refused and max(self.refused.values()) > now:
            return False
        return max(self.levels.values(), default=0.0) <= now


class RateLimit:
    """`requests` of each kind at once, and as many again over `seconds`; for FOLLOW_UPS it is `follow_ups`.

    0: no limit. Beyond, a request is refused. Beyond FLOOD times as many, the connection ends.
    """

    __slots__ = ("_follow_ups", "_requests")

    def __init__(self, requests: int, follow_ups: int, seconds: float) -> None:
        self._requests = _Pair(requests, seconds)
        self._follow_ups = _Pair(follow_ups, seconds)

    def count(self, buckets: Buckets, kind: int, now: float) -> Verdict:
        """Count a request at `now` (seconds of a clock that does not go back), and return the verdict."""
        pair = self._follow_ups if kind in FOLLOW_UPS else self._requests
        if not pair.allowed.count:
            return _ALLOWED
        allowed, level = pair.allowed.pour(buckets.levels.get(kind, 0.0), now)
        if allowed:
            buckets.levels[kind] = level
            return _ALLOWED
        if buckets.refused is None:
            buckets.refused = {}
        refused, buckets.refused[kind] = pair.refused.pour(buckets.refused.get(kind, 0.0), now)
        return Verdict.TOO_OFTEN if refused else Verdict.FLOOD


class _Pair:
    """The bucket for allowed requests, and the bucket for refused ones; when that is full, the connection ends."""

    __slots__ = ("allowed", "refused")

    def __init__(self, count: int, seconds: float) -> None:
        self.allowed = LeakyBucket(count, seconds)
        self.refused = LeakyBucket(count * (FLOOD - 1), seconds)


class BucketTable:
    """Keeps the buckets of devices that have gone until they leak out. So a reconnect does not reset limits."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._left: dict[tuple[str, str], tuple[float, Buckets]] = {}

    def __len__(self) -> int:
        return len(self._left)

    def keep(self, uid: str, client_id: str, buckets: Buckets, now: float) -> None:
        self._left.pop((uid, client_id), None)
        self._left[uid, client_id] = (now + self._seconds, buckets)

    def take(self, uid: str, client_id: str) -> Buckets:
        """Return the buckets that the device left behind, or new ones."""
        left = self._left.pop((uid, client_id), None)
        return left[1] if left else Buckets()

    def sweep(self, now: float) -> None:
        """Forget the buckets that have become empty."""
        while self._left:
            key = next(iter(self._left))
            if self._left[key][0] > now:
                return
            del self._left[key]


class CallsInTurn:
    """Calls of a kind: one of each device is under way, and MAX_UNDER_WAY in all. The others wait in order.

    After an outage all devices connect and read at once. If all these calls were made at once, the last would pass
    their deadline in the queue of the store, and the store would read for them all the same. A device has at most
    `max_inflight` here.
    """

    __slots__ = ("_line", "_under_way", "_waiting")

    def __init__(self) -> None:
        self._under_way = 0
        self._line: deque[object] = deque()
        """The devices whose turn will come."""
        self._waiting: dict[object, deque[BeginCall]] = {}
        """What waits, by device. A device is here while it is in the line or has a read under way."""

    def take(self, device: object, begin: BeginCall) -> None:
        """Call `begin` when it is its turn: it makes a call, or returns None if nobody waits for that any more."""
        waiting = self._waiting.get(device)
        if waiting is not None:
            waiting.append(begin)
            return
        self._waiting[device] = deque((begin,))
        self._line.append(device)
        self._go_on()

    def _go_on(self) -> None:
        while self._line and self._under_way < MAX_UNDER_WAY:
            device = self._line.popleft()
            waiting = self._waiting[device]
            future = None
            while waiting and future is None:
                future = waiting.popleft()()
            if future is None:
                del self._waiting[device]
                continue
            self._under_way += 1
            future.add_done_callback(partial(self._ended, device))

    def _ended(self, device: object, _: "asyncio.Future[Reply]") -> None:
        self._under_way -= 1
        if self._waiting[device]:
            self._line.append(device)
        else:
            del self._waiting[device]
        self._go_on()


class RequestFlow:
    """The requests of all sessions: how often each device may ask, and how many are under way (`inflight`).

    `max_inflight` is the most of one session. While the connector is `draining`, no new request is taken.
    """

    def __init__(self, settings: Settings, rpc: Rpc, time: Callable[[], float]) -> None:
        limits = settings.limits
        self.rpc = rpc
        self.time = time
        self.limit = RateLimit(limits.requests, limits.follow_ups, limits.seconds)
        self.buckets = BucketTable(limits.seconds)
        self.max_inflight = settings.connector.max_inflight
        self.connects, self.reads = CallsInTurn(), CallsInTurn()
        self.inflight = 0
        self.answers = AnswerCounts()
        self.draining = False
        self._idle = asyncio.Event()

    def look_if_idle(self) -> None:
        """Let `drained` return if no request is under way."""
        if not self.inflight:
            self._idle.set()

    async def drained(self) -> None:
        """Return when no request is under way any more; `draining` is set."""
        if self.inflight:
            await self._idle.wait()
