"""The bus within one process: plain calls, in order, without loss."""

from collections.abc import Callable, Iterable, Sequence

from fsharechat.bus import Bus, Event, Presence


class MemoryBus(Bus):
    def __init__(self) -> None:
        self._on_events: dict[int, Callable[[Sequence[Event]], None]] = {}
        self._on_presence: list[Callable[[Presence], None]] = []
        self._on_keys: list[Callable[[Iterable[str]], None]] = []
        self._present: dict[tuple[str, str], Presence] = {}

    @property
    def away(self) -> str:
        return ""

    async def look(self) -> str:
        return ""

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self._on_events.clear()
        self._on_presence.clear()
        self._on_keys.clear()

    @property
    def reaches_one_device(self) -> bool:
        return True

    def write_for(self, version: int) -> None:
        """Nothing is written: the only listener is this process."""

    def deliver(self, node: int, events: Sequence[Event]) -> None:
        if on_events := self._on_events.get(node):
            on_events(events)

    async def serve_node(self, node: int, on_events: Callable[[Sequence[Event]], None]) -> None:
        self._on_events[node] = on_events

    async def leave_node(self, node: int) -> None:
        self._on_events.pop(node, None)

    def announce(self, presence: Presence) -> None:
        key = presence.uid, presence.client_id or str(presence.node)  # the beginning of a node has no device
        if presence.online:
            self._present[key] = presence
        elif key in self._present and self._present[key].node == presence.node:
            del self._present[key]
        for on_presence in self._on_presence:
            on_presence(presence)

    async def watch_presence(
        self, on_presence: Callable[[Presence], None], on_whole: Callable[[], None] | None = None
    ) -> None:
        for presence in self._present.values():
            on_presence(presence)
        if on_whole is not None:
            on_whole()
        self._on_presence.append(on_presence)

    def invalidate(self, keys: Iterable[str]) -> None:
        keys = tuple(keys)  # each watcher iterates over them
        for on_keys in self._on_keys:
            on_keys(keys)

    async def watch_invalidations(self, on_keys: Callable[[Iterable[str]], None]) -> None:
        self._on_keys.append(on_keys)
