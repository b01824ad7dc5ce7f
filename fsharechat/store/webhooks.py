"""The events that webhooks must still tell. Each is noted in the transaction that makes it, and removed when told.

A message is noted by its id. All messages of a transaction are in one row for each hook, so the writer needs one more
statement a transaction. Rows are read from the first one on, so a transaction that ends late is not missed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from struct import Struct, pack, unpack
from typing import Any, NamedTuple
from uuid import uuid4

import orjson

from fsharechat.protocol.ids import time_of
from fsharechat.store.unit import Dialect, Query, Row, Unit, change_in, chunks, insert_many, marks, select_in

MESSAGE_STORED = "message.stored"
USER_REGISTERED = "user.registered"
USER_FIRST_LOGIN = "user.first_login"
GROUP_CREATED = "group.created"
GROUP_MEMBERS_JOINED = "group.members_joined"
GROUP_MEMBERS_LEFT = "group.members_left"
GROUP_CHANGED = "group.changed"
GROUP_ROLES_CHANGED = "group.roles_changed"
GROUP_DISMISSED = "group.dismissed"

_COLUMNS = ("hook", "made_ms", "messages", "event")
_POS = Struct(">q")


class NotedEvent(NamedTuple):
    """An event that is no message. `id` is its own, `about` the user or group that it is about."""

    id: str
    kind: str
    about: str
    at_ms: int
    data: dict[str, Any]


class Untold(NamedTuple):
    """One row of what a hook must still tell: messages, or one event."""

    pos: int
    made_ms: int
    messages: tuple[int, ...]
    event: NotedEvent | None


def packed(ids: Sequence[int]) -> bytes:
    return pack(f">{len(ids)}q", *ids)


def note_messages(dialect: Dialect, ids: Sequence[int]) -> Unit[None]:
    """Note stored messages for the hooks that hear of them."""
    hooks = dialect.hears.get(MESSAGE_STORED)
    if hooks and ids:
        data, made_ms = packed(ids), time_of(ids[0])
        yield from insert_many("webhook_queue", _COLUMNS, [(hook, made_ms, data, b"") for hook in hooks])


def note(dialect: Dialect, kind: str, about: str, now: int, data: Mapping[str, Any]) -> Unit[None]:
    """Note an event for the hooks that hear of its kind. `now` is its time in ms."""
    hooks = dialect.hears.get(kind)
    if hooks:
        event = orjson.dumps(tuple(NotedEvent(uuid4().hex, kind, about, now, dict(data))))
        yield from insert_many("webhook_queue", _COLUMNS, [(hook, now, b"", event) for hook in hooks])


def untold(_: Dialect, hook: str, after: int, limit: int) -> Unit[list[Untold]]:
    """Return the first rows of a hook with a position above `after`."""
    sql = "SELECT pos, made_ms, messages, event FROM webhook_queue WHERE hook = ? AND pos > ? ORDER BY pos LIMIT ?"
    return [_untold(*row) for row in (yield Query(sql, (hook, after, limit))).rows]


def _untold(pos: int, made_ms: int, messages: bytes, event: bytes) -> Untold:
    ids = unpack(f">{len(messages) // _POS.size}q", messages)
    return Untold(pos, made_ms, ids, NotedEvent(*orjson.loads(event)) if event else None)


def places(_: Dialect, ids: Sequence[int]) -> Unit[dict[int, tuple[str, str]]]:
    """Return the sender and the conversation key of each message that is still there, by id."""
    rows = yield from select_in("SELECT id, sender, conversation FROM messages WHERE id IN ({})", ids)
    return {id: (sender, conversation) for id, sender, conversation in rows}


def oldest(_: Dialect, hook: str) -> Unit[int]:
    """Return the time (ms) of the first event that a hook must still tell, 0 if there is none."""
    rows = (
        yield Query("SELECT made_ms FROM webhook_queue WHERE hook = ? ORDER BY pos LIMIT 1", (hook,))
    ).rows
    return rows[0][0] if rows else 0


def settle(_: Dialect, told: Collection[int], left: Mapping[int, Sequence[int]]) -> Unit[None]:
    """Remove the rows at the positions `told`. Of the rows in `left`, keep only the messages named there."""
    for part in chunks(list(told)):
        yield Query(f"DELETE FROM webhook_queue WHERE pos IN ({marks(len(part))})", part, unread=True)
    for pos, ids in left.items():
        yield Query("UPDATE webhook_queue SET messages = ? WHERE pos = ?", (packed(ids), pos), unread=True)


def forget_others(_: Dialect, hooks: Iterable[str], before_ms: int, limit: int) -> Unit[int]:
    """Remove up to `limit` rows from before `before_ms`, of all hooks but these. Return how many were removed."""
    names = [*hooks, ""]
    where = f"made_ms < ? AND hook NOT IN ({marks(len(names))})"
    rows: list[Row] = (
        yield Query(f"SELECT pos FROM webhook_queue WHERE {where} LIMIT ?", (before_ms, *names, limit))
    ).rows
    positions = [pos for (pos,) in rows]
    yield from change_in("DELETE FROM webhook_queue WHERE pos IN ({})", positions)
    return len(positions)
