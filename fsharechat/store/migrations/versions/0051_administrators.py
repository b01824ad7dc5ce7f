"""Administrators with names, and the log of what they do."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARBINARY

from fsharechat.store.migrations.versions import create_table

revision = "0051"
down_revision = "0050"


def upgrade() -> None:
    create_table(
        "administrators",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column(
            "password", sa.String(length=255), nullable=False, comment="The text of argon2, with its salt."
        ),
        sa.Column("role", sa.SmallInteger(), nullable=False, comment="AdminRole"),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    create_table(
        "admin_sessions",
        sa.Column(
            "digest",
            sa.LargeBinary(32).with_variant(VARBINARY(32), "mysql", "mariadb"),
            nullable=False,
            comment="Of the secret in the cookie.",
        ),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False, comment="To within a minute."),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        comment="Browsers that are logged in to the administration.",
        sqlite_with_rowid=False,
    )
    op.create_index("admin_sessions_name", "admin_sessions", ["name"])
    create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("request", sa.String(length=32), nullable=False, comment="So that a repeat is one entry."),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("way", sa.SmallInteger(), nullable=False, comment="Way"),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("op", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=255), nullable=False),
        sa.Column("details", sa.Text(), nullable=False, comment="JSON, without secrets."),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False, comment="Of HTTP; 200: done."),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request", name="audit_log_request"),
        comment="What administrators did.",
    )
    op.create_index("audit_log_at", "audit_log", ["at_ms"])
    op.create_index("audit_log_actor", "audit_log", ["actor", "id"])
    op.create_index("audit_log_target", "audit_log", ["target", "id"])
