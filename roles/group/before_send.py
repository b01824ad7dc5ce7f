"""The question before a message is stored: another system may refuse it, or change its text (docs/webhooks.md)."""

import asyncio
from hashlib import blake2b
from typing import Any

import orjson
import structlog

from fsharechat.errors import Refusal, StoreError
from fsharechat.health import FINE, Finding
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import LeaseError
from fsharechat.protocol.shapes.messages import content_object
from fsharechat.protocol.signals import Code, ContentType, ConversationType
from fsharechat.rpc import Call
from fsharechat.settings import Settings
from fsharechat.store import admin
from fsharechat.store.store import Store
from roles.group.clock import ServerClock
from roles.group.hook_events import event_body, message_data
from roles.group.open_push import SENDER
from roles.group.outbox import EventOutbox
from roles.group.own_messages import local_id_of, send_private, text_content
from roles.group.signed_posts import PostFailed, SignedPosts

log = structlog.get_logger(__name__)

MAX_TEXT_BYTES = 64 << 10
"""The largest text that an answer may give a message, bytes."""
MAX_ANSWER = MAX_TEXT_BYTES * 6 + 1024
"""The largest answer, bytes: in JSON a byte of text is up to six."""
MAX_REASON_CHARS = 500
COMPLAIN_SECONDS = 60.0
"""The shortest time between two log lines about questions without an answer, s."""

_CALLS = range(ContentType.CALL_START, ContentType.CALL_ANSWER_AUDIO + 1)


class BadDecision(Exception):
    """An answer that cannot be used. The text says why."""


class BeforeSend:
    """Asks another system before a message is stored, and counts its answers."""

    def __init__(self, settings: Settings, store: Store, clock: ServerClock, outbox: EventOutbox) -> None:
        self._settings = settings.before_send
        self._sender_name = settings.api.notification_name
        self._store = store
        self._clock = clock
        self._outbox = outbox
        self.on = bool(self._settings.url)
        """Whether anybody is asked at all."""
        self.asked = self.refused = self.changed = self.unanswered = 0
        self.failing = ""
        """Why the last question has no answer, "" if it has one."""
        self._complained = float("-inf")
        self._places = asyncio.Semaphore(self._settings.under_way)
        key = self._settings.key() if self.on else b""
        self._posts = SignedPosts(self._settings.url, key, self._settings.seconds, MAX_ANSWER)

    async def close(self) -> None:
        await self._posts.close()

    def asks(self, call: Call, message: pb.Message) -> bool:
        """Return whether to ask about a message: a device has sent it, and the settings want its conversation."""
        if not self.on or not call.client_id or message.content.type in _CALLS:
            return False
        where = message.conversation
        group = where.target if where.type == ConversationType.GROUP else ""
        return self._settings.wants(group, (call.uid,) if group else (call.uid, where.target))

    async def decide(self, call: Call, message: pb.Message, local_id: int, *, edit: bool = False) -> None:
        """Ask about a message, or about the new content of one. The answer may change its text. Raises Refusal.

        The id of the question is the same for the same message, however often a client sends it.
        """
        self.asked += 1
        known_by = f"{call.uid}\0{local_id or message.message_id or call.message_id}\0{edit}"
        if edit:
            known_by += message.content.searchable_content
        id = "ask_" + blake2b(known_by.encode(errors="replace"), digest_size=16).hexdigest()
        try:
            async with asyncio.timeout(self._settings.seconds), self._places:
                answer = await self._posts.post(id, self._question(id, call, message, local_id, edit=edit))
            decision = _decision(answer, message)
        except TimeoutError:
            self._without_answer(f"no answer within {self._settings.seconds:g} s")
            return
        except (PostFailed, BadDecision) as error:
            self._without_answer(str(error))
            return
        if self.failing:
            self.failing = ""
            log.info("before_send answers again")
        if decision is None:
            return
        action, said = decision
        if action == "change":
            self.changed += 1
            message.content.searchable_content = said
            return
        self.refused += 1
        log.info("a message was refused by before_send", uid=call.uid, question=id, reason=said)
        if said:
            await self._tell(call.uid, id, said)
        raise Refusal(Code.SENSITIVE_WORD)

    def _question(self, id: str, call: Call, message: pb.Message, local_id: int, *, edit: bool) -> bytes:
        data: dict[str, Any] = message_data(message)
        del data["sentAt"], data["editedAt"]
        data["messageId"] = str(message.message_id if edit else call.message_id)
        data["clientMessageId"] = str(local_id)
        data["clientId"] = call.client_id
        data["content"] = content_object(message.content)
        kind = "message.before_edit" if edit else "message.before_send"
        return event_body(id, kind, self._clock.now(), data)

    def _without_answer(self, reason: str) -> None:
        """Allow the message, or refuse it, as the settings say. Raises Refusal."""
        self.unanswered += 1
        self.failing = reason
        now = asyncio.get_running_loop().time()
        if now - self._complained > COMPLAIN_SECONDS:
            self._complained = now
            log.warning("before_send does not answer", reason=reason, then=self._settings.unanswered)
        if self._settings.unanswered == "refuse":
            raise Refusal(Code.SERVER_ERROR)

    async def _tell(self, uid: str, id: str, reason: str) -> None:
        """Tell the sender the reason, once for each message. The code alone says only that it was refused."""
        content, number = text_content(reason), local_id_of(id)
        try:
            now = self._clock.now()
            await self._store.write(admin.keep_system_user, SENDER, self._sender_name, now)
            await send_private(self._store, self._clock, self._outbox, SENDER, uid, content, local_id=number)
        except (StoreError, LeaseError) as error:
            log.warning("a reason was not told", uid=uid, reason=str(error))

    async def look(self) -> Finding:
        """Return whether the last question was answered. Without an answer the process still serves."""
        return Finding(f"it does not answer: {self.failing}") if self.failing else FINE


def _decision(answer: bytes, message: pb.Message) -> tuple[str, str] | None:
    """Return what an answer says: None to allow, or "refuse" with a reason, or "change" with a text."""
    if not answer.strip():
        return None
    try:
        said = orjson.loads(answer)
    except orjson.JSONDecodeError:
        raise BadDecision("its answer is not JSON") from None
    action = said.get("action") if isinstance(said, dict) else None
    if action == "allow":
        return None
    if action == "refuse":
        reason = said.get("reason", "")
        if not isinstance(reason, str):
            raise BadDecision("the reason in its answer is not a text")
        return action, reason[:MAX_REASON_CHARS]
    if action == "change":
        text = said.get("text")
        if not isinstance(text, str) or not text or len(text.encode()) > MAX_TEXT_BYTES:
            raise BadDecision(f"its answer has no text of 1 to {MAX_TEXT_BYTES} bytes")
        if message.content.type != ContentType.TEXT:
            raise BadDecision("its answer changes a message that is not a text")
        return action, text
    raise BadDecision("its answer has no known action")
