"""Recalls on their way to the devices: by events, and by a look into the store for those that events did not bring.

Each user has a log of recalls, and each device a cursor in it. One that was away, or whose connector missed an event,
is so told of all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import orjson
import structlog

from fsharechat.bus import Recalled
from fsharechat.protocol.bodies import notify_recall
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Call, Method, Reply
from roles.connector.tail import TailMessage

if TYPE_CHECKING:
    from roles.connector.hub import Hub
    from roles.connector.session import Session
    from roles.connector.user import OnlineUser

log = structlog.get_logger(__name__)

REMEMBERED_SECONDS = 60.0
"""An event that brings a message may come so much later than the one that says it has been recalled."""

MAX_REMEMBERED = 10_000
MAX_REMEMBERED_BYTES = 32 << 20
"""What is remembered may be as large as a message: it names whom the message was for."""

MAX_REPEATED = 256
"""RMNs to repeat behind the answers that are under way to a device."""

CURSORS_BATCH = 1000

SURE_SECONDS = 2.0
"""Who is heard of so long after an RMN was sent has got it, or will: nothing answers one, and a connection that has
broken may still hold what its device sent before.
"""


class Recalls:
    """What a connector knows of recalls, and what its devices have been told of them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._remembered: dict[int, tuple[float, bytes]] = {}
        self._size = 0
        """Bytes of the bodies remembered."""
        self._told: dict[Session, tuple[int, float]] = {}
        """Up to where devices were told, and when, that are not known to have got it."""
        self._sure: dict[tuple[str, str], int] = {}
        """Cursors of devices that are not kept yet."""

    def __len__(self) -> int:
        """Return how many recalls are remembered."""
        return len(self._remembered)

    def on_event(self, event: Recalled) -> None:
        """Put the message as it is now into the tails, and tell all devices but the one that asked."""
        self._remember(event.message_id, event.body)
        notice = notify_recall(event.message_id, event.operator)
        replaced: TailMessage | None = None
        for uid, seq in event.entries:
            user = self._hub.users.get(uid)
            if user is None:
                continue
            replaced = user.replace(event.message_id, event.body, replaced)
            user.recalled = max(user.recalled, seq)
            for session in list(user.sessions.values()):
                if seq == session.recalls + 1:
                    self._move(session, seq)
                    if not _asked(session, event.operator, event.operator_client):
                        _tell(session, notice)
                else:
                    self.catch_up(user, session)

    def _remember(self, message_id: int, body: bytes) -> None:
        if message_id in self._remembered:
            self._forget(message_id)
        self._remembered[message_id] = (self._hub.time() + REMEMBERED_SECONDS, body)
        self._size += len(body)
        while len(self._remembered) > MAX_REMEMBERED or self._size > MAX_REMEMBERED_BYTES:
            self._forget(next(iter(self._remembered)))

    def _forget(self, message_id: int) -> None:
        _, body = self._remembered.pop(message_id)
        self._size -= len(body)

    def as_it_is(self, message: TailMessage) -> TailMessage:
        """Return a message that an event brings; one that was recalled meanwhile as what became of it."""
        if self._remembered and (recall := self._remembered.get(message.id())) is not None:
            return message.with_body(recall[1])
        return message

    def forget_old(self, now: float) -> None:
        while self._remembered and self._remembered[oldest := next(iter(self._remembered))][0] < now:
            self._forget(oldest)

    def catch_up(self, user: OnlineUser, session: Session) -> None:
        """Look up the recalls that a device does not know, if there are any, and tell it of them."""
        if user.recalled > session.recalls and not session.asking_recalls:
            session.asking_recalls = True
            call = Call(Method.RECALLS, session.uid, session.client_id, orjson.dumps(session.recalls))
            self._hub.rpc.call(call).add_done_callback(partial(self._on_missed, session))

    def _on_missed(self, session: Session, future: asyncio.Future[Reply]) -> None:
        session.asking_recalls = False
        reply, user = future.result(), session.user
        if user is None:
            return
        missed = []
        if reply.code == Code.SUCCESS:
            missed = [recall for recall in orjson.loads(reply.payload) if recall[0] > session.recalls]
        if not missed:
            user.recalled = min(user.recalled, session.recalls)  # the next head check asks again
            return
        user.forget_tail()
        for seq, message_id, operator, operator_client in missed:
            self._move(session, seq)
            if not _asked(session, operator, operator_client):
                _tell(session, notify_recall(message_id, operator))
        # An event may have come while the answer, which has not got it, was on its way.
        self.catch_up(user, session)

    def _move(self, session: Session, seq: int) -> None:
        session.recalls = seq
        self._told.setdefault(session, (seq, self._hub.time()))

    def closed(self, session: Session) -> None:
        """Forget what a device was told and may not have got: its next connection is told of it once more."""
        self._make_sure(session)
        self._told.pop(session, None)

    def _make_sure(self, session: Session) -> None:
        told = self._told.get(session)
        if told is None or session.heard_at < told[1] + SURE_SECONDS:
            return
        self._sure[session.uid, session.client_id] = told[0]
        del self._told[session]
        if session.recalls > told[0]:
            self._told[session] = (session.recalls, self._hub.time())

    async def keep_cursors(self) -> None:
        """Keep how far devices are sure to know the recalls; what is not kept they are told of once more."""
        for session in list(self._told):
            self._make_sure(session)
        while self._sure:
            batch = [self._sure.popitem() for _ in range(min(CURSORS_BATCH, len(self._sure)))]
            body = orjson.dumps([(*device, seq) for device, seq in batch])
            # Shielded as the head check's question is.
            reply = await asyncio.shield(self._hub.rpc.call(Call(Method.RECALLS_TOLD, "", "", body)))
            if reply.code != Code.SUCCESS:
                log.warning("recall cursors not kept", code=reply.code, devices=len(batch))


def _asked(session: Session, operator: str, operator_client: str) -> bool:
    """Return whether it was this device that took a message back: it knows."""
    return (session.uid, session.client_id) == (operator, operator_client)


def _tell(session: Session, notice: bytes) -> None:
    """Send an RMN; once more behind an answer that is on its way, for that may have the message as it was."""
    session.transport.send_notification(SubSignal.RMN, notice)
    if session.inflight:
        if session.recalled is None:
            session.recalled = deque(maxlen=MAX_REPEATED)
        session.recalled.append(notice)
