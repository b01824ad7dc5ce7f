"""The registry of one machine. The main process starts the workers, so it knows which of them live.

A worker has the node id that it was started with. The main process starts another one with this id only when the
first has ended. So a lease lasts as long as its process, and nobody has to be asked for it.
"""

from fsharechat.registry.memory import MemoryRegistry


class MainRegistry(MemoryRegistry):
    """The end in the main process."""

    def join(self, kind: str, node: int, address: str) -> None:
        """Note that a worker has begun."""
        self._members.setdefault(kind, {})[node] = address
        self._tell(kind)

    def leave(self, kind: str, node: int) -> None:
        """Note that it has ended."""
        if self._members.get(kind, {}).pop(node, None) is not None:
            self._tell(kind)


class WorkerRegistry(MemoryRegistry):
    """The end in a worker: the group role is at the address `group`, as long as the worker lives."""

    def __init__(self, group: str) -> None:
        super().__init__()
        self._members["group"] = {0: group}
