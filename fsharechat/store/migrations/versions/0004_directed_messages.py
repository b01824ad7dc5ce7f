"""Messages to some members of a group are found by those members alone, so that a page of history is full."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.store.migrations.versions import create_table

revision = "0004"
down_revision = "0003"

_STEP = 500


def upgrade() -> None:
    create_table(
        "directed",
        sa.Column(
            "uid", sa.String(length=64), nullable=False, comment="Who sent the message, or whom it is for."
        ),
        sa.Column(
            "conversation", sa.String(length=160), nullable=False, comment="See messages.conversation_key."
        ),
        sa.Column("message_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("uid", "conversation", "message_id"),
        comment="Messages in groups to some of the members.",
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    for part in _to_groups(connection):
        moved = [(row, _named(connection, row.body)) for row in part]
        for row, uids in moved:
            if uids is None:
                continue
            connection.execute(
                sa.text("INSERT INTO directed (uid, conversation, message_id) VALUES (:uid, :key, :id)"),
                [{"uid": uid, "key": row.conversation, "id": row.id} for uid in {row.sender, *uids}],
            )
            connection.execute(
                sa.text("UPDATE messages SET conversation = :key WHERE id = :id"),
                {"key": f"1d{row.conversation.removeprefix('1')}", "id": row.id},
            )


def _to_groups(connection: sa.Connection) -> Iterator[Sequence[sa.Row[Any]]]:
    sql = sa.text(
        "SELECT id, sender, conversation, body FROM messages WHERE id > :after AND conversation LIKE '1|%' "
        f"ORDER BY id LIMIT {_STEP}"
    )
    after = -1
    while rows := connection.execute(sql, {"after": after}).all():
        yield rows
        after = rows[-1].id


def _named(connection: sa.Connection, body: bytes) -> set[str] | None:
    """Return the members whom a message is for; None where it is for all."""
    message = pb.Message.FromString(body)
    named = {uid for uid in (message.to_user, *message.to) if uid}
    if not named:
        return None
    sql = sa.text("SELECT uid FROM group_members WHERE group_id = :group")
    members = {uid for (uid,) in connection.execute(sql, {"group": message.conversation.target})}
    return named & members
