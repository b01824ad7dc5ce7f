"""One connection: CONNECT, requests in flight, heartbeats, and its end (contract.md sections 1 and 4)."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from fsharechat.client.errors import (
    ClientError,
    ConnectRefused,
    Disconnected,
    InvalidReply,
    RequestTimeout,
    TooLarge,
)
from fsharechat.client.models import Credentials, Notice, Transparent
from fsharechat.client.options import Options
from fsharechat.client.transport import Body, Packet, Transport
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.crypto import connect_password
from fsharechat.protocol.signals import Signal, SubSignal

log = logging.getLogger(__name__)

MAX_MESSAGE_ID = 0xFFFF
FORGET_TIMEOUT = 5.0


class Connection:
    """A transport after a CONNECT. It is used once: when it is lost, a new one replaces it."""

    def __init__(
        self,
        transport: Transport,
        options: Options,
        *,
        on_notice: Callable[[Notice], None],
        on_end: Callable[[], None],
    ) -> None:
        """`on_notice` gets the server's notifications. `on_end` is called when the connection is lost or closed,
        before its requests fail. Neither may block.
        """
        self._transport = transport
        self._options = options
        self._on_notice = on_notice
        self._on_end = on_end
        self._accepted: asyncio.Future[pb.ConnectAckPayload] = asyncio.get_running_loop().create_future()
        self._pending: dict[int, tuple[SubSignal, asyncio.Future[Any]]] = {}
        self._last_id = 0
        self._lost = asyncio.Event()
        self._reason = ""

    @property
    def ended(self) -> bool:
        """Whether it was lost or closed."""
        return self._lost.is_set()

    async def open(self, credentials: Credentials) -> pb.ConnectAckPayload:
        """Connect and authenticate, with a password that has the present time.

        Raises Disconnected, or ConnectRefused if the server refuses. Call `close` in either case.
        """
        connect = {
            "userName": credentials.user_id,
            "password": connect_password(credentials.user_token, credentials.secret),
            "clientIdentifier": credentials.client_id,
        }
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await self._transport.open(self)
                await self._write(Signal.CONNECT, 0, connect)
                if self._transport.answers_ping:
                    # As in deployed clients, a PING follows at once, and nobody waits for its answer.
                    await self._write(Signal.PING, self._take_id(SubSignal.NONE, None), self._ping())
                return await self._accepted
        except TimeoutError:
            raise Disconnected(f"no CONNECT_ACK in {self._options.connect_timeout:g} s") from None

    async def request(self, sub_signal: SubSignal, body: Body, within: float) -> Body:
        """Send a request. Return the content of its answer (`transport.Body`), `within` seconds.

        Raises RequestError when the server refuses, RequestTimeout, Disconnected, InvalidReply, and ValueError or
        TooLarge when the request cannot be sent.
        """
        content = await self._exchange(Signal.PUBLISH, sub_signal, body, within)
        return self._transport.reply(sub_signal, content)

    async def stay_alive(self) -> NoReturn:
        """Send heartbeats. Raises Disconnected when the server does not answer them."""
        options = self._options
        while True:
            if not self._transport.answers_ping:
                await asyncio.sleep(options.heartbeat_interval)
                await self._transport.heartbeat()
                continue
            await asyncio.sleep(options.ping_interval)
            try:
                await self._exchange(Signal.PING, SubSignal.NONE, self._ping(), options.ping_timeout)
            except RequestTimeout as error:
                raise Disconnected(f"the server is silent: {error}") from error

    async def wait_lost(self) -> NoReturn:
        """Wait for the end of the connection, then raise Disconnected."""
        await self._lost.wait()
        raise Disconnected(self._reason)

    async def disconnect(self, *, forget: bool) -> None:
        """Say goodbye. With `forget` the server drops the session, and this waits until it closes the connection.

        Raises Disconnected when the connection is gone already.
        """
        await self._write(Signal.DISCONNECT, 0, {"clearSession": int(forget)})
        if forget:
            try:
                async with asyncio.timeout(FORGET_TIMEOUT):
                    await self._lost.wait()
            except TimeoutError:
                log.warning("the server did not close the connection after a DISCONNECT")

    async def close(self) -> None:
        """Close the socket, within a bound. Requests in flight raise Disconnected."""
        self._fail("the connection was closed")
        await self._transport.close()

    def on_packet(self, packet: Packet) -> None:
        """Take a frame from the transport."""
        try:
            self._dispatch(packet)
        except ClientError as error:
            self._fail(f"the server does not speak the protocol: {error}")

    def on_lost(self, reason: str) -> None:
        """Called by the transport when the socket is gone."""
        self._fail(reason)

    def _dispatch(self, packet: Packet) -> None:
        match packet.signal:
            case Signal.PUB_ACK if packet.message_id == 0:
                self._transparent(packet)
            case Signal.PUB_ACK | Signal.PING:
                self._answer(packet)
            case Signal.PUBLISH:
                if packet.sub_signal not in SubSignal.__members__.values():
                    return  # a notification of a later version
                notice = self._transport.notice(SubSignal(packet.sub_signal), packet.content)
                if notice is not None:
                    self._on_notice(notice)
            case Signal.CONNECT_ACK:
                self._acknowledge(packet)
            case _:
                raise InvalidReply(f"signal {packet.signal}")

    def _transparent(self, packet: Packet) -> None:
        if packet.sub_signal != SubSignal.MP:
            raise InvalidReply(f"a PUB_ACK of sub-signal {packet.sub_signal} without a message id")
        result = self._transport.reply(SubSignal.MP, packet.content)
        assert isinstance(result, pb.PullMessageResult)
        for message in result.message:
            self._on_notice(Transparent(message))

    def _answer(self, packet: Packet) -> None:
        entry = self._pending.pop(packet.message_id, None)
        if entry is None or entry[0] != packet.sub_signal:
            raise InvalidReply(f"an answer to {packet.message_id}/{packet.sub_signal}, which was not asked")
        future = entry[1]
        if not future.done():  # the requester may have stopped waiting
            future.set_result(packet.content)

    def _acknowledge(self, packet: Packet) -> None:
        if self._accepted.done():
            raise InvalidReply("a second CONNECT_ACK")
        if packet.sub_signal == SubSignal.CONNECTION_ACCEPTED:
            self._accepted.set_result(self._transport.accepted(packet.content))
        else:
            self._accepted.set_exception(ConnectRefused(packet.sub_signal))
            self._accepted.exception()  # marks it as retrieved, as in `_fail`

    async def _exchange(self, signal: Signal, sub_signal: SubSignal, content: Any, within: float) -> Any:
        if self.ended:
            raise Disconnected(self._reason)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        message_id = self._take_id(sub_signal, future)
        try:
            frame = self._transport.encode(signal, sub_signal, message_id, content)
        except (ValueError, TooLarge):
            del self._pending[message_id]
            raise
        try:
            async with asyncio.timeout(within):
                await self._put(frame)
                return await future
        except TimeoutError:
            raise RequestTimeout(f"{signal.name}/{sub_signal.name}", within) from None
        finally:
            # Nobody waits for it any more. Its id stays taken until the answer comes, however late.
            if not future.cancel() and not future.cancelled():
                future.exception()  # marks it as retrieved: the write may have failed first

    def _take_id(self, sub_signal: SubSignal, future: asyncio.Future[Any] | None) -> int:
        """Reserve a message id that no open request has. Without a future the answer is dropped."""
        if len(self._pending) == MAX_MESSAGE_ID:
            self._fail(f"{MAX_MESSAGE_ID} requests without an answer")
            raise Disconnected(self._reason)
        message_id = self._last_id % MAX_MESSAGE_ID + 1
        while message_id in self._pending:
            message_id = message_id % MAX_MESSAGE_ID + 1
        self._last_id = message_id
        if future is None:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
        self._pending[message_id] = sub_signal, future
        return message_id

    def _ping(self) -> dict[str, int]:
        return {"interval": int(self._options.ping_interval * 1000)}

    async def _write(self, signal: Signal, message_id: int, content: Any) -> None:
        await self._put(self._transport.encode(signal, SubSignal.NONE, message_id, content))

    async def _put(self, frame: Any) -> None:
        try:
            await self._transport.write(frame)
        except Disconnected as error:
            self._fail(str(error))  # the transport may report it only later
            raise

    def _fail(self, reason: str) -> None:
        if self.ended:
            return
        self._lost.set()
        self._reason = reason
        self._on_end()
        for _, future in self._pending.values():
            if not future.done():
                future.set_exception(Disconnected(reason))
        self._pending.clear()
        if not self._accepted.done():
            self._accepted.set_exception(Disconnected(reason))
            self._accepted.exception()  # marks it as retrieved: `open` may have failed before awaiting it
