"""The first schema: users, sessions, friends, messages and inboxes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from fsharechat.store.migrations.versions import create_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_table(
        "facts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column(
            "value",
            sa.LargeBinary(length=255)
            .with_variant(sa.VARBINARY(length=255), "mariadb")
            .with_variant(sa.VARBINARY(length=255), "mysql"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name"),
        comment="What the whole deployment shares, such as the key that signs user tokens.",
    )
    create_table(
        "friend_requests",
        sa.Column("from_uid", sa.String(length=64), nullable=False),
        sa.Column("to_uid", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False, comment="RequestStatus"),
        sa.Column("sent_ms", sa.BigInteger(), nullable=False),
        sa.Column("handled_ms", sa.BigInteger(), nullable=False, comment="0 while it is open."),
        sa.Column("update_dt", sa.BigInteger(), nullable=False),
        sa.Column("from_read", sa.Boolean(), nullable=False),
        sa.Column("to_read", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("from_uid", "to_uid"),
        sqlite_with_rowid=False,
    )
    op.create_index("friend_requests_to", "friend_requests", ["to_uid"], unique=False)
    create_table(
        "friends",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("friend_uid", sa.String(length=64), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False, comment="FriendState"),
        sa.Column("alias", sa.String(length=255), nullable=False),
        sa.Column("update_dt", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "friend_uid"),
        sqlite_with_rowid=False,
    )
    create_table(
        "heads",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="The last seq of the user's inbox."),
        sa.PrimaryKeyConstraint("uid"),
        sqlite_with_rowid=False,
    )
    create_table(
        "inbox",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "seq"),
        sqlite_with_rowid=False,
    )
    create_table(
        "login_codes",
        sa.Column("number", sa.String(length=255), nullable=False),
        sa.Column(
            "digest",
            sa.LargeBinary(length=32)
            .with_variant(sa.VARBINARY(length=32), "mariadb")
            .with_variant(sa.VARBINARY(length=32), "mysql"),
            nullable=False,
            comment="Of the code; empty when there is none.",
        ),
        sa.Column("sent_ms", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False, comment="Days since the Unix epoch of `day_count`."),
        sa.Column("day_count", sa.Integer(), nullable=False),
        sa.Column(
            "wrong", sa.Integer(), nullable=False, comment="Wrong guesses since the last right one or lock."
        ),
        sa.Column("locked_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sqlite_with_rowid=False,
    )
    create_table(
        "messages",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column(
            "local_id",
            sa.BigInteger(),
            nullable=True,
            comment="The sender's own id of it; NULL where it has none.",
        ),
        sa.Column(
            "conversation", sa.String(length=160), nullable=False, comment="See messages.conversation_key."
        ),
        sa.Column(
            "body",
            sa.LargeBinary()
            .with_variant(mysql.LONGBLOB(), "mariadb")
            .with_variant(mysql.LONGBLOB(), "mysql"),
            nullable=False,
            comment="The protobuf Message.",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sender", "local_id", name="messages_local_id"),
    )
    op.create_index("messages_history", "messages", ["conversation", "id"], unique=False)
    create_table(
        "sessions",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column(
            "db_secret",
            sa.String(length=64),
            nullable=False,
            comment="Encrypts the device's own database: kept for good.",
        ),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "client_id"),
        sqlite_with_rowid=False,
    )
    create_table(
        "users",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column(
            "number", sa.String(length=255), nullable=False, comment="The mobile number or e-mail of login."
        ),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("display_name", sa.String(length=255), nullable=False),
        sa.Column("portrait", sa.Text(), nullable=False),
        sa.Column("mobile", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("company", sa.Text(), nullable=False),
        sa.Column("social", sa.Text(), nullable=False),
        sa.Column("extra", sa.Text(), nullable=False),
        sa.Column("gender", sa.Integer(), nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False, comment="UserStatus"),
        sa.Column("update_dt", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid"),
        sa.UniqueConstraint("number"),
    )
    op.create_index("users_display_name", "users", ["display_name"], unique=False)
    op.create_index("users_name", "users", ["name"], unique=False)
    create_table(
        "writers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column(
            "batch", sa.BigInteger(), nullable=False, comment="The last batch that the writer has committed."
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
