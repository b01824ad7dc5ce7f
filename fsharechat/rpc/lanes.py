"""A call under way to another process, and the queue of the user it is for."""

import asyncio
from typing import TYPE_CHECKING

from fsharechat.rpc import Call, Reply

if TYPE_CHECKING:
    from fsharechat.rpc.tcp_client import ClientConnection

FORGOTTEN = Call(0, "", "", b"")


class Lane:
    """The calls of one user: all that are under way are with one process, so that they keep their order.

    When that process takes no more calls, later ones wait until it has answered the earlier.
    """

    __slots__ = ("sent", "target", "uid", "waiting")

    def __init__(self, uid: str, target: "ClientConnection | None") -> None:
        self.uid = uid
        self.target = target
        self.sent = 0
        """How many calls `target` has."""
        self.waiting: list[Asked] = []


class Asked(asyncio.Future[Reply]):
    """A call under way, and what its caller waits for."""

    __slots__ = ("call", "deadline", "lane", "sent", "tries")

    call: Call
    deadline: float
    """A time of the loop."""
    lane: Lane | None
    """None when the caller has been answered."""
    sent: bool
    """Whether a process has it; else it waits in its lane."""
    tries: int
