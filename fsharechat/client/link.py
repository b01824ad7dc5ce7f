"""Keeps one connection up: it connects, serves, and connects again with growing delays after a loss."""

import asyncio
import logging
from bisect import insort
from collections.abc import Callable, Coroutine, Iterable
from itertools import count
from typing import Any

from fsharechat.client.connection import Connection
from fsharechat.client.errors import Closed, ConnectRefused, Disconnected
from fsharechat.client.models import Connected, ConnectionLost, Credentials, Event, Notice
from fsharechat.client.options import Backoff, Options
from fsharechat.client.transport import Transport
from fsharechat.protocol import messages_pb2 as pb

log = logging.getLogger(__name__)

Serve = Callable[[Connection, pb.ConnectAckPayload], Iterable[Coroutine[Any, Any, None]]]


class Link:
    def __init__(
        self,
        credentials: Credentials,
        make_transport: Callable[[], Transport],
        options: Options,
        *,
        serve: Serve,
        on_notice: Callable[[Notice], None],
        on_event: Callable[[Event], None],
    ) -> None:
        """`serve` returns the work beside a connection. It runs while the connection lives, and ends with it."""
        self._credentials = credentials
        self._make_transport = make_transport
        self._options = options
        self._serve = serve
        self._on_notice = on_notice
        self._on_event = on_event
        self._connection: Connection | None = None
        self._turns = count()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        """Who waits for a connection, or goes on in a moment, by their turns."""
        self._ended: BaseException | None = None

    @property
    def connection(self) -> Connection | None:
        """The present connection, if there is one."""
        return self._connection

    @property
    def free(self) -> Connection | None:
        """The present connection, if nobody else goes on with it first: then `wait_up`."""
        return None if self._waiting else self._connection

    @property
    def ended(self) -> bool:
        """Whether there will be no connection any more."""
        return self._ended is not None

    async def run(self, patience: float) -> None:
        """Connect and stay connected until cancelled.

        Raises ConnectRefused when trying again is pointless, and Disconnected when the first connection is not up
        within `patience` seconds (0: the first attempt), or when one is lost and the options say not to reconnect.
        """
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._options.backoff_first, self._options.backoff_max)
        give_up = loop.time() + patience
        was_up = False
        while True:
            connection = Connection(
                self._make_transport(), self._options, on_notice=self._on_notice, on_end=self._down
            )
            started = loop.time()
            try:
                ack = await connection.open(self._credentials)
                was_up = True
                reason: Disconnected | ConnectRefused = await self._stay(connection, ack)
            except (Disconnected, ConnectRefused) as error:
                reason = error
            finally:
                await connection.close()
            if isinstance(reason, ConnectRefused) and reason.final:
                raise reason
            if not self._options.reconnect if was_up else loop.time() >= give_up:
                raise reason
            if loop.time() - started >= self._options.backoff_reset:
                backoff.reset()
            delay = backoff.next()
            log.info("connecting again in %.2f s: %s", delay, reason)
            await asyncio.sleep(delay)

    def next_turn(self) -> int:
        """Return a turn, for `wait_up`: later ones are higher."""
        return next(self._turns)

    async def wait_up(self, within: float | None, turn: int | None = None) -> Connection:
        """Return the connection. Wait for it, at most `within` seconds (None: for ever).

        Waiting callers go on by their turns, None is the last one. So what lost its connection goes before what was
        asked later, and has waited longer. Raises Disconnected, or the error that ended the link.
        """
        if self._connection is not None and not self._waiting:
            return self._connection
        try:
            async with asyncio.timeout(within):
                return await self._wait_up(self.next_turn() if turn is None else turn)
        except TimeoutError:
            raise Disconnected(f"no connection in {within:g} s") from None

    async def _wait_up(self, turn: int) -> Connection:
        loop = asyncio.get_running_loop()
        while True:
            if self._ended is not None:
                raise self._ended
            waiting = turn, loop.create_future()
            insort(self._waiting, waiting, key=lambda one: one[0])
            if self._connection is not None:
                loop.call_soon(_go_on, waiting[1])  # behind those that go on in this turn of the loop
            try:
                await waiting[1]
            finally:
                self._waiting.remove(waiting)
            if self._connection is not None:
                return self._connection

    def end(self, failure: BaseException | None) -> None:
        """Tell waiting callers that there will be no connection."""
        self._ended = failure or Closed("the client is closed")
        self._let_go_on()

    def _let_go_on(self) -> None:
        for _, waits in self._waiting:
            _go_on(waits)

    async def _stay(self, connection: Connection, ack: pb.ConnectAckPayload) -> Disconnected:
        """Serve a connection to its end and return the reason."""
        if not connection.ended:  # it may have ended right after the CONNECT_ACK
            self._connection = connection
            self._let_go_on()
        self._on_event(Connected(ack))
        reason = await _first_disconnect(
            connection.wait_lost(), connection.stay_alive(), *self._serve(connection, ack)
        )
        self._on_event(ConnectionLost(str(reason)))
        return reason

    def _down(self) -> None:
        self._connection = None


def _go_on(waits: "asyncio.Future[None]") -> None:
    if not waits.done():
        waits.set_result(None)


async def _first_disconnect(*work: Coroutine[Any, Any, None]) -> Disconnected:
    """Run `work` in parallel until one raises Disconnected. Cancel the others and return that error.

    Any other exception is raised. A TaskGroup would not do: before Python 3.13, if a task fails and a cancellation
    comes from outside at that moment, the TaskGroup takes the cancellation for its own, and `close` would wait for
    ever.
    """
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    for error in errors:
        if not isinstance(error, Disconnected):
            raise error
    first = errors[0]
    assert isinstance(first, Disconnected)
    return first
