"""Calls between roles: connectors and the api ask, group processes answer."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import NamedTuple

from fsharechat.renewal import Renewable
from fsharechat.tuples import maker


class Method(IntEnum):
    """What is asked beside the requests of clients, whose method is their sub-signal (0-127). Bodies are JSON."""

    AUTHENTICATE = 128
    """The password of a CONNECT -> Welcome (welcome.py), or the sub-signal of the refusal as the code."""
    FORGET = 129
    """The caller's device logged out: nothing -> nothing."""
    HEADS = 130
    """An array of uids -> an object uid: array of Heads, without the users for whom there is nothing yet."""
    SEND_CODE = 131
    """{"mobile", "address"} -> {"code", "result"}, and "wait_ms" where the address is refused for so long."""
    LOGIN = 132
    """{"mobile", "code", "clientId", "address"} -> as SEND_CODE. Without an address nothing is counted."""
    ADMIN = 133
    """{"op", ...} of the back office -> {"code", "message", "result"}; the code is an HTTP status."""
    RECALLS = 134
    """The caller's device asks for recalls: a seq -> array of Missed (store/recalls.py) with a higher one."""
    MARKS = 135
    """An array of Mark (store/cursors.py), how far devices have the logs of their users -> nothing."""
    PULL = 136
    """[after, mark, claim]: the inbox of the caller's device behind `after` -> PulledInbox (pulled.py).

    `after` and `mark` may be messages.NOTHING. Where `after` is, the device begins anew (messages.pull), and its mark
    is kept if it is not `mark`.
    """
    NEWEST_ID = 137
    """Nothing -> the highest message id that is stored, or 0: a connector's ids begin behind it."""
    UPLOAD = 140
    """[folder, bytes] of a file that an uploader puts there -> nothing; TOO_OFTEN beyond what they may in a day.

    Negative: so much was counted and not kept."""
    GONE = 141
    """An array of [uid, client id], devices that are connected -> array of those that may not be."""


class Call(NamedTuple):
    """A request. `uid` and `client_id` are authenticated (empty where nobody is), and never from the body.

    `message_id` is the id that the connector gave to the message that the request stores (an MS, or the change of a
    group), else 0. `retried`: the same call may have been carried out already. `frame_id` is the message id of the
    client's frame, `issued_ms` when its device logged in: by them a frame is known that a client sends again.
    """

    method: int
    uid: str
    client_id: str
    body: bytes
    message_id: int = 0
    retried: bool = False
    frame_id: int = 0
    issued_ms: int = 0


class Reply(NamedTuple):
    """A code of the contract (contract.md section 5), and the payload when it is 0."""

    code: int
    payload: bytes = b""


make_call, make_reply = maker(Call), maker(Reply)


Handler = Callable[[Call], "asyncio.Future[Reply]"]


class Count(NamedTuple):
    """Something counted of calls, for the metrics."""

    name: str
    help: str
    read: Callable[[], int]


class RpcError(Exception):
    """The settings do not allow calls between processes; the text is for the operator and names the key."""


class Rpc(Renewable, ABC):
    address: str
    """Where other processes reach this one, as host:port; its name in logs where none can. Known once it is open."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether there is somebody to call."""

    @abstractmethod
    async def open(self) -> None:
        """Be ready to call and to serve. Raises RpcError."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the calls under way and let go."""

    @abstractmethod
    async def serve(self, handler: Handler) -> None:
        """Answer calls from now on.

        The handler's future does not fail: what fails becomes a code. Where it is a task, it may be cancelled at
        the deadline, and returns code 249 then.
        """

    @abstractmethod
    async def unserve(self) -> None:
        """Take no more calls, and return once those taken are answered."""

    @abstractmethod
    async def wait_ready(self) -> None:
        """Return when there is somebody to call."""

    @abstractmethod
    def call(self, call: Call) -> "asyncio.Future[Reply]":
        """Ask; calls of one user reach the group role in the order they are made.

        The future does not fail: it gets code 4 when there is nobody to ask, and 249 when nobody answered before
        the deadline.
        """

    def counts(self) -> Iterable[Count]:
        """Return what it counts, from when it is open."""
        return ()
