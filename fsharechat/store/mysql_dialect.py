"""The SQL of MySQL 8 and MariaDB."""

from collections.abc import Sequence

import orjson

from fsharechat.store.unit import Query, Unit, chunks, flat, marks, rows_of_marks, select_in


class MysqlDialect:
    name = "mysql"
    shared = True
    locking = " FOR UPDATE"
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    blob: type[bytes | bytearray] = bytes

    def upsert(
        self,
        table: str,
        keys: Sequence[str],
        columns: Sequence[str],
        rows: int = 1,
        highest: Sequence[str] = (),
    ) -> str:
        updates = ",".join(
            f"{column}=GREATEST({column},VALUES({column}))"
            if column in highest
            else f"{column}=VALUES({column})"
            for column in columns
        )
        return f"{_insert(table, (*keys, *columns), rows)} ON DUPLICATE KEY UPDATE {updates}"

    def insert_new(self, table: str, columns: Sequence[str]) -> str:
        # Not INSERT IGNORE: it would hide other errors too.
        return f"{_insert(table, columns)} ON DUPLICATE KEY UPDATE {columns[0]}={columns[0]}"

    def find_rows(self, table: str, columns: Sequence[str], keys: Sequence[str], count: int) -> str:
        # Not `(keys) IN (rows)`: MariaDB needs time that grows with the square of the rows to prepare it.
        found = ",".join(f"t.{column}" for column in columns)
        same = " AND ".join(f"t.{key}=w.{key}" for key in keys)
        first = ",".join(f"? AS {key}" for key in keys)
        others = f" UNION ALL SELECT {marks(len(keys))}" * (count - 1)
        return f"SELECT {found} FROM (SELECT {first}{others}) w STRAIGHT_JOIN {table} t ON {same}"

    def advance(self, counts: dict[str, int], column: str) -> Unit[dict[str, int]]:
        return (yield from _move_heads(column, counts, f"{column} + VALUES({column})"))

    def advance_inboxes(self, counts: dict[str, int]) -> Unit[dict[str, int]]:
        return (yield from _move_heads("seq", counts, "seq + VALUES(seq)", "IF(asleep, -seq, seq)"))

    def raise_heads(self, column: str, uids: Sequence[str], now: int) -> Unit[dict[str, int]]:
        later = f"GREATEST({column} + 1, VALUES({column}))"
        return (yield from _move_heads(column, dict.fromkeys(uids, now), later))

    def clock(self) -> Unit[int]:
        since = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3))"
        return int((yield Query(f"SELECT {since} DIV 1000")).rows[0][0])


def _move_heads(column: str, values: dict[str, int], update: str, returned: str = "") -> Unit[dict[str, int]]:
    # In user order, and before all other writes of the batch, so that no two writers wait for each other. Other
    # writers wait at the row until this transaction has ended. So a seq becomes visible only after all lower ones.
    uids = sorted(values)
    for part in chunks([(uid, values[uid]) for uid in uids]):
        yield Query(_on_heads(column, len(part), update), flat(part), unread=True)
    # As one text: parsing hundreds of rows would cost more than the rest of a transaction.
    sql = f"SELECT JSON_OBJECTAGG(uid, {returned or column}) FROM heads WHERE uid IN ({{}})"
    heads: dict[str, int] = {}
    for (text,) in (yield from select_in(sql, uids)):
        heads |= orjson.loads(text)
    return heads


def _on_heads(column: str, count: int, update: str) -> str:
    """Return the statement that writes `count` rows (uid, value) into a column of the heads."""
    if column == "seq":
        insert = f"INSERT INTO heads (uid, seq) VALUES {rows_of_marks(2, count)}"
    else:
        values = ",".join(["(?,0,?)"] * count)
        insert = f"INSERT INTO heads (uid, seq, {column}) VALUES {values}"
    return f"{insert} ON DUPLICATE KEY UPDATE {column} = {update}"


def _insert(table: str, columns: Sequence[str], rows: int = 1) -> str:
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES {rows_of_marks(len(columns), rows)}"
