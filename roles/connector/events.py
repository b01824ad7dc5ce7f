"""Events of the bus: the connector tells the devices that they concern."""

from collections.abc import Callable, Sequence

import structlog

from fsharechat.bus import Deliver, Edited, Event, Kick, Notify, Push, PushTo, Recalled, Reported, Resync
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import notify_recall
from fsharechat.protocol.signals import ContentType, SubSignal
from fsharechat.store.cursors import Log
from fsharechat.tracing import TRACING
from roles.connector.identity import NodeIdentity
from roles.connector.logs import VERSIONED
from roles.connector.tables import SessionTable
from roles.connector.tail import TailMessage

log = structlog.get_logger(__name__)

REMEMBERED_SECONDS = 60.0
"""The event of a message may come so many seconds later than the event of its recall."""

MAX_REMEMBERED = 10_000
MAX_REMEMBERED_BYTES = 32 << 20
"""The most bytes that are remembered. A body may be as large as a message, since it names the receivers."""


class Recalls:
    """The bodies of messages that were recalled a short time ago, by message id."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self.remembered: dict[int, tuple[float, bytes]] = {}
        """The time until which each is remembered, and its body. Only to be read."""
        self._size = 0
        """The size of all bodies, bytes."""

    def __len__(self) -> int:
        return len(self.remembered)

    def remember(self, message_id: int, body: bytes) -> None:
        if message_id in self.remembered:
            self._forget(message_id)
        self.remembered[message_id] = (self._time() + REMEMBERED_SECONDS, body)
        self._size += len(body)
        while len(self.remembered) > MAX_REMEMBERED or self._size > MAX_REMEMBERED_BYTES:
            self._forget(next(iter(self.remembered)))

    def body_of(self, message_id: int) -> bytes | None:
        """Return the body of a message after its recall, if it was recalled a short time ago."""
        recall = self.remembered.get(message_id)
        return recall[1] if recall is not None else None

    def forget_old(self, now: float) -> None:
        while self.remembered and self.remembered[oldest := next(iter(self.remembered))][0] < now:
            self._forget(oldest)

    def _forget(self, message_id: int) -> None:
        _, body = self.remembered.pop(message_id)
        self._size -= len(body)


def replaces(body: bytes, known: bytes) -> bool:
    """Return whether a body after an edit is newer than a known one. A recalled message stays recalled."""
    before, after = pb.Message.FromString(known), pb.Message.FromString(body)
    return before.content.type != ContentType.RECALLED and after.edited_dt >= before.edited_dt


class EventReader:
    def __init__(self, table: SessionTable, identity: NodeIdentity, recalls: Recalls) -> None:
        self._table = table
        self._users = table.users
        self._identity = identity
        self._recalls = recalls

    def take(self, events: Sequence[Event]) -> None:
        """Carry out the events for this node. An event that fails does not stop the others."""
        for event in events:
            try:
                if type(event) is Deliver:  # nearly all of them
                    self._on_deliver(event)
                else:
                    self._on_event(event)
            except Exception:
                trace = str(getattr(event, "message_id", "") or "")
                log.exception("an event failed", kind=type(event).__name__, trace=trace)

    def _on_event(self, event: Event) -> None:
        if type(event) is Notify:
            self._on_notify(event)
        elif type(event) is Push:
            self._on_push(event)
        elif type(event) is PushTo:
            self._on_push_to(event)
        elif type(event) is Reported:
            self._on_reported(event)
        elif type(event) is Recalled:
            self._on_recalled(event)
        elif type(event) is Edited:
            self._on_edited(event)
        elif type(event) is Kick:
            self._on_kick(event)
        elif type(event) is Resync:
            self._table.announce_again()

    def _on_deliver(self, event: Deliver) -> None:
        self._identity.observe(event.message_id)  # an answer to it must come after it in history
        body = event.body
        if self._recalls.remembered:
            body = self._recalls.body_of(event.message_id) or body
        message = TailMessage(body, event.sender, event.sender_client, event.message_id)
        sender, find, traced = event.sender, self._users.get, TRACING.on
        for uid, seq in event.entries:  # thousands, in large groups
            user = find(uid)
            if user is not None:
                if traced:
                    log.debug("message arrived", trace=str(event.message_id), uid=uid, seq=seq)
                user.arrived(seq, message, event.sender_client if uid == sender else "")

    def _on_push(self, event: Push) -> None:
        message = TailMessage(event.body, "")
        for uid in event.uids:
            for logs in self._table.logs_of(uid):
                logs.push(message)

    def _on_push_to(self, event: PushTo) -> None:
        session = self._table.session_of((event.uid, event.client_id))
        if session is not None and session.logs is not None:
            session.logs.push(TailMessage(event.body, event.sender))

    def _on_reported(self, event: Reported) -> None:
        for uid, seq in event.entries:
            user = self._users.get(uid)
            if user is not None:
                user.reported(Log(event.kind), seq)

    def _on_recalled(self, event: Recalled) -> None:
        """Replace the message in the tails, and tell all devices except the one that asked."""
        self._recalls.remember(event.message_id, event.body)
        self._altered(event, SubSignal.RMN, notify_recall(event.message_id, event.operator))

    def _on_edited(self, event: Edited) -> None:
        """Do the same for an edit. Its event may come after that of a later edit, or of a recall."""
        known = self._recalls.body_of(event.message_id)
        if known is not None and not replaces(event.body, known):
            event = event._replace(body=known)
        else:
            self._recalls.remember(event.message_id, event.body)
        self._altered(event, SubSignal.MEN, notify_recall(event.message_id, event.operator))

    def _altered(self, event: Recalled | Edited, sub_signal: SubSignal, notice: bytes) -> None:
        replaced: TailMessage | None = None
        for uid, seq in event.entries:
            user = self._users.get(uid)
            if user is None:
                continue
            replaced = user.replace(event.message_id, event.body, replaced)
            user.heads[Log.RECALLS] = max(user.heads[Log.RECALLS], seq)
            for logs in self._table.logs_of(uid):
                logs.altered(seq, (sub_signal, notice), event.operator, event.operator_client)

    def _on_notify(self, event: Notify) -> None:
        if event.sub_signal in VERSIONED and (user := self._users.get(event.uid)) is not None:
            user.told(event.sub_signal, int.from_bytes(event.body, "big"))
        for logs in self._table.logs_of(event.uid):
            if logs.client_id != event.except_client:
                logs.transport.send_notification(event.sub_signal, event.body)

    def _on_kick(self, event: Kick) -> None:
        session = self._table.session_of((event.uid, event.client_id))
        if session is not None and session.epoch <= event.epoch:
            session.refuse("the device has connected to another node, or an administrator ended it")
