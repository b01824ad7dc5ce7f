"""A lease for tests, which they can lose and regain."""

import asyncio
from collections.abc import Callable
from typing import Literal

from fsharechat.registry import Lease
from fsharechat.registry.memory import MemoryRegistry


class FickleLease(Lease):
    def __init__(self, kind: str, node: int) -> None:
        super().__init__(kind, node)
        self._held = True
        self._listeners: list[Callable[[bool], None]] = []

    @property
    def held(self) -> bool:
        return self._held

    def on_change(self, tell: Callable[[bool], None]) -> None:
        self._listeners.append(tell)

    async def release(self) -> None:
        self._held = False

    def lose(self) -> None:
        """Lose the lease. The listeners are told in the next turn of the loop."""
        self._set(False)

    def regain(self, node: int) -> None:
        """Hold the lease again, with this id."""
        self.node = node
        self._set(True)

    def _set(self, held: bool) -> None:
        self._held = held
        for tell in self._listeners:
            asyncio.get_running_loop().call_soon(tell, held)


class FickleRegistry(MemoryRegistry):
    """Gives every process the same lease."""

    def __init__(self, lease: FickleLease) -> None:
        super().__init__()
        self._lease = lease

    async def lease(self, kind: str, node: int | Literal["auto"], address: str) -> Lease:
        return self._lease
