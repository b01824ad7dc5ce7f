"""A lease of a node id, held by an ephemeral node, and the time for which it is certainly ours."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from fsharechat.registry import Lease, LeaseTaken, RegistryError
from fsharechat.registry.zookeeper import nodes
from fsharechat.registry.zookeeper.session import ZooKeeperSession
from fsharechat.tasks import pause, spawn

# A session ends one timeout after the leader last heard of it. The leader learns of requests to a follower up to half
# a tick later (a quarter of the shortest timeout that ZooKeeper grants), or never if the follower dies with it: then
# the request of a beat before counts (an eighth). That leaves five eighths.
SAFE = 0.6
"""The share of the session timeout for which an id is ours, from the moment when the proving request was sent."""
SAFE_FROM_PREVIOUS = 0.725
"""The same, counted from the proof before. It bounds the first proof after a time without proofs."""


_gettime: Any = getattr(time, "clock_gettime", None)
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""Not every system has them."""

log = structlog.get_logger(__name__)


def clock() -> float:
    """Return the seconds of a clock that never jumps, and that runs on while the machine sleeps, where possible."""
    return time.monotonic() if _BOOTTIME is None else float(_gettime(_BOOTTIME))


class ZooKeeperLease(Lease):
    """A lease that keeps itself.

    `sent` is the time (`clock`) of the request that made the node in `folder`. If another process holds the id,
    `another` gives the lease another `node` and returns the new time; without `another` the lease waits for its id.
    """

    def __init__(
        self,
        session: ZooKeeperSession,
        folder: str,
        node: int,
        holder: nodes.Holder,
        sent: float,
        *,
        another: Callable[["ZooKeeperLease"], Awaitable[float]] | None,
        forget: Callable[["ZooKeeperLease"], object],
    ) -> None:
        super().__init__(folder.rpartition("/")[2], node)
        self._session = session
        self._folder = folder
        self._holder = holder
        self._another = another
        self._forget = forget
        self._listeners: list[Callable[[bool], None]] = []
        self._told = True
        self._until = 0.0
        self._sent = sent
        self._end: asyncio.TimerHandle | None = None
        self._other: nodes.Holder | None = None
        self._proven(sent)
        self._keeper: asyncio.Task[None] | None = spawn(f"lease of {self.kind}", self._keep())

    @property
    def held(self) -> bool:
        return clock() < self._until

    @property
    def _path(self) -> str:
        return f"{self._folder}/{self.node}"

    @property
    def holder(self) -> nodes.Holder:
        return self._holder

    def on_change(self, tell: Callable[[bool], None]) -> None:
        self._listeners.append(tell)

    async def release(self) -> None:
        if self._keeper is None:
            return
        await self.abandon()
        try:
            await nodes.give_back(self._session, self._path)
        except RegistryError as error:
            log.warning("a node id is given back only when the session ends", **self._names(), why=str(error))
        finally:
            self._forget(self)

    async def abandon(self) -> None:
        """Stop using the id. Its node ends with the session."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})
        self._until = 0.0
        if self._end is not None:
            self._end.cancel()

    async def _keep(self) -> None:
        wake = self._session.waker()
        wait = self._session.beat
        while True:
            await pause(wake, wait)
            # A process that was stopped comes here first: tell of the loss before the slow request.
            self._tell()
            try:
                wait = await self._prove(wait)
            except RegistryError as error:
                log.debug("a lease cannot be renewed", **self._names(), why=str(error))
                wait = self._session.beat

    async def _prove(self, wait: float) -> float:
        """Check that the node is ours, or make it again. Return the seconds until the next check."""
        sent = clock()
        if await nodes.owns(self._session, self._path):
            self._proven(sent)
            return self._session.beat if self.held else self._session.beat / 4
        self._until = 0.0
        self._tell()
        sent = clock()
        if await nodes.take(self._session, self._path, self._holder):
            self._sent = sent
            self._proven(sent)
            self._other = None
            return self._session.beat
        other = await nodes.holder_of(self._session, self._path)
        if other is not None and other != self._other:
            log.error("the node id is held elsewhere", **self._names(), holder=str(other))
        self._other = other
        # A node of our own from an earlier session ends with that session.
        if self._another is not None and other not in (None, self._holder):
            lost = self.node
            try:
                self._sent = sent = await self._another(self)
            except LeaseTaken as error:
                log.error("there is no other node id", **self._names(), why=str(error))
            else:
                log.warning("another node id is taken", **self._names(), instead_of=lost)
                self._proven(sent)
                self._other = None
                return self._session.beat
        return min(2 * wait, self._session.timeout)

    def _proven(self, sent: float) -> None:
        timeout = self._session.timeout
        self._until = min(sent + SAFE * timeout, self._sent + SAFE_FROM_PREVIOUS * timeout)
        self._sent = sent
        if self._end is not None:
            self._end.cancel()
        # A little late, because the loop's clock differs slightly from this one.
        self._end = asyncio.get_running_loop().call_later(self._until - clock() + 0.001, self._tell)
        self._tell()

    def _tell(self) -> None:
        held = self.held
        if held == self._told:
            return
        self._told = held
        if held:
            log.info("the node id is held again", **self._names())
        else:
            log.error("the lease of the node id is lost", **self._names())
        for tell in self._listeners:
            asyncio.get_running_loop().call_soon(tell, held)

    def _names(self) -> dict[str, object]:
        return {"kind": self.kind, "node": self.node}
