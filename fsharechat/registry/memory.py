"""The registry of one process."""

from typing import Literal

from fsharechat.protocol.ids import NODES
from fsharechat.registry import Lease, LeaseTaken, Registry


class MemoryRegistry(Registry):
    def __init__(self) -> None:
        self._held: set[Lease] = set()

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self._held.clear()

    async def lease(self, kind: str, node: int | Literal["auto"]) -> Lease:
        wanted = range(NODES) if node == "auto" else (node,)
        for candidate in wanted:
            lease = Lease(kind, candidate)
            if lease not in self._held:
                self._held.add(lease)
                return lease
        raise LeaseTaken(f"node id {node} of a {kind} is held by this process")

    async def release(self, lease: Lease) -> None:
        self._held.discard(lease)
