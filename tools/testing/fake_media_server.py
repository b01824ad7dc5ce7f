"""A media server that carries nothing: for tests of the signals of calls, and for faults that no real one shows."""

from fsharechat.mediaserver import Candidate, MediaEvents, MediaServer, MediaServerError, UnknownSender


class FakeMediaServer(MediaServer):
    """Answers offers by texts, and notes what it was asked. `error` is raised by the next join."""

    def __init__(self, events: MediaEvents) -> None:
        self.events = events
        self.rooms: dict[str, set[str]] = {}
        self.asked: list[tuple[object, ...]] = []
        self.error: MediaServerError | None = None
        self.there = True

    @property
    def exists(self) -> bool:
        return self.there

    async def join(self, room: str, participant: str) -> None:
        self.asked.append(("join", room, participant))
        if (error := self.error) is not None:
            self.error = None
            raise error
        self.rooms.setdefault(room, set()).add(participant)

    async def publish(self, room: str, participant: str, offer: str) -> str:
        self.asked.append(("publish", room, participant, offer))
        return self._answer(room, participant, offer)

    async def receive(self, room: str, participant: str, sender: str, offer: str) -> str:
        self.asked.append(("receive", room, participant, sender, offer))
        self._answer(room, participant, offer)
        return self._answer(room, sender, offer)

    async def candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        self.asked.append(("candidate", room, participant, peer, candidate))

    async def leave(self, room: str, participant: str) -> None:
        self.asked.append(("leave", room, participant))
        self.rooms.get(room, set()).discard(participant)

    async def has(self, room: str) -> bool:
        return room in self.rooms

    async def close_room(self, room: str) -> None:
        self.asked.append(("close", room))
        self.rooms.pop(room, None)

    def _answer(self, room: str, participant: str, offer: str) -> str:
        if participant not in self.rooms.get(room, ()):
            raise UnknownSender(f"{participant} is not in {room}")
        return f"answer to {offer}"
