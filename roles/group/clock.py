"""The server's time, and the ids of the messages that this process writes."""

from fsharechat.clock import now_ms
from fsharechat.protocol.ids import IdGenerator
from fsharechat.registry import Lease
from fsharechat.store import messages
from fsharechat.store.store import Store


class ServerClock:
    """`ids` makes ids of the node id that was leased last. After `renew` it is another object."""

    def __init__(self, ids: IdGenerator) -> None:
        self.ids = ids

    @classmethod
    async def begin(cls, lease: Lease, store: Store) -> "ServerClock":
        """Return the clock of a process that starts. Raises StoreError."""
        return cls(await _ids(lease, store, 0))

    async def renew(self, lease: Lease, store: Store) -> None:
        """Go on with the node id that is leased now. Raises StoreError."""
        self.ids = await _ids(lease, store, self.ids.newest)

    now = staticmethod(now_ms)
    """The server's time in ms."""

    def next_id(self) -> int:
        """Return the id of a new message. Raises LeaseError."""
        return self.ids.next()


async def _ids(lease: Lease, store: Store, after: int) -> IdGenerator:
    """Return a generator of ids for the node id that is leased now, valid while the lease lasts. Raises StoreError.

    The ids are above `after` and above all stored ids, whichever process had the node id before.
    """
    node = lease.node
    newest = max(after, await store.read(messages.newest))
    return IdGenerator.for_group(node, after=newest, held=lambda: lease.holds(node))
