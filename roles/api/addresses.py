"""The address of an HTTP client, also behind trusted proxies."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fsharechat.addresses import Address, parsed, subscriber


def behind_proxies(trusted: Iterable[str]) -> Middleware:
    """Set `request.remote` to the client, if the connection comes from one of the `trusted` networks."""
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
    """Return the nearest address that is not a trusted proxy: anybody may have written the ones before it."""
    for text in reversed(hops):
        hop = parsed(text)
        if hop is None or not any(peer in network for network in trusted):
            break
        peer = hop
    return peer


def counted_as(remote: str | None) -> str:
    """Return the name under which a client is counted, "" if it has no limit.

    Addresses of this machine have no limit: they are tests, and proxies that are not trusted to name their clients.
    """
    address = parsed(remote)
    return "" if address is None or address.is_loopback else subscriber(address)
