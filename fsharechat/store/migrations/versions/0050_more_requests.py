"""What newer requests need: a silence that ends, facts about devices, edits, reactions, bots."""

import sqlalchemy as sa
from alembic import op

from fsharechat.store.migrations.versions import create_table

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    until = sa.Column(
        "silenced_until",
        sa.BigInteger(),
        nullable=False,
        server_default="0",
        comment="When the silence of a silenced member ends; 0: it has no end.",
    )
    op.add_column("group_members", until)
    agent = sa.Column(
        "agent", sa.String(255), nullable=False, server_default="", comment="The User-Agent of the login."
    )
    op.add_column("sessions", agent)
    name = sa.Column(
        "name", sa.String(64), nullable=False, server_default="", comment="What the device calls itself."
    )
    op.add_column("sessions", name)
    bot: sa.Column[bool] = sa.Column(
        "bot",
        sa.Boolean(),
        nullable=False,
        server_default="0",
        comment="An administrator made it for a bot; it does not expire.",
    )
    op.add_column("sessions", bot)
    create_table(
        "bots",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False, comment="When the last token was made."),
        sa.PrimaryKeyConstraint("name"),
        comment="Users that log in by a token, made by an administrator.",
        sqlite_with_rowid=False,
    )
    create_table(
        "device_seen",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "client_id"),
        comment="When devices were connected last.",
        sqlite_with_rowid=False,
    )
    create_table(
        "edits",
        sa.Column("uid", sa.String(length=64), nullable=False, comment="Who has the message."),
        sa.Column(
            "seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="In the recalls for `uid`."
        ),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("operator", sa.String(length=64), nullable=False),
        sa.Column("operator_client", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("uid", "seq"),
        comment="The last edit of each message, in the log of the recalls.",
        sqlite_with_rowid=False,
    )
    op.create_index("edits_message", "edits", ["message_id"])
    create_table(
        "reactions",
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("emoji", sa.Text(), nullable=False, comment="With a space between them."),
        sa.Column("update_dt", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "uid"),
        sqlite_with_rowid=False,
    )
