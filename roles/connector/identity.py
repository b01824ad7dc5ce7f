"""The node id of a connector: the message ids that are made with it, and what is announced under it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import orjson
import structlog

from fsharechat.bus import Bus, Event, Presence
from fsharechat.protocol.ids import IdGenerator
from fsharechat.protocol.signals import Code
from fsharechat.registry import Lease
from fsharechat.rpc import Method, Rpc

log = structlog.get_logger(__name__)


class NodeIdentity:
    """Follows the lease of the node id. While another process may have it, the connector is `suspended`.

    `next_id` and `observe` are those of the IdGenerator of the node id that is held now.
    """

    retry_seconds = 1.0
    """Time between questions to the store that must be answered before work begins, s."""

    next_id: Callable[[], int]
    """Returns the id of a new message. Raises LeaseError."""
    observe: Callable[[int], None]
    """Notes the id of a message that another process has made: own ids are to be above it."""

    def __init__(self, lease: Lease, rpc: Rpc, bus: Bus) -> None:
        self._lease = lease
        self._rpc = rpc
        self._bus = bus
        self.suspended = False
        self._epoch = 0
        self._began = 0
        """The epoch with which the node began."""
        self._lease_changed = asyncio.Event()
        self._on_events: Callable[[Sequence[Event]], None] = lambda _: None
        self._on_loss: Callable[[], None] = lambda: None
        self._take_id()
        self._begin_ids(0)

    async def start(self, on_events: Callable[[Sequence[Event]], None], on_loss: Callable[[], None]) -> None:
        """Begin under the node id. `on_events` gets the events for this node, `on_loss` hears that the id is lost."""
        self._on_events = on_events
        self._on_loss = on_loss
        self._lease.on_change(self._on_lease)
        self.suspended = True
        self._begin_ids(await self._newest_id())
        await self._bus.serve_node(self.node, on_events)
        self._begin()

    def _take_id(self) -> None:
        self.node = self._lease.node

    def _begin_ids(self, after: int) -> None:
        """Give out message ids of this node id above `after`: earlier holders of the node id gave out lower ones."""
        node, lease = self.node, self._lease
        self._ids = IdGenerator(node, after=after, held=partial(lease.holds, node))
        self.next_id = self._ids.next
        self.observe = self._ids.observe

    async def _newest_id(self) -> int:
        """Return the highest stored message id. Waits for the store: without it no id can be given out."""
        while True:
            reply = await self._rpc.ask(Method.NEWEST_ID)
            if reply.code == Code.SUCCESS:
                newest: int = orjson.loads(reply.payload)
                return newest
            log.warning("waiting", section="store", reason=f"the newest message id: code {reply.code}")
            await asyncio.sleep(self.retry_seconds)

    def _begin(self) -> None:
        """Take connections, if the node id is held. Earlier connections under this id are gone."""
        if self._lease.holds(self.node):
            self.suspended = False
            self._began = self.new_epoch()
            self.announce_node()

    def _on_lease(self, held: bool) -> None:
        """Stop taking work while another process may have the node id."""
        self._lease_changed.set()
        if not held:
            self.suspended = True
            log.error("the node id is lost: no connections until there is one again", node=self.node)
            self._on_loss()

    async def follow(self) -> None:
        """Begin anew when there is a node id again, the old one or another."""
        while True:
            await self._lease_changed.wait()
            self._lease_changed.clear()
            if self._lease.node != self.node:
                await self._bus.leave_node(self.node)
                self._take_id()
                await self._bus.serve_node(self.node, self._on_events)
            if self.suspended and self._lease.held:
                self._begin_ids(max(self._ids.newest, await self._newest_id()))
                self._begin()

    def new_epoch(self) -> int:
        """Return the epoch of what begins now: it is above all earlier ones."""
        self._epoch = max(self._epoch + 1, self._ids.time())
        return self._epoch

    def announce_node(self) -> None:
        """Announce that this node has begun; see `announce`."""
        if self._lease.holds(self.node):
            self._bus.announce(Presence("", "", self.node, self._began))

    def announce(self, uid: str, client_id: str, epoch: int, *, online: bool) -> None:
        """Announce where a device is; not while another process may have the node id: others would mix them up."""
        if self._lease.holds(self.node):
            self._bus.announce(Presence(uid, client_id, self.node, epoch, online=online))
