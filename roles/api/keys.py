"""The key of the back office: a request with it is always served, even if others guess from the same address."""

import hashlib
import hmac
from math import ceil
from typing import NamedTuple

import orjson
import structlog
from aiohttp import web

from fsharechat.addresses import parsed, subscriber
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Rpc
from roles.api.addresses import Waits

log = structlog.get_logger(__name__)

NO_KEY = "no program may come in: set [api] key (or FSHARECHAT_API__KEY) and restart the server"
MISSING = "a key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
WRONG = "the key is wrong"
TOO_MANY = "too many wrong keys from this address"


class AccessRefused(NamedTuple):
    """Why a request is refused: an HTTP status, a text, and the header that belongs to the status."""

    status: int
    why: str
    headers: dict[str, str]


class KeyGuard:
    """Compares keys in constant time, and counts the wrong ones of each address.

    A key has 16 characters or more, so guessing does not find it. The count never keeps out a right key. It bounds
    the cost of guesses, and their lines in the log.
    """

    def __init__(self, key: str, rpc: Rpc) -> None:
        """`key` is empty if there is no back office."""
        self._digest = _digest(key) if key else None
        self._rpc = rpc
        self._waits = Waits()

    async def check(self, request: web.Request) -> AccessRefused | None:
        """Return None if the request may go on."""
        if self._digest is None:
            return AccessRefused(403, NO_KEY, {})
        shown = _shown(request)
        if shown is None:
            return _unauthorized(MISSING)
        if hmac.compare_digest(_digest(shown), self._digest):
            return None
        address = _network(request.remote)
        if not self._waits.seconds(address):
            self._waits.refuse(address, await self._count(address))
        if seconds := self._waits.seconds(address):
            return AccessRefused(429, TOO_MANY, {"Retry-After": str(ceil(seconds))})
        log.warning("wrong key for the back office", address=request.remote, path=request.path)
        return _unauthorized(WRONG)

    async def _count(self, address: str) -> int:
        """Return how long an address must wait, ms; 0 also if no process can count."""
        reply = await self._rpc.call(
            Call(Method.ADMIN, "", "", orjson.dumps({"op": "keys.wrong", "address": address}))
        )
        return int(orjson.loads(reply.payload)["result"]["waitMs"]) if reply.code == Code.SUCCESS else 0


def _unauthorized(why: str) -> AccessRefused:
    return AccessRefused(401, why, {"WWW-Authenticate": "Bearer"})


def shows_key(request: web.Request) -> bool:
    """Return whether a request shows a key, right or wrong."""
    return _shown(request) is not None


def _shown(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("X-API-Key") or None


def _network(remote: str | None) -> str:
    """Return the name under which an address is counted."""
    address = parsed(remote)
    return subscriber(address) if address is not None else ""


def _digest(key: str) -> bytes:
    """Return a text of the same length for every key, so that a comparison does not reveal the length."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
