"""The media server of group calls as the rest of the program sees it: one interface, several backends.

A room is a group call, and its name that of no other call: one that comes after it in the same group has another
name. A participant is a user in it, with one device. Each participant has one connection that sends
and one that receives for each other participant (calls.md section 9.7). The browser always offers, the media server
answers.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple


class Candidate(NamedTuple):
    """An ICE candidate, as a browser writes it. An empty `candidate` says that there are no more."""

    candidate: str
    mid: str = ""
    line: int = 0
    ufrag: str = ""
    """The user name of the connection that it belongs to; empty where it is not known."""


class MediaServerError(Exception):
    """The media server does not do what was asked. The text says why, in words for a log."""


class RoomFull(MediaServerError):
    """The room has as many participants as a room may have."""


class Busy(MediaServerError):
    """The media server carries all that it may. Another one may have space."""


class UnknownSender(MediaServerError):
    """The participant, or the one whose stream is asked for, is not in the room."""


class BadOffer(MediaServerError):
    """The offer is no SDP, is too long, or has nothing that the media server can carry."""


class MediaEvents(ABC):
    """What a media server tells by itself. Calls come on the loop and must not block."""

    @abstractmethod
    def on_candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        """Tell the participant a candidate of the server for the connection to `peer`."""

    @abstractmethod
    def on_gone(self, room: str, participant: str, peer: str) -> None:
        """Say that this connection is lost: no consent, no DTLS, or the backend let go of it.

        With `peer` == `participant` it is the one that sends, so others see and hear this participant no more.
        """

    @abstractmethod
    def on_closed(self, room: str, reason: str) -> None:
        """Say that the whole room is lost, for example because its media server died."""


class MediaServer(ABC):
    """Rooms, participants and their connections. Participants are named by uid.

    All errors are MediaServerErrors, and concern only the call that raises them.
    """

    @property
    def exists(self) -> bool:
        """Whether there is a media server that could be asked. While there is none, nobody can call a group."""
        return True

    @abstractmethod
    async def join(self, room: str, participant: str) -> None:
        """Put the participant into the room, which is made by the first. Who is in already begins anew.

        From now on others may `receive` this participant, also before there is a stream. Raises RoomFull, Busy.
        """

    @abstractmethod
    async def publish(self, room: str, participant: str, offer: str) -> str:
        """Take the offer (SDP) of the participant's sending connection and return the answer.

        Again: the old connection ends, and who receives this participant goes on with the new one. Raises BadOffer,
        UnknownSender.
        """

    @abstractmethod
    async def receive(self, room: str, participant: str, sender: str, offer: str) -> str:
        """Take the offer (SDP) of the participant's connection for the stream of `sender` and return the answer.

        Again: the old connection ends. Raises BadOffer, UnknownSender.
        """

    @abstractmethod
    async def candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        """Take a candidate of the participant's connection to `peer`; its own name is the sending connection.

        It may come before the offer, and is kept for it then. An empty `peer` means: find the connection by the
        user name in the candidate. What belongs to no connection is dropped.
        """

    @abstractmethod
    async def leave(self, room: str, participant: str) -> None:
        """End all connections of the participant. Nothing happens when there is no such participant."""

    @abstractmethod
    async def has(self, room: str) -> bool:
        """Return whether the room is there: a media server that was started anew has none of before."""

    @abstractmethod
    async def close_room(self, room: str) -> None:
        """End the room and all of its connections. Nothing happens when there is no such room."""
