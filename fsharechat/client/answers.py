"""Answers of a robot that is a client: a user sees them while they are written (calls.md section 10)."""

import time
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from fsharechat.client.errors import Disconnected, RequestTimeout
from fsharechat.client.models import SentMessage
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal

PACE_SECONDS = 0.1
"""Pieces that come faster are put together."""
_MAX_PIECE = 10_000
"""Characters of one request."""


class AnswerStream:
    """An answer that this user, a robot, writes: `Client.answering`.

        async with client.answering(message.from_user) as answer:
            await answer.write("Let me think")
            await answer.write("... yes.")

    At its end the user gets the whole text as a message, which `sent` is then. When the body fails, the stream ends
    with what has come.

    Errors: RequestError if this user is no robot, or may not write to the other one. A piece that is lost with the
    connection is not sent again: the message has it.
    """

    def __init__(
        self,
        request: Callable[..., Awaitable[Any]],
        send: Callable[..., Awaitable[SentMessage]],
        uid: str,
    ) -> None:
        """`request` and `send` are those of the Client."""
        self.id = str(uuid.uuid4())
        self.text = ""
        """All that is written so far."""
        self.sent: SentMessage | None = None
        self._request = request
        self._send = send
        self._uid = uid
        self._shown = 0
        self._last = 0.0

    async def __aenter__(self) -> Self:
        await self._tell("")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._show()
        await self._tell("", done=1)
        if self.text:
            self.sent = await self._send(self._uid, self.text)

    async def write(self, piece: str) -> None:
        """Go on with the answer."""
        self.text += piece
        if time.monotonic() - self._last >= PACE_SECONDS:
            await self._show()

    async def _show(self) -> None:
        while waiting := self.text[self._shown : self._shown + _MAX_PIECE]:
            self._shown += len(waiting)
            await self._tell(waiting)
        self._last = time.monotonic()

    async def _tell(self, piece: str, *, done: int = 0) -> None:
        part = pb.StreamAnswerRequest(target_uid=self._uid, stream_id=self.id, delta=piece, done=done)
        try:
            await self._request(SubSignal.SRA, part)
        except (Disconnected, RequestTimeout):
            return  # the message follows, and the client sends that until it is stored
