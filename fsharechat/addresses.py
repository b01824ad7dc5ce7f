"""Internet addresses of clients: read from text, and grouped by subscriber."""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

V6_PREFIX = 64
"""The prefix of the smallest IPv6 network that one subscriber has, bits (RFC 6177)."""

_WITH_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]+|\[(?P<v6>[^\]]+)\](:[0-9]+)?")


def parsed(text: str | None) -> Address | None:
    """Return the address in a text, with or without a port, in a normal form, None if the text is no address."""
    text = (text or "").strip()
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(with_port["v4"] or with_port["v6"] if with_port else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def subscriber(address: Address) -> str:
    """Return the address or network of a subscriber: an IPv4 address, or an IPv6 network of V6_PREFIX bits."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, V6_PREFIX), strict=False))
    return str(address)
