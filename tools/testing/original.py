"""Made-up rows of the original's database, as its own servers would have written them.

`Original` says what happens: users log in, write, make groups, recall. What it writes goes to a form of the database:
the statements of MySQL, with 36 tables of messages and 128 of inboxes, or a script of H2, with one of each.

    python -m tools.testing.original mysql://user:password@host/NAME --messages 1000000
"""

import argparse
import base64
import random
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tools.wire import proto2
from tools.wire.bodies import GROUP, PRIVATE, WireAccount

EPOCH_MS = 1514736000000
START_MS = 1767225600000
"""2026-01-01: when the first thing happens."""
TEXT, TIP, RECALLED = 1, 90, 80
CREATED, ADDED, KICKED, QUIT, DISMISSED = 104, 105, 106, 107, 108
MESSAGE_TABLES, INBOX_TABLES = 36, 128

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

Values = Mapping[str, Any]


class DatabaseForm(ABC):
    """A form of the database that rows are written to."""

    @abstractmethod
    def put(self, table: str, row: Values) -> None:
        """Write a row; the tables of messages and inboxes are `t_messages` and `t_user_messages`."""

    @abstractmethod
    def change(self, table: str, keys: Values, values: Values) -> None:
        """Change the rows with some values, or remove them where `values` is empty."""

    @abstractmethod
    def recall(self, row: Values) -> None:
        """Write what a recall makes of a message."""


@dataclass(frozen=True)
class OriginalDevice:
    """A device that the original has logged in, as `connect` of a wire takes it."""

    account: WireAccount
    db_secret: str


@dataclass
class OriginalUser:
    uid: str
    number: str
    devices: dict[str, OriginalDevice] = field(default_factory=dict)
    head: int = 0
    """The last seq of the inbox."""
    inbox: dict[int, int] = field(default_factory=dict)
    """The message ids by seq, where Original.remembers."""


