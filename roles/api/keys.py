"""The key of the back office: who shows it may ask, who guesses at it is soon not heard any more."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from aiohttp import web

from fsharechat.addresses import parsed, subscriber

log = structlog.get_logger(__name__)

MAX_WRONG = 10
"""Wrong keys from one address within WINDOW_SECONDS; beyond, it gets 429 whatever it shows."""

WINDOW_SECONDS = 60.0
MAX_ADDRESSES = 10_000
"""Addresses whose wrong keys are counted; the one that began first is forgotten for one more."""

NO_KEY = "the back office is closed: set [api] key (or FSHARECHAT_API__KEY) and start the server again"
MISSING = "a key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
WRONG = "the key is wrong"
TOO_MANY = "too many wrong keys from this address"


class KeyGuard:
    """Tells right keys from wrong ones in constant time, and counts the wrong ones of each address."""

    def __init__(self, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`key` is empty where there is no back office; `clock` gives seconds."""
        self._digest = _digest(key) if key else None
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, request: web.Request) -> tuple[int, str] | None:
        """Return None when the request may go on, else an HTTP status and why."""
        if self._digest is None:
            return 403, NO_KEY
        shown = _shown(request)
        if shown is None:
            return 401, MISSING
        address, now = _network(request.remote), self._clock()
        since, count = self._wrong.get(address, (now, 0))
        if now - since >= WINDOW_SECONDS:
            since, count = now, 0
        if count >= MAX_WRONG:
            return 429, TOO_MANY
        if hmac.compare_digest(_digest(shown), self._digest):
            return None
        self._count(address, since, count + 1)
        log.warning(
            "wrong key for the back office", address=request.remote, path=request.path, count=count + 1
        )
        return 401, WRONG

    def seconds_left(self, remote: str | None) -> int:
        """Return for how long an address is not heard, in whole seconds."""
        since, _ = self._wrong.get(_network(remote), (self._clock(), 0))
        return max(1, int(since + WINDOW_SECONDS - self._clock()) + 1)

    def _count(self, address: str, since: float, count: int) -> None:
        if count == 1:
            self._wrong.pop(address, None)  # so that its place is that of its window
        self._wrong[address] = (since, count)
        if len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)


def _shown(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("X-API-Key") or None


def _network(remote: str | None) -> str:
    """Return what an address is counted as."""
    address = parsed(remote)
    return subscriber(address) if address is not None else ""


def _digest(key: str) -> bytes:
    """Return a text of the same length for every key, so that a comparison tells nothing of the length."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
