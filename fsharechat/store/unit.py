"""Units of work: SQL without I/O.

A unit is a generator that yields statements and is sent their results. It does not know who runs it: SQLite runs
it in its writer or reader thread without a hop a statement, MySQL awaits each statement. So every statement of
fsharechat is written once, and a batch that must be tried again is simply begun again.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

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
    """The unit does not look at its result, so an engine far away may send it together with the next statement."""


class Result(NamedTuple):
    """The rows a statement gave, and how many rows it changed."""

    rows: list[Row]
    changed: int


Unit = Generator[Query, Result, T]


class Dialect(Protocol):
    """Where the SQL of the engines differs."""

    name: str
    locking: str
    """What ends a SELECT whose rows no other writer may change before this unit is done."""
    tables: str
    """The query for the names of all tables."""
    blob: type[bytes | bytearray]
    """What a parameter of many bytes is best given as."""

    def upsert(
        self,
        table: str,
        keys: Sequence[str],
        columns: Sequence[str],
        rows: int = 1,
        highest: Sequence[str] = (),
    ) -> str:
        """Return an INSERT of `rows` rows of `keys` + `columns` that updates `columns` where the key exists.

        Those of the columns that are in `highest` keep the higher one of both values.
        """

    def insert_new(self, table: str, columns: Sequence[str]) -> str:
        """Return an INSERT of one row that does nothing where a unique key exists; look what is there afterwards."""

    def find_rows(self, table: str, columns: Sequence[str], keys: Sequence[str], count: int) -> str:
        """Return a SELECT of `columns` of the rows whose `keys` are one of `count` rows of parameters."""

    shared: bool
    """Several processes may write to the database."""

    def advance(self, counts: "dict[str, int]", column: str) -> "Unit[dict[str, int]]":
        """Add to a column of the heads of users and return what it is now, with their rows locked in user order."""

    def advance_inboxes(self, counts: "dict[str, int]") -> "Unit[dict[str, int]]":
        """Do it with the last seqs of inboxes; of users who are asleep (group_log.py) the negative is returned."""

    def raise_heads(self, column: str, uids: "Sequence[str]", now: int) -> "Unit[dict[str, int]]":
        """Set a version of users to `now`, or to one more than it is if that is later; return it like `advance`."""

    def clock(self) -> "Unit[int]":
        """Return the time (ms) by a clock that all who write to this database share; it may step both ways."""


UnitFunction = Callable[Concatenate[Dialect, P], Unit[T]]

MAX_ROWS = 2048
"""Rows of one multi-row statement; SQLite takes 32,766 parameters a statement."""


@lru_cache(maxsize=1024)
def marks(count: int) -> str:
    """Return `count` parameter marks: "?,?,?"."""
    return ",".join("?" * count)


@lru_cache(maxsize=1024)
def rows_of_marks(width: int, count: int) -> str:
    """Return `count` rows of `width` parameter marks: "(?,?),(?,?)"."""
    row = f"({marks(width)})"
    return ",".join([row] * count)


def chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut rows into runs that one statement takes."""
    for start in range(0, len(rows), MAX_ROWS):
        yield rows[start : start + MAX_ROWS]


def flat(rows: Iterable[Iterable[object]]) -> list[object]:
    """Return the values of rows one after the other."""
    return [value for row in rows for value in row]


def insert_many(table: str, columns: Sequence[str], rows: Sequence[Row]) -> Unit[None]:
    """Insert rows by as few statements as the engine allows."""
    head = f"INSERT INTO {table} ({','.join(columns)}) VALUES "
    for part in chunks(rows):
        yield Query(head + rows_of_marks(len(columns), len(part)), flat(part), unread=True)


def select_in(sql: str, values: Sequence[object]) -> Unit[list[Row]]:
    """Return the rows of `sql`, whose `{}` stands for a list of parameters, over all of `values`."""
    found: list[Row] = []
    for part in chunks(values):
        found += (yield Query(sql.format(marks(len(part))), part)).rows
    return found


STEP = 100
"""Rows of one statement of `rows_within`: each may be large."""


def rows_within(
    frame: int, ids: Sequence[str], read: Callable[[Sequence[str]], Unit[dict[str, R]]]
) -> Unit[list[tuple[str, R | None]]]:
    """Return what `read` finds for each of `ids`, in their order, None where there is none.

    It ends before the one with which an answer would be too large (protocol/sizes.py); each weighs `frame` bytes
    beside its texts.
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
