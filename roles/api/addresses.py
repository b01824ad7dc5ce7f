"""Who asks over HTTP: the address of the client, through the proxies that are trusted to tell it; and how often."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fsharechat.addresses import Address, parsed, subscriber
from fsharechat.leaky_bucket import LeakyBucket

MAX_ADDRESSES = 50_000
"""Addresses whose requests are counted; beyond, those that asked longest ago are forgotten."""


def behind_proxies(trusted: Iterable[str]) -> Middleware:
    """Let `request.remote` be the client, where the connection comes from one of the `trusted` networks."""
    networks = [ip_network(name) for name in trusted]

    @web.middleware
    async def resolve(request: web.Request, handler: Handler) -> web.StreamResponse:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        peer = parsed(request.remote)
        if forwarded and peer is not None:
            client = _client(peer, ",".join(forwarded).split(","), networks)
            if client != peer:
                request = request.clone(remote=str(client))
        return await handler(request)

    return resolve


def _client(peer: Address, hops: list[str], trusted: list[IPv4Network | IPv6Network]) -> Address:
    """Return the nearest address that is not a trusted proxy's: what stands before it anybody may have written."""
    for text in reversed(hops):
        hop = parsed(text)
        if hop is None or not any(peer in network for network in trusted):
            break
        peer = hop
    return peer


class AddressLimit:
    """`count` requests of an address at once, and as many over `seconds`; `count` 0: no limit.

    Addresses of this machine are not limited: they are tests, and proxies that are not trusted to tell for whom they
    ask. Addresses are counted by their subscriber.
    """

    def __init__(self, count: int, seconds: float) -> None:
        self._bucket = LeakyBucket(count, seconds)
        self._levels: dict[str, float] = {}
        self.refused = 0
        """Requests that were one too many."""

    def __len__(self) -> int:
        return len(self._levels)

    def allows(self, remote: str | None, now: float) -> bool:
        """Count a request at `now` (seconds of a clock that does not go back) unless it is one too many."""
        address = parsed(remote)
        if not self._bucket.count or address is None or address.is_loopback:
            return True
        key = subscriber(address)
        allowed, self._levels[key] = self._bucket.pour(self._levels.pop(key, 0.0), now)
        self._forget(now)
        self.refused += not allowed
        return allowed

    def _forget(self, now: float) -> None:
        """Drop what is empty by now from those asked for longest ago, and one more when there are too many."""
        for _ in range(2):
            key = next(iter(self._levels))
            if self._levels[key] > now and len(self._levels) <= MAX_ADDRESSES:
                return
            del self._levels[key]
