"""Messages to store, and ways to watch what the store does with them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Concatenate, NamedTuple

from fsharechat.errors import StoreError
from fsharechat.protocol.signals import ConversationType
from fsharechat.store import inboxes
from fsharechat.store.inboxes import NOTHING
from fsharechat.store.messages import NewMessage, Stored, conversation_key
from fsharechat.store.state import VERSION_FACT
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, P, Query, Result, Row, T, Unit

_ids = count(1)


@dataclass
class Engine:
    """One kind of database: makes stores, not yet open, that share what they hold."""

    make: Callable[[int], Store]

    def store(self, max_queue: int = 20_000) -> Store:
        return self.make(max_queue)


def new(
    sender: str,
    *receivers: str,
    id: int = 0,
    local_id: int = 0,
    body: bytes = b"",
    conversation: str = "",
    retried: bool = False,
    digest: int = 0,
    of_frame: bool = False,
) -> NewMessage:
    """Return a message with an id above all before, and a body of its own."""
    id = id or next(_ids)
    body = body or b"body %d" % id
    return NewMessage(
        id,
        sender,
        local_id,
        conversation or "a conversation",
        body,
        receivers,
        retried,
        digest=digest,
        of_frame=of_frame,
    )


def private(sender: str, target: str, line: int = 0) -> NewMessage:
    key = conversation_key(ConversationType.PRIVATE, line, target, sender)
    return new(sender, target, conversation=key)


def append(store: Store, message: NewMessage) -> asyncio.Future[Stored]:
    """Append; what the listener hears becomes the future's result or exception."""
    future: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()

    def done(outcome: Stored | StoreError) -> None:
        if isinstance(outcome, StoreError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    store.append(message, done)
    return future


async def append_all(store: Store, *batch: NewMessage) -> list[Stored]:
    """Append messages in one turn of the loop."""
    return await asyncio.gather(*[append(store, message) for message in batch])


class Page(NamedTuple):
    """What one look at an inbox shows: bodies oldest first, the last seq that they cover, and the inbox's last."""

    bodies: list[bytes]
    current: int
    head: int


async def inbox(store: Store, uid: str, after: int = NOTHING) -> Page:
    found = await store.read(inboxes.pull, uid, after)
    current = found.entries[-1].seq if found.entries and found.begin < 0 else found.head
    return Page([entry.body for entry in found.entries], current, found.head)


async def heads(store: Store, *uids: str) -> dict[str, int]:
    return await store.read(inboxes.heads, uids)


class Exchange(NamedTuple):
    """A statement of a unit and what came of it."""

    query: Query
    result: Result

    @property
    def bytes_read(self) -> int:
        return sum(len(value) for row in self.result.rows for value in row if isinstance(value, bytes))


def recorded(
    dialect: Dialect,
    seen: list[Exchange],
    unit: Callable[Concatenate[Dialect, P], Unit[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Unit[T]:
    """Run a unit and note its statements in `seen`."""
    inner = unit(dialect, *args, **kwargs)
    try:
        query = next(inner)
        while True:
            seen.append(Exchange(query, (yield query)))
            query = inner.send(seen[-1].result)
    except StopIteration as stop:
        result: T = stop.value
        return result


def select(_: Dialect, sql: str, *params: object) -> Unit[list[Row]]:
    return (yield Query(sql, params)).rows


def put_fact(_: Dialect, name: str, error: Exception | None = None) -> Unit[str]:
    """Write one row, then fail if told to."""
    yield Query("INSERT INTO facts (name, value) VALUES (?, ?)", (name, b""))
    if error is not None:
        raise error
    return name


async def fact_names(store: Store) -> list[str]:
    """Return the names of the facts that a test has put."""
    sql = f"SELECT name FROM facts WHERE name <> '{VERSION_FACT}' ORDER BY name"
    return [name for (name,) in await store.read(select, sql)]
