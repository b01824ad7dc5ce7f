"""Migrations lead to the schema that the statements are written for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.store import fence
from fsharechat.store.fence import StoreFenced
from fsharechat.store.migrate import migrate
from fsharechat.store.schema import metadata


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def differences(url: str) -> list[Any]:
    with connected(url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def version(url: str) -> str:
    with connected(url) as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def test_a_new_database_has_the_schema_of_the_statements(empty_url: str) -> None:
    assert differences(empty_url) != []
    migrate(empty_url)
    assert differences(empty_url) == []


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    migrate(empty_url)
    with connected(empty_url) as connection:
        connection.execute(text("INSERT INTO heads (uid, seq) VALUES ('ann', 1)"))
    before = version(empty_url)
    migrate(empty_url)
    assert version(empty_url) == before
    with connected(empty_url) as connection:
        assert connection.execute(text("SELECT seq FROM heads")).scalar_one() == 1


def test_a_database_of_a_newer_version_is_left_alone(empty_url: str) -> None:
    migrate(empty_url)
    with connected(empty_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    migrate(empty_url)
    assert version(empty_url) == "9999"


@pytest.mark.parametrize("revision", ["9999", "0043"])
def test_a_database_behind_the_fence_is_refused_and_left_alone(empty_url: str, revision: str) -> None:
    migrate(empty_url, "0043")
    with connected(empty_url) as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
        connection.execute(
            text("INSERT INTO facts (name, value) VALUES ('store_level', :level)"),
            {"level": b"%d" % (fence.LEVEL + 1)},
        )
    refusal = f"level {fence.LEVEL + 1} and above, and this version is of level {fence.LEVEL}: run a newer"
    with pytest.raises(StoreFenced, match=refusal):
        migrate(empty_url)
    assert version(empty_url) == revision


def test_messages_are_kept_and_known_by_their_local_ids_alone(empty_url: str) -> None:
    migrate(empty_url, "0040")
    old = "INSERT INTO messages (id, sender, local_id, conversation, body) VALUES "
    with connected(empty_url) as connection:
        connection.execute(text(old + "(1, 'ann', 7, 'a', 'x'), (2, 'ann', NULL, 'a', 'y')"))
    migrate(empty_url)
    with connected(empty_url) as connection:
        # A process of the version before goes on so while the cluster is renewed.
        connection.execute(text(old + "(3, 'ann', 8, 'a', 'z')"))
        rows = connection.execute(text("SELECT id, local_id, digest FROM messages ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [(1, 7, 0), (2, None, 0), (3, 8, 0)]


@pytest.mark.parametrize(
    ("local_id", "digest", "noted"), [("7", 0, True), ("7", 5, False), ("NULL", 0, False)]
)
def test_it_is_noted_whether_there_are_messages_without_a_digest(
    empty_url: str, local_id: str, digest: int, noted: bool
) -> None:
    migrate(empty_url, "0047")
    with connected(empty_url) as connection:
        old = "INSERT INTO messages (id, sender, local_id, digest, conversation, body) VALUES "
        connection.execute(text(f"{old} (1, 'ann', {local_id}, {digest}, 'a', 'x')"))
    migrate(empty_url)
    with connected(empty_url) as connection:
        rows = connection.execute(text("SELECT 1 FROM facts WHERE name = 'messages_without_digest'")).all()
    assert bool(rows) is noted


def test_the_versions_of_friends_and_requests_are_taken_over(empty_url: str) -> None:
    migrate(empty_url, "0001")
    with connected(empty_url) as connection:
        for uid in ("ann", "bob", "cid"):
            profile = ", ".join(f"'{value}'" for value in [uid] * 2 + [""] * 8)
            connection.execute(
                text(
                    "INSERT INTO users (uid, number, name, display_name, portrait, mobile, email, address, company, "
                    f"social, extra, gender, type, status, update_dt) VALUES ({profile}, '', 0, 0, 0, 1)"
                )
            )
        connection.execute(text("INSERT INTO heads VALUES ('ann', 3)"))
        connection.execute(
            text("INSERT INTO friends VALUES ('ann', 'bob', 0, '', 50), ('ann', 'cid', 0, '', 60)")
        )
        connection.execute(text("INSERT INTO friend_requests VALUES ('ann', 'bob', '', 0, 1, 0, 70, 1, 1)"))
    migrate(empty_url)
    with connected(empty_url) as connection:
        rows = connection.execute(text("SELECT uid, seq, friends_dt, requests_dt FROM heads ORDER BY uid"))
        assert [tuple(row) for row in rows] == [("ann", 3, 60, 70), ("bob", 0, 0, 70), ("cid", 0, 0, 0)]


def test_the_names_of_users_are_taken_over(empty_url: str) -> None:
    migrate(empty_url, "0005")
    with connected(empty_url) as connection:
        for uid, name in (("ann", "Ann"), ("bob", ""), ("cid", "王 C")):
            profile = ", ".join(f"'{value}'" for value in [uid, uid, uid, name, *[""] * 7])
            connection.execute(
                text(
                    "INSERT INTO users (uid, number, name, display_name, portrait, mobile, email, address, company, "
                    f"social, extra, gender, type, status, update_dt) VALUES ({profile}, 0, 0, 0, 1)"
                )
            )
    migrate(empty_url)
    with connected(empty_url) as connection:
        rows = connection.execute(text("SELECT uid, part FROM name_parts ORDER BY uid, part"))
        assert [tuple(row) for row in rows] == [
            ("ann", "ann"),
            ("ann", "n"),
            ("ann", "nn"),
            ("cid", "c"),
            ("cid", "王 c"),
        ]


def test_who_was_called_by_the_number_is_not_any_more(empty_url: str) -> None:
    people = {  # number, display name -> display name, version
        "a": ("13800001234", "13800001234", "1234", 2),
        "b": ("13800005678", "Bob", "Bob", 1),
        "c": ("annabella@example.com", "annabella@example.com", "anna", 2),
        "d": ("di@example.com", "di@example.com", "di", 2),
        "System": ("System", "System", "System", 1),
    }
    migrate(empty_url, "0005")
    with connected(empty_url) as connection:
        for uid, (number, name, _, _) in people.items():
            connection.execute(
                text(
                    "INSERT INTO users (uid, number, name, display_name, portrait, mobile, email, address, company, "
                    "social, extra, gender, type, status, update_dt) "
                    "VALUES (:uid, :number, :number, :name, '', '', '', '', '', '', '', 0, 0, 0, 1)"
                ),
                {"uid": uid, "number": number, "name": name},
            )
    migrate(empty_url)
    with connected(empty_url) as connection:
        rows = connection.execute(text("SELECT uid, number, display_name, update_dt FROM users"))
        assert {uid: tuple(row) for uid, *row in rows} == {
            uid: (number, name, version) for uid, (number, _, name, version) in people.items()
        }


def test_messages_to_some_members_are_taken_over(empty_url: str) -> None:
    def body(**to: Any) -> bytes:
        where = pb.Conversation(type=1, target="g", line=0)
        content = pb.MessageContent(type=1)
        return pb.Message(conversation=where, from_user="ann", content=content, **to).SerializeToString()

    bodies = {
        1: body(),
        2: body(to=["bob", "nobody"]),
        3: body(to_user="cid", to=["", "ann"]),
        4: body(to=["bob"]),
    }
    migrate(empty_url, "0003")
    with connected(empty_url) as connection:
        for uid in ("ann", "bob", "cid"):
            row = {"uid": uid}
            connection.execute(text("INSERT INTO group_members VALUES ('g', :uid, '', 0, 1, 1)"), row)
        for id, value in bodies.items():
            key = "1|0|g" if id < 4 else "0|0|ann|bob"
            sql = "INSERT INTO messages VALUES (:id, 'ann', NULL, :key, :body)"
            connection.execute(text(sql), {"id": id, "key": key, "body": value})
    migrate(empty_url)
    with connected(empty_url) as connection:
        rows = connection.execute(text("SELECT id, conversation FROM messages ORDER BY id"))
        assert [tuple(row) for row in rows] == [
            (1, "1|0|g"),
            (2, "1d|0|g"),
            (3, "1d|0|g"),
            (4, "0|0|ann|bob"),
        ]
        rows = connection.execute(text("SELECT message_id, uid, conversation FROM directed ORDER BY 1, 2"))
        assert [tuple(row) for row in rows] == [
            (id, uid, "1|0|g") for id, uid in ((2, "ann"), (2, "bob"), (3, "ann"), (3, "cid"))
        ]
