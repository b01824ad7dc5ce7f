"""The address of an HTTP client, also behind trusted proxies; and addresses that must wait."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from time import monotonic

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fsharechat.addresses import Address, parsed, subscriber


def behind_proxies(trusted: Iterable[str]) -> Middleware:
    """Set `request.remote` to the client, if the connection comes from one of the `trusted` networks.

    The nearest proxy also says by X-Forwarded-Proto whether the client came over https.
    """
    networks = [ip_network(name) for name in trusted]

    @web.middleware
    async def resolve(request: web.Request, handler: Handler) -> web.StreamResponse:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        peer = parsed(request.remote)
        if request.headers.get("X-Forwarded-Proto") == "https" and _is_in(peer, networks):
            request = request.clone(scheme="https")
        if forwarded and peer is not None:
            client = _client(peer, ",".join(forwarded).split(","), networks)
            if client != peer:
                request = request.clone(remote=str(client))
        return await handler(request)

    return resolve


def _client(peer: Address, hops: list[str], trusted: list[IPv4Network | IPv6Network]) -> Address:
    """Return the nearest address that is not a trusted proxy: anybody may have written the ones before it."""
    for text in reversed(hops):
        hop = parsed(text)
        if hop is None or not _is_in(peer, trusted):
            break
        peer = hop
    return peer


def _is_in(address: Address | None, networks: list[IPv4Network | IPv6Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def counted_as(remote: str | None) -> str:
    """Return the name under which a client is counted, "" if it has no limit.

    Addresses of this machine have no limit: they are tests, and proxies that are not trusted to name their clients.
    """
    address = parsed(remote)
    return "" if address is None or address.is_loopback else subscriber(address)


MAX_ADDRESSES = 50_000
"""How many addresses are kept. Beyond, the one refused first is forgotten."""


class Waits:
    """How long addresses must wait. It is no limit of its own: the store refuses forgotten addresses again."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def refuse(self, address: str, milliseconds: int) -> None:
        """Let an address wait so long; 0: not at all."""
        self._until.pop(address, None)
        if milliseconds <= 0:
            return
        self._until[address] = monotonic() + milliseconds / 1000
        if len(self._until) > MAX_ADDRESSES:
            del self._until[next(iter(self._until))]

    def seconds(self, address: str) -> float:
        """Return how long an address must still wait; 0: it may ask."""
        until = self._until.get(address)
        if until is None:
            return 0.0
        left = until - monotonic()
        if left <= 0:
            del self._until[address]
        return max(0.0, left)
