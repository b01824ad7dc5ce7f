"""The processes of a deployment as far as they share a bus, and listeners that tests wait for."""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from fsharechat.bus import Bus, Event, Notify, Presence
from fsharechat.link import FrameLink
from tools.testing.server import BOUND

T = TypeVar("T")


class Buses(NamedTuple):
    """The bus as each process has it; one object where the bus does not leave the process."""

    connector: Bus
    group: Bus
    other_group: Bus


class Heard(Generic[T]):
    """Keeps what a listener is told until the test takes it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[T] = asyncio.Queue()

    def __call__(self, item: T) -> None:
        self._queue.put_nowait(item)

    async def next(self) -> T:
        return await asyncio.wait_for(self._queue.get(), BOUND)

    async def take(self, count: int) -> list[T]:
        return [await self.next() for _ in range(count)]

    @property
    def waiting(self) -> int:
        return self._queue.qsize()


class Events:
    """A connector's listener; `take` gives single events, however the bus has cut them."""

    def __init__(self) -> None:
        self._heard: Heard[Event] = Heard()

    def __call__(self, events: Sequence[Event]) -> None:
        for event in events:
            self._heard(event)

    async def take(self, count: int) -> list[Event]:
        return await self._heard.take(count)


class Keys:
    """A listener for invalidations."""

    def __init__(self) -> None:
        self._heard: Heard[str] = Heard()

    def __call__(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._heard(key)

    async def take(self, count: int) -> list[str]:
        return await self._heard.take(count)


def note(text: str) -> Notify:
    """Return an event that is known by its text."""
    return Notify(20, text.encode(), "ann")


def online(client_id: str, node: int, epoch: int) -> Presence:
    return Presence("ann", client_id, node, epoch)


def offline(client_id: str, node: int) -> Presence:
    return Presence("ann", client_id, node, 1, online=False)


def _itself(link: FrameLink) -> FrameLink:
    return link


async def linked() -> tuple[FrameLink, FrameLink]:
    """Return the two ends of a link."""
    links = FrameLink(), FrameLink()
    loop = asyncio.get_running_loop()
    for link, end in zip(links, socket.socketpair(), strict=True):
        await loop.create_unix_connection(partial(_itself, link), sock=end)
    return links
