"""The calls that go on in groups."""

import sqlalchemy as sa
from alembic import op

from fsharechat.store.migrations.versions import create_table

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    create_table(
        "call_rooms",
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column(
            "id",
            sa.BigInteger(),
            nullable=False,
            comment="The message id of its start; no other call has it.",
        ),
        sa.Column("call_id", sa.String(length=255), nullable=False, comment="Made by the client."),
        sa.Column("initiator", sa.String(length=64), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id"),
        comment="The calls that go on in groups.",
        sqlite_with_rowid=False,
    )
    create_table(
        "call_attendees",
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("attendance", sa.SmallInteger(), nullable=False, comment="Attendance"),
        sa.Column("client_id", sa.String(length=255), nullable=False, comment="The device that is in it."),
        sa.PrimaryKeyConstraint("group_id", "uid"),
        comment="Who was invited to a call in a group, or has started it.",
        sqlite_with_rowid=False,
    )
    op.create_index("call_attendees_uid", "call_attendees", ["uid", "attendance"])
