"""The forms of the original's database: MySQL, and a script of H2.

MySQL has 36 tables of messages and 128 of inboxes, H2 one of each.

    python -m tools.testing.original_forms mysql://user:password@host/NAME --messages 1000000
"""

import argparse
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql

from tools.testing.original import (
    EPOCH_MS,
    INBOX_TABLES,
    MESSAGE_TABLES,
    START_MS,
    DatabaseForm,
    Original,
    Values,
    date_of,
    fill,
    java_hash,
    message_table,
)

_ID, _TEXT, _LONG, _INT, _BLOB, _DATE = "id", "text", "long", "int", "blob", "date"
_MYSQL = {
    _ID: "INT NOT NULL AUTO_INCREMENT PRIMARY KEY",
    _TEXT: "TEXT",
    _LONG: "BIGINT NOT NULL",
    _INT: "INT DEFAULT 0",
    _BLOB: "BLOB NOT NULL",
    _DATE: "DATETIME NOT NULL",
}
_H2 = {
    _ID: "INT NOT NULL",
    _TEXT: "TEXT DEFAULT NULL",
    _LONG: "BIGINT NOT NULL",
    _INT: "INT DEFAULT 0",
    _BLOB: "BLOB NOT NULL",
    _DATE: "TIMESTAMP NOT NULL",
}
_MESSAGE = {
    "_mid": _LONG,
    "_from": _TEXT,
    "_type": _INT,
    "_target": _TEXT,
    "_line": _INT,
    "_data": _BLOB,
    "_searchable_key": _TEXT,
    "_dt": _DATE,
}
_INBOX = {"_mid": _LONG, "_uid": _TEXT, "_seq": _LONG, "_dt": _DATE}
TABLES: dict[str, dict[str, str]] = {
    "t_user": {
        **dict.fromkeys(("_uid", "_name", "_display_name"), _TEXT),
        "_gender": _INT,
        **dict.fromkeys(
            ("_portrait", "_mobile", "_email", "_address", "_company", "_social", "_passwd_md5", "_extra"),
            _TEXT,
        ),
        "_type": _INT,
        "_dt": _LONG,
    },
    "t_user_status": {"_uid": _TEXT, "_status": _INT, "_dt": _LONG},
    "t_user_session": {
        **dict.fromkeys(("_uid", "_cid", "_token", "_secret", "_db_secret"), _TEXT),
        "_dt": _LONG,
    },
    "t_friend": {"_uid": _TEXT, "_friend_uid": _TEXT, "_state": _INT, "_dt": _LONG, "_alias": _TEXT},
    "t_friend_request": {
        "_uid": _TEXT,
        "_friend_uid": _TEXT,
        "_reason": _TEXT,
        "_status": _INT,
        "_dt": _LONG,
        "_from_read_status": _INT,
        "_to_read_status": _INT,
    },
    "t_user_setting": {"_uid": _TEXT, "_scope": _INT, "_key": _TEXT, "_value": _TEXT, "_dt": _LONG},
    "t_sensitiveword": {"_word": _TEXT},
    "t_robot": {"_uid": _TEXT, "_owner": _TEXT, "_secret": _TEXT, "_dt": _LONG},
    "t_group": {
        **dict.fromkeys(("_gid", "_name", "_portrait", "_owner"), _TEXT),
        "_type": _INT,
        "_extra": _TEXT,
        "_dt": _LONG,
        "_member_count": _INT,
        "_member_dt": _LONG,
    },
    "t_group_member": {"_gid": _TEXT, "_mid": _TEXT, "_alias": _TEXT, "_type": _INT, "_dt": _LONG},
}
_SHIFTED = {"_mid": "_mid + %s", "_dt": "_dt + INTERVAL %s / 1000 SECOND"}


