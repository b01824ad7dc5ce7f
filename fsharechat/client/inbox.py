"""The inbox as a device keeps it: its cursor, each message once, in order (protocol.md section 6)."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, NoReturn, Self, TypeVar

from fsharechat.client.errors import InvalidReply, RequestError, RequestTimeout
from fsharechat.client.models import InboxGap
from fsharechat.client.options import Backoff
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType

log = logging.getLogger(__name__)

T = TypeVar("T")

Pull = Callable[[int], Awaitable[pb.PullMessageResult]]
"""Ask MP for the entries with seq > the argument."""


class Stream(Generic[T]):
    """A bounded queue that can end: iterating over it stops, or raises what ended it, once it is empty."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self._failure: BaseException | None = None
        self.dropped = 0

    async def put(self, item: T) -> None:
        """Add an item, waiting for room."""
        while len(self._items) >= self._capacity:
            self._room.clear()
            await self._room.wait()
        self._items.append(item)
        self._filled.set()

    def offer(self, item: T) -> None:
        """Add an item; a full stream drops its oldest one for it."""
        if len(self._items) >= self._capacity:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._filled.set()

    def end(self, failure: BaseException | None = None) -> None:
        """Let the readers have what is there and then stop, or raise `failure`."""
        self._ended = True
        self._failure = failure
        self._filled.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        self._room.set()
        return item


class Inbox(AsyncIterator[pb.Message]):
    """Follows the user's inbox over any number of connections; iterating over it yields each message once, in order.

    Two positions: what was fetched, from which the next connection goes on, and `last_seq`, up to which the
    application has taken everything. Kept and given back at the next start, the latter loses no message to a crash.
    """

    def __init__(
        self,
        last_seq: int,
        *,
        capacity: int,
        remember: int,
        is_own: Callable[[pb.Message], bool],
        on_gap: Callable[[InboxGap], None],
        on_fetched: Callable[[pb.Message], None],
    ) -> None:
        """`is_own` tells, and takes note of, a message that this very client sent: it is not yielded.

        `on_fetched` is told of each message that will be yielded.
        """
        self.last_seq = last_seq
        self._fetched = last_seq
        self._remember = remember
        self._is_own = is_own
        self._on_gap = on_gap
        self._on_fetched = on_fetched
        self._recalled: dict[int, str] = {}  # ordered, as the next one
        self._seen: dict[int, None] = {}  # ordered: the oldest id goes first
        self._stream: Stream[pb.Message | int] = Stream(capacity)
        self._due: int | None = None
        self._wake = asyncio.Event()

    def notify(self, head: int) -> None:
        """Take an MN: exactly what follows `head` - 1 is to be pulled."""
        self._pull_after(head - 1)

    def seen(self, message_id: int) -> None:
        """Remember a message id, so that it is not yielded (again)."""
        self._seen[message_id] = None
        if len(self._seen) > self._remember:
            del self._seen[next(iter(self._seen))]

    def recall(self, message_id: int, operator: str) -> None:
        """Take a recall: a message that was not yielded yet comes as recalled."""
        # Applied when it is yielded: a pull that is under way may still bring the message as it was.
        self._recalled[message_id] = operator
        if len(self._recalled) > self._remember:
            del self._recalled[next(iter(self._recalled))]

    async def follow(self, pull: Pull, head: int, backoff: Backoff) -> NoReturn:
        """Catch up to `head`, the CONNECT_ACK's, then answer each MN, on one connection.

        One pull at a time, so that the order is the inbox's. While the application does not take what was fetched,
        nothing more is pulled. Raises what `pull` raises when the connection is gone.
        """
        # `_due` is kept: an MN may have come right behind the CONNECT_ACK, before this runs.
        if head != self._fetched:
            # Lower than what is known: the server lost its data or is another one, and then answers as for 0.
            self._pull_after(self._fetched)
        while True:
            while self._due is None:
                self._wake.clear()
                await self._wake.wait()
            after, self._due = self._due, None
            try:
                result = await pull(after)
            except (RequestError, RequestTimeout, InvalidReply) as error:
                delay = backoff.next()
                log.warning("the inbox was not answered, asking again in %.1f s: %s", delay, error)
                self._pull_after(after)
                await asyncio.sleep(delay)
                continue
            backoff.reset()
            await self._take(after, result)

    def end(self, failure: BaseException | None) -> None:
        """No more messages come."""
        self._stream.end(failure)

    async def __anext__(self) -> pb.Message:
        # A position is behind the messages it covers, so it is reached when they have been taken.
        while isinstance(item := await anext(self._stream), int):
            self.last_seq = item
        if (operator := self._recalled.get(item.message_id)) is not None:
            make_recalled(item, operator)
        return item

    def _pull_after(self, seq: int) -> None:
        # What follows the lower one holds what follows the higher one.
        self._due = seq if self._due is None else min(self._due, seq)
        self._wake.set()

    async def _take(self, after: int, result: pb.PullMessageResult) -> None:
        missing = result.current - after - len(result.message)
        if after > 0 and missing > 0:
            self._on_gap(InboxGap(after, missing))
        for message in result.message:
            if message.message_id not in self._seen:
                if not self._is_own(message):
                    self._on_fetched(message)
                    await self._stream.put(message)
                self.seen(message.message_id)
        self._fetched = result.current
        await self._stream.put(result.current)


def make_recalled(message: pb.Message, operator: str) -> None:
    """Give a message the content that a recalled one has (protocol.md section 8, MR)."""
    message.content.CopyFrom(
        pb.MessageContent(
            type=ContentType.RECALLED,
            content=operator,
            data=str(message.message_id).encode(),
            persist_flag=message.content.persist_flag,
        )
    )
