"""The logs of a user who is online here, and the cursor of each device in them (contract.md section 6).

The common rule is in cursor.py. This module has the differences: how a device is told of an entry, and who answers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

import orjson
import structlog

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import long_payload, notify_message, notify_recall, notify_report
from fsharechat.protocol.ids import age
from fsharechat.protocol.signals import Code, ContentType, SubSignal
from fsharechat.rpc import Call, Method, Reply
from fsharechat.rpc.payloads import Marks, decode_pulled
from fsharechat.store.cursors import Log
from fsharechat.store.heads import Heads
from fsharechat.store.inboxes import NOTHING
from fsharechat.tracing import TRACING
from roles.connector.answers import AnswerCounts
from roles.connector.cursor import Cursor
from roles.connector.marks import MarkKeeper
from roles.connector.tail import Tail, TailMessage
from roles.connector.transport import DeviceTransport

log = structlog.get_logger(__name__)

# On the path of every message, so read once (protocol/numbers.py).
_INBOX = Log.INBOX
_MN, _MP = SubSignal.MN, SubSignal.MP

VERSIONED = (SubSignal.FN, SubSignal.FRN, SubSignal.UN)
"""The notifications of a new version: of the friends, the friend requests, the settings."""

MAX_REPEATS = 3
"""How often a device is told again without news, for all logs except the inbox: not every client asks for reports."""

MAX_RECALLS_AGAIN = 256
"""The most RMNs and MENs that are repeated after the answers under way to a device."""

Notice = tuple[SubSignal, bytes]
"""A notification: its kind and its body."""

HELD_SECONDS = 2.0
MAX_HELD = 64
"""How long a transparent message waits for the answer that it must not overtake, s, and how many wait."""

_REPORTS = (Log.DELIVERED, Log.READ)

LATE_MS = 10_000
"""A read report may become visible so many ms after reports with higher seqs (fsharechat/store/group_reads.py).

Users online hear of it by its event. A device that comes back may have missed that event. So when it is told of
something, it is also told of entries that are so much older than its mark.
"""


class DeviceSession(Protocol):
    """The part of a device's session that the logs need."""

    uid: str
    client_id: str
    heard_at: float
    inflight: int
    transport: DeviceTransport

    def ask(self, call: Call, done: Callable[[Reply], None]) -> None:
        """Ask the group role. `done` gets the reply if the device is still connected."""


