"""Which of the group processes looks after what."""

from collections.abc import Collection
from zlib import crc32

from fsharechat.protocol.ids import IdGenerator


class GroupProcesses:
    """The group processes that run. Each thing that one of them looks after for all is given to one of these."""

    def __init__(self, ids: IdGenerator) -> None:
        self._ids = ids
        self.nodes: frozenset[int] = frozenset()
        """Their node ids."""

    def on_change(self, nodes: Collection[int]) -> None:
        self.nodes = frozenset(nodes)

    def is_ours(self, what: str) -> bool:
        """Return whether this process looks after something, such as the call of a group."""
        return one_of(what, self.nodes) == self._ids.node


def one_of(what: str, nodes: Collection[int]) -> int | None:
    """Return which of the group processes looks after something: all say the same.

    When one of them goes or comes, few things move.
    """
    return max(nodes, key=lambda node: (crc32(f"{node} {what}".encode()), node), default=None)
