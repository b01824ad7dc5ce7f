"""Calls between roles: connectors and the api ask, group processes answer."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple


class Method(IntEnum):
    """What is asked beside the requests of clients, whose method is their sub-signal (0-127). Bodies are JSON."""

    AUTHENTICATE = 128
    """The password of a CONNECT -> Welcome (welcome.py), or the sub-signal of the refusal as the code."""
    FORGET = 129
    """The caller's device logged out: nothing -> nothing."""
    HEADS = 130
    """An array of uids -> an object uid: array of Heads, without the users for whom there is nothing yet."""
    SEND_CODE = 131
    """{"mobile"} -> {"code", "message", "result"}."""
    LOGIN = 132
    """{"mobile", "code", "clientId"} -> {"code", "message", "result"}."""
    ADMIN = 133
    """{"op", ...} of the back office -> {"code", "message", "result"}; the code is an HTTP status."""
    RECALLS = 134
    """The caller's device asks for recalls: a seq -> array of Missed (store/recalls.py) with a higher one."""
    RECALLS_TOLD = 135
    """An array of [uid, client id, seq], the last recall that each device was told of -> nothing."""


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
    """A code of the contract (protocol.md section 5), and the payload when it is 0."""

    code: int
    payload: bytes = b""


Handler = Callable[[Call], "asyncio.Future[Reply]"]


class RpcError(Exception):
    """The settings do not allow calls between processes; the text is for the operator and names the key."""


class Rpc(ABC):
    address: str
    """Where other processes reach this one, as host:port; its name in logs where none can. Known once it is open."""

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
