"""Calls between roles: connectors and the api role call, group processes answer."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import orjson

from fsharechat.metrics import Metrics
from fsharechat.renewal import Renewable
from fsharechat.tuples import maker


class Method(IntEnum):
    """Methods beside the requests of clients, whose method is their sub-signal (0-127). Bodies are JSON."""

    AUTHENTICATE = 128
    """The password of a CONNECT -> Welcome (payloads.py), or the sub-signal of the refusal as the code."""
    FORGET = 129
    """The caller's device logged out: nothing -> nothing."""
    HEADS = 130
    """An array of uids -> an object uid: array of Heads, without users who have no heads yet."""
    SEND_CODE = 131
    """{"mobile", "address"} -> {"code", "result"}, and "wait_ms" if the address must wait."""
    LOGIN = 132
    """{"mobile", "code", "clientId", "address"} -> as SEND_CODE. Without an address nothing is counted."""
    ADMIN = 133
    """{"op", ...} of the back office -> {"code", "message", "result"}; the code is an HTTP status."""
    RECALLS = 134
    """The caller's device asks for recalls: a seq -> array of Missed (store/recalls.py) with a higher one."""
    MARKS = 135
    """An array of Mark (store/cursors.py), how far devices have the logs of their users -> nothing."""
    PULL = 136
    """[after, mark, claim]: the inbox of the caller's device behind `after` -> PulledInbox (payloads.py).

    `after` and `mark` may be inboxes.NOTHING. If `after` is, the device begins anew (inboxes.pull), and its mark is
    kept if it differs from `mark`.
    """
    NEWEST_ID = 137
    """Nothing -> the highest stored message id, or 0. A connector's ids begin above it."""
    UPLOAD = 140
    """[folder, bytes] of a file that an uploader puts there -> nothing; TOO_OFTEN beyond the limit of a day.

    Negative bytes: so many were counted and not kept.
    """
    GONE = 141
    """An array of [uid, client id] of connected devices -> array of those that must not be connected."""

    ALTERED = 145
    """As RECALLS -> array of Altered (store/recalls.py), recalls and edits with a higher seq."""

    SEEN = 144
    """An array of Seen (store/sessions.py), until when devices were connected -> nothing."""

    STATUS = 146
    """The status of the calling process, as `ProcessStatus.look` (fsharechat/status.py) returns it -> nothing."""

    OIDC = 147
    """{"op", ...} of a login by OpenID Connect (roles/group/oidc.py) -> {"code", "result"}, as LOGIN."""

    MEDIA = 142
    """To a media process: what medialink/wire.py makes of a call of MediaServer -> its answer. `uid` is the room."""
    MEDIA_EVENT = 143
    """From a media process: what wire.py makes of a call of MediaEvents -> nothing. `uid` is the room."""


class Call(NamedTuple):
    """A request. `uid` and `client_id` are authenticated, and never come from the body. They are empty before a
    login.

    `message_id` is the id that the connector gave to the message which the request stores (an MS, or the change of a
    group), else 0. `retried`: the same call may have been carried out already. `frame_id` is the message id of the
    client's frame, `issued_ms` the time of its device's login: by both, a repeated frame is recognised. A request
    over HTTP has a number of its own as `frame_id` (fsharechat/tracing.py).
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


class RpcError(Exception):
    """The settings do not allow calls between processes; the text is for the operator and names the key."""


class Rpc(Renewable, ABC):
    address: str
    """The address of this process for others, host:port, or else its name in logs. Known once it is open."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether some process takes calls."""

    @abstractmethod
    async def open(self) -> None:
        """Be ready to call and to serve. Raises RpcError."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the calls under way, and close."""

    @abstractmethod
    async def serve(self, handler: Handler) -> None:
        """Answer calls from now on.

        The handler's future does not fail: a failure becomes a code. If the future is a task, it may be cancelled at
        the deadline, and then returns code 249.
        """

    @abstractmethod
    async def unserve(self) -> None:
        """Take no more calls. Return when the taken ones are answered."""

    @abstractmethod
    async def wait_ready(self) -> None:
        """Return when some process takes calls."""

    @abstractmethod
    def next_change(self) -> asyncio.Event:
        """Return what is set as soon as a process begins or ceases to take calls. Each change has its own event."""

    @abstractmethod
    def call(self, call: Call) -> "asyncio.Future[Reply]":
        """Make a call. The calls of one user reach the group role in their order.

        The future does not fail: it gets code 4 if no process takes calls, and 249 if none answers before the
        deadline.
        """

    @abstractmethod
    def call_all(self, call: Call) -> "list[asyncio.Future[Reply]]":
        """Make a call to each process that takes calls. The futures are those of `call`.

        A process that breaks may be replaced by another one, which then answers twice.
        """

    async def ask(self, method: int, body: object = None) -> Reply:
        """Make a call for this process itself, with a JSON body, and return its reply."""
        # Shielded: the inner task may answer its cancellation with a code, and then our cancellation would be lost.
        return await asyncio.shield(self.call(Call(method, "", "", orjson.dumps(body))))

    def publish(self, metrics: Metrics) -> None:
        """Publish its metrics, which count from the opening on."""
