"""An import from the original into the store (docs/moving.md): how far it is, users, and what is theirs.

Messages are in import_messages.py, and what needs all rows together is in import_end.py.

Each step is one unit: it puts a page of rows, and writes down how far its table is. So an import that was killed goes
on where it was, and no row is put twice.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

import orjson

from fsharechat.store import users
from fsharechat.store.state import IMPORT_FACT, StoreState, look
from fsharechat.store.unit import Dialect, Query, Row, Unit, insert_many, select_in, upsert_many

_TABLE = f"{IMPORT_FACT}:"
_MAX_SOURCE = 160
"""Bytes of a source's name that are kept; a row of `facts` has 255."""


class ImportRefused(Exception):
    """The store is not one that rows may be imported into."""


class ImportRun(NamedTuple):
    """An import: what it reads from (no password), when it began (ms), and whether it is complete."""

    source: str
    began: int
    done: bool = False

    @classmethod
    def of(cls, source: str, began: int, done: bool = False) -> "ImportRun":
        """Return one whose source fits into the store: of a long one the end, and a digest."""
        raw = source.encode()
        if len(raw) > _MAX_SOURCE:
            digest = blake2b(raw, digest_size=8).hexdigest()
            source = f"…{raw[-_MAX_SOURCE:].decode(errors='ignore')} {digest}"
        return cls(source, began, done)


class ImportProgress(NamedTuple):
    """How far a table of the source is: the position behind the last row, and rows read, put and left out."""

    at: int = 0
    read: int = 0
    put: int = 0
    left_out: int = 0
    done: bool = False


class ImportFinding(NamedTuple):
    """Something that could not be decided, or not be taken: `kind` is a sentence, `what` the row it is about."""

    kind: str
    what: str


@dataclass
class ImportOutcome:
    """What a step did with its rows."""

    put: int = 0
    left_out: int = 0
    findings: list[ImportFinding] = field(default_factory=list)

    def leave_out(self, kind: str, what: str) -> None:
        self.left_out += 1
        self.note(kind, what)

    def note(self, kind: str, what: str) -> None:
        self.findings.append(ImportFinding(kind, what))


Put = Callable[[Dialect], Unit[ImportOutcome]]


class ImportNote(IntEnum):
    """What a row of `import_notes` is: `number` is the id of a message."""

    JOINED = 0
    """The newest notice by which user `uid` came into the group `name`."""
    LEFT = 1
    """The newest notice by which the user quit."""
    LATE = 2
    """Message `number` is to go to the end of the inbox of `uid`: its seq was taken."""
    MOVED = 3
    """Message `name` of sender `uid` has the id `number`: its own was taken."""
    GREETED = 4
    """What `uid` sent before message `number` was a greeting, which the server sent."""


# What is there


def unfinished(imported: bytes) -> str:
    """Return what is wrong with a store by the note of an import (StoreState.imported); "" if nothing is."""
    if not imported:
        return ""
    run = ImportRun(*orjson.loads(imported))
    if run.done:
        return ""
    return f"an import from {run.source} is not complete: run `fsharechat import-data` again"


def begun(dialect: Dialect) -> Unit[bytes]:
    """Return what an import wrote down about itself, b"" if there was none."""
    rows = (yield Query("SELECT value FROM facts WHERE name = ?", (IMPORT_FACT,))).rows
    return bytes(rows[0][0]) if rows else b""


def check_free(state: StoreState, source: str) -> None:
    """Raise ImportRefused where a store may not take, or go on with, an import from `source`."""
    if not state.imported:
        if state.has_users:
            raise ImportRefused(
                "the store has users already. Import into an empty one: name another file or database in [store] url"
            )
        return
    run = ImportRun(*orjson.loads(state.imported))
    source = ImportRun.of(source, 0).source
    if run.done:
        raise ImportRefused(f"the import from {run.source} is complete. Start the server")
    if run.source != source:
        raise ImportRefused(
            f"an import from {run.source} has begun in the store. Go on with that one, or name another file or "
            "database in [store] url"
        )


def begin(dialect: Dialect, source: str, now: int) -> Unit[dict[str, ImportProgress]]:
    """Begin an import, or go on with it; return how far each table is. Raises ImportRefused."""
    state = yield from look(dialect)
    check_free(state, source)
    if not state.imported:
        yield from _write(dialect, IMPORT_FACT, ImportRun.of(source, now))
        return {}
    found: dict[str, ImportProgress] = {}
    for name, value in (yield Query("SELECT name, value FROM facts WHERE name LIKE ?", (f"{_TABLE}%",))).rows:
        found[str(name).removeprefix(_TABLE)] = ImportProgress(*orjson.loads(value))
    return found


