"""Group and media role in one process: function calls."""

from fsharechat.medialink import MediaLink
from fsharechat.mediaserver import Candidate, MediaEvents, MediaServer, MediaServerError


class LocalMediaLink(MediaLink):
    address = "local"

    def __init__(self) -> None:
        self.events = self._events = _Events()
        self._served: MediaServer | None = None

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def serve(self, server: MediaServer) -> None:
        self._served = server

    async def unserve(self) -> None:
        self._served = None

    def server(self, events: MediaEvents) -> MediaServer:
        self._events.to = events
        return _Local(self)

    @property
    def served(self) -> MediaServer:
        """Return the media server. Raises MediaServerError."""
        if self._served is None:
            raise MediaServerError("the media server does not run")
        return self._served


class _Events(MediaEvents):
    """Passes on; before anybody wants to hear, there are no rooms of which something could be told."""

    def __init__(self) -> None:
        self.to: MediaEvents | None = None

    def on_candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        if self.to is not None:
            self.to.on_candidate(room, participant, peer, candidate)

    def on_gone(self, room: str, participant: str, peer: str) -> None:
        if self.to is not None:
            self.to.on_gone(room, participant, peer)

    def on_closed(self, room: str, reason: str) -> None:
        if self.to is not None:
            self.to.on_closed(room, reason)


class _Local(MediaServer):
    def __init__(self, link: LocalMediaLink) -> None:
        self._link = link

    async def join(self, room: str, participant: str) -> None:
        await self._link.served.join(room, participant)

    async def publish(self, room: str, participant: str, offer: str) -> str:
        return await self._link.served.publish(room, participant, offer)

    async def receive(self, room: str, participant: str, sender: str, offer: str) -> str:
        return await self._link.served.receive(room, participant, sender, offer)

    async def candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        await self._link.served.candidate(room, participant, peer, candidate)

    async def leave(self, room: str, participant: str) -> None:
        await self._link.served.leave(room, participant)

    async def has(self, room: str) -> bool:
        return await self._link.served.has(room)

    async def close_room(self, room: str) -> None:
        await self._link.served.close_room(room)
