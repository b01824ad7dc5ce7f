"""The inbox of a device: its cursor, and each message once, in order (contract.md section 6)."""

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
    """A bounded queue that can end. Then iteration stops when it is empty, or raises the error that ended it."""

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
        """Add an item. A full stream drops its oldest one."""
        if len(self._items) >= self._capacity:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._filled.set()

    def end(self, failure: BaseException | None = None) -> None:
        """Let the readers take the rest, and then stop or raise `failure`."""
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
    """A message, and the position after the application has handled it. Either may be missing."""

    message: pb.Message | None
    position: Position | None


class Inbox(AsyncIterator[pb.Message]):
    """Follows the user's inbox over any number of connections. Iteration over it yields each message once, in order.

    There are two positions. The next connection goes on from the fetched one. Up to `position` the application has
    handled everything: if it is kept and given back at the next start, a crash loses no message.
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
        """`is_own` recognises a message that this client sent, and notes it: such a message is not yielded.

        `on_fetched` gets each message that will be yielded, `on_position` each new `position`.
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
        """The position of the message that the application has taken, but may not have handled yet."""
        self._head = 0
        """The head of the inbox when the connection was made."""
        self._due: int | None = None
        self._wake = asyncio.Event()

    def notify(self, head: int) -> None:
        """Take an MN: the entries after `head` - 1 must be pulled."""
        self._pull_after(head - 1)

    def seen(self, message_id: int) -> None:
        """Remember a message id, so that the message is not yielded (again)."""
        self._seen[message_id] = None
        if len(self._seen) > self._remember:
            del self._seen[next(iter(self._seen))]

    def recall(self, message_id: int, operator: str) -> None:
        """Take a recall: if the message was not yielded yet, it comes as recalled."""
        # Applied when the message is yielded: a pull under way may still bring its old form.
        self._recalled[message_id] = operator
        if len(self._recalled) > self._remember:
            del self._recalled[next(iter(self._recalled))]

    async def follow(self, pull: Pull, head: int, backoff: Backoff) -> NoReturn:
        """Ask for missing entries up to `head` (from the CONNECT_ACK), then answer each MN, on one connection.

        Only one pull runs at a time, so the order is that of the inbox. While the application does not take the
        fetched messages, nothing more is pulled. Raises the errors of `pull` when the connection is gone.
        """
        self._head = head
        # `_due` is kept: an MN may have come right after the CONNECT_ACK, before this runs.
        if head < self._fetched.seq:
            # The server lost its data, or is another one. It must decide what to do with our position.
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
        """Note that no more messages come."""
        self._stream.end(failure)

    async def __anext__(self) -> pb.Message:
        # A reader that asks for the next message has handled the one before.
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
        # The entries after the lower position include those after the higher one.
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
            # A first answer has the newest entries, and does not say which. Entries below them are not needed.
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
            # If the connection is lost before the whole answer is taken, the next one goes on from here.
            self._fetched = position or self._fetched
        end = _behind(messages[-1], result.current) if messages else Position(result.current)
        if told != end:
            await self._stream.put(_Item(None, end))
        self._fetched = end
        self._head = max(self._head, result.current)

    def _news(self, after: int, result: pb.PullMessageResult) -> tuple[list[pb.Message], int | None]:
        """Return the messages after the fetched ones, and the seq after which they begin, None if it is uncertain.

        The server may begin lower than asked (contract.md section 6), and does not say where.
        """
        known = self._fetched
        messages = list(result.message)
        ids = [message.message_id for message in messages]
        if known.message_id and known.message_id in ids:
            return messages[ids.index(known.message_id) + 1 :], known.seq
        # A client that answers an MN has everything below it. This holds even if the last message is not in the
        # answer.
        asked = after > known.seq or (after == known.seq and known.message_id)
        if asked and after + len(messages) <= result.current:
            return messages, after
        return messages, 0 if not known.seq and len(messages) == result.current else None


def _behind(message: pb.Message, seq: int) -> Position:
    """Return the position after a message. A call cannot mark a position: it is not given again."""
    return Position(seq, 0 if message.content.type == ContentType.CALL_START else message.message_id)


def make_recalled(message: pb.Message, operator: str) -> None:
    """Give a message the content of a recalled one (contract.md section 8, MR)."""
    message.content.CopyFrom(
        pb.MessageContent(
            type=ContentType.RECALLED,
            content=operator,
            data=str(message.message_id).encode(),
            persist_flag=message.content.persist_flag,
        )
    )