class Original:
    """What happens on the original's servers."""

    def __init__(self, form: DatabaseForm, seed: int = 1, remembers: bool = True) -> None:
        self.form = form
        self.now = START_MS
        self.people: dict[str, OriginalUser] = {}
        self._chance = random.Random(seed)
        self._remembers = remembers
        self._members: dict[str, dict[str, int]] = {}
        self._rows: dict[int, Values] = {}
        self._counter = 0
        form.put(
            "t_user",
            {"_uid": "FireRobot", "_name": "FireRobot", "_display_name": "小火", "_type": 1, "_dt": 1},
        )
        form.put("t_robot", {"_uid": "FireRobot", "_owner": "FireRobot", "_secret": "123456", "_dt": 1})

    def id(self, wait_ms: int = 200) -> int:
        """Return the id of a message that is sent so much later."""
        self.now += wait_ms
        self._counter = (self._counter + 1) % 0x7FFF
        return (self.now - EPOCH_MS) << 21 | 0 << 15 | self._counter

    def user(self, number: str, name: str = "", **columns: object) -> OriginalUser:
        uid = "".join(self._chance.choices("0123456789abcdefghijkmnopqrstuvwxyzABCDEFGH", k=8))
        person = self.people[uid] = OriginalUser(uid, number)
        row = {
            "_uid": uid,
            "_name": number,
            "_display_name": name or number,
            "_mobile": number,
            "_extra": None,
            "_dt": self.now,
        }
        self.form.put("t_user", {**row, **columns})
        return person

    def device(self, person: OriginalUser, client_id: str) -> OriginalDevice:
        """Log a device in."""
        secret, db_secret = (str(uuid.UUID(int=self._chance.getrandbits(128))) for _ in range(2))
        self.form.put(
            "t_user_session",
            {
                "_uid": person.uid,
                "_cid": client_id,
                "_token": "",
                "_secret": secret,
                "_db_secret": db_secret,
                "_dt": self.now,
            },
        )
        token = user_token(person.uid, self.now)
        device = OriginalDevice(WireAccount(person.uid, client_id, token, secret), db_secret)
        person.devices[client_id] = device
        return device

    def befriend(self, one: OriginalUser, other: OriginalUser, reason: str = "hi") -> None:
        """Let one ask the other, who says yes."""
        self.now += 100
        row = {"_uid": one.uid, "_friend_uid": other.uid, "_reason": reason, "_status": 1, "_dt": self.now}
        self.form.put("t_friend_request", {**row, "_from_read_status": 0, "_to_read_status": 1})
        for a, b in ((one, other), (other, one)):
            friend = {"_uid": a.uid, "_friend_uid": b.uid, "_state": 0, "_dt": self.now, "_alias": ""}
            self.form.put("t_friend", friend)
        self.text(one, other, reason)
        for tip in ("以上是打招呼信息", "你们已经成为好友了，现在可以开始聊天了"):
            self._send(one, PRIVATE, other.uid, {"type": TIP, "content": tip}, (other,))

    def text(self, sender: OriginalUser, target: OriginalUser, text: str) -> int:
        return self._send(sender, PRIVATE, target.uid, {"type": TEXT, "searchable_content": text}, (target,))

    def content(self, sender: OriginalUser, target: OriginalUser, **fields: object) -> int:
        """Send a message with some fields of MessageContent."""
        return self._send(sender, PRIVATE, target.uid, fields, (target,))

    def signal(self, sender: OriginalUser, target: OriginalUser) -> None:
        """Send a signal of a call: it takes a seq and is not stored."""
        id = self.id()
        for person in (target, sender):
            self._enter(person, id)

    def hole(self, person: OriginalUser, seqs: int) -> None:
        """Let a client pull from above the head: the next entry comes behind that."""
        person.head += seqs

    def recall(self, id: int, operator: OriginalUser) -> None:
        row = self._rows[id]
        self.now += 500
        content = {"type": RECALLED, "content": operator.uid, "data": str(id).encode()}
        self.form.recall({**row, "_data": content_of(content), "_searchable_key": "", "_dt": _date(self.now)})

    # Groups

    def group(
        self, owner: OriginalUser, members: Sequence[OriginalUser], name: str = "group", kind: int = 0
    ) -> str:
        gid = "".join(self._chance.choices("23456789JKLMNPQRSTUVWXYZ", k=8))
        self.now += 100
        people = {owner.uid: 2, **{person.uid: 0 for person in members}}
        row = {"_gid": gid, "_name": name, "_portrait": "", "_owner": owner.uid, "_type": kind, "_extra": ""}
        times = {"_dt": self.now, "_member_count": len(people), "_member_dt": self.now}
        self.form.put("t_group", {**row, **times})
        for uid, type in people.items():
            self._seat(gid, uid, type)
        self._members[gid] = people
        self._notice(owner, gid, CREATED, n=name, m="")
        return gid

    def group_text(self, sender: OriginalUser, gid: str, text: str) -> int:
        return self._send(
            sender, GROUP, gid, {"type": TEXT, "searchable_content": text}, self._others(gid, sender)
        )

    def add(self, operator: OriginalUser, gid: str, people: Sequence[OriginalUser]) -> None:
        """Add members: those who were there before keep their row."""
        for person in people:
            self.form.change("t_group_member", {"_gid": gid, "_mid": person.uid}, {})
            self._seat(gid, person.uid, 0)
            self._members[gid][person.uid] = 0
        self._counted(gid)
        self._notice(operator, gid, ADDED, ms=[person.uid for person in people])

    def kick(self, operator: OriginalUser, gid: str, person: OriginalUser) -> None:
        self._notice(operator, gid, KICKED, ms=[person.uid])
        self.form.change("t_group_member", {"_gid": gid, "_mid": person.uid}, {"_type": 4})
        del self._members[gid][person.uid]
        self._counted(gid)

    def quit(self, person: OriginalUser, gid: str) -> None:
        """Quit: only the number of members tells of it, and the notice."""
        self._notice(person, gid, QUIT, m="")
        del self._members[gid][person.uid]
        self._counted(gid)

    def dismiss(self, owner: OriginalUser, gid: str) -> None:
        """Dismiss a group: its rows go, its messages stay."""
        self._notice(owner, gid, DISMISSED, m="")
        self.form.change("t_group", {"_gid": gid}, {})
        self.form.change("t_group_member", {"_gid": gid}, {})
        del self._members[gid]

    def _others(self, gid: str, sender: OriginalUser) -> list[OriginalUser]:
        return [self.people[uid] for uid in self._members[gid] if uid != sender.uid]

    def _seat(self, gid: str, uid: str, type: int) -> None:
        row = {"_gid": gid, "_mid": uid, "_alias": "", "_type": type, "_dt": self.now}
        self.form.put("t_group_member", row)

    def _counted(self, gid: str) -> None:
        count = {"_member_count": len(self._members[gid]), "_dt": self.now, "_member_dt": self.now}
        self.form.change("t_group", {"_gid": gid}, count)

    def _notice(self, operator: OriginalUser, gid: str, type: int, **said: object) -> None:
        named = ",".join(
            f'"{key}":[{",".join(f"{chr(34)}{one}{chr(34)}" for one in value)}]'
            if isinstance(value, list)
            else f'"{key}":"{value}"'
            for key, value in said.items()
        )
        data = f'{{"g":"{gid}","o":"{operator.uid}",{named}}}'
        self._send(operator, GROUP, gid, {"type": type, "data": data.encode()}, self._others(gid, operator))

    # Messages

    def _send(
        self, sender: OriginalUser, kind: int, target: str, content: Values, receivers: Sequence[OriginalUser]
    ) -> int:
        id = self.id()
        row = {
            "_mid": id,
            "_from": sender.uid,
            "_type": kind,
            "_target": target,
            "_line": 0,
            "_data": content_of(content),
            "_searchable_key": content.get("searchable_content", ""),
            "_dt": _date(self.now),
        }
        self.form.put("t_messages", row)
        if self._remembers:
            self._rows[id] = row
        for person in (*receivers, sender):
            self._enter(person, id)
        return id

    def _enter(self, person: OriginalUser, id: int) -> None:
        person.head = person.head + 1 if person.head else id
        if self._remembers:
            person.inbox[person.head] = id
        row = {"_mid": id, "_uid": person.uid, "_seq": person.head, "_dt": _date(self.now)}
        self.form.put("t_user_messages", row)


