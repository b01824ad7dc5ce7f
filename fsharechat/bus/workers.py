"""The bus of one machine: plain calls within the main process, and a link to each worker.

The main process has the group role, workers have the connector role. So events go to workers, and presence comes from
them. A worker that reads too slowly loses events; its head check finds what they told.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from fsharechat.bus import Bus, Event, Presence, codec
from fsharechat.bus.memory import MemoryBus
from fsharechat.link import FrameKind, FrameLink
from fsharechat.metrics import Metrics


class MainBus(MemoryBus):
    """The end in the main process."""

    def __init__(self) -> None:
        super().__init__()
        self._links: dict[int, FrameLink] = {}
        self.lost = 0
        """How many records workers had no room for."""

    def attach(self, link: FrameLink) -> None:
        """Carry events to a worker, and hear where its devices are, until the link ends."""

        def serve(body: bytes) -> None:
            self._links[body[0]] = link
            link.send(FrameKind.SERVED, body)

        def leave(body: bytes) -> None:
            if self._links.get(body[0]) is link:
                self._drop(body[0])

        def lost() -> None:
            for node in [node for node, one in self._links.items() if one is link]:
                self._drop(node)

        link.on(FrameKind.SERVE, serve)
        link.on(FrameKind.LEAVE, leave)
        link.on(FrameKind.ONLINE, lambda body: self.announce(codec.decode_presence(b"", body)))
        link.on(FrameKind.OFFLINE, lambda body: self.announce(codec.decode_presence(body, None)))
        link.on_lost(lost)

    def publish(self, metrics: Metrics) -> None:
        metrics.counter(
            "worker_events_lost", "Records of events that workers had no room for.", lambda: self.lost
        )

    def deliver(self, node: int, events: Sequence[Event]) -> None:
        link = self._links.get(node)
        if link is not None and not link.send(FrameKind.EVENTS, bytes((node,)) + codec.encode_events(events)):
            self.lost += 1

    def _drop(self, node: int) -> None:
        """Forget a node, and what it has announced: a new holder of the id announces its own devices."""
        del self._links[node]
        self._present = {key: one for key, one in self._present.items() if one.node != node}


class WorkerBus(Bus):
    """The end in a worker. It has no group role, so nobody here hears presence or drops cached rows."""

    def __init__(self, link: FrameLink) -> None:
        self._link = link
        self._on_events: dict[int, Callable[[Sequence[Event]], None]] = {}
        self._served: dict[int, asyncio.Event] = {}
        link.on(FrameKind.SERVED, self._on_served)
        link.on(FrameKind.EVENTS, self._take)

    @property
    def away(self) -> str:
        return "the main process is gone" if self._link.ended else ""

    async def look(self) -> str:
        return ""

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self._link.close()

    @property
    def reaches_one_device(self) -> bool:
        return True

    def write_for(self, version: int) -> None:
        """All processes are of one version."""

    def deliver(self, node: int, events: Sequence[Event]) -> None:
        raise NotImplementedError("a worker has no group role")

    async def serve_node(self, node: int, on_events: Callable[[Sequence[Event]], None]) -> None:
        """Receive the events for a node. Returns too if the link has ended: then the process ends."""
        self._on_events[node] = on_events
        served = self._served[node] = asyncio.Event()
        self._send(FrameKind.SERVE, bytes((node,)))
        waits = [asyncio.ensure_future(event.wait()) for event in (served, self._link.gone)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def leave_node(self, node: int) -> None:
        if self._on_events.pop(node, None) is not None:
            self._send(FrameKind.LEAVE, bytes((node,)))

    def announce(self, presence: Presence) -> None:
        value = codec.encode_presence(presence)
        if value is None:
            self._send(FrameKind.OFFLINE, codec.presence_key(presence))
        else:
            self._send(FrameKind.ONLINE, value)

    async def watch_presence(
        self, on_presence: Callable[[Presence], None], on_whole: Callable[[], None] | None = None
    ) -> None:
        raise NotImplementedError("a worker has no group role")

    def invalidate(self, keys: Iterable[str]) -> None:
        raise NotImplementedError("a worker has no group role")

    async def watch_invalidations(self, on_keys: Callable[[Iterable[str]], None]) -> None:
        raise NotImplementedError("a worker has no group role")

    def _send(self, kind: FrameKind, body: bytes) -> None:
        """Send what must not be lost. If the main process reads so little, this worker ends, and begins anew."""
        if not self._link.send(kind, body):
            self._link.drop()

    def _on_served(self, body: bytes) -> None:
        self._served[body[0]].set()

    def _take(self, body: bytes) -> None:
        if on_events := self._on_events.get(body[0]):
            on_events(codec.decode_events(body[1:]))
