"""Invitations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import VARBINARY

from fsharechat.store.migrations.versions import create_table

revision = "0052"
down_revision = "0051"


def upgrade() -> None:
    create_table(
        "invitations",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column(
            "digest",
            sa.LargeBinary(32).with_variant(VARBINARY(32), "mysql", "mariadb"),
            nullable=False,
            comment="Of its code; empty if it has none.",
        ),
        sa.Column(
            "invitee",
            sa.String(length=255),
            nullable=False,
            comment="A number, an address or a domain, or empty.",
        ),
        sa.Column("places", sa.Integer(), nullable=False, comment="How many new users it makes."),
        sa.Column("used", sa.Integer(), nullable=False, server_default="0", comment="How many it has made."),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="Who may become a user.",
        sqlite_with_rowid=False,
    )
    for column in ("digest", "invitee", "expires_ms"):
        op.create_index(f"invitations_{column}", "invitations", [column])