def user_token(uid: str, ms: int) -> str:
    """Return the user_token that the original gives at a login."""
    padder = PKCS7(64).padder()
    plain = padder.update(f"testim|{ms}|{uid}".encode()) + padder.finalize()
    encryptor = Cipher(TripleDES(b"abcdefgh" * 3), modes.CBC(bytes(range(1, 9)))).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def content_of(fields: Values) -> bytes:
    """Return a MessageContent as the original stores it: `data` and `media_type` are always there."""
    return proto2.encode("MessageContent", {**fields, "data": fields.get("data", b""), "media_type": 0})


def _date(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)


def java_hash(text: str) -> int:
    """Return what Java's String.hashCode is, as a signed number."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def message_table(id: int) -> int:
    """Return the number of the table that a message is in."""
    at = _date((id >> 21) + EPOCH_MS)
    return at.year % 3 * 12 + at.month - 1


_SHIFTED = {"_mid": "_mid + %s", "_dt": "_dt + INTERVAL %s / 1000 SECOND"}


def _months(ids: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield the tables that messages between two ids are in: each with the first id, and that behind the last."""
    first, last = (_date((id >> 21) + EPOCH_MS) for id in ids)
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


def fill(original: Original, messages: int, people: int, chance: random.Random) -> tuple[int, int]:
    """Let many messages happen: nine in ten are private ones, the others in groups of ten.

    Return the id behind which they begin, and the last one.
    """
    everybody = [original.user(f"138{number:08}", f"用户 {number}") for number in range(people)]
    for person in everybody:
        original.device(person, "phone")
    groups = []
    for start in range(0, people - 10, 10):
        owner, *others = everybody[start : start + 10]
        groups.append((original.group(owner, others), [owner, *others]))
    since = last = original.id()
    words = [
        "今天天气不错",
        "我们",
        "明天",
        "开会",
        "hello",
        "world",
        "请",
        "看",
        "一下",
        "文件",
        "好的",
        "收到",
    ]
    for _ in range(messages):
        original.now += chance.randrange(2000)
        said = " ".join(chance.choices(words, k=chance.randrange(1, 12)))
        if chance.random() < 0.9 or not groups:
            one, other = chance.sample(everybody, 2)
            last = original.text(one, other, said)
        else:
            gid, members = chance.choice(groups)
            last = original.group_text(chance.choice(members), gid, said)
    return since, last


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
