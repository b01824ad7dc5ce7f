"""A SQLite store that is made through SQL: users, sessions, groups and conversations, by the million in a minute.

Numbers stand for users: the one of number n is `uid_of(n)`, and logs in with the mobile number of scripts/bench's
user n. Nobody has to log in: the key that signs tokens is put into the store as well.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import compose, time_of
from fsharechat.protocol.signals import (
    ContentType,
    ConversationType,
    GroupType,
    MemberType,
    UserStatus,
    UserType,
)
from fsharechat.store.messages import conversation_key
from fsharechat.store.sqlite import SqliteStore
from roles.group.tokens import TokenSigner
from tools.wire.bodies import WireAccount

from .login import client_of, mobile_of
from .texts import TextParts

DATABASE = "fsharechat.db"
"""The name of the database in the server's data folder."""
_PLAIN = UserType.PERSON, UserStatus.NORMAL
_KEY = bytes(range(32))
_NODE = 63
_STEP = 20_000
_APART_MS = 10
"""How far apart made messages are."""
_DAY_MS = 86_400_000

Rows = Iterable[tuple[Any, ...]]


def uid_of(number: int) -> str:
    return f"made{number:07d}"


def group_of(number: int) -> str:
    return f"madegroup{number:05d}"


class MadeStore:
    """Fills a new database in the folder `data`. Not for a server that runs."""

    def __init__(self, data: Path) -> None:
        self.path = data / DATABASE
        self._now = int(time.time() * 1000)

    async def create(self) -> None:
        """Make the tables."""
        await SqliteStore(self.path, 1).migrate(lambda _: None)
        self._insert("facts", ("name", "value"), [("token_key", _KEY)])

    def put_users(self, numbers: Sequence[int], devices: int = 0) -> None:
        """Have users, with so many devices that are logged in."""
        self._insert(
            "users",
            (
                *(
                    "uid",
                    "number",
                    "name",
                    "display_name",
                    "portrait",
                    "mobile",
                    "email",
                    "address",
                    "company",
                ),
                *("social", "extra", "gender", "type", "status", "update_dt"),
            ),
            (
                (uid_of(n), mobile_of(n), uid_of(n), f"Made {n}", "", mobile_of(n), *[""] * 5, 0, *_PLAIN, 1)
                for n in numbers
            ),
        )
        self._insert(
            "sessions",
            ("uid", "client_id", "secret", "db_secret", "issued_ms"),
            (
                (uid_of(n), client_of(n, device), _secret(n), _secret(n), self._now)
                for n in numbers
                for device in range(devices)
            ),
        )

    def accounts(self, numbers: Sequence[int], devices: int = 1) -> list[WireAccount]:
        """Return accounts for users of `put_users`, the devices of a user far apart."""
        with closing(self._open()) as connection:
            signer = TokenSigner(_value(connection, "SELECT value FROM facts WHERE name = 'token_key'"))
            issued = _value(connection, "SELECT MAX(issued_ms) FROM sessions")
        return [
            WireAccount(uid_of(n), client, signer.issue(uid_of(n), client, issued), _secret(n))
            for device in range(devices)
            for n in numbers
            for client in (client_of(n, device),)
        ]

    def put_group(self, number: int, members: Sequence[int]) -> str:
        """Have a group of users; the first is its owner. Return its id."""
        id = group_of(number)
        self._insert(
            "chat_groups",
            (
                *("id", "name", "portrait", "owner", "type", "extra", "member_count", "dismissed"),
                *("update_dt", "member_update_dt"),
            ),
            [(id, "Made", "/made", uid_of(members[0]), GroupType.FREE, "", len(members), 0, 1, 1)],
        )
        self._insert(
            "group_members",
            ("group_id", "uid", "alias", "type", "joined_ms", "update_dt"),
            (
                (id, uid_of(n), "", MemberType.NORMAL if at else MemberType.OWNER, 1, 1)
                for at, n in enumerate(members)
            ),
        )
        return id

    def put_conversations(self, pairs: Sequence[tuple[int, int]], messages: int) -> None:
        """Have so many messages, which go round all `pairs` of users (sender, receiver) in turns.

        Text `seq` of a pair's number in `pairs` is the one that the generator makes and checks. All of a conversation
        lie far apart, as they do where many people write. A user is in one pair alone.
        """
        first = self._now - _DAY_MS - messages * _APART_MS
        bodies = [_body(number, *pair) for number, pair in enumerate(pairs)]
        keys = [conversation_key(ConversationType.PRIVATE, 0, uid_of(b), uid_of(a)) for a, b in pairs]
        width = len(pairs)

        def message_rows() -> Iterator[tuple[Any, ...]]:
            for n in range(messages):
                seq, number = divmod(n, width)
                id = compose(first + n * _APART_MS, _NODE, 0)
                before, after = bodies[number]
                middle = b"%010d" % seq
                tail = pb.Message(message_id=id, server_timestamp=time_of(id)).SerializePartialToString()
                body = b"".join((before, middle, after, tail))
                yield id, uid_of(pairs[number][0]), n + 1, keys[number], body

        def inbox_rows() -> Iterator[tuple[Any, ...]]:
            for number, pair in enumerate(pairs):
                for n in pair:
                    for seq, at in enumerate(range(number, messages, width)):
                        yield uid_of(n), seq + 1, compose(first + at * _APART_MS, _NODE, 0)

        with closing(self._open()) as connection:
            index = _value(connection, "SELECT sql FROM sqlite_master WHERE name = 'messages_history'")
            connection.execute("DROP INDEX messages_history")
        self._insert("messages", ("id", "sender", "local_id", "conversation", "body"), message_rows())
        self._insert("inbox", ("uid", "seq", "message_id"), inbox_rows())
        self._insert(
            "heads",
            ("uid", "seq"),
            (
                (uid_of(n), len(range(number, messages, width)))
                for number, pair in enumerate(pairs)
                for n in pair
            ),
        )
        with closing(self._open()) as connection:
            connection.execute(index)

    def _insert(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        waiting = iter(rows)
        with closing(self._open()) as connection:
            while (first := next(waiting, None)) is not None:
                connection.execute("BEGIN")
                connection.executemany(sql, chain((first,), _some(waiting, _STEP)))
                connection.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute(
            "PRAGMA synchronous = OFF"
        )  # a machine that fails loses a store that is made again
        connection.execute("PRAGMA cache_size = -200000")
        return connection


def _some(rows: Iterator[tuple[Any, ...]], count: int) -> Iterator[tuple[Any, ...]]:
    for _, row in zip(range(count), rows, strict=False):
        yield row


def _value(connection: sqlite3.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]


def _secret(number: int) -> str:
    return f"made-secret-{number:012d}"


def _body(pair: int, sender: int, receiver: int) -> tuple[bytes, bytes]:
    """Return the body of a message around the number of its text, without id and time: these may come last."""
    text = TextParts(pair).text(0)
    message = pb.Message(from_user=uid_of(sender))
    message.conversation.type, message.conversation.target, message.conversation.line = (
        ConversationType.PRIVATE,
        uid_of(receiver),
        0,
    )
    message.content.type, message.content.persist_flag = ContentType.TEXT, 3
    message.content.searchable_content = text.decode()
    before, after = message.SerializeToString().split(text)
    return before + TextParts(pair).before, TextParts(pair).after + after
