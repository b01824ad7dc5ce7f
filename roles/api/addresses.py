"""Who asks over HTTP: the address of the client, through the proxies that are trusted to tell it."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

Address = IPv4Address | IPv6Address

_WITH_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]+|\[(?P<v6>[^\]]+)\](:[0-9]+)?")

V6_PREFIX = 64
"""One subscriber has at least so much of IPv6."""


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


def parsed(text: str | None) -> Address | None:
    """Return the address that a text is, with or without a port, in one form for each; None when it is none."""
    text = (text or "").strip()
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(with_port["v4"] or with_port["v6"] if with_port else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def counted_as(remote: str | None) -> str:
    """Return what a client is counted as, or "" where it has no limit.

    Addresses of this machine have none: they are tests, and proxies that are not trusted to tell for whom they ask.
    """
    address = parsed(remote)
    return "" if address is None or address.is_loopback else subscriber(address)


def subscriber(address: Address) -> str:
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, V6_PREFIX), strict=False))
    return str(address)


class AddressRoom:
    """`count` connections of an address at a time; 0: no limit.

    Addresses of this machine and of the `trusted` proxies are not limited: others stand behind them. IPv6 addresses
    are counted by their network of V6_PREFIX bits.
    """

    def __init__(self, count: int, trusted: Iterable[str]) -> None:
        self._count = count
        self._trusted = [ip_network(name) for name in trusted]
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def enter(self, remote: str | None) -> str | None:
        """Count a connection; return the name to `leave` by, "" where it is not counted, or None for no room."""
        address = parsed(remote)
        if not self._count or address is None or address.is_loopback:
            return ""
        if any(address in network for network in self._trusted):
            return ""
        name = subscriber(address)
        taken = self._taken.get(name, 0)
        if taken >= self._count:
            return None
        self._taken[name] = taken + 1
        return name

    def leave(self, name: str) -> None:
        """Count a connection no more."""
        left = self._taken.pop(name, 0) - 1
        if left > 0:
            self._taken[name] = left
