"""Messages on their way to the server: sent until they are answered, stored once (contract.md section 6)."""

import asyncio
import secrets
from collections.abc import Callable
from struct import unpack

from fsharechat.client.errors import (
    Disconnected,
    InvalidReply,
    RequestError,
    RequestTimeout,
    SendUnconfirmed,
    TooOften,
)
from fsharechat.client.models import SentMessage
from fsharechat.client.options import Backoff, Options
from fsharechat.client.pacer import Pacer
from fsharechat.client.requests import SendRequest
from fsharechat.client.transport import Body
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal

MAX_LOCAL_ID = (1 << 63) - 1


class Outbox:
    def __init__(self, me: str, request: SendRequest, ended: Callable[[], bool], options: Options) -> None:
        """`request` is Client.request, `ended` tells whether there will be no connection any more."""
        self._me = me
        self._request = request
        self._ended = ended
        self._options = options
        # A random start keeps the local ids of two devices, and of two runs, apart: the server drops as a resend
        # what has the local id of an earlier message of the same user.
        self._local_id = secrets.randbits(62)
        self._sending: dict[int, SentMessage | None] = {}
        self._pacer = Pacer(options.send_limit, options.send_limit_seconds)

    def next_local_id(self) -> int:
        self._local_id = self._local_id % MAX_LOCAL_ID + 1
        return self._local_id

    def note(self, message: pb.Message) -> bool:
        """Tell whether a message of the inbox is one being sent here; then it needs no other answer."""
        if message.from_user != self._me or message.local_message_id not in self._sending:
            return False
        self._sending[message.local_message_id] = SentMessage(message.message_id, message.server_timestamp)
        return True

    async def take_turn(self, seconds: float) -> None:
        """Wait until one more message keeps below the server's limit.

        Raises TooOften, at once, if that is not within `seconds`.
        """
        wait = self._pacer.turn(asyncio.get_running_loop().time(), seconds)
        if wait is None:
            raise TooOften(SubSignal.MS, Code.TOO_OFTEN)
        if wait:
            await asyncio.sleep(wait)

    async def send(self, message: pb.Message, seconds: float) -> SentMessage:
        """Send `message` until it is answered or found in the inbox.

        Raises RequestError when it is refused, TooOften when its turn does not come within `seconds`, SendUnconfirmed
        when they are over, and what ended the client.
        """
        local_id = message.local_message_id
        self._sending[local_id] = None
        try:
            return await self._send(message, seconds)
        finally:
            self._sending.pop(local_id, None)  # gone already when the same local id was sent twice at a time

    async def _send(self, message: pb.Message, seconds: float) -> SentMessage:
        options = self._options
        backoff = Backoff(options.backoff_first, options.backoff_max)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        refusal: RequestError | None = None
        unexplained = 0
        await self.take_turn(seconds)
        while (left := deadline - loop.time()) > 0:
            try:
                reply = await self._request(SubSignal.MS, message, within=min(left, options.request_timeout))
                return _receipt(reply)
            except RequestTimeout:
                refusal = None
            except Disconnected:
                refusal = None
                if self._ended():
                    raise
            except RequestError as error:
                if error.code is None:
                    # So it is over WebSocket. Sending again is safe: what was stored is found by its local id.
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
