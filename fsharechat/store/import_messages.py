"""Messages and inboxes of an import (imports.py)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fsharechat.protocol.ids import time_of
from fsharechat.store.imports import ImportNote, ImportOutcome, Put
from fsharechat.store.unit import Dialect, Query, Row, Unit, find_many, insert_many, select_in, upsert_many


class ImportedMessage(NamedTuple):
    """A message. `own`: a device sent it. `recalled`: its text is gone. `notes` are for its group."""

    id: int
    sender: str
    conversation: str
    body: bytes
    own: bool = False
    recalled: bool = False
    greets: bool = False
    """It says that the text before it was a greeting, which the server sent for its sender."""
    notes: tuple[tuple[ImportNote, str, str], ...] = ()


_MESSAGE = ("id", "sender", "conversation", "body", "client")
NOTE, _NUMBER = ("kind", "name", "uid"), ("number",)
GREETING_MS = 60_000
"""A greeting is not older than that when the message comes that says so."""

Rebuild = Callable[[bytes, int], bytes]
"""Returns the body of a message with another id."""


def put_messages(rows: Sequence[ImportedMessage], rebuild: Rebuild) -> Put:
    """Put messages. A second row with an id is a recall of the first; one of another sender gets an id of its own.

    A message is its sender's own device's where that user has only one: that device is never given it again.
    """

    def put(dialect: Dialect) -> Unit[ImportOutcome]:
        outcome = ImportOutcome()
        # The last row of each id and sender is what counts, but for a recall, which lasts.
        latest: dict[tuple[int, str], ImportedMessage] = {}
        for row in rows:
            before = latest.get((row.id, row.sender))
            latest[row.id, row.sender] = before if before and before.recalled and not row.recalled else row
        devices = yield from _only_devices({row.sender for row in rows if row.own})
        wanted = sorted({id for id, _ in latest})
        known: dict[int, str] = dict(
            (yield from select_in("SELECT id, sender FROM messages WHERE id IN ({})", wanted))
        )
        moved = yield from moved_ids(wanted) if known else _nothing()
        fresh: dict[int, Row] = {}
        clients: dict[tuple[str, str], int] = {}
        notes: dict[tuple[ImportNote, str, str], int] = {}
        for row in latest.values():
            id, body = row.id, row.body
            owner = known.get(id)
            if owner is not None and owner != row.sender:
                id = moved.get((row.id, row.sender), 0)
                if not id:
                    id = yield from _free_id(row.id, fresh)
                    outcome.note("two messages had one id: the second one has another now", f"{row.id}: {id}")
                    note = dialect.upsert("import_notes", NOTE, _NUMBER)
                    yield Query(note, (ImportNote.MOVED, str(row.id), row.sender, id))
                body = rebuild(body, id)
            client = devices.get(row.sender) if row.own else None
            if row.greets:
                before_it = clients.pop((row.sender, row.conversation), None)
                if before_it is not None and time_of(id) - time_of(before_it) < GREETING_MS:
                    fresh[before_it] = (*fresh[before_it][:4], None)
                elif before_it is None:
                    notes[ImportNote.GREETED, str(id), row.sender] = id
            elif client is not None:
                clients[row.sender, row.conversation] = id
            for kind, group, uid in row.notes:
                notes[kind, group, uid] = max(id, notes.get((kind, group, uid), 0))
            if owner == row.sender or (owner is not None and (row.id, row.sender) in moved):
                yield from _replace(id, body, client, row.recalled)
                continue
            known.setdefault(id, row.sender)
            fresh[id] = (id, row.sender, row.conversation, body, client)
        yield from insert_many("messages", _MESSAGE, list(fresh.values()))
        noted = [(*key, id) for key, id in sorted(notes.items())]
        yield from upsert_many(dialect, "import_notes", NOTE, _NUMBER, noted, highest=_NUMBER)
        outcome.put = len(fresh)
        outcome.left_out = len(rows) - len(fresh)  # second rows of messages that are there
        return outcome

    return put


def _nothing() -> Unit[dict[tuple[int, str], int]]:
    yield from ()
    return {}


def _only_devices(uids: Iterable[str]) -> Unit[dict[str, str]]:
    """Return the client id of the only device that a user has, of those who have one."""
    found: dict[str, list[str]] = defaultdict(list)
    sql = "SELECT uid, client_id FROM sessions WHERE uid IN ({})"
    for uid, client_id in (yield from select_in(sql, sorted(uids))):
        found[uid].append(client_id)
    return {uid: ids[0] for uid, ids in found.items() if len(ids) == 1}


def moved_ids(ids: Sequence[int]) -> Unit[dict[tuple[int, str], int]]:
    """Return the new ids of messages whose own were taken, by that id and sender."""
    sql = (
        f"SELECT name, uid, number FROM import_notes WHERE kind = {int(ImportNote.MOVED)} AND name IN ({{}})"
    )
    rows = yield from select_in(sql, [str(id) for id in ids])
    return {(int(name), uid): number for name, uid, number in rows}


def _free_id(id: int, taken: dict[int, Row]) -> Unit[int]:
    """Return the next id that no message has."""
    while True:
        id += 1
        if id not in taken and not (yield Query("SELECT 1 FROM messages WHERE id = ?", (id,))).rows:
            return id


def _replace(id: int, body: bytes, client: str | None, recalled: bool) -> Unit[None]:
    """Let a message be what a second row of it says."""
    if recalled:
        yield Query("UPDATE messages SET body = ?, client = ? WHERE id = ?", (body, client, id))


class InboxRow(NamedTuple):
    """An entry of an inbox."""

    uid: str
    seq: int
    message_id: int


def put_inbox(rows: Sequence[InboxRow]) -> Put:
    """Put entries of inboxes, and move the heads. An entry without a message is left out; its seq counts."""

    def put(dialect: Dialect) -> Unit[ImportOutcome]:
        outcome = ImportOutcome()
        entries = yield from _told_apart(rows, outcome)
        ids = sorted({row.message_id for row in entries})
        there = {id for (id,) in (yield from select_in("SELECT id FROM messages WHERE id IN ({})", ids))}
        keys = [row[:2] for row in rows]
        known = yield from find_many(dialect, "inbox", InboxRow._fields, ("uid", "seq"), keys)
        taken: dict[tuple[str, int], int] = {(uid, seq): id for uid, seq, id in known}
        done = set(taken)
        fresh: list[InboxRow] = []
        late: list[Row] = []
        ends: dict[str, int] = {}
        for row in entries:
            ends[row.uid] = max(row.seq, ends.get(row.uid, 0))
            if row.message_id not in there:
                outcome.left_out += (
                    1  # most often a signal of a call, which the original numbered and did not store
                )
                continue
            before = taken.setdefault((row.uid, row.seq), row.message_id)
            if before == row.message_id and (row.uid, row.seq) not in done:
                done.add((row.uid, row.seq))
                fresh.append(row)
                outcome.put += 1
            elif before == row.message_id:
                outcome.left_out += 1
            else:
                late.append((ImportNote.LATE, str(row.message_id), row.uid, row.message_id))
                outcome.put += 1
        yield from insert_many("inbox", InboxRow._fields, fresh)
        yield from upsert_many(dialect, "import_notes", NOTE, _NUMBER, late)
        yield from upsert_many(dialect, "heads", ("uid",), ("seq",), sorted(ends.items()), highest=("seq",))
        return outcome

    return put


def _told_apart(rows: Sequence[InboxRow], outcome: ImportOutcome) -> Unit[Sequence[InboxRow]]:
    """Return entries with the new ids of messages that had to get one."""
    if not (yield Query("SELECT 1 FROM import_notes WHERE kind = ? LIMIT 1", (ImportNote.MOVED,))).rows:
        return rows
    moved = yield from moved_ids(sorted({row.message_id for row in rows}))
    if not moved:
        return rows
    ids = sorted({id for (old, _), new in moved.items() for id in (old, new)})
    sql = "SELECT id, sender, conversation FROM messages WHERE id IN ({})"
    messages = {id: (sender, conversation) for id, sender, conversation in (yield from select_in(sql, ids))}
    others: dict[int, list[int]] = defaultdict(list)
    for (old, _), new in moved.items():
        others[old].append(new)
    found: list[InboxRow] = []
    for row in rows:
        candidates = [
            id
            for id in (row.message_id, *others.get(row.message_id, ()))
            if id in messages and _has(row.uid, *messages[id])
        ]
        own = [id for id in candidates if messages[id][0] == row.uid]
        candidates = own or candidates
        if len(candidates) > 1:
            kind = "an entry may be of either of two messages that had one id: it is of the first one now"
            outcome.note(kind, f"{row.uid}: {row.message_id}")
        found.append(row._replace(message_id=candidates[0]) if candidates else row)
    return found


def _has(uid: str, sender: str, conversation: str) -> bool:
    """Return whether a user may have got a message."""
    kind, _, rest = conversation.partition("|")
    return kind != "0" or uid == sender or uid in rest.split("|")[1:]