def _write(dialect: Dialect, name: str, value: ImportRun | ImportProgress) -> Unit[None]:
    yield Query(dialect.upsert("facts", ("name",), ("value",)), (name, orjson.dumps(tuple(value))))


def step(
    dialect: Dialect, table: str, before: ImportProgress, at: int, read: int, done: bool, put: Put
) -> Unit[tuple[ImportOutcome, ImportProgress]]:
    """Put `read` rows of a table, and write down that it is read up to `at`."""
    outcome = yield from put(dialect)
    after = ImportProgress(
        at, before.read + read, before.put + outcome.put, before.left_out + outcome.left_out, done
    )
    yield from _write(dialect, _TABLE + table, after)
    return outcome, after


def finish(dialect: Dialect, source: str, began: int) -> Unit[None]:
    """Write down that an import is complete, and forget what only the import needed."""
    yield Query("DELETE FROM facts WHERE name LIKE ?", (f"{_TABLE}%",))
    yield from _write(dialect, IMPORT_FACT, ImportRun.of(source, began, done=True))


# Users and what is theirs


class ImportedUser(NamedTuple):
    """A row of users; an empty `number` means that nobody can log in as this user."""

    uid: str
    number: str
    name: str
    display_name: str
    portrait: str
    mobile: str
    email: str
    address: str
    company: str
    social: str
    extra: str
    gender: int
    type: int
    status: int
    update_dt: int


def put_users(rows: Sequence[ImportedUser]) -> Put:
    """Put users. A user whose number is already another's gets none, so nobody can log in as them."""

    def put(_: Dialect) -> Unit[ImportOutcome]:
        outcome = ImportOutcome()
        numbers = [user.number for user in rows if user.number]
        taken = {
            n for (n,) in (yield from select_in("SELECT number FROM users WHERE number IN ({})", numbers))
        }
        kept: list[ImportedUser] = []
        for user in rows:
            number = user.number
            if number in taken:
                outcome.note(
                    "two users have one number or address: the first one keeps it, the other cannot log in",
                    f"{user.uid}: {number}",
                )
                number = ""
            taken.add(number)
            kept.append(user._replace(number=number or user.uid))
        yield from insert_many("users", ImportedUser._fields, kept)
        parts = {(part, user.uid) for user in kept for part in users.parts(user.display_name)}
        yield from insert_many("name_parts", ("part", "uid"), sorted(parts))
        outcome.put = len(kept)
        return outcome

    return put


def put_statuses(rows: Sequence[tuple[str, int]]) -> Put:
    def put(_: Dialect) -> Unit[ImportOutcome]:
        outcome = ImportOutcome()
        for uid, status in rows:
            if (yield Query("UPDATE users SET status = ? WHERE uid = ?", (status, uid))).changed:
                outcome.put += 1
            else:
                outcome.leave_out("a status of an unknown user", uid)
        return outcome

    return put


def put_rows(table: str, columns: Sequence[str], rows: Sequence[Row]) -> Put:
    """Put rows whose keys are those of the source."""

    def put(_: Dialect) -> Unit[ImportOutcome]:
        yield from insert_many(table, columns, rows)
        return ImportOutcome(len(rows))

    return put


def put_versioned(
    table: str, columns: Sequence[str], rows: Sequence[Row], column: str, versions: Iterable[tuple[str, int]]
) -> Put:
    """Put rows, and raise a version of users (a column of heads) to the newest of theirs."""
    newest: dict[str, int] = {}
    for uid, version in versions:
        newest[uid] = max(version, newest.get(uid, 0))

    def put(dialect: Dialect) -> Unit[ImportOutcome]:
        yield from insert_many(table, columns, rows)
        raised, ends = ("seq", column), [(uid, 0, version) for uid, version in sorted(newest.items())]
        yield from upsert_many(dialect, "heads", ("uid",), raised, ends, highest=raised)
        return ImportOutcome(len(rows))

    return put


# Groups


def put_members(rows: Sequence[Row]) -> Put:
    """Put members, each (group_id, uid, alias, type, joined_ms, update_dt)."""

    def put(_: Dialect) -> Unit[ImportOutcome]:
        outcome = ImportOutcome()
        ids = sorted({row[0] for row in rows})
        known = {id for (id,) in (yield from select_in("SELECT id FROM chat_groups WHERE id IN ({})", ids))}
        kept = [row for row in rows if row[0] in known]
        for row in rows:
            if row[0] not in known:
                outcome.leave_out("a member of an unknown group", f"{row[1]} in {row[0]}")
        columns = ("group_id", "uid", "alias", "type", "joined_ms", "update_dt")
        yield from insert_many("group_members", columns, kept)
        outcome.put = len(kept)
        return outcome

    return put
