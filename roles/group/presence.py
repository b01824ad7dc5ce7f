"""The nodes on which users have devices, according to the presence events."""

from collections import Counter
from collections.abc import Callable, Container, Iterable

from fsharechat.bus import Presence


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