class LogsHost(Protocol):
    """The part of the connector that the logs need."""

    time: Callable[[], float]
    marks: MarkKeeper
    notified: int
    """MN frames sent."""
    answers: AnswerCounts

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in a while."""


class OnlineUser:
    """A user with a device that is connected here.

    `heads` are the last seqs that this connector knows, by Log. `versions` are the highest versions that the devices
    have been told of, in the order of VERSIONED.
    """

    __slots__ = ("_tail", "_tail_bounds", "devices", "heads", "uid", "versions")

    def __init__(self, uid: str, tail_bounds: tuple[int, int]) -> None:
        self.uid = uid
        self.heads = [0] * len(Log)
        self.versions = (0, 0, 0)
        self.devices: dict[str, DeviceLogs] = {}
        self._tail_bounds = tail_bounds
        self._tail: Tail | None = None  # most users are idle most of the time

    def arrived(self, seq: int, message: TailMessage, sender_client: str) -> None:
        """Note a new entry. `sender_client` is the device that sent it, if it is this user's own message."""
        if seq > self.heads[_INBOX]:
            self.heads[_INBOX] = seq
        wanted = False
        for device in self.devices.values():
            inbox = device.inbox
            if seq > inbox.covered and not (sender_client == device.client_id and inbox.own(seq)):
                wanted = True
        if wanted:
            if self._tail is None:
                self._tail = Tail(*self._tail_bounds)
            self._tail.add(seq, message)
            for device in self.devices.values():
                inbox = device.inbox
                if inbox.told_at is None or seq > inbox.silent_to:  # else it is told after its question
                    device.notify_inbox()

    def behind(self, heads: Heads) -> bool:
        """Return whether the store has news that the devices have not been told of."""
        return any(new > old for new, old in zip(_seqs(heads), self.heads, strict=True)) or any(
            new > old for new, old in zip(_versions(heads), self.versions, strict=True)
        )

    def catch_up(self, heads: Heads) -> None:
        """Note the heads of the store, and tell the devices of news."""
        for log, seq in zip(Log, _seqs(heads), strict=True):
            self.learn(log, seq)
        for sub_signal, new, old in zip(VERSIONED, _versions(heads), self.versions, strict=True):
            if new > old:
                for device in list(self.devices.values()):
                    device.transport.send_notification(sub_signal, long_payload(new))
        self.learn_versions(heads)

    def learn(self, log: Log, seq: int) -> None:
        """Note the head of a log, and tell the devices."""
        if seq > self.heads[log]:
            self.heads[log] = seq
            for device in list(self.devices.values()):
                device.notify(log)

    def reported(self, log: Log, seq: int) -> None:
        """Note a new report, and tell the devices."""
        self.heads[log] = max(self.heads[log], seq)
        for device in list(self.devices.values()):
            if log is Log.READ:
                device.cursor(log).late(seq)
            device.notify(log)

    def learn_versions(self, heads: Heads) -> None:
        """Note that the devices have been told of these versions."""
        first, second, third = self.versions
        self.versions = (max(first, heads.friends), max(second, heads.requests), max(third, heads.settings))

    def told(self, sub_signal: int, version: int) -> None:
        """Note that the devices are being told of a version."""
        if sub_signal == SubSignal.FN:
            self.learn_versions(Heads(friends=version))
        elif sub_signal == SubSignal.FRN:
            self.learn_versions(Heads(requests=version))
        else:
            self.learn_versions(Heads(settings=version))

    # The tail: the newest entries of the inbox in memory, so that a pull reads no table

    def tail_after(self, seq: int) -> list[TailMessage] | None:
        """Return all entries after `seq`, or None when the tail does not hold them without a gap."""
        return self._tail.after(seq, self.heads[_INBOX]) if self._tail is not None else None

    def entry(self, seq: int) -> TailMessage | None:
        """Return an entry of the inbox, if it is in the tail."""
        return self._tail.get(seq) if self._tail is not None else None

    def forget_tail(self) -> None:
        """Empty the tail, so that pulls read the store: a message in it has changed."""
        self._tail = None

    def replace(self, message_id: int, body: bytes, replaced: TailMessage | None) -> TailMessage | None:
        """Replace a message by its form after a recall. Return that form, for other users with the same message."""
        if self._tail is None or (found := self._tail.find(message_id)) is None:
            return replaced
        replaced = replaced or found.with_body(body)
        self._tail.replace(found, replaced)
        return replaced

    def trim(self) -> None:
        """Forget the entries that every device has."""
        if self._tail is not None:
            devices = self.devices.values()
            self._tail.drop_upto(min([device.inbox.mark for device in devices], default=1 << 63))
            if not len(self._tail):
                self._tail = None


