"""The registry in ZooKeeper: a node id is an ephemeral node `<root>/<kind>/<id>`, which goes with its process.

Everybody who reaches ZooKeeper can change these nodes: keep its port in the cluster's own network.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Literal

import structlog

from fsharechat import urls
from fsharechat.bus import codec as bus
from fsharechat.protocol.ids import NODES
from fsharechat.registry import Lease, LeaseTaken, Members, Registry, RegistryError
from fsharechat.registry.zookeeper import nodes
from fsharechat.registry.zookeeper.lease import ZooKeeperLease, clock
from fsharechat.registry.zookeeper.session import ZooKeeperSession
from fsharechat.tasks import pause, spawn

ROOT = "fsharechat"
PORT = 2181
OPEN_SECONDS = 5.0
REREAD_SECONDS = 10.0
"""How often members are read again without an event, s: aiozk was seen to lose events."""
PATIENCE = 1.5
"""How many session timeouts to wait for a fixed id: the session of a dead holder lasts one, and up to a tick (half of
one) more.
"""

READERS = ("connector", "group")
"""The kinds of processes that read the bus."""
Holders = Mapping[int, nodes.Holder]

log = structlog.get_logger(__name__)


class ZooKeeperRegistry(Registry):
    """The registry at `zookeeper://host[:port][,host[:port]…][/folder]`. Raises UrlError.

    `session_timeout`, s, is how long the id of a dead process stays taken. A lease without contact to ZooKeeper is
    given up after 0.6 of it. ZooKeeper grants 2 to 20 of its ticks.
    """

    def __init__(self, url: str, session_timeout: float = 10.0, bus_version: int = bus.SPOKEN.newest) -> None:
        """`bus_version` is the newest version of the bus that this process reads. The others are told."""
        parsed = urls.parse(url, "zookeeper", PORT)
        if parsed.user:
            raise urls.UrlError("ZooKeeper is used without a login")
        folders = [part for part in parsed.path.split("/") if part]
        self._root = "/" + "/".join([*folders, ROOT])
        self._session = ZooKeeperSession(parsed.hosts, session_timeout)
        self._leases: dict[tuple[str, int], ZooKeeperLease | None] = {}  # None: being taken
        self._bus_version = bus_version
        self._followers: dict[str, _Follower] = {}

    @property
    def away(self) -> str:
        return self._session.away

    async def open(self) -> None:
        await self._session.open(OPEN_SECONDS)

    async def close(self) -> None:
        for follower in self._followers.values():
            await follower.stop()
        self._followers.clear()
        for lease in [lease for lease in self._leases.values() if lease is not None]:
            await lease.abandon()
        self._leases.clear()
        await self._session.close()

    async def lease(self, kind: str, node: int | Literal["auto"], address: str) -> Lease:
        """Lease a node id. If a fixed one is held, wait for it: its holder may have just died."""
        holder = nodes.Holder.this_process(address, self._bus_version)
        if node == "auto":
            taken, sent = await self._take_lowest(kind, holder)
        else:
            taken, sent = node, await self._take_fixed(kind, node, holder)
        lease = self._leases[kind, taken] = ZooKeeperLease(
            self._session,
            f"{self._root}/{kind}",
            taken,
            holder,
            sent,
            another=self._take_another if node == "auto" else None,
            forget=lambda lease: self._leases.pop((kind, lease.node), None),
        )
        return lease

    async def watch(self, kind: str, on_members: Callable[[Members], None]) -> None:
        def tell(holders: Holders) -> None:
            on_members({node: holder.address for node, holder in holders.items()})

        await self._follow(kind, tell)

    async def watch_bus(self, on_version: Callable[[int], None]) -> None:
        kinds: dict[str, Holders] = {}

        def tell(kind: str, holders: Holders) -> None:
            kinds[kind] = holders
            if len(kinds) == len(READERS):
                versions = [holder.bus for found in kinds.values() for holder in found.values()]
                on_version(min(versions, default=self._bus_version))

        for kind in READERS:
            await self._follow(kind, partial(tell, kind))

    async def _follow(self, kind: str, tell: "Callable[[Holders], None]") -> None:
        follower = self._followers.get(kind)
        if follower is None:
            follower = _Follower(self._session, f"{self._root}/{kind}")
        await follower.read()
        self._followers.setdefault(kind, follower).add(tell)  # another one may have been made meanwhile

    async def _take_another(self, lease: ZooKeeperLease) -> float:
        """Another process has the id of this lease: give the lease the lowest free one. Returns as `_take` does."""
        taken, sent = await self._take_lowest(lease.kind, lease.holder)
        self._leases.pop((lease.kind, lease.node), None)
        self._leases[lease.kind, taken] = lease
        lease.node = taken
        return sent

    async def _take_lowest(self, kind: str, holder: nodes.Holder) -> tuple[int, float]:
        held = await nodes.members(self._session, f"{self._root}/{kind}")
        for candidate in range(NODES):
            # If we seem to hold an id ourselves, an attempt whose answer was lost has taken it.
            if held.get(candidate, holder) == holder:
                sent = await self._take(kind, candidate, holder)
                if sent is not None:
                    return candidate, sent
        raise LeaseTaken(f"all {NODES} node ids of a {kind} are held")

    async def _take_fixed(self, kind: str, node: int, holder: nodes.Holder) -> float:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE * self._session.timeout
        first: nodes.Holder | None = None
        while True:
            sent = await self._take(kind, node, holder)
            if sent is not None:
                return sent
            other = await self._holder(kind, node)
            if other is None:
                continue
            if first is None:
                first = other
                log.warning("the node id is held; waiting for it", kind=kind, node=node, holder=str(other))
            # A holder that came meanwhile is alive, and so is one in this process.
            if other != first or (kind, node) in self._leases or loop.time() > deadline:
                raise LeaseTaken(f"node id {node} of a {kind} is held by {other}")
            await asyncio.sleep(self._session.beat)

    async def _take(self, kind: str, node: int, holder: nodes.Holder) -> float | None:
        """Take an id. Return the time of the request (`clock`), or None if another process or this one holds it."""
        key = (kind, node)
        if key in self._leases:
            return None
        self._leases[key] = None
        sent = clock()
        try:
            taken = await nodes.take(self._session, f"{self._root}/{kind}/{node}", holder)
        finally:
            del self._leases[key]  # the lease is entered before any other code can run
        return sent if taken else None

    async def _holder(self, kind: str, node: int) -> nodes.Holder | None:
        mine = self._leases.get((kind, node))
        return mine.holder if mine else await nodes.holder_of(self._session, f"{self._root}/{kind}/{node}")


class _Follower:
    """Tells all watchers of one kind when its members have changed."""

    def __init__(self, session: ZooKeeperSession, folder: str) -> None:
        self._session = session
        self._folder = folder
        self._holders: Holders = {}
        self._tell: list[Callable[[Holders], None]] = []
        self._wake = session.waker()
        self._task: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()

    async def read(self) -> None:
        """Raises RegistryError."""
        async with self._reading:
            holders = await nodes.members(self._session, self._folder, self._on_event)
        if _of_use(holders) != _of_use(self._holders):
            self._holders = holders
            for tell in self._tell:
                asyncio.get_running_loop().call_soon(tell, holders)

    def add(self, tell: Callable[[Holders], None]) -> None:
        """Tell the known members, and all changes from now on."""
        tell(self._holders)
        self._tell.append(tell)
        if self._task is None:
            self._task = spawn(f"members in {self._folder}", self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await pause(self._wake, REREAD_SECONDS)
            with suppress(RegistryError):  # the members stay the same; the next connection wakes us
                await self.read()

    def _on_event(self, _path: str) -> None:
        self._wake.set()


def _of_use(holders: Holders) -> list[tuple[int, str, int]]:
    """Return the part of the holders that watchers want."""
    return [(node, holder.address, holder.bus) for node, holder in holders.items()]
