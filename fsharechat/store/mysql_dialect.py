"""The SQL of MySQL 8 and MariaDB."""

from collections.abc import Sequence

from fsharechat.store.unit import Query, Unit, chunks, flat, marks, rows_of_marks, select_in


class MysqlDialect:
    name = "mysql"
    locking = " FOR UPDATE"

    def upsert(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> str:
        updates = ",".join(f"{column}=VALUES({column})" for column in columns)
        return f"{_insert(table, (*keys, *columns))} ON DUPLICATE KEY UPDATE {updates}"

    def insert_new(self, table: str, columns: Sequence[str]) -> str:
        # Not INSERT IGNORE, which would hide other errors too.
        return f"{_insert(table, columns)} ON DUPLICATE KEY UPDATE {columns[0]}={columns[0]}"

    def find_rows(self, table: str, columns: Sequence[str], keys: Sequence[str], count: int) -> str:
        rows = rows_of_marks(len(keys), count)
        return f"SELECT {','.join(columns)} FROM {table} WHERE ({','.join(keys)}) IN ({rows})"

    def advance(self, counts: dict[str, int], column: str = "seq") -> Unit[dict[str, int]]:
        # In user order, and before anything else of the batch is written, so that no two writers wait for each other.
        # Other writers wait at the row until this transaction has ended: a seq is visible once all lower ones are.
        uids = sorted(counts)
        for part in chunks([(uid, counts[uid]) for uid in uids]):
            yield Query(_on_heads(column, len(part), f"{column} + VALUES({column})"), flat(part))
        return dict((yield from select_in(f"SELECT uid, {column} FROM heads WHERE uid IN ({{}})", uids)))

    def raise_heads(self, column: str, uids: Sequence[str], now: int) -> Unit[None]:
        for part in chunks([(uid, now) for uid in sorted(uids)]):
            later = f"GREATEST({column} + 1, VALUES({column}))"
            yield Query(_on_heads(column, len(part), later), flat(part))


def _on_heads(column: str, count: int, update: str) -> str:
    """Return the statement that takes `count` rows (uid, value) into a column of the heads."""
    if column == "seq":
        insert = f"INSERT INTO heads (uid, seq) VALUES {rows_of_marks(2, count)}"
    else:
        values = ",".join(["(?,0,?)"] * count)
        insert = f"INSERT INTO heads (uid, seq, {column}) VALUES {values}"
    return f"{insert} ON DUPLICATE KEY UPDATE {column} = {update}"


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks(len(columns))})"
