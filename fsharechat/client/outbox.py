"""Messages on their way to the server: sent until they are answered, stored once (contract.md section 6)."""

import asyncio
import secrets
from struct import unpack
from typing import Protocol

from fsharechat.client.errors import (
    Disconnected,
    InvalidReply,
    RequestError,
    RequestTimeout,
    SendUnconfirmed,
    TooOften,
)
from fsharechat.client.link import Link
from fsharechat.client.models import SentMessage
from fsharechat.client.options import Backoff, Options
from fsharechat.client.transport import Body
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal

MARGIN = 0.9
"""The share of the limit that is used, at once and over time: requests sent apart may arrive together."""


class Pacer:
    """Keeps requests below the server's limit, a leaky bucket (contract.md section 8): each gets a turn, in order."""

    __slots__ = ("_capacity", "_level", "_rate", "_since")

    def __init__(self, requests: int, seconds: float) -> None:
        """The server takes `requests` in `seconds`; 0 requests: no limit."""
        self._capacity = max(1.0, requests * MARGIN) if requests else 0.0
        self._rate = requests * MARGIN / seconds
        self._level = 0.0
        self._since = 0.0

    def turn(self, now: float, within: float) -> float | None:
        """Return the seconds to wait for a turn, None if it would not come `within` seconds.

        A given turn counts, even if it is not used. `now` is from a clock that does not go back.
        """
        if not self._capacity:
            return 0.0
        self._leak(now)
        wait = max(0.0, self._level + 1 - self._capacity) / self._rate
        if wait > within:
            return None
        self._level += 1
        return wait

    def refused(self, now: float) -> None:
        """Note that the server's limit is reached: an earlier run of this device may have used it."""
        self._leak(now)
        self._level = max(self._level, self._capacity)

    def _leak(self, now: float) -> None:
        self._level = max(0.0, self._level - (now - self._since) * self._rate)
        self._since = now


MAX_LOCAL_ID = (1 << 63) - 1


class RequestInTurn(Protocol):
    """`Client.request`."""

    async def __call__(self, sub_signal: SubSignal, body: Body, *, within: float, turn: int) -> Body: ...


class Outbox:
    def __init__(self, me: str, request: RequestInTurn, link: Link, options: Options) -> None:
        """`request` is that of the client, over the link."""
        self._me = me
        self._request = request
        self._link = link
        self._options = options
        # A random start keeps the local ids of two devices, or two runs, different. The server takes a message with
        # the local id of an earlier one of the same user for a resend.
        self._local_id = secrets.randbits(62)
        self._sending: dict[int, SentMessage | None] = {}
        self._pacer = Pacer(options.send_limit, options.send_limit_seconds)

    def next_local_id(self) -> int:
        self._local_id = self._local_id % MAX_LOCAL_ID + 1
        return self._local_id

    def note(self, message: pb.Message) -> bool:
        """Return whether a message of the inbox is being sent here. If so, it needs no other answer."""
        if message.from_user != self._me or message.local_message_id not in self._sending:
            return False
        self._sending[message.local_message_id] = SentMessage(message.message_id, message.server_timestamp)
        return True

    async def take_turn(self, seconds: float) -> None:
        """Wait until one more message is within the server's limit.

        Raises TooOften, at once, if that is not within `seconds`.
        """
        wait = self._pacer.turn(asyncio.get_running_loop().time(), seconds)
        if wait is None:
            raise TooOften(SubSignal.MS, Code.TOO_OFTEN)
        if wait:
            await asyncio.sleep(wait)

    async def send(self, message: pb.Message, seconds: float) -> SentMessage:
        """Send `message` until it is answered or found in the inbox.

        Raises RequestError if it is refused, TooOften if its turn does not come within `seconds`, SendUnconfirmed
        when they are over, and the error that ended the client.
        """
        local_id = message.local_message_id
        self._sending[local_id] = None
        try:
            return await self._send(message, seconds)
        finally:
            self._sending.pop(
                local_id, None
            )  # gone already if the same local id was sent twice at the same time

    async def _send(self, message: pb.Message, seconds: float) -> SentMessage:
        options = self._options
        backoff = Backoff(options.backoff_first, options.backoff_max)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        refusal: RequestError | None = None
        unexplained = 0
        turn = self._link.next_turn()
        await self.take_turn(seconds)
        while (left := deadline - loop.time()) > 0:
            try:
                within = min(left, options.request_timeout)
                return _receipt(await self._request(SubSignal.MS, message, within=within, turn=turn))
            except RequestTimeout:
                refusal = None
            except Disconnected:
                refusal = None
                if self._link.ended:
                    raise
            except RequestError as error:
                if error.code is None:
                    # A refusal over WebSocket. Sending again is safe: a stored message is found by its local id.
                    unexplained += 1
                    final = unexplained > options.unexplained_retries
                else:
                    final = error.code not in options.retry_codes
                if final:
                    raise
                refusal = error
                if error.code in (None, Code.TOO_OFTEN):
                    self._pacer.refused(loop.time())
                await asyncio.sleep(min(backoff.next(), left))
            if (found := self._sending.get(message.local_message_id)) is not None:
                return found
            if (wait := self._pacer.turn(loop.time(), deadline - loop.time())) is None:
                break
            if wait:
                await asyncio.sleep(wait)
        raise refusal or SendUnconfirmed(message.local_message_id, seconds)


def _receipt(reply: Body) -> SentMessage:
    if not isinstance(reply, bytes) or len(reply) != 16:
        raise InvalidReply("MS: the receipt has 16 bytes")
    message_id, timestamp = unpack(">qq", reply)
    return SentMessage(message_id, timestamp)
