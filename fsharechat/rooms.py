"""How many connections there may be: so many of an address, and who has to go for the next one."""

from collections.abc import Hashable, Iterable
from ipaddress import ip_network
from typing import Generic, NamedTuple, TypeVar

import structlog

from fsharechat.addresses import parsed, subscriber

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Hashable)


class Crowded(NamedTuple):
    """The address of which a connection was refused last, and how many were since the last look."""

    address: str = ""
    refused: int = 0


class AddressRoom:
    """`count` connections of an address at a time; 0: no limit.

    Addresses of this machine and of the `trusted` proxies are not limited: others stand behind them. Addresses are
    counted by their subscriber, so IPv6 ones by their /64 network.
    """

    def __init__(self, count: int, trusted: Iterable[str]) -> None:
        self._count = count
        self._trusted = [ip_network(name) for name in trusted]
        self._taken: dict[str, int] = {}
        self._crowded = Crowded()

    def __len__(self) -> int:
        return len(self._taken)

    def enter(self, remote: str | None) -> str | None:
        """Count a connection, and return the name to `leave` by, or None for no room.

        The name is the same for all connections of a subscriber; it is "" where others stand behind the address.
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
        """Count a connection no more."""
        if name:
            left = self._taken.pop(name) - 1
            if left:
                self._taken[name] = left

    def tell_crowded(self) -> None:
        """Say of which address connections were refused since the last time, if any were."""
        if self._crowded.refused:
            log.warning("connections refused: too many of one address", **self._crowded._asdict())
            self._crowded = Crowded()


class Crowd(Generic[M]):
    """Connections of which one can be sent away when there is no room for the next.

    That is the oldest of the subscriber who has most of them: who opens many sends away only his own, as long as
    others have fewer. Every operation takes the same time, however many there are.
    """

    def __init__(self) -> None:
        self._group_of: dict[M, Hashable] = {}
        self._groups: dict[Hashable, dict[M, None]] = {}
        self._by_size: dict[int, dict[Hashable, None]] = {}
        self._largest = 0

    def __len__(self) -> int:
        return len(self._group_of)

    def add(self, member: M, name: str) -> None:
        """Add a connection, the youngest from now on. `name` is of AddressRoom; one without stands for itself."""
        self.discard(member)
        group: Hashable = name or member
        members = self._groups.setdefault(group, {})
        members[member] = None
        self._group_of[member] = group
        self._resized(group, len(members) - 1, len(members))

    def discard(self, member: M) -> None:
        """Take a connection out, if it is in."""
        group = self._group_of.pop(member, None)
        if group is None:
            return
        members = self._groups[group]
        del members[member]
        if not members:
            del self._groups[group]
        self._resized(group, len(members) + 1, len(members))

    def next_out(self) -> M | None:
        """Return the connection that has to go before all others; None where there is none."""
        if not self._largest:
            return None
        group = next(iter(self._by_size[self._largest]))
        return next(iter(self._groups[group]))

    def _resized(self, group: Hashable, before: int, after: int) -> None:
        """Keep the groups by size; a size changes by one."""
        if before:
            alike = self._by_size[before]
            del alike[group]
            if not alike:
                del self._by_size[before]
        if after:
            self._by_size.setdefault(after, {})[group] = None
        if after > self._largest or (before not in self._by_size and before == self._largest):
            self._largest = after