def _months(ids: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield the tables that messages between two ids are in: each with the first id, and that behind the last."""
    first, last = (date_of((id >> 21) + EPOCH_MS) for id in ids)
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        behind = (year + month // 12, month % 12 + 1)
        begin, end = (_first_id(datetime(*at, 1, tzinfo=UTC)) for at in ((year, month), behind))
        yield year % 3 * 12 + month - 1, begin, end
        year, month = behind


def _first_id(at: datetime) -> int:
    return int(at.timestamp() * 1000) - EPOCH_MS << 21


class MysqlForm(DatabaseForm):
    """Tables on a MySQL server."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._waiting: dict[str, list[tuple[Any, ...]]] = {}
        self._columns: dict[str, list[str]] = {}
        tables = dict(TABLES)
        tables |= {f"t_messages_{number}": _MESSAGE for number in range(MESSAGE_TABLES)}
        tables |= {f"t_user_messages_{number}": _INBOX for number in range(INBOX_TABLES)}
        for name, columns in tables.items():
            self._columns[name] = list(columns)
            whole = columns if name == "t_sensitiveword" else {"id": _ID, **columns}
            made = ", ".join(f"`{column}` {_MYSQL[kind]}" for column, kind in whole.items())
            self._run(f"CREATE TABLE `{name}` ({made}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4")

    def put(self, table: str, row: Values) -> None:
        if table == "t_messages":
            table = f"t_messages_{message_table(row['_mid'])}"
        elif table == "t_user_messages":
            table = f"t_user_messages_{abs(java_hash(row['_uid'])) % INBOX_TABLES}"
        waiting = self._waiting.setdefault(table, [])
        waiting.append(tuple(row.get(column) for column in self._columns[table]))
        if len(waiting) == 1000:
            self._flush(table)

    def change(self, table: str, keys: Values, values: Values) -> None:
        self._flush(table)
        where = " AND ".join(f"`{key}` = %s" for key in keys)
        if values:
            sets = ", ".join(f"`{column}` = %s" for column in values)
            self._run(f"UPDATE `{table}` SET {sets} WHERE {where}", (*values.values(), *keys.values()))
        else:
            self._run(f"DELETE FROM `{table}` WHERE {where}", tuple(keys.values()))

    def recall(self, row: Values) -> None:
        self.put("t_messages", row)  # a second row

    def finish(self) -> None:
        for table in list(self._waiting):
            self._flush(table)
        self._connection.commit()

    def repeat(self, since: int, until: int, span_ms: int, times: int) -> None:
        """Let the messages behind id `since`, up to `until`, be sent `times` times more, each `span_ms` later.

        The server makes the rows: many more a second than come from here.
        """
        source = "_mid > %s AND _mid <= %s"
        whole = {table: columns for table, columns in self._columns.items() if self._has(table)}
        messages = [table for table in whole if re.fullmatch(r"t_messages_\d+", table)]
        inboxes = [table for table in whole if re.fullmatch(r"t_user_messages_\d+", table)]
        self._run("CREATE TEMPORARY TABLE entries (uid VARCHAR(64) PRIMARY KEY, n INT NOT NULL)")
        for table in inboxes:
            counts = f"SELECT _uid, COUNT(*) FROM `{table}` WHERE {source} GROUP BY _uid"
            self._run(f"INSERT INTO entries {counts}", (since, until))
        for again in range(1, times + 1):
            ms = again * span_ms
            shift = ms << 21
            for table in messages:
                columns = ", ".join(whole[table])
                values = ", ".join(_SHIFTED.get(column, f"`{column}`") for column in whole[table])
                for target, first, behind in _months((since + shift, until + shift)):
                    self._run(
                        f"INSERT INTO `t_messages_{target}` ({columns}) SELECT {values} FROM `{table}` "
                        f"WHERE {source} AND _mid + %s >= %s AND _mid + %s < %s",
                        (shift, ms, since, until, shift, first, shift, behind),
                    )
            for table in inboxes:
                self._run(
                    f"INSERT INTO `{table}` (_mid, _uid, _seq, _dt) "
                    "SELECT t._mid + %s, t._uid, t._seq + %s * e.n, t._dt + INTERVAL %s SECOND "
                    f"FROM `{table}` t STRAIGHT_JOIN entries e ON e.uid = t._uid WHERE {source}",
                    (shift, again, ms // 1000, since, until),
                )
            self._connection.commit()

    def _has(self, table: str) -> bool:
        with self._connection.cursor() as cursor:
            return bool(cursor.execute(f"SELECT 1 FROM `{table}` LIMIT 1"))

    def _flush(self, table: str) -> None:
        rows = self._waiting.pop(table, [])
        if rows:
            columns = self._columns[table]
            named = ", ".join(f"`{column}`" for column in columns)
            marks = ", ".join(["%s"] * len(columns))
            with self._connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO `{table}` ({named}) VALUES ({marks})", rows)

    def _run(self, sql: str, params: Sequence[object] = ()) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, params or None)


class H2Form(DatabaseForm):
    """A script, as org.h2.tools.Script writes it. All rows are in memory until `write`."""

    BLOCK = 4096
    """Bytes of a blob that stand in one place; a larger one stands before its row, in parts."""

    def __init__(self) -> None:
        self._tables = {**TABLES, "t_messages": _MESSAGE, "t_user_messages": _INBOX}
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in self._tables}
        self._lobs = 0

    def put(self, table: str, row: Values) -> None:
        self._rows[table].append(dict(row))

    def change(self, table: str, keys: Values, values: Values) -> None:
        def named(row: Values) -> bool:
            return all(row[key] == value for key, value in keys.items())

        if not values:
            self._rows[table] = [row for row in self._rows[table] if not named(row)]
        for row in self._rows[table]:
            if named(row):
                row.update(values)

    def recall(self, row: Values) -> None:
        self.change("t_messages", {"_mid": row["_mid"]}, row)  # the row is replaced

    def write(self, path: Path) -> None:
        with path.open("w", encoding="ascii") as file:
            file.write(";             \nCREATE USER IF NOT EXISTS SA SALT '00' HASH '00' ADMIN;    \n")
            for name, columns in self._tables.items():
                for line in self._script(name, columns):
                    file.write(line)

    def _script(self, name: str, columns: Mapping[str, str]) -> Iterator[str]:
        whole = columns if name == "t_sensitiveword" else {"id": _ID, **columns}
        made = ",\n".join(f"    {column.upper()} {_H2[kind]}" for column, kind in whole.items())
        yield f"CREATE CACHED TABLE PUBLIC.{name.upper()}(\n{made}\n);           \n"
        rows = self._rows[name]
        yield f"-- {len(rows)} +/- SELECT COUNT(*) FROM PUBLIC.{name.upper()};            \n"
        named = ", ".join(column.upper() for column in whole)
        for start in range(0, len(rows), 40):
            part = rows[start : start + 40]
            lines: list[str] = []
            for number, row in enumerate(part, start + 1):
                values = {"id": number, **row}
                shown: list[str] = []
                for column in whole:
                    value = values.get(column)
                    if isinstance(value, bytes) and len(value) > self.BLOCK:
                        yield from self._lob(value)
                        shown.append(f"SYSTEM_COMBINE_BLOB({self._lobs - 1})")
                    else:
                        shown.append(_h2(value))
                lines.append(f"({', '.join(shown)})")
            yield f"INSERT INTO PUBLIC.{name.upper()}({named}) VALUES\n"
            yield ",\n".join(lines) + ";     \n"

    def _lob(self, value: bytes) -> Iterator[str]:
        if not self._lobs:
            yield (
                "CREATE TABLE IF NOT EXISTS SYSTEM_LOB_STREAM(ID INT NOT NULL, PART INT NOT NULL, "
                "CDATA VARCHAR, BDATA BINARY);\n"
            )
        for part, start in enumerate(range(0, len(value), self.BLOCK)):
            data = value[start : start + self.BLOCK].hex()
            yield f"INSERT INTO SYSTEM_LOB_STREAM VALUES({self._lobs}, {part}, NULL, '{data}');\n"
        self._lobs += 1


