"""The limits for connections: in all, of one address, and of clients that have not logged in."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from fsharechat.rooms import AddressRoom, Crowd

log = structlog.get_logger(__name__)


class Visit:
    """A connection, from the moment it is accepted, before any handshake, to its end.

    Before its login it is a stranger: its time is limited, and it may have to make room for another connection.
    """

    __slots__ = ("_admission", "_socket", "name", "opened_at", "overdue", "peer", "stranger")

    def __init__(
        self, admission: "Admission", connected: socket.socket, peer: str, name: str, opened_at: float
    ) -> None:
        """`peer` is host:port, for the log. The host is counted under `name`. The time is the loop's."""
        self._admission: Admission | None = admission
        self._socket: socket.socket | None = connected
        self.peer = peer
        self.name = name
        self.opened_at = opened_at
        self.stranger = True
        self.overdue: Callable[[], None] | None = None
        """Ends the connection when its time to log in is over. Without this function the connection is cut."""

    def hold(self) -> None:
        """Protect it from having to make room: it waits for an answer of ours."""
        if self._admission is not None:
            self._admission.hold(self)

    def release(self) -> None:
        """End this protection."""
        if self._admission is not None:
            self._admission.release(self)

    def logged_in(self) -> None:
        """Stop counting it as a stranger."""
        if self._admission is not None:
            self._admission.logged_in(self)
        self._socket = self.overdue = None

    def ended(self) -> None:
        """Stop counting it. Does nothing if that was done already."""
        admission, self._admission = self._admission, None
        self._socket = self.overdue = (
            None  # else there would be a reference cycle, which is not freed at once
        )
        if admission is not None:
            admission.ended(self)

    def cut(self) -> None:
        """End the connection of a stranger. The reader of the socket finds its end, even in a handshake."""
        if self._socket is not None:
            with suppress(OSError):  # gone already
                self._socket.shutdown(socket.SHUT_RDWR)
        self.ended()


class Admission:
    """Counts connections, and decides which one must make room.

    A connection beyond the limit of its address is refused. A connection beyond `most` or `most_strangers` is let in,
    and a stranger is closed for it. Crowd chooses that stranger; strangers that wait for an answer of ours are left
    out. So nobody can take all the room by doing nothing. If there is no such stranger, the new connection is
    refused.
    """

    def __init__(self, room: AddressRoom, most: int, most_strangers: int, seconds: float) -> None:
        """A stranger has `seconds` to log in."""
        self._room = room
        self.most = most
        self.most_strangers = most_strangers
        self._seconds = seconds
        self._visits = 0
        self._strangers: dict[Visit, None] = {}  # the oldest first
        self._crowd: Crowd[Visit] = Crowd()
        self.refused = 0
        """How many connections found no room, and how many strangers were closed to make room."""
        self._told = 0

    @property
    def connections(self) -> int:
        return self._visits

    @property
    def strangers(self) -> int:
        return len(self._strangers)

    def enter(self, connected: socket.socket, peer: tuple[Any, ...], now: float) -> Visit | None:
        """Count a new connection from `peer` (host, port and more). Returns None if there are too many."""
        name = self._room.enter(peer[0])
        if name is None:
            self.refused += 1
            return None
        if self._visits >= self.most or len(self._strangers) >= self.most_strangers:
            self.refused += 1
            out = self._crowd.next_out()
            if out is None:
                self._room.leave(name)
                return None
            out.cut()
        visit = Visit(self, connected, f"{peer[0]}:{peer[1]}", name, now)
        self._visits += 1
        self._strangers[visit] = None
        self._crowd.add(visit, name)
        return visit

    def hold(self, visit: Visit) -> None:
        self._crowd.discard(visit)

    def release(self, visit: Visit) -> None:
        if visit.stranger:
            self._crowd.add(visit, visit.name)

    def logged_in(self, visit: Visit) -> None:
        visit.stranger = False
        self._crowd.discard(visit)
        self._strangers.pop(visit, None)

    def ended(self, visit: Visit) -> None:
        self.logged_in(visit)
        self._visits -= 1
        self._room.leave(visit.name)

    def sweep(self, now: float) -> None:
        """End the connections whose time to log in is over. Log how many found no room since the last time."""
        overdue = []
        for visit in self._strangers:
            if now - visit.opened_at <= self._seconds:
                break
            overdue.append(visit)
        for visit in overdue:
            (visit.overdue or visit.cut)()
        if self.refused > self._told:
            log.warning(
                "connections refused: too many",
                count=self.refused - self._told,
                connections=self._visits,
                unauthenticated=len(self._strangers),
            )
            self._told = self.refused
        self._room.tell_crowded()
