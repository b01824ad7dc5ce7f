"""The registry of one process."""

from collections.abc import Callable
from typing import Literal

from fsharechat.bus import codec
from fsharechat.protocol.ids import NODES
from fsharechat.registry import Lease, LeaseTaken, Members, Registry


class MemoryLease(Lease):
    def __init__(self, registry: "MemoryRegistry", kind: str, node: int) -> None:
        super().__init__(kind, node)
        self._registry = registry
        self._held = True

    @property
    def held(self) -> bool:
        return self._held

    def holds(self, node: int) -> bool:
        return self._held and node == self.node

    def on_change(self, tell: Callable[[bool], None]) -> None:
        """Do nothing: the lease of a single process never changes."""

    async def release(self) -> None:
        if self._held:
            self._held = False
            self._registry.remove(self)

    def lose(self) -> None:
        """Lose the lease, because the registry is closed."""
        self._held = False


class MemoryRegistry(Registry):
    def __init__(self) -> None:
        self._members: dict[str, dict[int, str]] = {}
        self._leases: set[MemoryLease] = set()
        self._watchers: dict[str, list[Callable[[Members], None]]] = {}

    @property
    def away(self) -> str:
        return ""

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        for lease in self._leases:
            lease.lose()
        self._leases.clear()
        self._members.clear()
        self._watchers.clear()

    async def lease(self, kind: str, node: int | Literal["auto"], address: str) -> Lease:
        members = self._members.setdefault(kind, {})
        for candidate in range(NODES) if node == "auto" else (node,):
            if candidate not in members:
                members[candidate] = address
                lease = MemoryLease(self, kind, candidate)
                self._leases.add(lease)
                self._tell(kind)
                return lease
        raise LeaseTaken(f"node id {node} of a {kind} is held by {members.get(candidate)}")

    async def watch(self, kind: str, on_members: Callable[[Members], None]) -> None:
        self._watchers.setdefault(kind, []).append(on_members)
        on_members(dict(self._members.get(kind, {})))

    async def watch_bus(self, on_version: Callable[[int], None]) -> None:
        """Tell the only version: there is one process."""
        on_version(codec.SPOKEN.newest)

    def remove(self, lease: MemoryLease) -> None:
        """Remove the member whose lease was released."""
        self._leases.discard(lease)
        self._members[lease.kind].pop(lease.node)
        self._tell(lease.kind)

    def _tell(self, kind: str) -> None:
        for on_members in self._watchers.get(kind, []):
            on_members(dict(self._members[kind]))
