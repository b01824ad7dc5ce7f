"""Memory of idle connections: logged in, connected, silent."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from tools.wire.bodies import WireAccount

from .link import BenchError, BenchPeer
from .load import connect, link_of
from .server import BenchServer

WARM_UP_CONNECTIONS = 50
_SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class IdleResult:
    """The cost of `connections` connections for the server. Sizes are in bytes."""

    transport: str
    connections: int
    connect_seconds: float
    rss_before: int
    rss_after: int
    pss_before: int
    pss_after: int

    @property
    def bytes_each(self) -> float:
        return (self.pss_after - self.pss_before) / self.connections


async def run_idle(transport: str, server: BenchServer, accounts: Sequence[WireAccount]) -> IdleResult:
    """Measure a new server whose `accounts` are logged in already. The first of them only warm it up.

    Raises BenchError if a connection is refused, lost, or told of a message.
    """
    faults: list[str] = []
    links = [
        (
            link_of(transport, account, BenchPeer(f"idle connection {number}", faults)),
            server.address(transport, number),
        )
        for number, account in enumerate(accounts)
    ]
    try:
        await connect(links[:WARM_UP_CONNECTIONS])
        await asyncio.sleep(_SETTLE_SECONDS)
        rss_before, pss_before = server.memory()
        begin = perf_counter()
        await connect(links[WARM_UP_CONNECTIONS:])
        connect_seconds = perf_counter() - begin
        await asyncio.sleep(_SETTLE_SECONDS)
        rss_after, pss_after = server.memory()
    finally:
        for link, _ in links:
            link.close()
    if faults:
        raise BenchError("idle connections were disturbed:\n  " + "\n  ".join(faults))
    count = len(links) - WARM_UP_CONNECTIONS
    return IdleResult(transport, count, connect_seconds, rss_before, rss_after, pss_before, pss_after)
