"""The signals of calls (calls.md section 9). Sound and picture are the application's: it has WebRTC, this has not."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import orjson

from fsharechat.client.models import CallSignal, SentMessage, conversation_of
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import (
    CALL_TYPES,
    ContentType,
    ConversationType,
    PersistFlag,
)

VIDEO, AUDIO = b"0", b"1"


def call_signal(message: pb.Message, me: str) -> CallSignal | None:
    """Return what a message that came to the user `me` says of a call; None when it is about none."""
    content = message.content
    if content.type not in CALL_TYPES:
        return None
    said = _object(content.data)
    audio_only = (
        bool(said and said.get("a")) if content.type == ContentType.CALL_START else content.data == AUDIO
    )
    return CallSignal(
        ContentType(content.type),
        conversation_of(message, me),
        message.from_user,
        content.content or content.searchable_content,  # old iOS clients write it there
        audio_only,
        said if content.type in (ContentType.CALL_START, ContentType.CALL_SIGNAL) else None,
        message,
    )


class Calls:
    """What a user does with calls: `Client.calls`.

    A CallSignal event tells what the other side does. The start of a call is a stored message, so it comes with the
    others: `call_signal` says so. Nothing but the start is sent again when it was lost. Refusals are RequestErrors.
    """

    def __init__(
        self,
        send: Callable[..., Awaitable[SentMessage]],
        send_once: Callable[[pb.Conversation, pb.MessageContent], Awaitable[None]],
    ) -> None:
        """`send` is that of the Client; `send_once` sends what is not stored."""
        self._send = send
        self._send_once = send_once

    async def start(
        self, conversation: pb.Conversation, *, to: Iterable[str] = (), audio_only: bool = False
    ) -> str:
        """Let a call ring, and return its id. In a group `to` says for whom; else it is for all members.

        In a group `existingParticipants` comes next, as a CallSignal; between two users the other one's answer, then
        their offer.
        """
        call_id = f"{conversation.target}{time.time_ns() // 1_000_000}"
        data = orjson.dumps({"t": conversation.target, "a": int(audio_only)})
        content = pb.MessageContent(
            type=ContentType.CALL_START,
            content=call_id,
            data=data,
            persist_flag=PersistFlag.STORED,
        )
        await self._send(conversation, content, to=to)
        return call_id

    async def answer(self, call: CallSignal, *, audio_only: bool = False) -> None:
        """Take a call. Between two users the offer is due then; in a group `existingParticipants` comes."""
        data = AUDIO if audio_only else VIDEO
        if call.conversation.type == ConversationType.PRIVATE:
            await self._say(call.conversation, ContentType.CALL_ANSWER_AUDIO, call.call_id, data)
        await self._say(call.conversation, ContentType.CALL_ANSWER, call.call_id, data)

    async def signal(self, conversation: pb.Conversation, call_id: str, said: Mapping[str, Any]) -> None:
        """Send an offer, an answer, a candidate, or in a group a command such as `receiveVideoFrom`."""
        await self._say(conversation, ContentType.CALL_SIGNAL, call_id, orjson.dumps(dict(said)))

    async def modify(self, conversation: pb.Conversation, call_id: str, *, audio_only: bool) -> None:
        """Go on without the picture, or with it."""
        await self._say(conversation, ContentType.CALL_MODIFY, call_id, AUDIO if audio_only else VIDEO)

    async def hang_up(self, conversation: pb.Conversation, call_id: str = "") -> None:
        """End or decline a call. In a group it ends for all when this user has started it; else see `leave`."""
        await self._say(conversation, ContentType.CALL_BYE, call_id)

    async def leave(self, conversation: pb.Conversation) -> None:
        """Leave or decline the call of a group, which goes on without this user."""
        await self.signal(conversation, "", {"type": "leaveRoom"})

    async def _say(
        self, conversation: pb.Conversation, kind: ContentType, call_id: str, data: bytes = b""
    ) -> None:
        content = pb.MessageContent(type=kind, content=call_id or None, data=data or None)
        await self._send_once(conversation, content)


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None
