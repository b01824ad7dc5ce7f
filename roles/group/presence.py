"""The nodes on which users have devices, according to the presence events."""

import asyncio
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence

from fsharechat.bus import Bus, Kick, Presence, Resync
from fsharechat.registry import Members, Registry

RESYNC_SECONDS = 5.0
"""How often connectors whose beginning was not heard are asked for their devices, s."""


class PresenceTable:
    """Keeps the last announced place of each device: (node, epoch)."""

    def __init__(self) -> None:
        self._devices: dict[str, dict[str, tuple[int, int]]] = {}
        self.places: dict[str, tuple[int, ...]] = {}
        """The nodes that have a device of a user, in no order. Only to be read."""
        self._counts: Counter[int] = Counter()
        """How many devices each node has."""
        self._begun: dict[int, int] = {}
        """The epoch with which each node began. Earlier announcements come from another process, which has died."""

    def update(self, presence: Presence) -> tuple[int, int] | None:
        """Note an announcement. If the device has moved from another node, return its place there."""
        uid, client_id, node, epoch, online = presence
        if not uid:
            self._begun[node] = epoch
            self._forget(lambda place, known: place == node and known < epoch)
            return None
        if online and epoch < self._begun.get(node, 0):
            return None  # announcements of different devices may arrive in another order
        devices = self._devices.setdefault(uid, {})
        before = devices.get(client_id)
        moved = before if online and before is not None and before[0] != node else None
        if online:
            devices[client_id] = (node, epoch)
            self._counts[node] += 1
            if before is not None:
                self._counts[before[0]] -= 1
        elif before is not None and before[0] == node:
            del devices[client_id]
            self._counts[node] -= 1
        self._index(uid)
        return moved

    def keep_nodes(self, alive: Container[int]) -> None:
        """Forget all other nodes: their devices, and that they have begun."""
        self._forget(lambda node, _: node not in alive)
        self._begun = {node: epoch for node, epoch in self._begun.items() if node in alive}

    def drop_nodes(self, gone: Container[int]) -> None:
        """Forget the devices of these nodes."""
        self._forget(lambda node, _: node in gone)

    def _forget(self, is_gone: Callable[[int, int], bool]) -> None:
        for uid, devices in list(self._devices.items()):
            for client_id, (node, epoch) in list(devices.items()):
                if is_gone(node, epoch):
                    del devices[client_id]
                    self._counts[node] -= 1
            self._index(uid)

    def unheard(self, nodes: Iterable[int]) -> list[int]:
        """Return the nodes whose beginning was never heard: their announcements are lost."""
        return [node for node in nodes if node not in self._begun]

    def __len__(self) -> int:
        """Return how many devices are known."""
        return self._counts.total()

    @property
    def users(self) -> int:
        """The number of users with a known device."""
        return len(self._devices)

    @property
    def per_node(self) -> dict[int, int]:
        """How many devices each node has."""
        return {node: count for node, count in sorted(self._counts.items()) if count}

    def devices(self, uid: str) -> dict[str, tuple[int, int]]:
        """Return the place of each device of a user, by client id: the node, and the epoch it connected with."""
        return dict(self._devices.get(uid, {}))

    def _index(self, uid: str) -> None:
        if devices := self._devices[uid]:
            self.places[uid] = tuple({node for node, _ in devices.values()})
        else:
            del self._devices[uid]
            self.places.pop(uid, None)


class Whereabouts:
    """Keeps the table: hears the connectors, asks those whose events were lost, and forgets those that have gone.

    `listeners` are told of each device that comes or goes.
    """

    def __init__(self, bus: Bus) -> None:
        self.table = PresenceTable()
        self.listeners: Sequence[Callable[[Presence], None]] = ()
        self._bus = bus
        self._connectors: set[int] | None = None
        self._whole = False
        self._resyncing: asyncio.TimerHandle | None = None

    async def start(self, registry: Registry) -> None:
        """Hear connectors; returns once all that they have said has been heard, or the bus is away."""
        await self._bus.watch_presence(self._on_presence, self._on_whole_presence)
        await registry.watch("connector", self._on_connectors)
        self._resyncing = asyncio.get_running_loop().call_later(RESYNC_SECONDS, self._resync)

    def stop(self) -> None:
        if self._resyncing is not None:
            self._resyncing.cancel()

    def complete(self) -> bool:
        """Return whether all existing connectors have been heard. If so, a user without a known device is offline."""
        if not self._whole or self._connectors is None or self._bus.away:
            return False
        return not self.table.unheard(self._connectors)

    def _on_presence(self, presence: Presence) -> None:
        moved_from = self.table.update(presence)
        if moved_from is not None:
            node, epoch = moved_from
            self._bus.deliver(node, [Kick(presence.uid, presence.client_id, epoch)])
        for listener in self.listeners:
            listener(presence)

    def _on_whole_presence(self) -> None:
        """Drop the announcements of connectors that have gone, if it is known which connectors exist."""
        self._whole = True
        if self._connectors is not None:
            self.table.keep_nodes(self._connectors)

    def _resync(self) -> None:
        """Ask the connectors whose announcements the bus has lost to make them again."""
        self._resyncing = asyncio.get_running_loop().call_later(RESYNC_SECONDS, self._resync)
        if not self._bus.away:
            for node in self.table.unheard(self._connectors or ()):
                self._bus.deliver(node, [Resync()])

    def _on_connectors(self, members: Members) -> None:
        """Drop the sessions of connectors that have gone; at the first call, of all that do not exist."""
        if self._connectors is None:
            self.table.keep_nodes(members)
        elif gone := self._connectors - members.keys():
            self.table.drop_nodes(gone)
        self._connectors = set(members)
