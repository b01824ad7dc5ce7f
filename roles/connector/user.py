"""A user who is online here: the devices, how far the logs of the user go, and the tail of the inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsharechat.protocol.bodies import long_payload
from fsharechat.protocol.signals import ReportType, SubSignal
from fsharechat.store.heads import Heads
from roles.connector.tail import Tail, TailMessage

if TYPE_CHECKING:
    from roles.connector.recalls import Recalls
    from roles.connector.session import Session

VERSIONED = (SubSignal.FN, SubSignal.FRN, SubSignal.UN)
"""What tells a device of a new version: of the friends, of the friend requests, of the settings."""


class OnlineUser:
    """`head` is the highest seq that this connector knows of in the user's inbox.

    `versions` are the highest that the devices have been told of, in the order of VERSIONED, `reports` the last
    reports that are known, in the order of ReportType, and `recalled` the last recall.
    """

    __slots__ = (
        "_recalls",
        "_tail",
        "_tail_bounds",
        "head",
        "recalled",
        "reports",
        "sessions",
        "uid",
        "versions",
    )

    def __init__(self, uid: str, tail_bounds: tuple[int, int], recalls: Recalls) -> None:
        self.uid = uid
        self.head = 0
        self.versions = (0, 0, 0)
        self.reports = (0, 0)
        self.recalled = 0
        self.sessions: dict[str, Session] = {}
        self._tail_bounds = tail_bounds
        self._recalls = recalls
        self._tail: Tail | None = None  # most users are idle most of the time

    def arrived(self, seq: int, message: TailMessage, sender_client: str) -> None:
        """Take note of a new entry; `sender_client` is the device that sent it, if it is this user's own message."""
        self.head = max(self.head, seq)
        wanted = False
        for session in self.sessions.values():
            if seq > session.fetched and not session.sent(seq, sender_client):
                wanted = True
        if wanted:
            if self._tail is None:
                self._tail = Tail(*self._tail_bounds)
            self._tail.add(seq, message)
            self.notify()

    def behind(self, heads: Heads) -> bool:
        """Return whether the store knows of something that the devices have not been told of."""
        return (
            heads.seq > self.head
            or any(new > old for new, old in zip(_versions(heads), self.versions, strict=True))
            or heads.delivered > self.reports[0]
            or heads.read > self.reports[1]
            or heads.recalled > self.recalled
        )

    def catch_up(self, heads: Heads) -> None:
        """Take note of what the store says, and tell the devices what is news."""
        self.learn(heads.seq)
        for sub_signal, new, old in zip(VERSIONED, _versions(heads), self.versions, strict=True):
            if new > old:
                for session in list(self.sessions.values()):
                    session.transport.send_notification(sub_signal, long_payload(new))
        self.learn_versions(heads)
        self.learn_reports(ReportType.DELIVERED, heads.delivered)
        self.learn_reports(ReportType.READ, heads.read)
        self.learn_recalls(heads.recalled)

    def learn(self, head: int) -> None:
        """Take note of how far the inbox goes."""
        if head > self.head:
            self.head = head
            self.notify()

    def learn_versions(self, heads: Heads) -> None:
        """Take note that the devices have been told of these versions."""
        first, second, third = self.versions
        self.versions = (max(first, heads.friends), max(second, heads.requests), max(third, heads.settings))

    def told(self, sub_signal: int, version: int) -> None:
        """Take note that the devices are being told of a version."""
        if sub_signal == SubSignal.FN:
            self.learn_versions(Heads(friends=version))
        elif sub_signal == SubSignal.FRN:
            self.learn_versions(Heads(requests=version))
        else:
            self.learn_versions(Heads(settings=version))

    def learn_reports(self, kind: ReportType, head: int) -> None:
        """Take note of how far the reports of a kind go."""
        delivered, read = self.reports
        if kind == ReportType.DELIVERED:
            self.reports = (max(delivered, head), read)
        else:
            self.reports = (delivered, max(read, head))
        if self.reports != (delivered, read):
            for session in list(self.sessions.values()):
                session.notify_reports(kind)

    def learn_recalls(self, seq: int) -> None:
        """Take note of how far the recalls go, and have the devices told of those that they do not know."""
        self.recalled = max(self.recalled, seq)
        for session in self.sessions.values():
            self._recalls.catch_up(self, session)

    def forget_tail(self) -> None:
        """Let pulls read the store: something in the tail is no longer what it was."""
        self._tail = None

    def replace(self, message_id: int, body: bytes, replaced: TailMessage | None) -> TailMessage | None:
        """Put what a recall made of a message in its place; return it, for the next user who has the same message."""
        if self._tail is None or (found := self._tail.find(message_id)) is None:
            return replaced
        replaced = replaced or found.with_body(body)
        self._tail.replace(found, replaced)
        return replaced

    def notify(self) -> None:
        for session in self.sessions.values():
            session.notify()

    def tail_after(self, seq: int) -> list[TailMessage] | None:
        """Return all entries after `seq`, or None when the tail does not hold them without a gap."""
        return self._tail.after(seq, self.head) if self._tail is not None else None

    def past_own(self, seq: int, client_id: str) -> int:
        """Return the last of the entries right behind `seq` that a device of this user has sent itself."""
        if self._tail is not None:
            while (message := self._tail.get(seq + 1)) is not None and message.sender_client == client_id:
                if message.sender != self.uid:
                    break
                seq += 1
        return seq

    def trim(self) -> None:
        """Let go of what every device has fetched."""
        if self._tail is not None:
            self._tail.drop_upto(
                min((session.fetched for session in self.sessions.values()), default=self.head)
            )
            if not len(self._tail):
                self._tail = None


def _versions(heads: Heads) -> tuple[int, int, int]:
    return heads.friends, heads.requests, heads.settings
