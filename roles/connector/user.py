"""A user who is online here: the devices, what is known of the inbox, and its tail."""

from typing import TYPE_CHECKING

from roles.connector.tail import Tail, TailMessage

if TYPE_CHECKING:
    from roles.connector.session import Session


class OnlineUser:
    """`head` is the highest seq that this connector knows of in the user's inbox."""

    __slots__ = ("_tail", "_tail_bounds", "head", "sessions", "uid")

    def __init__(self, uid: str, tail_bounds: tuple[int, int]) -> None:
        self.uid = uid
        self.head = 0
        self.sessions: dict[str, Session] = {}
        self._tail_bounds = tail_bounds
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

    def learn(self, head: int) -> None:
        """Take note of what the store says the inbox's head is."""
        if head > self.head:
            self.head = head
            self.notify()

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
