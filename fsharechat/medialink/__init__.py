"""The way between group processes and media processes: calls one way, what media servers tell the other way."""

from abc import ABC, abstractmethod

from fsharechat.mediaserver import MediaEvents, MediaServer
from fsharechat.renewal import Renewable


class MediaLink(Renewable, ABC):
    """Each process has one. It serves where the media role is, and makes a MediaServer where the group role is."""

    address: str
    """Where group processes reach this one. Known once it is open."""
    events: MediaEvents
    """What the media server of this process is to tell goes to the group role, wherever that is."""

    @abstractmethod
    async def open(self) -> None:
        """Be ready. Raises RpcError, RegistryError."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def serve(self, server: MediaServer) -> None:
        """Let group processes reach the media server of this process."""

    @abstractmethod
    async def unserve(self) -> None:
        """Take no more calls, and return once those taken are answered."""

    @abstractmethod
    def server(self, events: MediaEvents) -> MediaServer:
        """Return all media servers there are as one. What they tell goes to `events`."""