class DeviceLogs:
    """The cursors of a device, and the frames that it gets because of them."""

    __slots__ = (
        "_again",
        "_device",
        "_from_the_start",
        "_held",
        "_others",
        "_start",
        "_surroundings",
        "client_id",
        "handed",
        "inbox",
        "transport",
        "uid",
        "user",
    )

    def __init__(
        self, device: DeviceSession, surroundings: LogsHost, user: OnlineUser, heads: Heads, marks: Marks
    ) -> None:
        """Begin at the `marks` of a device. The CONNECT_ACK has told it the `heads`."""
        self._device = device
        self._surroundings = surroundings
        self.user = user
        self.uid = device.uid
        self.client_id = device.client_id
        self.transport = device.transport
        self.inbox = Cursor(min(marks.inbox, heads.seq))
        self._from_the_start = not heads.seq
        """The inbox was empty when the device connected, so no entry in it is of a group that the user has left."""
        self.handed = max(marks.handed, self.inbox.mark)
        """The last entry of the inbox that this device was given, on any connection: it may have it."""
        if heads.seq > self.inbox.mark:
            self.inbox.greeted(surroundings.time(), heads.seq if heads.seq <= self.handed else None)
        self._start = marks
        # Made only when there is something to keep: most devices are idle most of the time.
        self._others: dict[Log, Cursor] | None = None
        self._again: deque[Notice] | None = None
        self._held: deque[tuple[int, TailMessage]] | None = None

    def marks(self) -> Marks:
        """Return the seqs that the device demonstrably has."""
        marks = [self.inbox.mark, *self._start[1:4], self.handed]
        for log, cursor in (self._others or {}).items():
            marks[log] = cursor.mark
        return Marks(*marks)

    def cursor(self, log: Log) -> Cursor:
        if log is _INBOX:
            return self.inbox
        if self._others is None:
            self._others = {}
        found = self._others.get(log)
        if found is None:
            late = LATE_MS if log is Log.READ else 0
            found = self._others[log] = Cursor(max(self._start[log] - late, 0))
        return found

    def notify_all(self) -> None:
        """Tell a newly connected device of everything that it lacks."""
        for log in Log:
            self.notify(log)

    def notify(self, log: Log) -> None:
        """Tell the device of the entries that it lacks in a log, unless it has been told."""
        if log is _INBOX:
            self.notify_inbox()
            return
        head = self.user.heads[log]
        if head <= self._start[log] and (self._others is None or log not in self._others):
            return
        seq = self.cursor(log).tell(head, self._surroundings.time(), most=MAX_REPEATS)
        if seq is None:
            return
        if log in _REPORTS:
            self.transport.send_notification(SubSignal.MRN, notify_report(log, seq))
        else:
            self._look_up_altered(seq - 1)

    def sweep(self, before: float, now: float) -> None:
        """Repeat news from before that time that the device has not asked for. Then move its marks."""
        self._look_at(_INBOX, self.inbox, before, now)
        if self._others is not None:
            for log, cursor in list(self._others.items()):
                self._look_at(log, cursor, before, now)

    def _look_at(self, log: Log, cursor: Cursor, before: float, now: float) -> None:
        if cursor.waits():
            if self.transport.unsent():
                cursor.still_on_its_way(now)
            elif cursor.outlived(self._device.heard_at, now):
                self._marked(log)
        if cursor.tell_again(before):
            self.notify(log)

    def _marked(self, log: Log) -> None:
        self._surroundings.marks.moved(self)
        if log is _INBOX:
            self.user.trim()

    def closed(self) -> None:
        """Move the marks one last time, at the end of the connection."""
        for log in (_INBOX, *(self._others or ())):
            if self.cursor(log).outlived(self._device.heard_at, self._surroundings.time()):
                self._surroundings.marks.moved(self)
        self._surroundings.marks.left(self)
        if self._held is not None:
            self._held.clear()

    # The inbox

    def notify_inbox(self) -> None:
        self._tell_inbox(behind_answers=True)

    def _tell_inbox(self, *, behind_answers: bool) -> None:
        now = self._surroundings.time()
        seq = self.inbox.tell(self.user.heads[_INBOX], now, behind_answers=behind_answers)
        if seq is not None:
            self._surroundings.notified += 1
            self.transport.send_notification(_MN, notify_message(seq))

    def sent(self, seq: int) -> None:
        """Note the seq of the device's own message, before the device gets the answer.

        If it lacks an entry below that seq, it is told of that first: web clients count from the last MN.
        """
        if seq > self.inbox.covered and not self.inbox.own(seq):
            self.user.learn(_INBOX, seq)  # its event may never reach the user's other devices
            self._tell_inbox(behind_answers=False)

    def pull(self, message_id: int, claim: int) -> None:
        """Answer an MP. The device claims to have the inbox up to `claim`."""
        user, inbox = self.user, self.inbox
        after = max(inbox.asked(claim, self._device.heard_at, self._surroundings.time()), 0)
        # The store makes a first answer: it leaves out groups that the user has left.
        first = (claim <= 0 or not (after or self.handed)) and (not self._from_the_start or self.handed > 0)
        entries = None if first else user.tail_after(after)
        if entries is not None:
            if entries and (oldest := entries[0].message_id):
                self._surroundings.answers.deliveries.observe(age(oldest), len(entries))
            if TRACING.on:
                self._trace(entries)
            self._answer(message_id, claim, enumerate(entries, after + 1), user.heads[_INBOX])
            self.notify_inbox()
        else:
            kept = inbox.mark if self.handed else NOTHING
            body = orjson.dumps((NOTHING if first else after, kept, max(claim, 0)))
            call = Call(Method.PULL, self.uid, self.client_id, body)
            self._device.ask(call, partial(self._on_pulled, message_id, claim))

    def _on_pulled(self, message_id: int, claim: int, reply: Reply) -> None:
        user, inbox = self.user, self.inbox
        if reply.code != Code.SUCCESS:
            self._surroundings.answers.refused[_MP, reply.code] += 1
            self.transport.send_reply(_MP, message_id, reply.code, b"", b"")
            inbox.failed(user.heads[_INBOX], self._surroundings.time())
            return
        found = decode_pulled(reply.payload)
        entries = [(seq, TailMessage(body, sender, client)) for seq, sender, client, body in found.entries]
        if TRACING.on:
            self._trace(message for _, message in entries)
        if found.begin >= 0:
            inbox.begin_at(found.begin)
        if found.begin < 0 or 0 < claim == found.begin:
            self._answer(message_id, claim, entries, found.head)
        else:
            self._answer_newest(message_id, claim, entries, found.head)
        # The device need not be told of messages that it sent itself while the store was read.
        while (own := user.entry(inbox.covered + 1)) is not None and self._is_own(own):
            inbox.own(inbox.covered + 1)
        user.learn(_INBOX, found.head)
        self.notify_inbox()

    def _trace(self, entries: Iterable[TailMessage]) -> None:
        """Log what the device is about to be given."""
        for entry in entries:
            trace = str(entry.message_id or entry.about().id)
            log.debug("message given", trace=trace, uid=self.uid, client_id=self.client_id)

    def _answer(
        self, message_id: int, claim: int, entries: Iterable[tuple[int, TailMessage]], head: int
    ) -> None:
        """Answer with the oldest entries, as many as fit into one answer, at least one."""
        transport, handed, uid = self.transport, self.handed, self.uid
        pieces: list[bytes] = []
        size, upto = 0, 0
        for seq, message in entries:
            # Most entries are other people's and new to the device. Testing each one would cost a call.
            if not ((seq <= handed or message.sender == uid) and self._leaves_out(seq, message, claim)):
                piece = transport.piece(message)
                size += len(piece)
                if size > transport.answer_bytes and pieces:
                    break
                pieces.append(piece)
            upto = seq
        self._wrote(message_id, pieces, upto or head)

    def _answer_newest(
        self, message_id: int, claim: int, entries: Sequence[tuple[int, TailMessage]], head: int
    ) -> None:
        """Answer with the newest entries, as many as fit into one answer: a device that has nothing needs no more.

        If entries above its claim do not fit, the answer begins at the claim instead: the device may need them all.
        """
        pieces: list[bytes] = []
        size = 0
        for seq, message in reversed(entries):
            if not self._leaves_out(seq, message, claim):
                pieces.append(self.transport.piece(message))
                size += len(pieces[-1])
                if size > self.transport.answer_bytes and len(pieces) > 1:
                    if 0 < claim < seq:
                        above = [entry for entry in entries if entry[0] > claim]
                        self._answer(message_id, claim, above, head)
                        return
                    del pieces[-1]
                    break
        self._wrote(message_id, pieces[::-1], head)

    def _wrote(self, message_id: int, pieces: list[bytes], upto: int) -> None:
        self.transport.send_pulled(message_id, pieces, upto, upto)
        self._surroundings.answers.done[_MP] += 1
        self.inbox.answered(upto, self._surroundings.time())
        self.handed = max(self.handed, upto)
        self._surroundings.marks.moved(self)
        self.user.trim()
        if self._held:
            self._release()

    def _leaves_out(self, seq: int, message: TailMessage, claim: int) -> bool:
        """Return whether a device must not get an entry (section 6: what may be handed out again).

        It does not recognise its own messages without a local id, and it rings again for a call that it got before.
        """
        if message.sender == self.uid and self._is_own(message):
            return claim > 0 and not message.about().local_id
        return seq <= self.handed and message.about().kind == ContentType.CALL_START

    def _is_own(self, message: TailMessage) -> bool:
        return message.sender_client == self.client_id and message.sender == self.uid

    # Transparent messages

    def push(self, message: TailMessage) -> None:
        """Send a transparent message: if it must not overtake an answer, after that answer (section 6).

        "Typing" may overtake anything, and is of no use later.
        """
        upto = 0 if message.about().kind == ContentType.TYPING else self._last_of(message)
        if not upto:
            self._send_push(message)
            return
        if self._held is None:
            self._held = deque()
        self._held.append((upto, message))
        if len(self._held) > MAX_HELD:
            self._send_push(self._held.popleft()[1])
        self._surroundings.later(HELD_SECONDS, partial(self._release_one, message))

    def _last_of(self, message: TailMessage) -> int:
        """Return the last entry that the device lacks in the conversation of a message, 0 if there is none.

        An entry that is not in the tail may belong to any conversation.
        """
        for seq in range(self.user.heads[_INBOX], self.inbox.covered, -1):
            entry = self.user.entry(seq)
            if entry is None or entry.about().conversation == message.about().conversation:
                return seq
        return 0

    def _release(self) -> None:
        """Send the messages that waited for entries which the device has now been given."""
        held = self._held or ()
        self._held = deque()
        for upto, message in held:
            if upto <= self.inbox.covered:
                self._send_push(message)
            else:
                self._held.append((upto, message))

    def _release_one(self, late: TailMessage) -> None:
        held = self._held or ()
        self._held = deque()
        for upto, message in held:
            if message is late:
                self._send_push(message)
            else:
                self._held.append((upto, message))

    def _send_push(self, message: TailMessage) -> None:
        self.transport.send_pulled(0, [self.transport.piece(message)], 0, 0)

    # The reports (section 8)

    def pull_reports(self, message_id: int, log: Log, id: int, body: bytes) -> None:
        """Answer an MRP, which asks for reports after `id` - 1. The answer to a web client needs its `body`."""
        after = self.cursor(log).asked(id - 1, self._device.heard_at, self._surroundings.time())
        asked = pb.PullMessageReportRequest(id=max(after, 0) + 1, type=log).SerializeToString()
        call = Call(SubSignal.MRP, self.uid, self.client_id, asked)
        self._device.ask(call, partial(self._on_reports, message_id, log, body))

    def _on_reports(self, message_id: int, log: Log, body: bytes, reply: Reply) -> None:
        cursor, now = self.cursor(log), self._surroundings.time()
        self.transport.send_reply(SubSignal.MRP, message_id, reply.code, reply.payload, body)
        if reply.code == Code.SUCCESS:
            self._surroundings.answers.done[SubSignal.MRP] += 1
            found = pb.PullMessageReportResult.FromString(reply.payload)
            cursor.answered(found.current, now)
            self._surroundings.marks.moved(self)
            self.user.learn(log, found.head)
            self.notify(log)
        else:
            self._surroundings.answers.refused[SubSignal.MRP, reply.code] += 1
            cursor.failed(self.user.heads[log], now)

    # The recalls and edits

    def altered(self, seq: int, notice: Notice, operator: str, operator_client: str) -> None:
        """Tell the device of a recall or an edit from an event. Look up those that were skipped."""
        cursor = self.cursor(Log.RECALLS)
        if seq == cursor.covered + 1:
            cursor.wrote(seq, self._surroundings.time())
            self._tell_altered(notice, operator, operator_client)
        else:
            self.notify(Log.RECALLS)

    def _look_up_altered(self, after: int) -> None:
        call = Call(Method.ALTERED, self.uid, self.client_id, orjson.dumps(after))
        self._device.ask(call, partial(self._on_altered, after))

    def _on_altered(self, after: int, reply: Reply) -> None:
        if reply.code == Code.NOT_IMPLEMENTED:  # a group process of an earlier version, without edits
            call = Call(Method.RECALLS, self.uid, self.client_id, orjson.dumps(after))
            self._device.ask(call, self._on_missed)
        else:
            self._on_missed(reply)

    def _on_missed(self, reply: Reply) -> None:
        cursor = self.cursor(Log.RECALLS)
        missed = []
        if reply.code == Code.SUCCESS:
            missed = [one for one in orjson.loads(reply.payload) if one[0] > cursor.covered]
        if not missed:
            return  # the device counts as told, and is checked again later
        self.user.forget_tail()
        cursor.told_at = None
        for seq, message_id, operator, operator_client, *edited in missed:
            cursor.wrote(seq, self._surroundings.time())
            sub_signal = SubSignal.MEN if any(edited) else SubSignal.RMN
            notice = (sub_signal, notify_recall(message_id, operator))
            self._tell_altered(notice, operator, operator_client)
        # An event may have come while an answer without it was on its way.
        self.notify(Log.RECALLS)

    def _tell_altered(self, notice: Notice, operator: str, operator_client: str) -> None:
        """Send an RMN or MEN, unless this device itself asked for the change.

        If an answer is on its way, send it again after that answer, which may have the message in its old form.
        """
        if (self.uid, self.client_id) == (operator, operator_client):
            return
        self.transport.send_notification(*notice)
        if self._device.inflight:
            if self._again is None:
                self._again = deque(maxlen=MAX_RECALLS_AGAIN)
            self._again.append(notice)

    def answers_are_out(self) -> None:
        """Note that no answer is under way to the device any more."""
        if self._again:
            again, self._again = self._again, None
            for notice in again:
                self.transport.send_notification(*notice)


def _seqs(heads: Heads) -> tuple[int, int, int, int]:
    """Return the heads by Log."""
    return heads.seq, heads.delivered, heads.read, heads.recalled


def _versions(heads: Heads) -> tuple[int, int, int]:
    return heads.friends, heads.requests, heads.settings
