"""Units of work: SQL without I/O.

A unit is a generator that yields statements and is sent their results. It does not know how it is run: SQLite runs it
in its writer or reader thread, without a thread switch for each statement; MySQL awaits each statement. So every
statement of fsharechat is written once, and a batch that must be tried again simply starts anew.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

from fsharechat.protocol.sizes import MAX_ENTRIES_BYTES, sent_size

T = TypeVar("T")
P = ParamSpec("P")
Row = tuple[Any, ...]
R = TypeVar("R", bound=Row)


class Query(NamedTuple):
    """One statement with `?` for each parameter."""

    sql: str
    params: Sequence[object] = ()
    unread: bool = False
    """The unit does not use its result, so a remote engine may send it together with the next statement."""


class Result(NamedTuple):
    """The rows a statement gave, and how many rows it changed."""

    rows: list[Row]
    changed: int


Unit = Generator[Query, Result, T]


class Dialect(Protocol):
    """The differences in the SQL of the engines."""

    name: str
    locking: str
    """The end of a SELECT that locks its rows until this unit is done."""
    tables: str
    """The query for the names of all tables."""
    blob: type[bytes | bytearray]
    """The best type for a parameter of many bytes."""
    undigested: bool
    """Whether the database may hold messages with a local id that were stored before there were digests."""
    hears: Mapping[str, Sequence[str]]
    """The webhooks that hear of each kind of event, by name (webhooks.py); empty if there are none."""

    def upsert(
        self,
        table: str,
        keys: Sequence[str],
        columns: Sequence[str],
        rows: int = 1,
        highest: Sequence[str] = (),
    ) -> str:
        """Return an INSERT of `rows` rows of `keys` + `columns` that updates `columns` where the key exists.

        Columns in `highest` keep the higher one of both values.
        """

    def insert_new(self, table: str, columns: Sequence[str]) -> str:
        """Return an INSERT of one row that does nothing if a unique key exists; read the row afterwards."""

    def find_rows(self, table: str, columns: Sequence[str], keys: Sequence[str], count: int) -> str:
        """Return a SELECT of `columns` from the rows whose `keys` match one of `count` rows of parameters."""

    shared: bool
    """Whether several processes may write to the database."""

    def advance(self, counts: "dict[str, int]", column: str) -> "Unit[dict[str, int]]":
        """Add to a column of the heads of users, with their rows locked in user order. Return the new values."""

    def advance_inboxes(self, counts: "dict[str, int]") -> "Unit[dict[str, int]]":
        """Do the same with the last seqs of inboxes. For sleeping users (group_log.py) return the negative."""

    def raise_heads(self, column: str, uids: "Sequence[str]", now: int) -> "Unit[dict[str, int]]":
        """Set a version of users to `now`, or to its value plus one if that is later. Return it like `advance`."""

    def clock(self) -> "Unit[int]":
        """Return the time (ms) of a clock that all writers of this database share. It may step in both directions."""


MAX_ROWS = 2048
"""The most rows of one statement. SQLite takes 32,766 parameters in a statement."""


@lru_cache(maxsize=1024)
def marks(count: int) -> str:
    """Return `count` parameter marks: "?,?,?". Without one, raise ValueError: MySQL knows no empty list."""
    if not count:
        raise ValueError("an empty list in a statement")
    return ",".join("?" * count)


@lru_cache(maxsize=1024)
def rows_of_marks(width: int, count: int) -> str:
    """Return `count` rows of `width` parameter marks: "(?,?),(?,?)"."""
    row = f"({marks(width)})"
    return ",".join([row] * count)


def chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut rows into parts for one statement each."""
    for start in range(0, len(rows), MAX_ROWS):
        yield rows[start : start + MAX_ROWS]


def flat(rows: Iterable[Iterable[object]]) -> list[object]:
    """Return the values of rows one after the other."""
    return [value for row in rows for value in row]


def containing(part: str) -> str:
    """Return the pattern of a LIKE with ESCAPE '!' for texts that contain a part."""
    escaped = part.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def insert_many(table: str, columns: Sequence[str], rows: Sequence[Row]) -> Unit[None]:
    """Insert rows with as few statements as the engine allows."""
    head = f"INSERT INTO {table} ({','.join(columns)}) VALUES "
    for part in chunks(rows):
        yield Query(head + rows_of_marks(len(columns), len(part)), flat(part), unread=True)


def upsert_many(
    dialect: Dialect,
    table: str,
    keys: Sequence[str],
    columns: Sequence[str],
    rows: Sequence[Row],
    highest: Sequence[str] = (),
) -> Unit[None]:
    """Insert or update rows of `keys` + `columns`, as `Dialect.upsert` says."""
    for part in chunks(rows):
        yield Query(dialect.upsert(table, keys, columns, len(part), highest), flat(part))


def find_many(
    dialect: Dialect, table: str, columns: Sequence[str], keys: Sequence[str], rows: Sequence[Row]
) -> Unit[list[Row]]:
    """Return `columns` of the rows whose `keys` match one of `rows`."""
    found: list[Row] = []
    for part in chunks(rows):
        found += (yield Query(dialect.find_rows(table, columns, keys, len(part)), flat(part))).rows
    return found


def select_in(sql: str, values: Sequence[object], *before: object) -> Unit[list[Row]]:
    """Return the rows of `sql` for all of `values`. Its `{}` stands for a list of parameters, behind `before`."""
    found: list[Row] = []
    for part in chunks(values):
        found += (yield Query(sql.format(marks(len(part))), (*before, *part))).rows
    return found


def change_in(sql: str, values: Sequence[object], *before: object) -> Unit[int]:
    """Run a statement that changes rows for all of `values`, as `select_in` does. Return how many it changed."""
    changed = 0
    for part in chunks(values):
        changed += (yield Query(sql.format(marks(len(part))), (*before, *part))).changed
    return changed


STEP = 100
"""How many rows one statement of `rows_within` reads: each may be large."""


def rows_within(
    frame: int, ids: Sequence[str], read: Callable[[Sequence[str]], Unit[dict[str, R]]]
) -> Unit[list[tuple[str, R | None]]]:
    """Return the row that `read` finds for each of `ids`, in their order, None where there is none.

    It ends before the answer would be too large (protocol/sizes.py). Each row takes `frame` bytes besides its texts.
    """
    answer: list[tuple[str, R | None]] = []
    size = 0
    for start in range(0, len(ids), STEP):
        part = ids[start : start + STEP]
        found = yield from read(part)
        for id in part:
            row = found.get(id)
            texts = (value for value in (row or (id,)) if isinstance(value, str))
            size += frame + sent_size(*texts)
            if size > MAX_ENTRIES_BYTES:
                return answer
            answer.append((id, row))
    return answer
