"""How the parts of a client ask the server."""

from collections.abc import Awaitable
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from fsharechat.client.transport import Body
from fsharechat.protocol.signals import SubSignal

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
