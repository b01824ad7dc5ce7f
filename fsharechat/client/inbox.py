"""The inbox as a device keeps it: its cursor, each message once, in order (contract.md section 6)."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, NamedTuple, NoReturn, Self, TypeVar

from fsharechat.client.errors import InvalidReply, RequestError, RequestTimeout
from fsharechat.client.models import InboxGap, Position
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


class _Item(NamedTuple):
    """A message, and where the application is when it has handled it. Either may be missing."""

    message: pb.Message | None
    position: Position | None


class Inbox(AsyncIterator[pb.Message]):
    """Follows the user's inbox over any number of connections; iterating over it yields each message once, in order.

    Two positions: what was fetched, from which the next connection goes on, and `position`, up to which the
    application has handled everything. Kept and given back at the next start, the latter loses no message to a crash.
    """

    def __init__(
        self,
        position: Position,
        *,
        capacity: int,
        remember: int,
        is_own: Callable[[pb.Message], bool],
        on_gap: Callable[[InboxGap], None],
        on_fetched: Callable[[pb.Message], None],
        on_position: Callable[[Position], None],
    ) -> None:
        """`is_own` tells, and takes note of, a message that this very client sent: it is not yielded.

        `on_fetched` is told of each message that will be yielded, `on_position` of each move of `position`.
        """
        self.position = position
        self._fetched = position
        self._remember = remember
        self._is_own = is_own
        self._on_gap = on_gap
        self._on_fetched = on_fetched
        self._on_position = on_position
        self._recalled: dict[int, str] = {}  # ordered, as the next one
        self._seen: dict[int, None] = {}  # ordered: the oldest id goes first
        self._stream: Stream[_Item] = Stream(capacity)
        self._in_hand: Position | None = None
        """The position of the message that the application has taken and may not have handled yet."""
        self._head = 0
        """How far the inbox went when the connection was made."""
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
        """Ask for what is missing up to `head`, the CONNECT_ACK's, then answer each MN, on one connection.

        One pull at a time, so that the order is the inbox's. While the application does not take what was fetched,
        nothing more is pulled. Raises what `pull` raises when the connection is gone.
        """
        self._head = head
        # `_due` is kept: an MN may have come right behind the CONNECT_ACK, before this runs.
        if head < self._fetched.seq:
            # The server lost its data or is another one. What it makes of our position is all that counts.
            self._due = self._fetched.seq
        elif head > self._fetched.seq:
            self._pull_after(self._fetched.seq)
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
        # Who asks for the next one has handled the one before.
        self._move(self._in_hand)
        self._in_hand = None
        while (item := await anext(self._stream)).message is None:
            self._move(item.position)
        self._in_hand = item.position
        if (operator := self._recalled.get(item.message.message_id)) is not None:
            make_recalled(item.message, operator)
        return item.message

    def _move(self, position: Position | None) -> None:
        if position is not None and position != self.position:
            self.position = position
            self._on_position(position)

    def _pull_after(self, seq: int) -> None:
        # What follows the lower one holds what follows the higher one.
        self._due = seq if self._due is None else min(self._due, seq)
        self._wake.set()

    async def _take(self, after: int, result: pb.PullMessageResult) -> None:
        known = self._fetched
        if self._head < known.seq:
            messages, base = list(result.message), None
        elif result.current <= known.seq:
            return  # all of it was fetched before
        else:
            messages, base = self._news(after, result)
        if base is None and not known.seq:
            # A first answer has the newest entries, and does not say which. What is below them is not needed.
            first = min(self._head, result.current - len(messages))
            if first > 0:
                self._fetched = Position(first)
                await self._stream.put(_Item(None, self._fetched))
        if base is not None and (missing := result.current - base - len(messages)) > 0:
            self._on_gap(InboxGap(base, missing))
        told = None
        for count, message in enumerate(messages, 1):
            position = None if base is None else _behind(message, base + count)
            if message.message_id not in self._seen:
                if not self._is_own(message):
                    self._on_fetched(message)
                    await self._stream.put(_Item(message, position))
                    told = position
                self.seen(message.message_id)
            # A connection that is lost before the answer is taken as a whole goes on from here.
            self._fetched = position or self._fetched
        end = _behind(messages[-1], result.current) if messages else Position(result.current)
        if told != end:
            await self._stream.put(_Item(None, end))
        self._fetched = end
        self._head = max(self._head, result.current)

    def _news(self, after: int, result: pb.PullMessageResult) -> tuple[list[pb.Message], int | None]:
        """Return the messages behind what was fetched, and the seq behind which they begin, None if it is uncertain.

        The server may begin lower than it was asked to (contract.md section 6), and does not say where.
        """
        known = self._fetched
        messages = list(result.message)
        ids = [message.message_id for message in messages]
        if known.message_id and known.message_id in ids:
            return messages[ids.index(known.message_id) + 1 :], known.seq
        # Who answers an MN has all that is below it. So it is too if the last message is not in the answer.
        if after > known.seq or (after == known.seq and known.message_id):
            return messages, after
        return messages, 0 if not known.seq and len(messages) == result.current else None


def _behind(message: pb.Message, seq: int) -> Position:
    """Return the position behind a message. A call is no sign to find it by: it is not given again."""
    return Position(seq, 0 if message.content.type == ContentType.CALL_START else message.message_id)


def make_recalled(message: pb.Message, operator: str) -> None:
    """Give a message the content that a recalled one has (contract.md section 8, MR)."""
    message.content.CopyFrom(
        pb.MessageContent(
            type=ContentType.RECALLED,
            content=operator,
            data=str(message.message_id).encode(),
            persist_flag=message.content.persist_flag,
        )
    )