def _h2(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case int():
            return str(value)
        case bytes():
            return f"X'{value.hex()}'"
        case datetime():
            return f"TIMESTAMP '{value.isoformat(' ', 'milliseconds')}'"
    text = str(value)
    if all(" " <= letter < "\x7f" for letter in text):
        return "'" + text.replace("'", "''") + "'"
    return f"STRINGDECODE('{''.join(map(_java, text))}')"


_JAVA = {"\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\", "'": "''"}


def _java(letter: str) -> str:
    if letter in _JAVA:
        return _JAVA[letter]
    if " " <= letter < "\x7f":
        return letter
    data = letter.encode("utf-16-be")
    return "".join(f"\\u{data[at : at + 2].hex()}" for at in range(0, len(data), 2))


def connect_mysql(url: str) -> "pymysql.Connection[Any]":
    """Connect to a database, mysql://user:password@host:port/NAME."""
    place = urlsplit(url)
    return pymysql.connect(
        host=place.hostname,
        port=place.port or 3306,
        user=place.username,
        password=place.password or "",
        database=place.path.removeprefix("/"),
        charset="utf8mb4",
    )


def fill_mysql(url: str, messages: int, people: int, times: int = 1) -> None:
    """Fill an empty database, mysql://user:password@host:port/NAME, with `messages` that are sent `times` times."""
    with closing(connect_mysql(url)) as connection:
        form = MysqlForm(connection)
        original = Original(form, remembers=False)
        since, until = fill(original, messages, people, random.Random(1))
        form.finish()
        form.repeat(since, until, original.now - START_MS, times - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill an empty database with made-up rows of the original.")
    parser.add_argument("place", help="mysql://user:password@host:port/NAME, or a FILE.sql of H2")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=2_000)
    parser.add_argument(
        "--times", type=int, default=1, help="so often they are sent, at a later time each; MySQL only"
    )
    args = parser.parse_args()
    if args.place.startswith("mysql:"):
        fill_mysql(args.place, args.messages, args.people, args.times)
        return
    script = H2Form()
    fill(Original(script, remembers=False), args.messages, args.people, random.Random(1))
    script.write(Path(args.place))


if __name__ == "__main__":
    main()
