"""The interface of a transport for a connection, and the common part of both transports."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message

from fsharechat.client import notices
from fsharechat.client.models import Notice
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.shapes import payloads
from fsharechat.protocol.signals import Signal, SubSignal

Body = payloads.Body
"""The payload of a request or a reply over TCP (section 7): the protobuf message, or raw bytes where the contract
names bytes. The table of requests (`fsharechat.protocol.signals`) says which.
"""


class Packet(NamedTuple):
    """One frame from the server. `content` still has the form of the transport; see `Transport.reply`."""

    signal: int
    sub_signal: int
    message_id: int
    content: Any


class Receiver(Protocol):
    """Gets the frames that a transport reads. Neither method may raise or block."""

    def on_packet(self, packet: Packet) -> None: ...

    def on_lost(self, reason: str) -> None: ...


class Transport(ABC):
    """One socket to the server, with its encoding. It is opened once and closed once."""

    answers_ping: ClassVar[bool]
    """Whether the server answers a heartbeat (TCP's PING). If not, the socket itself finds a dead peer."""

    @abstractmethod
    async def open(self, receiver: Receiver) -> None:
        """Connect. Raises Disconnected."""

    @abstractmethod
    def encode(self, signal: Signal, sub_signal: SubSignal, message_id: int, content: Any) -> Any:
        """Return one frame. `content` is a Body, or a dict for CONNECT, DISCONNECT and PING.

        Raises ValueError if this transport cannot carry the request, TooLarge if the server would not accept it.
        """

    @abstractmethod
    async def write(self, frame: Any) -> None:
        """Write a frame of `encode`. Waits while the peer does not read. Raises Disconnected."""

    @abstractmethod
    async def heartbeat(self) -> None:
        """Write a heartbeat, for a server that answers no PING. Raises Disconnected."""

    @abstractmethod
    async def close(self) -> None:
        """Close the socket after the written bytes have gone out, within a bound. Calls `on_lost` if it was open."""

    @abstractmethod
    def accepted(self, content: Any) -> pb.ConnectAckPayload:
        """Decode the content of a CONNECT_ACK. Raises InvalidReply."""

    @abstractmethod
    def reply(self, sub_signal: SubSignal, content: Any) -> Body:
        """Decode the content of a PUB_ACK. Raises RequestError if it refuses, InvalidReply if it is wrong."""

    @abstractmethod
    def notification(self, sub_signal: SubSignal, content: Any) -> Body:
        """Decode the content of a notification. Raises InvalidReply."""

    def notice(self, sub_signal: SubSignal, content: Any) -> Notice | None:
        """Decode a notification, None for an unknown kind. Raises InvalidReply."""
        if sub_signal not in notices.KNOWN:
            return None
        return notices.notice(sub_signal, self.notification(sub_signal, content))


M = TypeVar("M", bound=Message)


class SendRequest(Protocol):
    """`Client.request`."""

    def __call__(
        self, sub_signal: SubSignal, body: Body, *, within: float | None = None
    ) -> Awaitable[Body]: ...


async def ask(request: SendRequest, sub_signal: SubSignal, body: Message, kind: type[M]) -> M:
    """Send a request whose reply is a protobuf message."""
    reply = await request(sub_signal, body)
    assert isinstance(reply, kind)
    return reply
