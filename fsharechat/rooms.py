"""Limits for connections: how many of one address, and which one must make room for a new one."""

from collections.abc import Hashable, Iterable
from ipaddress import ip_network
from typing import Generic, NamedTuple, TypeVar

import structlog

from fsharechat.addresses import parsed, subscriber

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Hashable)


class Crowded(NamedTuple):
    """The address of the last refused connection, and how many were refused since the last check."""

    address: str = ""
    refused: int = 0


class AddressRoom:
    """`count` connections of an address at a time; 0: no limit.

    Addresses of this machine and of `trusted` proxies are not limited, because they stand for others. Addresses are
    counted by subscriber, so IPv6 addresses by their /64 network.
    """

    def __init__(self, count: int, trusted: Iterable[str]) -> None:
        self._count = count
        self._trusted = [ip_network(name) for name in trusted]
        self._taken: dict[str, int] = {}
        self._crowded = Crowded()

    def __len__(self) -> int:
        return len(self._taken)

    def enter(self, remote: str | None) -> str | None:
        """Count a connection. Return the name for `leave`, or None if there is no room.

        The name is the same for all connections of a subscriber. It is "" if the address stands for others.
        """
        address = parsed(remote)
        if address is None or address.is_loopback or any(address in network for network in self._trusted):
            return ""
        name = subscriber(address)
        taken = self._taken.get(name, 0)
        if self._count and taken >= self._count:
            self._crowded = Crowded(str(address), self._crowded.refused + 1)
            return None
        self._taken[name] = taken + 1
        return name

    def leave(self, name: str) -> None:
        """Stop counting a connection."""
        if name:
            left = self._taken.pop(name) - 1
            if left:
                self._taken[name] = left

    def tell_crowded(self) -> None:
        """Log the address of connections that were refused since the last time, if any were."""
        if self._crowded.refused:
            log.warning("connections refused: too many of one address", **self._crowded._asdict())
            self._crowded = Crowded()


class Crowd(Generic[M]):
    """Connections that can be closed to make room for new ones.

    The oldest connection of the subscriber with the most connections is closed. So a client that opens many loses
    only its own, as long as others have fewer. Every operation takes the same time, however many connections there
    are.
    """

    def __init__(self) -> None:
        self._group_of: dict[M, Hashable] = {}
        self._groups: dict[Hashable, dict[M, None]] = {}
        self._by_size: dict[int, dict[Hashable, None]] = {}
        self._largest = 0

    def __len__(self) -> int:
        return len(self._group_of)

    def add(self, member: M, name: str) -> None:
        """Add a connection as the youngest. `name` comes from AddressRoom; one without it counts for itself."""
        self.discard(member)
        group: Hashable = name or member
        members = self._groups.setdefault(group, {})
        members[member] = None
        self._group_of[member] = group
        self._resized(group, len(members) - 1, len(members))

    def discard(self, member: M) -> None:
        """Remove a connection, if it is there."""
        group = self._group_of.pop(member, None)
        if group is None:
            return
        members = self._groups[group]
        del members[member]
        if not members:
            del self._groups[group]
        self._resized(group, len(members) + 1, len(members))

    def next_out(self) -> M | None:
        """Return the connection that must go first, None if there is none."""
        if not self._largest:
            return None
        group = next(iter(self._by_size[self._largest]))
        return next(iter(self._groups[group]))

    def _resized(self, group: Hashable, before: int, after: int) -> None:
        """Keep the groups by size. A size changes by one."""
        if before:
            alike = self._by_size[before]
            del alike[group]
            if not alike:
                del self._by_size[before]
        if after:
            self._by_size.setdefault(after, {})[group] = None
        if after > self._largest or (before not in self._by_size and before == self._largest):
            self._largest = after
